"""What the rows below the prompt say, and when they keep silent."""

from __future__ import annotations

import pytest
from prompt_toolkit.document import Document

from flambeau.repl.advice import is_being_typed, wrapped
from flambeau.repl.completer import invites_completion


def test_advice_breaks_between_words_and_ends_with_what_fits() -> None:
    words = [("bold", "conv2d("), ("", "input, "), ("", "weight"), ("dim", ")  the 損失 of it all")]
    rows = "".join(text for _, text, *_ in wrapped(words, 16, 2)).split("\n")
    assert rows == ["conv2d(input, ", "weight)  the …"]
    assert "".join(text for _, text, *_ in wrapped(words, 80)) == (
        "conv2d(input, weight)  the 損失 of it all"
    )


@pytest.mark.parametrize(
    ("text", "end", "expected"),
    [("x.squ", 5, True), ("x.squ ", 5, False), ("lin(x)", 6, False), ("x.sq + 1", 4, False)],
)
def test_half_a_word_is_no_fault_yet(text: str, end: int, expected: bool) -> None:
    fault = {"end_line": 1, "end_column": end}
    assert is_being_typed(fault, Document(text)) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [("x.", True), ("na", True), ("%gr", True), ("%graph --", True), ("%graph -", True),
     ("x - ", False), ("x -", False), ("'te", False), ("# te", False), ("3.", True)],
)  # fmt: skip
def test_a_menu_comes_by_itself_where_a_name_or_an_option_begins(
    before: str, expected: bool
) -> None:
    assert invites_completion(before) == expected
