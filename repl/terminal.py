"""What the terminal can do, and how text sits on it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import termios
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.utils import get_cwidth, is_dumb_terminal

_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_CURSOR_SWITCH = re.compile(r"\x1b\[\?25[hl]")
_ERASED_ROW = re.compile(r"\x1b\[[02]?K")
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[_P^X][^\x1b]*\x1b\\|[@-Z\\^_78])"
)
ERASURE_END = "\x1b[J"
_writes: ContextVar[bool] = ContextVar("whether the prompt is aside only for output", default=False)
_BRACKETED_PASTE = {True: "\x1b[?2004h", False: "\x1b[?2004l"}


def has_cursor() -> bool:
    """Whether the cursor can be moved: a terminal, and not a dumb one."""
    return sys.stdout.isatty() and not is_dumb_terminal()


def has_colour() -> bool:
    """Whether to colour: the terminal can, and NO_COLOR (no-color.org) is unset or empty."""
    return has_cursor() and not os.environ.get("NO_COLOR")


def without_colour(text: str) -> str:
    """`text` less the sequences that select colours and faces."""
    return _SGR.sub("", text)


def without_escapes(text: str) -> str:
    """`text` less every escape sequence."""
    return _ESCAPE.sub("", text)


def only_colour(text: str) -> str:
    """`text` less every escape sequence but those that select colours and faces."""
    return _ESCAPE.sub(lambda found: found[0] if _SGR.fullmatch(found[0]) else "", text)


def without_cursor_switches(text: str) -> str:
    """`text` less what hides the cursor, which is at the prompt, and shows it again."""
    return _CURSOR_SWITCH.sub("", text) if "\x1b[?25" in text else text


def width_of(text: str) -> int:
    """Columns that a line takes; wide characters take two, escape sequences none."""
    text = without_escapes(text)
    return len(text) if text.isascii() else get_cwidth(text)


def collapse_returns(text: str) -> str:
    """Drop what a carriage return hides anyway, so that a progress bar costs one write a flush."""
    if "\r" not in text:
        return text
    return "\n".join(map(_collapse_line, text.split("\n")))


def _collapse_line(line: str) -> str:
    parts = line.split("\r")
    if any("\x1b" in _ERASED_ROW.sub("", without_colour(part)) for part in parts):
        return line  # the cursor moves: nothing is surely hidden
    erased = max((k for k, part in enumerate(parts) if k and _ERASED_ROW.match(part)), default=0)
    if erased:  # from its beginning on: nothing that came before it shows
        return "\r" + "\r".join(parts[erased:])
    if any("\x1b" in without_colour(part) for part in parts):
        return line
    kept, widest = [parts[-1]], width_of(parts[-1])
    for part in reversed(parts[:-1]):
        if width_of(part) > widest:  # its tail still shows
            kept.append(part)
            widest = width_of(part)
    start = "\r" if len(kept) < len(parts) else ""
    return start + "\r".join(reversed(kept))


class Extent:
    """How many rows text has taken since a beginning, up to a screenful.

    `rows` counts the ends of rows, `column` is where the cursor stands in the last.
    """

    def __init__(self) -> None:
        self.rows = self.column = 0
        self.columns, self.height = shutil.get_terminal_size()

    @property
    def fills_screen(self) -> bool:
        """Whether the beginning has scrolled out of reach."""
        return self.rows >= self.height - 1

    def feed(self, text: str) -> None:
        """Count `text`, written where the last one ended."""
        for index, line in enumerate(text.split("\n")):
            if self.fills_screen:
                return
            if index:
                self.rows, self.column = self.rows + 1, 0
            for position, part in enumerate(line.split("\r")):
                self.column = (0 if position else self.column) + width_of(part.expandtabs())
                wrapped = max(self.column - 1, 0) // self.columns
                self.rows, self.column = self.rows + wrapped, self.column - wrapped * self.columns

    def erasure(self, row: int) -> str:
        """The sequence that takes back what stands from the beginning of `row` on."""
        rows = self.rows - row
        return "\r" + (f"\x1b[{rows}A" if rows else "") + ERASURE_END


class Keyboard(Vt100Input):
    """Standard input, of which no key is lost or shown amid the output that goes above a prompt.

    prompt-toolkit has the terminal edit and echo lines for as long as that is written: Ctrl-D would
    vanish. It still does so for editors, and when the session is suspended.
    """

    def cooked_mode(self) -> AbstractContextManager[None]:
        """The terminal's own way with keys, or the prompt's as before if we only write."""
        return nullcontext() if _writes.get() else super().cooked_mode()


@contextmanager
def keys_kept() -> Iterator[None]:
    """What is begun in the block, such as `run_in_terminal`, leaves keys to the prompt."""
    before = _writes.set(True)
    try:
        yield
    finally:
        _writes.reset(before)


@contextmanager
def typing_held() -> Iterator[None]:
    """While no prompt stands, keys wait unseen for the next one; Ctrl-C stays a signal.

    Without this the terminal would mix them into the output, cut a paste at 4,095 bytes and swallow
    Ctrl-D. It lasts as long as the session, so that nothing changes between two prompts.
    """
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):  # no terminal: nothing to hold
        yield
        return
    held = before.copy()
    held[0] &= ~(termios.ICRNL | termios.INLCR)
    held[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSANOW, held)
    try:
        yield
    finally:
        hold_pastes(False)
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def hold_pastes(hold: bool = True) -> None:
    """Ask the terminal to mark pastes, so that they stay whole; each prompt ends with the
    opposite."""
    if has_cursor():
        sys.stdout.write(_BRACKETED_PASTE[hold])
        sys.stdout.flush()
