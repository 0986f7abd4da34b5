"""The parts of a session that need no kernel process: the alias, cells, display, installation."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

import flambeau as torch
from flambeau.kernel import cells, display, install, launch

from ..programs import printed


def python(code: str, **environment: str) -> str:
    return printed(sys.executable, "-c", code, env={**os.environ, **environment}).strip()


ALIAS = "from flambeau.kernel import torch_alias as a"
FAKE_TORCH = "class Tensor: pass\n__version__ = 'real'\n"


def test_a_pytorch_that_is_installed_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(FAKE_TORCH)
    code = f"{ALIAS}; a.install(); import torch; print(torch.__version__)"
    assert python(code, PYTHONPATH=str(tmp_path)) == "real"


def test_the_alias_can_stand_before_an_installed_pytorch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(FAKE_TORCH)
    code = f"{ALIAS}; a.install(first=True); import torch, flambeau; print(torch is flambeau)"
    assert python(code, PYTHONPATH=str(tmp_path)) == "True"


def test_the_alias_leaves_modules_their_own_names() -> None:
    code = (
        "from flambeau.kernel import torch_alias as a; a.install()\n"
        "import torch.nn.modules.linear as l, flambeau.nn.modules.linear as f\n"
        "import pickle, torch\n"
        "print(l is f, l.__name__, l.__spec__.name, b'flambeau' in pickle.dumps(torch.nn.Linear))"
    )
    assert python(code) == "True flambeau.nn.modules.linear flambeau.nn.modules.linear True"


def test_programs_find_what_they_import_by_pytorchs_names() -> None:
    code = (
        "from flambeau.kernel import torch_alias as a; a.install()\n"
        "import importlib\n"
        "for name in a.ELSEWHERE: importlib.import_module('torch.' + name)\n"
        "from torch.autograd.variable import Variable\n"
        "from torch.utils.data._utils.collate import default_collate\n"
        "from torch.utils.hooks import RemovableHandle\n"
        "from torch.cuda.amp.grad_scaler import GradScaler\n"
        "from torch.distributed.distributed_c10d import get_rank\n"
        "from torch.storage import UntypedStorage\n"
        "from torch.utils.model_zoo import load_url\n"
        "import torch.onnx, torch.multiprocessing as mp; print(mp.spawn.__name__)"
    )
    assert python(code) == "spawn"


def test_programs_find_torchvision_in_the_runtime() -> None:
    code = (
        f"{ALIAS}; a.install(first=True)\n"
        "import importlib, importlib.metadata as m\n"
        "for name in a.VISION: importlib.import_module('torchvision.' + name)\n"
        "import torchvision.models as models, flambeau.vision\n"
        "from torchvision.models import resnet18, ResNet18_Weights\n"
        "from torchvision.ops.misc import Conv2dNormActivation\n"
        "print(models is flambeau.vision.models, m.version('torchvision'))"
    )
    assert python(code) == "True 0.28.0"


def test_libraries_that_look_for_an_installed_pytorch_find_one() -> None:
    code = (
        "from flambeau.kernel import torch_alias as a; a.install(first=True)\n"
        "import importlib.metadata as m, importlib.util as u, torch\n"
        "print(m.version('torch') == torch.__version__, u.find_spec('torch') is not None)\n"
        "a.remove()\n"
        "found = [d.metadata['Version'] for d in m.distributions(name='torch')]\n"
        "print(torch.__version__ in found)"
    )
    assert python(code) == "True True\nFalse"


def test_a_script_is_cut_at_its_cell_marks() -> None:
    text = "import os\n\n# %% first\nx = 1\n\n# %%\n\ny = 2\n#%%\n# %%timeit is no mark\n"
    found = [(c.source, c.first_line) for c in cells.python_cells(text)]
    assert found == [
        ("import os\n", 1),
        ("x = 1\n", 4),
        ("y = 2", 8),
        ("# %%timeit is no mark", 10),
    ]


def test_a_notebook_gives_its_code_cells() -> None:
    notebook = {
        "nbformat": 4,
        "cells": [
            {"cell_type": "markdown", "source": ["# no"]},
            {"cell_type": "code", "source": ["a = 1\n", "b = 2"]},
            {"cell_type": "code", "source": "c = 3"},
        ],
    }
    assert [c.source for c in cells.notebook_cells(json.dumps(notebook))] == [
        "a = 1\nb = 2",
        "c = 3",
    ]
    with pytest.raises(ValueError, match="notebook of format 4"):
        cells.notebook_cells("[]")


def test_statistics_stand_beside_long_tensors_alone() -> None:
    assert display.statistics(torch.ones(10)) == []
    assert display.statistics(torch.arange(2000.0)) == ["0 to 1999, mean 999.5"]
    assert display.statistics(torch.arange(2000)) == ["0 to 1999"]
    assert display.statistics(torch.full((2000,), float("nan"))) == ["2000 NaN"]
    assert display.statistics(torch.ones(2000, device="meta")) == []


def installed(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    install.add_arguments(parser)
    return install.run(parser.parse_args(["install", *arguments]))


def test_the_kernelspec_installs_where_it_is_asked_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert installed("--prefix", str(tmp_path), "--name", "torchlight") == 0
    folder = tmp_path / "share/jupyter/kernels/torchlight"
    assert str(folder) in capsys.readouterr().out
    spec = json.loads((folder / "kernel.json").read_text())
    assert spec["argv"] == launch.command()
    assert spec["display_name"] == "Flambeau"
    assert {p.name for p in folder.iterdir()} == {
        "kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg",
    }  # fmt: skip


def test_an_impossible_place_is_an_error_not_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert installed("--prefix", str(tmp_path / "file")) == 1
    assert "flambeau kernel install:" in capsys.readouterr().err


def test_jupyter_finds_the_kernel_with_no_further_step() -> None:
    spec = KernelSpecManager().get_kernel_spec("flambeau")
    assert spec.display_name == "Flambeau"
    assert spec.argv[1:] == launch.command()[1:]


def test_talking_to_a_kernel_needs_no_runtime() -> None:
    code = "import sys, flambeau.kernel.launch as l; l.command(); print('IPython' in sys.modules)"
    assert python(code) == "False"


def test_a_kernel_waits_without_the_runtime_and_has_all_of_it_when_asked() -> None:
    code = (
        "import sys; sys.argv = ['x']; "
        + launch.START.rpartition(";")[0]
        + "\nimport flambeau.kernel.jupyter, flambeau\n"
        "print('numpy' in sys.modules, flambeau.__name__, end=' ')\n"
        "from flambeau import nn\nimport flambeau.optim\n"
        "print(flambeau.ones(2).sum().item(), nn is flambeau.nn, 'numpy' in sys.modules)"
    )
    assert python(code) == "False flambeau 2.0 True True"


def test_a_package_that_was_disturbed_when_it_woke_wakes_again() -> None:
    code = (
        launch.START.rpartition(";")[0].rpartition(";")[0]
        + "\nimport sys, flambeau\nsys.modules['numpy'] = None\n"
        "try: flambeau.ones\nexcept ImportError: print('disturbed', end=' ')\n"
        "del sys.modules['numpy']\nprint(flambeau.ones(3).sum().item())"
    )
    assert python(code) == "disturbed 3.0"
