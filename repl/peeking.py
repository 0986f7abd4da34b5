"""Questions that a kernel answers while a cell runs: through a subshell, past the queue."""

from __future__ import annotations

import re
from typing import Any

from .client import Client
from .output import Output, render
from .screen import Screen

LOOKING = ("graph", "mem", "peek", "summary", "watch", "why", "who", "whos", "pinfo", "pinfo2")
"""Magics that only look, so that they need not wait for their turn."""

_HELP = re.compile(r"\s*(?:(\?{1,2})\s*([\w.]+)|([\w.]+)\s*(\?{1,2}))\s*$")
_MAGIC = re.compile(r"\s*%(\w+)\b[ \t]*(.*)$")


def is_peek(code: str) -> bool:
    """Whether `code` is a question: `name?`, or one line of a magic that only looks."""
    magic = _MAGIC.match(code)
    return bool(_HELP.match(code)) or (magic is not None and magic.group(1) in LOOKING)


class Peek:
    """One question: help, a magic, or (after `%peek`) an expression."""

    def __init__(self, code: str) -> None:
        self._code = code.strip()

    @property
    def _is_expression(self) -> bool:
        return self._code.startswith("%peek")

    async def answer(self, client: Client, screen: Screen, output: Output) -> None:
        """Ask, and show the answer as output.

        Raises: KernelDiedError if the kernel ends meanwhile.
        """
        screen.note(f"» {self._code}")
        found = await self._ask(client)
        if found is None:
            screen.note("The kernel cannot answer while the cell runs.")
        elif found.get("status") == "error":
            if "traceback" in found and self._is_expression:  # a magic's error came as output
                output.show("error", found)
        else:
            text = render(found.get("data", {}))
            screen.write(text + "\n" if text else "")

    async def _ask(self, client: Client) -> dict[str, Any] | None:
        if help_asked := _HELP.match(self._code):
            name = help_asked.group(2) or help_asked.group(3)
            marks = help_asked.group(1) or help_asked.group(4)
            return await client.inspect(name, len(name), detail=len(marks) - 1)
        if self._is_expression:
            return await client.evaluate(self._code.removeprefix("%peek"))
        return await client.run_aside(self._code)
