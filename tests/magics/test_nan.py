"""%%nan: the first operation that makes NaN or Inf, its line and its operands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import flambeau as torch
from flambeau.core import observers
from flambeau.magics.nan import NonFiniteError, stop_at_nonfinite

Run = Callable[[str], str]


def test_the_operation_its_line_and_its_operands_are_named(run: Run) -> None:
    run("x = torch.tensor([1.0, -1.0, 0.0, 4.0])")
    text = run("%%nan\ny = x * 2\nz = y.sqrt()\nlost = z + 1")
    assert "NonFiniteError: sqrt made 1 NaN of 4, in the forward pass" in text
    assert "line 3: z = y.sqrt()" in text
    assert "lost" not in run("print([name for name in ('lost',) if name in globals()])")
    operand = next(line for line in text.splitlines() if line.strip().startswith("input"))
    assert operand.split()[1:] == ["4", "8.49", "2", "-2", "8", "25%"]
    assert observers.active == []


def test_names_of_the_session_stand_beside_operands(run: Run) -> None:
    run("numerator = torch.zeros(2)")
    text = run("%%nan\nnumerator / numerator")
    assert "input (numerator)" in text
    assert "made 2 NaN of 2" in text


def test_a_backward_node_is_named_with_its_forward_line(run: Run) -> None:
    run("w = torch.zeros(3, requires_grad=True)")
    text = run("%%nan\ny = w.sqrt()\ny.sum().backward()")
    assert "sqrt made 3 Inf of 3, in the backward pass" in text
    assert "recorded at" in text
    assert "line 2: y = w.sqrt()" in text
    assert "gradient that arrived" in text
    assert run("w.grad").strip() == ""


def test_a_step_that_blows_up_a_parameter_is_named(run: Run) -> None:
    run("w = torch.ones(1, requires_grad=True); sgd = torch.optim.SGD([w], lr=3e38)")
    run("import numpy")
    text = run(
        "%%nan\n(w * 100).sum().backward()\nwith numpy.errstate(over='ignore'):\n    sgd.step()"
    )
    assert "SGD.step made 1 Inf of 1 in w (lr 3e+38)" in text


def test_masks_of_infinity_pass_and_what_they_spoil_does_not() -> None:
    scores = torch.zeros(2, 2)
    mask = torch.tensor([[False, True], [False, False]])
    with stop_at_nonfinite():
        hidden = scores.masked_fill(mask, float("-inf"))
        assert float(hidden.softmax(-1).sum()) == 2.0
    with (
        pytest.raises(NonFiniteError, match="softmax made 2 NaN of 2"),
        stop_at_nonfinite(),
    ):
        torch.full((1, 2), float("-inf")).softmax(-1)


def test_nan_from_data_is_named_at_its_first_use() -> None:
    x = torch.tensor([1.0, float("nan")])
    with pytest.raises(NonFiniteError, match="mul was given 1 NaN of 2"), stop_at_nonfinite():
        x * 2


def test_questions_about_nan_are_no_fault() -> None:
    x = torch.tensor([1.0, float("nan")])
    with stop_at_nonfinite():
        assert x.isnan().sum() == 1
        assert x.nan_to_num(0.0).sum() == 1.0


def test_infinities_may_be_let_pass(run: Run) -> None:
    run("big = torch.tensor([3e38])")
    assert "mul made 1 Inf of 1" in run("%%nan\nbig * 10")
    assert "No NaN." in run("%%nan --nan-only\nbig * 10")
    assert "No NaN and no Inf was made." in run("%%nan\nbig * 1")


def test_sums_that_overflow_are_looked_at_twice() -> None:
    x = torch.full((4,), 3e38)
    with stop_at_nonfinite():
        x * 1.0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64])
def test_other_dtypes_are_watched_too(dtype: torch.dtype) -> None:
    with pytest.raises(NonFiniteError, match="made 1 Inf of 1"), stop_at_nonfinite():
        torch.tensor([3e4], dtype=dtype) * torch.tensor([3e38], dtype=torch.float32).to(dtype)


def test_nothing_of_the_pass_stays_in_the_graph() -> None:
    x = torch.ones(3, requires_grad=True)
    y = x.exp()
    with stop_at_nonfinite():
        y.sum().backward(retain_graph=True)
    assert "arrived" not in y.grad_fn.metadata
