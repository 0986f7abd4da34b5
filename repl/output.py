"""What a kernel puts out, as text: streams, results, displays, errors."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from typing import Any

from . import images
from .screen import Screen
from .style import DIM, RESULT, RESULT_NUMBER, paint
from .terminal import has_colour, has_cursor

Content = dict[str, Any]
SCREENS = 3  # that a result may fill
PAGE_WIDTH = 100  # columns of Markdown; longer lines are hard to read
OTHER_MARK = paint("│ ", DIM)  # stands before every line that another client's cell put out

PICTURES = ("image/png", "image/jpeg", "image/gif")


def render(data: Content) -> str:
    """The best representation of a MIME bundle that this terminal can show."""
    if has_colour() and (how := images.protocol()) != "none":
        for mime in PICTURES:
            if mime in data:
                with contextlib.suppress(OSError, ImportError):  # then as text
                    return images.show(data[mime], how)
    if "text/markdown" in data:
        return _markdown(str(data["text/markdown"]))
    if "text/plain" in data:
        return str(data["text/plain"])
    return f"<{', '.join(sorted(data))}>" if data else ""


def _markdown(source: str) -> str:
    """Markdown set for the terminal; as it is where there are no faces to set it in."""
    if not has_colour():
        return source
    from rich.console import Console
    from rich.markdown import Markdown

    columns = shutil.get_terminal_size().columns
    console = Console(width=min(columns, PAGE_WIDTH), force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(Markdown(source))
    return capture.get().rstrip("\n")


def _shortened(text: str) -> str:
    """A result that would fill many screens, but for its middle."""
    height = shutil.get_terminal_size().lines
    lines = text.split("\n")
    if len(lines) <= SCREENS * height or not has_cursor():
        return text
    half = max(2, height // 3)
    left_out = len(lines) - 2 * half
    note = paint(f"... {left_out:,} more lines; %page _ shows them all", DIM)
    return "\n".join([*lines[:half], note, *lines[-half:]])


class Output:
    """Shows the messages of one source on the screen; `marked` if the source is another client."""

    def __init__(self, screen: Screen, *, marked: bool = False) -> None:
        self._screen = screen
        self._marked = marked
        self._clears_next = False
        self._row_is_open = False  # a marked row that the next text continues
        self._last_display: tuple[str, int, int] | None = None  # id, first row, written after

    def show(self, message_type: str, content: Content) -> None:
        """Show one message; types that show nothing are passed over."""
        shower = self._SHOWERS.get(message_type)
        if shower is not None:
            if self._clears_next and message_type != "clear_output":
                self._clear()
            shower(self, content)

    def _stream(self, content: Content) -> None:
        self._write(content["text"])

    def _input(self, content: Content) -> None:
        """Another client's cell; one's own stands there already."""
        if self._marked:
            prompt = paint(f"In [{content['execution_count']}] of another client: ", DIM)
            self._start_row()
            self._write(prompt + content["code"].rstrip() + "\n")

    def _result(self, content: Content) -> None:
        text = _shortened(render(content["data"]))
        number = paint(str(content["execution_count"]), RESULT_NUMBER)
        prompt = paint("Out[", RESULT) + number + paint("]: ", RESULT)
        self._start_row()
        self._write(prompt + ("\n" if "\n" in text else "") + text + "\n")

    def _display(self, content: Content) -> None:
        self._start_row()
        first_row = self._screen.extent.rows
        self._write(render(content["data"]) + "\n")
        display = content.get("transient", {}).get("display_id")
        if display:
            self._last_display = (display, first_row, self._screen.written)

    def _update(self, content: Content) -> None:
        """Replace the display if nothing was written since; else show it once more."""
        if self._last_display is not None:
            display, first_row, written = self._last_display
            if (display, written) == (content["transient"]["display_id"], self._screen.written):
                self._erase_from(first_row)
        self._display(content)

    def _error(self, content: Content) -> None:
        self._start_row()
        traceback = content.get("traceback") or [f"{content['ename']}: {content['evalue']}"]
        self._write("\n".join(traceback) + "\n")

    def _clear_output(self, content: Content) -> None:
        self._clears_next = True
        if not content.get("wait"):
            self._clear()

    def _clear(self) -> None:
        self._clears_next = False
        self._erase_from(0)

    def _erase_from(self, row: int) -> None:
        if not self._marked:  # what another client's cell wrote stands above the prompt
            self._screen.erase_from(row)

    def _start_row(self) -> None:
        if self._marked:
            if self._row_is_open:
                self._write("\n")
        else:
            self._screen.start_row()

    def _write(self, text: str) -> None:
        if not self._marked:
            self._screen.write(text)
        elif text:
            body, end = (text[:-1], "\n") if text.endswith("\n") else (text, "")
            start = "" if self._row_is_open else OTHER_MARK
            self._screen.write(start + body.replace("\n", "\n" + OTHER_MARK) + end)
            self._row_is_open = not end

    _SHOWERS: dict[str, Callable[[Output, Content], None]] = {  # noqa: RUF012 - a constant table
        "stream": _stream,
        "execute_input": _input,
        "execute_result": _result,
        "display_data": _display,
        "update_display_data": _update,
        "error": _error,
        "clear_output": _clear_output,
    }
