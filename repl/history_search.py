"""Ctrl-R: find an earlier cell of any session by pieces of it, and see it whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.styles import BaseStyle

from .lexer import LazyLexer

ROWS = 8  # of matches shown at a time
PREVIEW_ROWS = 10
MATCHES = 200  # more than anybody pages through


def matches(words: str, cells: Sequence[str], limit: int = MATCHES) -> list[str]:
    """The cells that hold every word of `words`, its letters in order and perhaps apart.

    Best first: words whole before words in pieces, then newest. `cells` begins with the newest.
    Letters match either case unless one is a capital.
    """
    patterns = [_pattern(word) for word in words.split()]
    found = []
    for age, cell in enumerate(cells):
        spread = 0
        for pattern in patterns:
            match = pattern.search(cell)
            if match is None:
                break
            spread += match.end() - match.start() - _length(pattern)
        else:
            found.append((spread, age, cell))
    found.sort(key=lambda one: one[:2])
    return [cell for _, _, cell in found[:limit]]


def _pattern(word: str) -> re.Pattern[str]:
    between = r"[^\s]*?"
    flags = 0 if any(c.isupper() for c in word) else re.IGNORECASE
    return re.compile(between.join(f"({re.escape(c)})" for c in word), flags)


def _length(pattern: re.Pattern[str]) -> int:
    return pattern.groups


def unique(cells: Iterable[str]) -> list[str]:
    """The cells in their order, each once."""
    return list(dict.fromkeys(cells))


class HistorySearch:
    """A small screen in the place of the prompt: a line for words, the matches, the chosen one."""

    def __init__(self, cells: Iterable[str], words: str, style: BaseStyle) -> None:
        self._cells = unique(cells)
        self._chosen = 0
        self._words = Buffer(multiline=False, on_text_changed=lambda _: self._search())
        self._preview = Buffer(read_only=Condition(lambda: not self._is_updating))
        self._is_updating = False
        self._matches: list[str] = []
        self._words.text = words
        self._words.cursor_position = len(words)
        self._search()
        prompt = BeforeInput([("class:prompt.in", "history: ")])
        control = BufferControl(self._words, input_processors=[prompt])
        preview = Window(
            BufferControl(self._preview, lexer=LazyLexer(), focusable=False),
            height=lambda: min(PREVIEW_ROWS, self._preview.text.count("\n") + 1),
        )
        self._application: Application[str | None] = Application(
            layout=Layout(
                HSplit(
                    [
                        Window(control, height=1),
                        Window(FormattedTextControl(self._list), height=lambda: self._rows()),
                        ConditionalContainer(
                            HSplit([Window(height=1, char="─", style="class:line"), preview]),
                            Condition(lambda: "\n" in self._preview.text),
                        ),
                    ]
                ),
                focused_element=control,
            ),
            key_bindings=self._bindings(),
            style=style,
            erase_when_done=True,
        )

    async def run(self) -> str | None:
        """The cell chosen, or None."""
        return await self._application.run_async(handle_sigint=False)

    def _search(self) -> None:
        self._matches = matches(self._words.text, self._cells)
        self._choose(0)

    def _choose(self, index: int) -> None:
        self._chosen = max(0, min(index, len(self._matches) - 1))
        self._is_updating = True
        self._preview.text = self._matches[self._chosen] if self._matches else ""
        self._is_updating = False

    def _rows(self) -> int:
        return max(1, min(ROWS, len(self._matches)))

    def _list(self) -> StyleAndTextTuples:
        if not self._matches:
            return [("class:auto-suggestion", "nothing like it")]
        first = max(0, min(self._chosen - ROWS // 2, len(self._matches) - ROWS))
        rows: StyleAndTextTuples = []
        for index in range(first, min(first + ROWS, len(self._matches))):
            text = " ⏎ ".join(line.strip() for line in self._matches[index].split("\n"))
            is_chosen = index == self._chosen
            style = "class:completion-menu.completion.current" if is_chosen else ""
            rows += [(style, ("❯ " if is_chosen else "  ") + text), ("", "\n")]
        return rows[:-1]

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        def moves(*keys: str, by: int) -> None:
            for key in keys:
                bindings.add(key)(lambda event: self._choose(self._chosen + by))

        moves("up", "c-p", "c-s", by=-1)
        moves("down", "c-n", "c-r", by=1)
        moves("pageup", by=-ROWS)
        moves("pagedown", by=ROWS)

        @bindings.add("enter")
        @bindings.add("tab")
        def _take(event: KeyPressEvent) -> None:
            event.app.exit(result=self._matches[self._chosen] if self._matches else None)

        @bindings.add("escape", eager=True)
        @bindings.add("c-c")
        @bindings.add("c-g")
        @bindings.add("c-d")
        def _leave(event: KeyPressEvent) -> None:
            event.app.exit(result=None)

        return bindings
