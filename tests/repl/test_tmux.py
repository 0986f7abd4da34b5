"""The REPL inside tmux, which draws for itself: whole screens at the usual sizes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..programs import printed
from .conftest import FLAMBEAU, PATIENCE

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


class Pane:
    """A tmux server of its own with one pane, in which `flambeau` runs."""

    def __init__(self, home: Path, columns: int, rows: int) -> None:
        self.socket = home / "tmux"
        variables = {
            **os.environ,
            "FLAMBEAU_HISTORY": str(home / "history"),
            "FLAMBEAU_CONFIG": str(home / "config.toml"),
            "LC_ALL": "C.UTF-8",
        }
        size = "-x", str(columns), "-y", str(rows)
        self.tmux("-f", os.devnull, "new-session", "-d", *size, FLAMBEAU, env=variables)

    def tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        return printed("tmux", "-S", str(self.socket), *arguments, env=env)

    def type(self, text: str, *keys: str) -> None:
        self.tmux("send-keys", "-l", text)
        for key in keys:
            self.tmux("send-keys", key)

    def screen(self, *words: str) -> list[str]:
        """The rows, once all `words` are among them."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            text = self.tmux("capture-pane", "-p")
            if all(word in text for word in words):
                return text.rstrip("\n").split("\n")
        raise AssertionError(f"{words} did not come. The screen:\n{text}")


@pytest.fixture(params=[(80, 24), (200, 50)], ids=["80x24", "200x50"])
def pane(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pane]:
    found = Pane(tmp_path, *request.param)
    yield found
    found.tmux("kill-server")


def test_a_whole_screen_reads_as_it_should(pane: Pane) -> None:
    pane.screen("In [1]:", "kernel ready")
    pane.type("lin = nn.Linear(4, 3); x = torch.arange(8.).view(2, 4)", "Enter")
    pane.screen("In [2]:")
    pane.type("for row in x:", "Enter")
    pane.screen("...:")
    pane.type("print(int(row.sum()))", "Enter", "Enter")
    pane.screen("In [3]:", "22")
    pane.type("y = lin(x.T)")
    pane.screen("expected input with 4 features", "kernel ready")
    pane.tmux("send-keys", "C-c")
    pane.type("y = x @ x.T")
    expected = [
        "In [1]: lin = nn.Linear(4, 3); x = torch.arange(8.).view(2, 4)",
        "In [2]: for row in x:",
        "   ...:     print(int(row.sum()))",
        "   ...:",
        "6",
        "22",
        "In [3]: y = x @ x.T  y (2, 2) float32",
    ]
    deadline = time.monotonic() + PATIENCE
    while True:  # a picture may be taken while a row is drawn anew
        rows = pane.screen("y (2, 2) float32")
        start = next((k for k, row in enumerate(rows) if row.startswith("In [1]:")), len(rows))
        shown = [row for row in rows[start:] if row]
        if time.monotonic() > deadline or shown[:-1] == expected:
            break
    assert shown[:-1] == expected
    assert rows[-1].startswith("kernel ready · last cell ")
