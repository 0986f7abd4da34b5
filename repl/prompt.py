"""The three questions a person is asked: for a cell, for a line of input(), for yes or no."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory, ThreadedAutoSuggest
from prompt_toolkit.completion import Completer
from prompt_toolkit.filters import is_done, to_filter
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.processors import (
    ConditionalProcessor,
    HighlightMatchingBracketProcessor,
)
from prompt_toolkit.output import ColorDepth

from .key_bindings import code_bindings
from .lexer import LazyLexer
from .style import STYLE
from .terminal import has_colour

MENU_HEIGHT = 6  # rows kept free below the prompt


class CodePrompt:
    """Asks for cells: highlighted, completed, of many lines, with history."""

    def __init__(
        self,
        number: Callable[[], str],
        toolbar: Callable[[], StyleAndTextTuples],
        completer: Completer,
        history: History,
    ) -> None:
        self._number = number
        self.session: PromptSession[str] = PromptSession(
            self._message,
            multiline=True,
            prompt_continuation=self._continuation,
            lexer=LazyLexer(),
            completer=completer,
            history=history,
            auto_suggest=ThreadedAutoSuggest(AutoSuggestFromHistory()),
            key_bindings=code_bindings(),
            bottom_toolbar=toolbar,
            input_processors=[
                ConditionalProcessor(HighlightMatchingBracketProcessor("()[]{}"), ~is_done)
            ],
            search_ignore_case=True,
            enable_suspend=True,
            enable_open_in_editor=True,
            tempfile_suffix=".py",
            reserve_space_for_menu=MENU_HEIGHT,
            style=STYLE,
            include_default_pygments_style=False,
            color_depth=_color_depth(),
        )
        # Up after some letters finds what began with them. The session's own option of this name
        # would turn completion while typing off.
        self.session.default_buffer.enable_history_search = to_filter(True)

    async def read(self, default: str = "") -> str:
        """The next cell.

        Raises:
            KeyboardInterrupt: Ctrl-C on an empty line.
            EOFError: Ctrl-D on an empty line, or the terminal has gone.
        """
        return await self.session.prompt_async(default=default, handle_sigint=False)

    def clear(self) -> None:
        """Empty the line, as Ctrl-C does."""
        self.session.default_buffer.reset()

    def refresh(self) -> None:
        """Draw again what may have changed below the prompt."""
        self.session.app.invalidate()

    def _message(self) -> StyleAndTextTuples:
        return [
            ("class:prompt.in", "In ["),
            ("class:prompt.number", self._number()),
            ("class:prompt.in", "]: "),
        ]

    def _continuation(self, width: int, line: int, wrapped: int) -> StyleAndTextTuples:
        return [("class:prompt.continuation", "" if wrapped else "...: ".rjust(width))]


class LinePrompt:
    """Asks for the lines that running code reads with input() and getpass()."""

    def __init__(self) -> None:
        self._visible: PromptSession[str] = PromptSession(style=STYLE, color_depth=_color_depth())

    async def read(self, message: str, *, is_password: bool) -> str:
        """The line typed. Passwords are shown as stars and kept in no history.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            EOFError: Ctrl-D on an empty line.
        """
        session = self._visible
        if is_password:
            session = PromptSession(is_password=True, color_depth=_color_depth())
        return await session.prompt_async(ANSI(message), handle_sigint=False)


async def ask(question: str, *, default: bool) -> bool:
    """Whether the person agrees: y or n, Enter for `default`; Ctrl-C and Ctrl-D say no."""
    bindings = KeyBindings()

    def answers(*keys: str, value: bool) -> None:
        def answer(event: KeyPressEvent) -> None:
            session.default_buffer.text = "y" if value else "n"
            event.app.exit(result=value)

        for key in keys:
            bindings.add(key)(answer)

    answers("y", "Y", value=True)
    answers("n", "N", "c-c", "c-d", value=False)
    answers("enter", value=default)
    bindings.add("<any>")(lambda event: None)
    session: PromptSession[bool] = PromptSession(
        [("class:prompt.question", f"{question} [{'Y/n' if default else 'y/N'}] ")],
        key_bindings=bindings,
        style=STYLE,
        color_depth=_color_depth(),
    )
    return await session.prompt_async(handle_sigint=False)


def _color_depth() -> ColorDepth | None:
    return None if has_colour() else ColorDepth.DEPTH_1_BIT
