"""Keys of the code prompt, beyond prompt-toolkit's own Emacs keys."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from prompt_toolkit.application import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import (
    Condition,
    emacs_insert_mode,
    has_focus,
    has_selection,
    vi_insert_mode,
)
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from .completeness import INDENT, is_complete, next_indent


def _buffer() -> Buffer:
    return get_app().current_buffer


@Condition
def _at_indentation() -> bool:
    return not _buffer().document.current_line_before_cursor.strip()


@Condition
def _after_whole_indent() -> bool:
    before = _buffer().document.current_line_before_cursor
    return bool(before) and not before.strip(" ") and len(before) % len(INDENT) == 0


@Condition
def _menu_has_choice() -> bool:
    state = _buffer().complete_state
    return state is not None and state.current_completion is not None


@Condition
def _menu_is_only_offered() -> bool:
    state = _buffer().complete_state
    return state is not None and state.current_completion is None


@Condition
def _has_text() -> bool:
    return bool(_buffer().text)


def code_bindings(
    is_running: Callable[[], bool],
    interrupt: Callable[[], object],
    search_history: Callable[[], Coroutine[Any, Any, None]],
) -> KeyBindings:
    """Enter, Tab, Backspace, Up and Ctrl-C as they serve a cell of many lines.

    Alt-Enter runs the cell as it stands. While one runs, Ctrl-C stops it and leaves what is typed
    alone, and Enter queues.
    """
    bindings = KeyBindings()
    running = Condition(is_running)
    in_code = has_focus(DEFAULT_BUFFER)
    inserting = in_code & (emacs_insert_mode | vi_insert_mode)

    @bindings.add("enter", filter=inserting & _menu_has_choice)
    def _take_choice(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @bindings.add("enter", filter=in_code & ~_menu_has_choice)
    def _run_or_continue(event: KeyPressEvent) -> None:
        event.app.erase_when_done = is_running()
        run_or_continue(event.current_buffer)

    @bindings.add("escape", "enter", filter=in_code & emacs_insert_mode)
    def _run(event: KeyPressEvent) -> None:
        event.app.erase_when_done = is_running()
        event.current_buffer.validate_and_handle()

    @bindings.add("c-o", filter=inserting)
    def _new_line(event: KeyPressEvent) -> None:
        new_line(event.current_buffer)

    @bindings.add("tab", filter=inserting & _at_indentation & ~has_selection)
    def _indent(event: KeyPressEvent) -> None:
        column = event.current_buffer.document.cursor_position_col
        event.current_buffer.insert_text(INDENT[column % len(INDENT) :])

    @bindings.add("s-tab", filter=inserting & _at_indentation)
    def _dedent(event: KeyPressEvent) -> None:
        before = event.current_buffer.document.current_line_before_cursor
        event.current_buffer.delete_before_cursor(min(len(before), len(INDENT)))

    @bindings.add("backspace", filter=inserting & _after_whole_indent & ~has_selection)
    def _delete_indent(event: KeyPressEvent) -> None:
        event.current_buffer.delete_before_cursor(len(INDENT))

    @bindings.add("up", filter=inserting & _menu_is_only_offered)
    def _up_past_menu(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()
        event.current_buffer.auto_up(event.arg)

    @bindings.add("c-r", filter=in_code)
    def _search(event: KeyPressEvent) -> None:
        event.app.create_background_task(search_history())

    @bindings.add("c-c", filter=in_code & running)
    def _interrupt(event: KeyPressEvent) -> None:
        interrupt()

    @bindings.add("c-c", filter=in_code & _has_text & ~running)
    def _clear(event: KeyPressEvent) -> None:
        event.current_buffer.reset()

    return bindings


def run_or_continue(buffer: Buffer) -> None:
    """Enter: accept the cell if the cursor is at its end and it is whole, else begin a line."""
    document = buffer.document
    at_end = not document.text_after_cursor.strip() or document.line_count == 1
    if at_end and is_complete(_checked_text(document)):
        buffer.validate_and_handle()
    else:
        new_line(buffer)


def new_line(buffer: Buffer) -> None:
    """Begin a line, indented as the code before it asks."""
    buffer.insert_text("\n" + next_indent(buffer.document.text_before_cursor))


def _checked_text(document: Document) -> str:
    return document.text if document.line_count == 1 else document.text_before_cursor
