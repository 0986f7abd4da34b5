"""An IPython shell with the magics loaded, as `%load_ext flambeau.magics` does it anywhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

Run = Callable[[str], str]


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    shell.run_line_magic("load_ext", "flambeau.magics")
    yield shell
    shell.run_line_magic("unload_ext", "flambeau.magics")
    InteractiveShell.clear_instance()


@pytest.fixture
def run(shell: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs a cell and returns what it printed, on both streams, without colours."""

    def run_cell(source: str) -> str:
        shell.run_cell(source, store_history=True)
        captured = capsys.readouterr()
        return ESCAPES.sub("", captured.out + captured.err)

    names = "import flambeau as torch\nfrom flambeau import nn\nF = nn.functional\n"
    run_cell(names + "torch.manual_seed(0);")
    yield run_cell
    shell.reset()
