"""Text on a terminal: what may be left out of it without a trace."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flambeau.repl.screen import _whole_lines
from flambeau.repl.terminal import collapse_returns, only_colour, without_cursor_switches

RICH = "\r\x1b[2Kat \x1b[91m━━\x1b[0m\x1b[90m╺━\x1b[0m {}%"
PARTS = [
    "\r",
    "\n",
    "ab",
    "xyz",
    "\x1b[31mred\x1b[0m",
    "\x1b[2K",
    "\x1b[K",
    "\x1b[J",
    "\x1b[1A",
]


def shown(text: str) -> list[str]:
    """The rows of a terminal after `text`."""
    screen = pyte.Screen(60, 12)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return [row.rstrip() for row in screen.display]


@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join))
def test_what_a_carriage_return_hides_leaves_no_trace(text: str) -> None:
    assert shown(collapse_returns(text)) == shown(text)


@pytest.mark.parametrize("bar", ["\rstep {:3}", RICH])
def test_a_long_progress_bar_stays_as_long_as_its_last_state(bar: str) -> None:
    text = "loading\n" + "".join(bar.format(k) for k in range(500))
    assert len(collapse_returns(text)) < 100
    assert shown(collapse_returns(text)) == shown(text)


def test_only_whole_rows_go_above_the_prompt() -> None:
    assert _whole_lines("\x1b[91mhalf") == ("", "\x1b[91mhalf")
    assert _whole_lines("one\ntwo") == ("one\n", "two")
    assert _whole_lines("one\x1b[Jtwo") == ("one\x1b[J", "two")


def test_the_row_at_the_prompt_keeps_colours_alone() -> None:
    assert only_colour("\x1b[?25l\x1b[2K\x1b[1;31mred\x1b[0m\x1b[3A.") == "\x1b[1;31mred\x1b[0m."


def test_programs_do_not_hide_the_cursor_of_the_prompt() -> None:
    assert without_cursor_switches("\x1b[?25lbar\x1b[?25h\x1b[?1h") == "bar\x1b[?1h"
