"""Help and other long text that the kernel asks to show aside."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess

from .screen import Screen
from .terminal import Extent, without_colour


def is_long(text: str) -> bool:
    """Whether `text` takes more rows than the terminal has."""
    extent = Extent()
    extent.feed(text)
    return extent.fills_screen


async def page(text: str, screen: Screen) -> None:
    """Show `text` in $PAGER (`less -R`) if it is longer than the screen, else as output."""
    command = shlex.split(os.environ.get("PAGER") or "less -R")
    if is_long(text) and screen.has_cursor and shutil.which(command[0]):
        await screen.drain()
        await asyncio.to_thread(_run, command, text if screen.has_colour else without_colour(text))
    else:
        screen.write(text.rstrip("\n") + "\n")


def _run(command: list[str], text: str) -> None:
    subprocess.run(command, input=text.encode("utf-8", "replace"), check=False)
