"""Element by element: functions that keep zeros, sums, products, powers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.sparse import SparseKey
from ..core.dispatch import operations
from ..core.sparse_arrays import module_of, refusal, rules
from ..core.tensor import Tensor, wrap
from ..errors import LayoutError, ShapeError
from ..ops import arithmetic, copies
from ..ops.indexing import getitem
from ..ops.joins import cat
from .conversion import to_dense
from .graph import (
    assembled,
    coalesced,
    copied,
    for_values,
    gathered,
    indices_of,
    is_sparse,
    values_of,
    with_values,
)

ZERO_KEEPING = """
abs_of_number complex_abs sign_of_number floor ceil trunc frac rint sin tan asin atan sinh tanh
asinh atanh expm1 log1p sqrt erf erfinv relu squared deg2rad rad2deg nan_replaced isnan isinf
isposinf isneginf signbit
"""
"""Functions with f(0) = 0, which need only look at the values."""

Rule = Callable[..., Any]


def rule(*names: str) -> Callable[[Rule], Rule]:
    """A decorator: the function runs the operations `names` where an argument is sparse."""

    def register(function: Rule) -> Rule:
        rules.update(dict.fromkeys(names, function))
        return function

    return register


def _of_values(name: str) -> Rule:
    operation = operations[name]

    def apply(input: Tensor, **attributes: Any) -> Tensor:
        input = coalesced(input)
        return with_values(input, operation.function(values_of(input), **attributes))

    return apply


rules.update({name: _of_values(name) for name in ZERO_KEEPING.split()})


@rule("neg")
def neg(input: Tensor) -> Tensor:
    """Each value, repeated or not."""
    input = for_values(input)
    return with_values(input, -values_of(input))


@rule("cast")
def cast(input: Tensor, dtype: Any) -> Tensor:
    """The values converted."""
    input = for_values(input)
    return with_values(input, copies.cast(values_of(input), dtype=dtype))


@rule("copied")
def clone(input: Tensor, memory_format: Any = None) -> Tensor:
    """Indices and values copied."""
    return copied(input)


@rule("power_number")
def power_number(input: Tensor, exponent: Any) -> Tensor:
    """The values raised, as PyTorch does even where 0**exponent is not 0."""
    if exponent == 0:
        raise LayoutError(
            "pow: expected an exponent other than 0, which would fill a sparse tensor."
        )
    return _of_values("power_number")(input, exponent=exponent)


def dense_operand(value: Any) -> Any:
    """A number, or a dense tensor; numbers arrive as constants of the sparse tensor's key."""
    if isinstance(value, Tensor) and isinstance(value._key, SparseKey) and not is_sparse(value):
        return wrap(value._array, value._key.plain)
    return value


def _require_same_shape(name: str, input: Any, other: Any) -> None:
    if tuple(input.shape) != tuple(other.shape):
        raise ShapeError(
            f"{name}: expected sparse tensors of one shape, as they do not broadcast. Got "
            f"{tuple(input.shape)} and {tuple(other.shape)}."
        )


