"""How soon the terminal is there: the first prompt, and the first result typed at it (POSIX).

The other side is IPython, which then imports PyTorch.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pexpect

from .case import Row

ROUNDS = 7
PATIENCE = 60.0
CELL = "import torch; torch.ones(2)"
SIDES = ("flambeau", "--as-torch"), ("ipython", "--no-banner")
LIMITS = 0.5, 1.5
"""Seconds that the first prompt and the first result may take on two cores."""

_ESCAPE = r"\x1b\[[0-9;?]*[A-Za-z]"
_PROMPT = f"In (?:{_ESCAPE})*\\[(?:{_ESCAPE})*1"
_ASKS_POSITION = re.escape("\x1b[6n")


def seconds(program: str, option: str) -> tuple[float, float]:
    """Seconds from the start of `program` until its first prompt stands, and until the result of
    CELL, typed at once, does; from compiled files."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
            "TERM": "xterm-256color",
            "IPYTHONDIR": home,
            "FLAMBEAU_HISTORY": f"{home}/history",
            "FLAMBEAU_CONFIG": f"{home}/config.toml",
        }
        started = perf_counter()
        command = str(Path(sys.executable).with_name(program))
        terminal = pexpect.spawn(
            command,
            [option],
            env=environment,
            dimensions=(24, 80),
            timeout=PATIENCE,
            encoding="utf-8",
        )
        terminal.delaybeforesend = None
        while terminal.expect([_PROMPT, _ASKS_POSITION]):
            terminal.send("\x1b[1;1R")
        prompt = perf_counter() - started
        terminal.send(CELL + "\r")
        while terminal.expect([r"tensor\(", _ASKS_POSITION]):
            terminal.send("\x1b[1;1R")
        result = perf_counter() - started
        terminal.close(force=True)
        return prompt, result


@dataclass(frozen=True)
class Start:
    """Both programs in turn, after one run each that fills the disk's cache.

    The ratio is to IPython's time, and so is the limit: that of `LIMITS` over the same time.
    """

    name: str = "terminal"

    def rows(self) -> Iterator[Row]:
        """The first prompt, and the first result."""
        for side in SIDES:
            seconds(*side)
        rounds = [[seconds(*side) for side in SIDES] for _ in range(ROUNDS)]
        for k, name in enumerate(("terminal: first prompt", "terminal: first result")):
            ours, theirs = (statistics.median(r[side][k] for r in rounds) for side in (0, 1))
            ratio = statistics.median(r[0][k] / r[1][k] for r in rounds)
            yield Row(name, 1e3 * ours, 1e3 * theirs, ratio, LIMITS[k] / theirs)


CASES = [Start()]
