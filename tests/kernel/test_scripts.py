"""`flambeau run`: output, exit status, tracebacks, Ctrl-C, magics."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ..programs import PATIENCE, finished, running

FLAMBEAU = str(Path(sys.executable).with_name("flambeau"))
SEVEN = "x = torch.tensor(2.0, requires_grad=True); y = x**2 + 3*x; y.backward()\nprint(x.grad)\n"


def flambeau(*arguments: str, input: str | None = None, **options: Any) -> Any:
    return finished(FLAMBEAU, "run", *arguments, input=input, **options)


@pytest.fixture
def script(tmp_path: Path) -> Any:
    def write(text: str, name: str = "script.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_the_command_is_installed() -> None:
    assert shutil.which(FLAMBEAU)


def test_a_script_prints_and_ends_well(script: Any) -> None:
    result = flambeau(script(SEVEN))
    assert (result.returncode, result.stdout, result.stderr) == (0, "tensor(7.)\n", "")


def test_standard_input_is_a_script() -> None:
    result = flambeau("-", input=SEVEN)
    assert (result.returncode, result.stdout) == (0, "tensor(7.)\n")


def test_questions_of_a_script_are_answered_from_standard_input(script: Any) -> None:
    asks = "print(input('name? '))\ntry:\n    input()\nexcept EOFError:\n    print('end')"
    result = flambeau(script(asks), input="Zoë\n")
    assert (result.returncode, result.stdout) == (0, "name? Zoë\nend\n")


def test_a_pipe_without_command_is_a_script_too() -> None:
    result = finished(FLAMBEAU, input=SEVEN)
    assert (result.returncode, result.stdout) == (0, "tensor(7.)\n")


def test_a_notebook_runs_cell_by_cell(script: Any) -> None:
    notebook = {
        "nbformat": 4,
        "cells": [{"cell_type": "code", "source": s} for s in (SEVEN, "x.grad")],
    }
    result = flambeau(script(json.dumps(notebook), "note.ipynb"))
    assert (result.returncode, result.stdout) == (0, "tensor(7.)\ntensor(7.)\n")


def test_an_exception_ends_the_run_with_its_line_on_stderr(script: Any) -> None:
    path = script(
        "# %% one\nprint('before')\n\n# %% two\nx = torch.ones(2)\nx @ torch.ones(3)\n"
        "print('after')\n"
    )
    result = flambeau(path)
    assert result.returncode == 1
    assert result.stdout == "before\n"
    assert "ShapeError: matmul" in result.stderr
    assert "----> 6 x @ torch.ones(3)" in result.stderr
    assert path in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [("sys.exit(3)", 3, ""), ("sys.exit()", 0, ""), ("sys.exit('no good')", 1, "no good\n")],
)
def test_sys_exit_gives_the_status(script: Any, code: str, status: int, words: str) -> None:
    result = flambeau(script(f"import sys\n{code}\nprint('not reached')\n"))
    assert (result.returncode, result.stdout, result.stderr) == (status, "", words)


def test_arguments_and_file_are_those_of_the_script(script: Any, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("value = 5\n")
    path = script("import sys, beside\nprint(sys.argv[1:], beside.value, __file__, __name__)\n")
    result = flambeau(path, "--epochs", "3")
    assert result.stdout == f"['--epochs', '3'] 5 {path} __main__\n"


def test_magics_work_in_scripts(script: Any) -> None:
    text = SEVEN + "# %%\n%graph y\n# %%\n%%profile\ny = x.exp()\n"
    result = flambeau(script(text))
    assert result.returncode == 0
    assert "add  scalar" in result.stdout
    assert "exp" in [line.partition(" ")[0] for line in result.stdout.splitlines()]


def test_import_torch_finds_the_runtime(script: Any) -> None:
    result = flambeau("--as-torch", script("import torch\nprint(torch.__name__)\n"))
    assert result.stdout == "flambeau\n"


def test_output_is_streamed_as_it_comes(script: Any) -> None:
    path = script("import time\nprint('first')\ntime.sleep(600)\n")
    with running(FLAMBEAU, "run", path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130


def test_a_reader_that_leaves_ends_the_run_without_a_word() -> None:
    code = "for k in range(10**9): print(k, flush=True)"
    with running(FLAMBEAU, "run", "-c", code) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.wait() == 141
        assert process.stderr.read() == ""


def test_an_interrupt_prints_where_the_script_stood(script: Any) -> None:
    path = script("print('go')\nwhile True:\n    torch.randn(100, 100) @ torch.randn(100, 100)\n")
    with running(FLAMBEAU, "run", path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "go\n"
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.stderr.read()
        assert process.wait() == 130


def test_a_kernel_that_dies_is_reported(script: Any) -> None:
    result = flambeau(script("import os\nos._exit(7)\n"))
    assert result.returncode == 1
    assert "the kernel died" in result.stderr


def test_no_kernel_is_left_behind(script: Any) -> None:
    result = flambeau(script("import os\nprint(os.getpid())\n"))
    assert not Path(f"/proc/{int(result.stdout)}").exists() or os.name != "posix"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("/no/such/file.py",), "No such file"),
        ((), "expected a FILE"),
    ],
)
def test_files_that_cannot_be_read_are_named(arguments: tuple[str, ...], words: str) -> None:
    result = flambeau(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_notebook_is_named(script: Any) -> None:
    result = flambeau(script("{}", "broken.ipynb"))
    assert result.returncode == 2
    assert "notebook of format 4" in result.stderr


def test_progress_bars_are_text_without_a_word_about_notebooks(script: Any) -> None:
    path = script("from tqdm.auto import tqdm\nfor _ in tqdm(range(3), desc='work'): pass\n")
    result = flambeau(path)
    assert result.returncode == 0
    assert "work: 100%" in result.stderr
    assert "Warning" not in result.stderr


def test_the_command_leaves_the_runtime_to_its_kernel() -> None:
    code = (
        "import sys; from flambeau_start import main; sys.argv[1:] = ['run', '/no/such']; main()\n"
        "print({'numpy', 'IPython', 'flambeau.core.tensor'} & set(sys.modules))"
    )
    assert finished(sys.executable, "-c", code).stdout == "set()\n"


def test_an_interrupt_at_the_start_leaves_no_kernel(tmp_path: Path) -> None:
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    with running(FLAMBEAU, "run", "-c", "1", env=environment) as process:
        while not list(tmp_path.glob("kernel-*.json")):  # which a kernel has that starts
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)  # the kernel's end, too, as it may print there
        assert process.returncode == 130
