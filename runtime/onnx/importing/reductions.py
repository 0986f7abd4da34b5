"""Reductions, softmax, running sums and orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.tensor import Tensor
from .registry import OPERATORS, Sizes, ints, operator, torch

Reduction = Callable[[Tensor, tuple[int, ...], bool], Tensor]


def _product(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    for dim in sorted((d % x.ndim for d in dims), reverse=True):
        x = x.prod(dim, keepdim=keepdim).to(x.dtype)
    return x


def _sum(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    return x.sum(dims, keepdim=keepdim).to(x.dtype)


def _mean(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    if x.is_floating_point():
        return x.mean(dims, keepdim=keepdim)
    return x.double().mean(dims, keepdim=keepdim).to(x.dtype)


def _extreme(name: str) -> Reduction:
    return lambda x, dims, keepdim: (
        getattr(torch, name)(x.to(torch.uint8), dims, keepdim).bool()
        if x.dtype is torch.bool
        else getattr(torch, name)(x, dims, keepdim)
    )


REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceProd": _product,
    "ReduceMax": _extreme("amax"),
    "ReduceMin": _extreme("amin"),
    "ReduceL1": lambda x, d, k: _sum(x.abs(), d, k),
    "ReduceL2": lambda x, d, k: _sum(x * x, d, k).sqrt().to(x.dtype),
    "ReduceSumSquare": lambda x, d, k: _sum(x * x, d, k),
    "ReduceLogSum": lambda x, d, k: _sum(x, d, k).log(),
    "ReduceLogSumExp": lambda x, d, k: torch.logsumexp(x, d, k),
}


def _operator(reduce: Reduction, name: str) -> Callable[..., Tensor]:
    def reduction(
        x: Tensor, at: Sizes | None = None, *, axes: Any = None, keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Tensor:  # fmt: skip
        given = axes if at is None else at
        dims = tuple(ints(given)) if given is not None else ()
        if not dims and noop_with_empty_axes:
            return reduce(x.unsqueeze(0), (0,), False)
        return reduce(x, dims or tuple(range(x.ndim)), bool(keepdims)) if x.ndim else x.clone()

    reduction.__name__ = name
    return reduction


OPERATORS.update({name: _operator(reduce, name) for name, reduce in REDUCTIONS.items()})


def _coerced(x: Tensor, axis: int, opset: int, function: Callable[..., Tensor]) -> Tensor:
    """Before opset 13 over all dimensions from `axis` on."""
    if opset >= 13:
        return function(x, axis)
    axis %= x.ndim
    return function(x.flatten(axis), axis).reshape(x.shape)


@operator("Softmax")
def softmax(x: Tensor, *, axis: int | None = None, opset: int) -> Tensor:
    """exp(x) by its sum."""
    return _coerced(x, (-1 if opset >= 13 else 1) if axis is None else axis, opset, torch.softmax)


@operator("LogSoftmax")
def log_softmax(x: Tensor, *, axis: int | None = None, opset: int) -> Tensor:
    """Its logarithm."""
    first = (-1 if opset >= 13 else 1) if axis is None else axis
    return _coerced(x, first, opset, torch.log_softmax)


@operator("Hardmax")
def hardmax(x: Tensor, *, axis: int | None = None, opset: int) -> Tensor:
    """1 at the first largest element, 0 elsewhere."""

    def hard(x: Tensor, axis: int) -> Tensor:
        places = x.argmax(axis, keepdim=True)
        return torch.zeros_like(x).scatter(axis, places, 1.0)  # type: ignore[no-any-return]

    return _coerced(x, (-1 if opset >= 13 else 1) if axis is None else axis, opset, hard)


def _place(x: Tensor, axis: int, keepdims: int, last: int, largest: bool) -> Tensor:
    find = torch.argmax if largest else torch.argmin
    if not last:
        return find(x, axis, keepdim=bool(keepdims))  # type: ignore[no-any-return]
    return x.shape[axis] - 1 - find(x.flip(axis), axis, keepdim=bool(keepdims))  # type: ignore[no-any-return]


@operator("ArgMax")
def argmax(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """The place of the largest element."""
    return _place(x, axis, keepdims, select_last_index, True)


@operator("ArgMin")
def argmin(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    """The place of the smallest element."""
    return _place(x, axis, keepdims, select_last_index, False)


@operator("TopK")
def topk(
    x: Tensor, count: Sizes | None = None, *, k: int | None = None, axis: int = -1,
    largest: int = 1, sorted: int = 1, outputs: int,
) -> Any:  # fmt: skip
    """The largest or smallest, and their places; of equal ones the first."""
    n = k if count is None else ints(count)[0]
    order = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    return order.values.narrow(axis, 0, n), order.indices.narrow(axis, 0, n)


@operator("CumSum")
def cumsum(x: Tensor, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Sums from the beginning, or the end, with or without the element itself."""
    dim = int(axis)
    turned = x.flip(dim) if reverse else x
    found = turned.cumsum(dim).to(x.dtype)
    found = found - turned if exclusive else found
    return found.flip(dim) if reverse else found


@operator("CumProd")
def cumprod(x: Tensor, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    """Products likewise."""
    dim = int(axis)
    turned = x.flip(dim) if reverse else x
    if exclusive:
        ones = torch.ones_like(turned.narrow(dim, 0, 1))
        turned = torch.cat([ones, turned.narrow(dim, 0, turned.shape[dim] - 1)], dim)
    found = turned.cumprod(dim).to(x.dtype)
    return found.flip(dim) if reverse else found
