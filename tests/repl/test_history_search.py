"""Finding earlier cells by pieces of them."""

from __future__ import annotations

from flambeau.repl.history_search import matches, unique

CELLS = [
    "loss = F.cross_entropy(model(x), y)",
    "for epoch in range(10):\n    train(epoch)",
    "model = nn.Linear(784, 10)",
    "Model = None",
]


def test_letters_may_stand_apart_within_a_word() -> None:
    assert matches("crent", CELLS) == [CELLS[0]]
    assert matches("nnlin", CELLS) == [CELLS[2]]


def test_all_words_must_be_there_in_any_order_and_on_any_line() -> None:
    assert matches("train epoch", CELLS) == [CELLS[1]]
    assert matches("10 linear", CELLS) == [CELLS[2]]
    assert matches("train linear", CELLS) == []


def test_whole_words_come_before_scattered_letters_then_the_newest() -> None:
    assert matches("model", CELLS) == [CELLS[0], CELLS[2], CELLS[3]]
    assert matches("ml", ["mel", "ml"]) == ["ml", "mel"]


def test_a_capital_tells_cases_apart() -> None:
    assert matches("Model", CELLS) == [CELLS[3]]


def test_no_words_give_everything_newest_first() -> None:
    assert matches("", CELLS) == CELLS


def test_a_cell_that_was_run_twice_is_found_once() -> None:
    assert unique(["b", "a", "b"]) == ["b", "a"]
