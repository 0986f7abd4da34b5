"""A terminal in memory, with `flambeau` running in it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pyte
import pytest

FLAMBEAU = str(Path(sys.executable).with_name("flambeau"))
PATIENCE = 60.0  # s
KEYS = {
    "enter": "\r", "tab": "\t", "up": "\x1b[A", "escape": "\x1b", "C-c": "\x03", "C-d": "\x04",
    "C-r": "\x12", "C-a": "\x01",
}  # fmt: skip


GATE = """
import pathlib, time

def wait(here=True):
    while here and not pathlib.Path(__file__).with_name("gate.open").exists():
        time.sleep(0.01)
"""
"""A module `gate`, at which cells wait until the test lets them go on."""


class Screen(pyte.Screen):  # type: ignore[misc]
    """A screen that answers when a program asks where the cursor is."""

    answer: Callable[[str], Any]

    def write_process_input(self, data: str) -> None:
        self.answer(data)


class Terminal:
    """A program on a pseudo-terminal of `size` rows and columns, and what it shows."""

    def __init__(
        self, *arguments: str, size: tuple[int, int] = (40, 100), **environment: str
    ) -> None:
        variables = {**os.environ, "TERM": "xterm-256color", **environment}
        self.process = pexpect.spawn(
            FLAMBEAU, list(arguments), env=variables, dimensions=size, timeout=PATIENCE
        )
        os.set_blocking(self.process.child_fd, False)  # see `type`
        self.screen = Screen(size[1], size[0])
        self.screen.answer = self.type
        self.stream = pyte.ByteStream(self.screen)

    @property
    def text(self) -> str:
        """The rows that are not blank."""
        return "\n".join(row.rstrip() for row in self.screen.display if row.strip())

    def colours(self, words: str) -> set[str]:
        """The colours in which the last `words` on the screen stand."""
        for number, row in reversed(list(enumerate(self.screen.display))):
            if words in row:
                start = row.index(words)
                cells = self.screen.buffer[number]
                return {cells[k].fg for k in range(start, start + len(words))}
        raise AssertionError(f"{words!r} is not on the screen:\n{self.text}")

    def feed(self, timeout: float = 0.05) -> bool:
        """Take what the program wrote; False once it has ended."""
        try:
            self.stream.feed(self.process.read_nonblocking(65536, timeout))
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        return True

    def wait_for(self, *words: str, absent: str = "\0") -> None:
        """Until all `words` are on the screen, and `absent` is not."""
        deadline = time.monotonic() + PATIENCE
        while not all(w in self.text for w in words) or absent in self.text:
            lives = self.feed()
            if time.monotonic() > deadline or (
                not lives and not all(w in self.text for w in words)
            ):
                raise AssertionError(f"{words} did not come. The screen:\n{self.text}")

    def wait_for_colours(self, words: str, colours: set[str]) -> None:
        """Until the last `words` on the screen stand in `colours`: what is typed ahead of a prompt
        is shown plainly first."""
        deadline = time.monotonic() + PATIENCE
        while self.colours(words) != colours and time.monotonic() < deadline:
            self.feed()
        assert self.colours(words) == colours

    def wait_for_end(self) -> int:
        """The exit status, once the program has ended."""
        deadline = time.monotonic() + PATIENCE
        while self.feed() or not self._has_ended():
            if time.monotonic() > deadline:
                raise AssertionError(f"It did not end. The screen:\n{self.text}")
        self.process.wait()
        return int(self.process.exitstatus if self.process.exitstatus is not None else -1)

    def _has_ended(self) -> bool:
        only_look = os.WEXITED | os.WNOHANG | os.WNOWAIT
        pid = self.process.pid
        return self.process.terminated or os.waitid(os.P_PID, pid, only_look) is not None

    def type(self, text: str) -> None:
        """Type, and read meanwhile: a program that can write no more reads no more either."""
        deadline = time.monotonic() + PATIENCE
        left = text.encode()
        while left:
            try:
                left = left[os.write(self.process.child_fd, left) :]
            except BlockingIOError:
                self.feed()
                assert time.monotonic() < deadline, f"It reads no more. The screen:\n{self.text}"

    def press(self, *names: str) -> None:
        for name in names:
            self.type(KEYS[name])

    def line(self, text: str) -> None:
        """Type a line and Enter, once the terminal shows what was typed."""
        self.type(text)
        self.wait_for(text.strip()[-60:])
        self.press("enter")

    def run(self, number: int, text: str, *words: str) -> None:
        """Type cell `number` at its prompt and wait for `words` and the prompt after it."""
        self.wait_for(f"In [{number}]:")
        self.line(text)
        self.wait_for(*words, f"In [{number + 1}]:")

    def close(self) -> None:
        self.process.close(force=True)


def wait_until_gone(pid: int) -> None:
    """Until a process has ended, whether or not its parent has asked how."""
    try:
        psutil.Process(pid).wait(PATIENCE)
    except psutil.NoSuchProcess:
        return
    except psutil.TimeoutExpired:
        raise AssertionError(f"Process {pid} still runs.") from None


Open = Callable[..., Terminal]


@pytest.fixture
def open_gate(tmp_path: Path) -> Callable[[], None]:
    """Lets cells go on that wait at the gate."""
    return (tmp_path / "gate.open").touch


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Open]:
    """Opens `flambeau` with a history of its own; all are closed at the end."""
    opened: list[Terminal] = []
    (tmp_path / "gate.py").write_text(GATE)
    inherited = [path] if (path := os.environ.get("PYTHONPATH")) else []

    def open_terminal(
        *arguments: str, size: tuple[int, int] = (40, 100), **environment: str
    ) -> Terminal:
        own = {
            "FLAMBEAU_HISTORY": str(tmp_path / "history"),
            "FLAMBEAU_CONFIG": str(tmp_path / "config.toml"),
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *inherited]),
        }
        opened.append(Terminal(*arguments, size=size, **{**own, **environment}))
        return opened[-1]

    yield open_terminal
    for found in opened:
        found.close()
