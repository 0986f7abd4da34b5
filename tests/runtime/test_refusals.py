"""What an operation has no meaning for is refused in words: dtypes, masks, indices, widths."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import flambeau as torch

Z = torch.tensor([1 + 1j, 2 - 1j])

WITHOUT_ORDER: dict[str, Callable[[], object]] = {
    "lt": lambda: Z < 1, "ge": lambda: Z >= Z, "max": lambda: Z.max(), "min": lambda: Z.min(0),
    "argmax": lambda: Z.argmax(), "sort": lambda: Z.sort(), "topk": lambda: Z.topk(1),
    "median": lambda: Z.median(), "cummax": lambda: Z.cummax(0), "clamp": lambda: Z.clamp(0, 1),
    "maximum": lambda: torch.maximum(Z, Z), "relu": lambda: Z.relu(), "sign": lambda: Z.sign(),
    "round": lambda: Z.round(), "softmax": lambda: Z.softmax(0), "erf": lambda: Z.erf(),
}  # fmt: skip

BY_ZERO: dict[str, Callable[[torch.Tensor, object], object]] = {
    "floor": lambda x, y: x // y, "rest": lambda x, y: x % y, "fmod": torch.fmod,
    "trunc": lambda x, y: torch.div(x, y, rounding_mode="trunc"),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_ORDER)
def test_complex_numbers_have_no_order(name: str) -> None:
    with pytest.raises(RuntimeError, match="expected another kind of numbers"):
        WITHOUT_ORDER[name]()


@pytest.mark.parametrize("name", BY_ZERO)
@pytest.mark.parametrize("divisor", [0, torch.tensor([1, 0])])
def test_integers_over_zero_raise(name: str, divisor: object) -> None:
    with pytest.raises(RuntimeError, match="expected divisors other than 0"):
        BY_ZERO[name](torch.tensor([5, 7]), divisor)
    assert torch.isinf(torch.tensor([5.0]) // 0.0).item()


@pytest.mark.parametrize("name", ["matmul", "mm", "mv", "linear"])
def test_products_of_two_dtypes_are_refused(name: str) -> None:
    a, b = torch.ones(2, 2), torch.ones(2, 2, dtype=torch.float64)
    calls = {
        "matmul": lambda: a @ b,
        "mm": lambda: torch.mm(a, b),
        "mv": lambda: torch.mv(a, b[0]),
        "linear": lambda: torch.nn.functional.linear(a, b),
    }
    with pytest.raises(RuntimeError, match=r"expected tensors of one dtype.*float32.*float64"):
        calls[name]()


def test_powers_keep_pytorchs_dtypes() -> None:
    flags = torch.tensor([True, False])
    assert (flags**2).dtype is torch.int64
    assert (torch.tensor([2, 3], dtype=torch.int8) ** flags).tolist() == [2, 1]
    assert (torch.tensor([2, 3], dtype=torch.int8) ** flags).dtype is torch.int8


def test_truth_of_bytes_is_a_byte() -> None:
    assert torch.tensor([1, 0], dtype=torch.uint8).any().dtype is torch.uint8
    assert torch.tensor([1, 0]).all().dtype is torch.bool


def test_logcumsumexp_of_integers_is_refused() -> None:
    with pytest.raises(RuntimeError, match="logcumsumexp"):
        torch.logcumsumexp(torch.tensor([1, 2]), 0)


def test_where_wants_bools() -> None:
    with pytest.raises(
        RuntimeError, match=r"where: expected condition of torch.bool. Got torch.int64"
    ):
        torch.where(torch.tensor([1, 0]), 1.0, 2.0)


def test_where_alone_finds_positions() -> None:
    rows, columns = torch.where(torch.tensor([[1, 0], [0, 2]]) > 0)
    assert rows.tolist() == columns.tolist() == [0, 1]
    with pytest.raises(TypeError, match="expected input and other, or neither"):
        torch.where(torch.tensor([True]), 1)


def test_indices_outside_are_named_with_dimension_and_shape() -> None:
    x = torch.zeros(3, 4)
    with pytest.raises(IndexError, match=r"from -4 to 3 in dimension 1 .*\(3, 4\). Got 1 to 9"):
        x[:, torch.tensor([1, 9])]
    with pytest.raises(IndexError, match=r"expected a mask of shape \(3,\).*Got \(2,\)"):
        x[torch.tensor([True, False])]
    with pytest.raises(IndexError, match=r"dimension 0 of a tensor of shape \(3, 4\). Got 5 to 5"):
        x[torch.tensor([5])] = 1.0


def test_an_odd_number_of_widths_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"pad: expected two widths for each"):
        torch.nn.functional.pad(torch.ones(3), (1,))


BYTES = torch.tensor([1, 2], dtype=torch.uint8)
WRITES: dict[str, Callable[[int], torch.Tensor]] = {
    "tensor": lambda v: torch.tensor([v], dtype=torch.uint8),
    "full": lambda v: torch.full((1,), v, dtype=torch.uint8),
    "fill_": lambda v: BYTES.clone().fill_(v),
    "setitem": lambda v: BYTES.clone().__setitem__(0, v) or torch.tensor([1]),
    "masked_fill": lambda v: BYTES.masked_fill(BYTES == 1, v),
}


@pytest.mark.parametrize("name", WRITES)
def test_numbers_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"fit into torch.uint8, from 0 to 255. Got 300"):
        WRITES[name](300)
    assert WRITES[name](-1)[0].item() in (255, 1)


def test_arithmetic_with_numbers_that_do_not_fit_wraps() -> None:
    assert (BYTES + 300).tolist() == [45, 46]
    with pytest.raises(RuntimeError, match=r"fit into torch.int64"):
        torch.tensor(float("nan"), dtype=torch.int64)
    with pytest.raises(ValueError, match="64 bits"):
        torch.tensor(2**63)


X = torch.ones(4, 3)
WORDS: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "add of a list": (
        lambda: torch.add(X, [1, 2]),
        TypeError,
        "add: expected a tensor or a number",
    ),
    "cat of a number": (lambda: torch.cat(3), TypeError, "cat: expected a list or tuple"),
    "cat along a name": (lambda: torch.cat([X], "a"), TypeError, "expected an int as dim"),
    "two unknown sizes": (lambda: X.reshape(-1, -1), RuntimeError, "one -1 at most"),
    "argmax of nothing": (lambda: X[:0].argmax(), RuntimeError, "argmax: expected elements"),
    "max of nothing": (lambda: X[:0].max(), RuntimeError, "max: expected elements"),
    "filled with a word": (lambda: X.masked_fill(X > 0, "a"), TypeError, "masked_fill: expected"),
    "norm of a word": (lambda: X.norm("a"), TypeError, "norm: expected a number, 'fro'"),
    "permutation": (lambda: torch.randperm(-2), RuntimeError, "randperm: expected a number n"),
    "dimensions": (
        lambda: torch.nn.functional.batch_norm(torch.ones(3), None, None, training=True),
        RuntimeError,
        "2 to 7 dimensions",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_mistakes_are_named_by_the_function_that_was_called(name: str) -> None:
    call, kind, words = WORDS[name]
    with pytest.raises(kind, match=words):
        call()
