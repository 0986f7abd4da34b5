"""The three questions a person is asked: for a cell, for a line of input(), for yes or no."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit import PromptSession
from prompt_toolkit.application import in_terminal
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory, ThreadedAutoSuggest
from prompt_toolkit.completion import Completer
from prompt_toolkit.cursor_shapes import DynamicCursorShapeConfig, ModalCursorShapeConfig
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import is_done, to_filter
from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples, to_formatted_text
from prompt_toolkit.history import History
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout.processors import (
    ConditionalProcessor,
    HighlightMatchingBracketProcessor,
)
from prompt_toolkit.output import ColorDepth

from .advice import Advisor, Marks
from .history_search import HistorySearch
from .key_bindings import code_bindings
from .lexer import LazyLexer
from .screen import Screen
from .settings import Settings
from .style import PROMPT, STYLE, paint, style_of
from .terminal import has_colour


class SteppedAside(Exception):
    """The prompt left the terminal for a question."""


class CodePrompt:
    """Asks for cells: highlighted, completed, of many lines, with history."""

    def __init__(
        self,
        number: Callable[[], str],
        screen: Screen,
        toolbar: Callable[[], StyleAndTextTuples],
        completer: Completer,
        history: History,
        advisor: Advisor,
        on_interrupt: Callable[[], object],
        settings: Settings,
    ) -> None:
        self._number = number
        self._screen = screen
        self._settings = settings
        self._draft = Document()
        self.session: PromptSession[str] = PromptSession(
            self._message,
            multiline=True,
            prompt_continuation=self._continuation,
            lexer=LazyLexer(),
            completer=completer,
            history=history,
            key_bindings=code_bindings(self._is_running, on_interrupt, self._search_history),
            bottom_toolbar=toolbar,
            input_processors=[
                ConditionalProcessor(HighlightMatchingBracketProcessor("()[]{}"), ~is_done),
                ConditionalProcessor(Marks(advisor), ~is_done),
            ],
            enable_suspend=True,
            enable_open_in_editor=True,
            tempfile_suffix=".py",
            include_default_pygments_style=False,
            color_depth=_color_depth(),
            cursor=DynamicCursorShapeConfig(self._cursor),
        )
        # Up after some letters finds what began with them. The session's own option of this name
        # would turn completion while typing off.
        self.session.default_buffer.enable_history_search = to_filter(True)
        advisor.watch(self.session.default_buffer, self.refresh)
        self.apply(settings)

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self._settings

    @property
    def document(self) -> Document:
        """What is typed."""
        return self.session.default_buffer.document

    def apply(self, settings: Settings) -> None:
        """Follow the settings from now on. Raises: SettingsError for a theme that is not there."""
        session = self.session
        session.style = style_of(settings.theme)
        session.editing_mode = EditingMode[settings.editing_mode.upper()]
        suggester = ThreadedAutoSuggest(AutoSuggestFromHistory())
        session.auto_suggest = suggester if settings.autosuggest else None
        session.complete_while_typing = settings.completion
        session.reserve_space_for_menu = settings.menu_rows
        self._settings = settings

    async def read(self) -> str | None:
        """The next cell, or None if the prompt had to step aside; its draft then comes back.

        A cell that must wait for another leaves the screen: it is shown again when it begins.

        Raises:
            KeyboardInterrupt: Ctrl-C on an empty line.
            EOFError: Ctrl-D on an empty line, or the terminal has gone.
        """
        app = self.session.app
        app.erase_when_done = False
        draft, self._draft = self._draft, Document()
        try:
            return await self.session.prompt_async(default=draft, handle_sigint=False)
        except SteppedAside:
            return None

    def step_aside(self) -> None:
        """Leave the terminal, and keep what is typed for the next time."""
        if self._stands:
            self._draft = self.session.default_buffer.document
            self._end(SteppedAside())

    def close(self) -> None:
        """End the session as Ctrl-D does."""
        if self._stands:
            self._end(EOFError())

    def put_back(self, text: str) -> None:
        """Put `text` before what is typed."""
        if self._stands:
            buffer = self.session.default_buffer
            buffer.document = _before(text, buffer.document)
        else:
            self._draft = _before(text, self._draft)

    def echo(self, code: str, number: str) -> str:
        """`code` behind its prompt as it would stand there had it just been typed."""
        width = len(f"In [{number}]: ")
        first, *rest = code.rstrip("\n").split("\n")
        lines = [paint(f"In [{number}]: ", PROMPT) + first]
        lines += [paint("...: ".rjust(width), PROMPT) + line for line in rest]
        return "\n".join(lines) + "\n"

    @property
    def _stands(self) -> bool:
        app = self.session.app
        return app.is_running and app.future is not None and not app.future.done()

    def _end(self, reason: BaseException) -> None:
        self.session.app.erase_when_done = True
        self.session.app.exit(exception=reason)

    def _is_running(self) -> bool:
        return self._number() == "*"

    def clear(self) -> None:
        """Empty the line, as Ctrl-C does."""
        self.session.default_buffer.reset()

    def refresh(self) -> None:
        """Draw again what may have changed below the prompt."""
        self.session.app.invalidate()

    async def _search_history(self) -> None:
        buffer = self.session.default_buffer
        cells = reversed(self.session.history.get_strings())
        async with in_terminal():
            found = await HistorySearch(cells, buffer.text, self.session.style or STYLE).run()
        if found is not None:
            buffer.document = Document(found)

    def _message(self) -> StyleAndTextTuples:
        """The prompt, below a row of output that is not finished: a progress bar moves there."""
        row = self._screen.unfinished_row
        above: StyleAndTextTuples = [*to_formatted_text(ANSI(row)), ("", "\n")] if row else []
        return [
            *above,
            ("class:prompt.in", "In ["),
            ("class:prompt.number", self._number()),
            ("class:prompt.in", "]: "),
        ]

    def _cursor(self) -> ModalCursorShapeConfig | None:
        """With vi's keys its shape tells the mode; otherwise it is the terminal's own."""
        return ModalCursorShapeConfig() if self._settings.editing_mode == "vi" else None

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


def _before(text: str, document: Document) -> Document:
    """`text` before that of `document`, on lines of its own; the cursor stays where it was."""
    start = text + "\n" if document.text else text
    return Document(start + document.text, len(start) + document.cursor_position)


def _color_depth() -> ColorDepth | None:
    return None if has_colour() else ColorDepth.DEPTH_1_BIT