def _is_number(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.ndim == 0


# -- sums ------------------------------------------------------------------------------------------


@rule("plus")
def plus(input: Any, other: Any) -> Tensor:
    """Sparse and sparse: values of both, added up where both have one if both are coalesced.
    Dense and sparse: dense."""
    input, other = dense_operand(input), dense_operand(other)
    if is_sparse(input) and is_sparse(other):
        return _sum(input, other)
    sparse, dense = (input, other) if is_sparse(input) else (other, input)
    if _is_number(dense):
        raise LayoutError(
            f"add: expected a tensor of the sparse one's shape {tuple(sparse.shape)}. Got a "
            "number, which would fill it. Use to_dense() first."
        )
    _require_same_shape("add", dense, sparse)
    return arithmetic.plus(dense, to_dense(sparse))


@rule("minus")
def minus(input: Any, other: Any) -> Tensor:
    """input + (-other)."""
    return plus(input, -dense_operand(other))


def _sum(input: Tensor, other: Tensor) -> Tensor:
    _require_same_shape("add", input, other)
    if input._array.sparse_dim != other._array.sparse_dim:
        raise ShapeError(
            f"add: expected equally many sparse dimensions. Got {input._array.sparse_dim} and "
            f"{other._array.sparse_dim}."
        )
    a, b = for_values(input), for_values(other)
    if a._array.indices is b._array.indices:
        return with_values(a, values_of(a) + values_of(b))
    indices = module_of(a._array.indices).concatenate([a._array.indices, b._array.indices], 1)
    joined = assembled(indices, cat([values_of(a), values_of(b)]), a._array.shape)
    both = input._array.is_coalesced and other._array.is_coalesced
    return coalesced(joined) if both else joined


# -- products --------------------------------------------------------------------------------------


@rule("mul")
def mul(input: Any, other: Any) -> Tensor:
    """Sparse, whatever the other is: a number, a dense tensor that broadcasts to it, or a sparse
    one of its shape."""
    input, other = dense_operand(input), dense_operand(other)
    if is_sparse(input) and is_sparse(other):
        return _common_product(input, other)
    sparse, dense = (input, other) if is_sparse(input) else (other, input)
    sparse = for_values(sparse)
    if _is_number(dense):
        return with_values(sparse, values_of(sparse) * dense)
    factors = gathered(_expanded(dense, sparse), sparse._array.indices)
    return with_values(sparse, values_of(sparse) * factors)


def _expanded(dense: Tensor, sparse: Tensor) -> Tensor:
    try:
        return dense.expand(sparse.shape)
    except ShapeError:
        raise ShapeError(
            f"mul: expected a dense tensor that broadcasts to the sparse one's shape "
            f"{tuple(sparse.shape)}. Got {tuple(dense.shape)}."
        ) from None


def _common_product(input: Tensor, other: Tensor) -> Tensor:
    """The products at the indices that both have."""
    _require_same_shape("mul", input, other)
    a, b = coalesced(input), coalesced(other)
    if a._array.sparse_dim != b._array.sparse_dim:
        raise ShapeError(
            f"mul: expected equally many sparse dimensions. Got {a._array.sparse_dim} and "
            f"{b._array.sparse_dim}."
        )
    if a._array.indices is b._array.indices:
        return with_values(a, values_of(a) * values_of(b))
    xp = module_of(a._array.indices)
    own, others = a._array.positions(), b._array.positions()
    places = xp.searchsorted(others, own)
    shared = xp.flatnonzero(xp.isin(own, others))
    left = getitem(values_of(a), indices_of(a, shared))
    right = getitem(values_of(b), indices_of(b, places[shared]))
    return assembled(a._array.indices[:, shared], left * right, a._array.shape, True)


@rule("divide")
def divide(input: Any, other: Any) -> Tensor:
    """By a number or 0-d tensor."""
    return _quotient("divide", input, other, for_values)


@rule("floor_divide")
def floor_divide(input: Any, other: Any) -> Tensor:
    """By a number or 0-d tensor."""
    return _quotient("floor_divide", input, other, coalesced)


@rule("trunc_divide")
def trunc_divide(input: Any, other: Any) -> Tensor:
    """By a number or 0-d tensor."""
    return _quotient("trunc_divide", input, other, coalesced)


@rule("trunc_quotient")
def trunc_quotient(input: Any, other: Any) -> Tensor:
    """By a number or 0-d tensor."""
    return _quotient("trunc_quotient", input, other, coalesced)


def _quotient(name: str, input: Any, other: Any, prepared: Rule) -> Tensor:
    input, other = dense_operand(input), dense_operand(other)
    if not is_sparse(input):
        raise refusal("div by a sparse tensor", other.shape)
    if is_sparse(other) or not _is_number(other):
        raise ShapeError(
            "div: expected a number or a 0-d dense tensor to divide a sparse tensor by. Got shape "
            f"{tuple(other.shape)}."
        )
    input = prepared(input)
    return with_values(input, operations[name].function(values_of(input), other))
