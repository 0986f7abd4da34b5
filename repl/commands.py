"""Commands that the front end obeys itself: its settings, and which kernel it holds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Action = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Command:
    """`%name argument`, what it does in a line, and how to do it."""

    name: str
    argument: str
    summary: str
    action: Action

    @property
    def usage(self) -> str:
        """As it is typed."""
        return f"%{self.name} {self.argument}".rstrip()


class Commands:
    """The commands by name. Lines that name none of them are the kernel's."""

    def __init__(self) -> None:
        self._known: dict[str, Command] = {}

    def add(self, name: str, argument: str, summary: str, action: Action) -> None:
        """Obey `%name argument` from now on."""
        self._known[name] = Command(name, argument, summary, action)

    def find(self, line: str) -> tuple[Command, str] | None:
        """The command that `line` gives and its argument."""
        text = line.strip()
        if not text.startswith("%") or "\n" in text:
            return None
        word, _, argument = text[1:].partition(" ")
        command = self._known.get(word)
        argument = argument.strip()
        # The kernel has a %config of its own, for classes of IPython.
        if command is None or (word == "config" and not argument.startswith("repl")):
            return None
        return command, argument

    def help(self, line: str) -> str | None:
        """What `%name?` shows."""
        text = line.strip()
        asked = self._known.get(text.strip("%?")) if text.endswith("?") else None
        return f"{asked.usage}\n{asked.summary}" if asked else None

    def table(self) -> str:
        """A line per command."""
        width = max(len(c.usage) for c in self._known.values())
        return "\n".join(f"{c.usage:{width}}  {c.summary}" for c in self._known.values())

    def beginning(self, word: str) -> list[Command]:
        """Those whose name, with its `%`, begins with `word`."""
        return [c for c in self._known.values() if f"%{c.name}".startswith(word)]
