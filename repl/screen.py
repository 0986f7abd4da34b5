"""The only writer to the terminal: at most 30 times a second, above the prompt if there is one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from typing import IO

from prompt_toolkit.application import get_app, get_app_or_none, run_in_terminal

from .style import DIM, WARNING, paint
from .terminal import (
    ERASURE_END,
    Extent,
    collapse_returns,
    has_colour,
    has_cursor,
    keys_kept,
    only_colour,
    without_colour,
    without_cursor_switches,
    without_escapes,
)

FLUSH_INTERVAL = 1 / 30  # s; what the eye can follow
HEAD = TAIL = 1 << 17  # characters of one flush; a terminal shows some 10 MB/s, so 1/30 s of that


class Screen:
    """Collects text and shows it: at once when quiet, gathered when it comes fast.

    What comes faster than any terminal shows is cut in the middle and kept whole in a spool file,
    so that Ctrl-C never waits for a flood to drain.
    """

    def __init__(self) -> None:
        self.has_colour = has_colour()
        self.has_cursor = has_cursor()
        self.extent = Extent()
        self.written = 0  # characters so far: tells whether anything came between
        self._row = ""  # the text of the unfinished row
        self._pending: list[str] = []
        self._held = ""
        self._spool: IO[str] | None = None
        self._flushing: asyncio.Task[None] | None = None

    def write(self, text: str) -> None:
        """Queue `text`."""
        text = without_cursor_switches(text)
        if not text:
            return
        self._pending.append(text)
        self.written += len(text)
        row = self._row + text
        self._row = row[max(row.rfind("\n"), row.rfind("\r")) + 1 :]
        self.extent.feed(text)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.ensure_future(self._flush_while_pending())

    def note(self, text: str) -> None:
        """A line of our own, dim, on a row of its own."""
        self.start_row()
        self.write(paint(text, DIM) + "\n")

    def warn(self, text: str) -> None:
        """A line of our own that matters."""
        self.start_row()
        self.write(paint(text, WARNING) + "\n")

    def take_row(self) -> str:
        """Take back the unfinished row, for a prompt that shall begin with it."""
        row = self._row
        if not row or not self.has_cursor:
            return ""
        self.erase_from(self.extent.rows)
        return row

    def erase_from(self, row: int) -> None:
        """Take back what stands from `row` of the extent on, as far as it is still in reach."""
        if self.has_cursor and not (row and self.extent.fills_screen):
            self._pending.append(self.extent.erasure(row))
            self.extent.rows, self.extent.column = row, 0
            self._row = ""

    @property
    def unfinished_row(self) -> str:
        """The row that a prompt keeps from being shown, as its end reads now."""
        return only_colour(self._held.rsplit("\n", 1)[-1].rsplit("\r", 1)[-1])

    def start_row(self) -> None:
        """End the row if something stands in it."""
        if self.extent.column:
            self.write("\n")

    def mark(self) -> None:
        """A cell begins: `extent` counts from here, and a spool file belongs to one cell."""
        self.extent = Extent()
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    async def drain(self) -> None:
        """Wait until everything queued is on the terminal."""
        while self._pending or (self._held and not _prompt_is_up()):
            if self._flushing is not None and not self._flushing.done():
                await self._flushing
            else:
                await self._flush()

    async def _flush_while_pending(self) -> None:
        await asyncio.sleep(0)  # what arrived together is shown together
        while self._pending:
            await self._flush()
            await asyncio.sleep(FLUSH_INTERVAL)

    async def _flush(self) -> None:
        text = self._held + "".join(self._pending)
        self._pending.clear()
        self._held = ""
        if _prompt_is_up():  # it is redrawn on a row of its own: only whole lines go above it
            text, held = _whole_lines(text)
            self._held = collapse_returns(held)
            if text:
                with keys_kept():
                    shown = run_in_terminal(lambda: self._put(text))
                await shown
            get_app().invalidate()  # it may show the unfinished row
        else:
            self._put(text)

    def _put(self, text: str) -> None:
        text = self._spool_excess(collapse_returns(text))
        if not self.has_cursor:
            text = without_escapes(text)
        elif not self.has_colour:
            text = without_colour(text)
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        with contextlib.suppress(BlockingIOError):
            sys.stdout.flush()

    def _spool_excess(self, text: str) -> str:
        if self._spool is not None:
            self._spool.write(text)
            self._spool.flush()
        if len(text) <= HEAD + TAIL:
            return text
        if self._spool is None:
            descriptor, _ = tempfile.mkstemp(prefix="flambeau-output-", suffix=".txt")
            self._spool = os.fdopen(descriptor, "w", errors="replace")
            self._spool.write(text)
            self._spool.flush()
        head = text[: text.rfind("\n", 0, HEAD) + 1 or HEAD]
        tail = text[text.find("\n", len(text) - TAIL) + 1 or len(text) - TAIL :]
        left_out = f"... {len(text) - len(head) - len(tail):,} characters not shown; "
        return head + paint(f"{left_out}all of it: {_name(self._spool)}", DIM) + "\n" + tail


def _name(file: IO[str]) -> str:
    return str(file.name)


def _prompt_is_up() -> bool:
    app = get_app_or_none()
    return app is not None and app.is_running


def _whole_lines(text: str) -> tuple[str, str]:
    erasure = text.rfind(ERASURE_END)
    end = max(text.rfind("\n") + 1, erasure + len(ERASURE_END) if erasure >= 0 else 0)
    return text[:end], text[end:]
