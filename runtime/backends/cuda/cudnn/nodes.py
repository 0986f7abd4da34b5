"""Operations put together into a graph, one after the other."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from . import descriptors as d
from .descriptors import Descriptor, Kind, made, tensor
from .library import Library

Shape = tuple[int, ...]

FIRST_VIRTUAL = 100
"""The number of the first tensor that is never in memory."""


class Mode(IntEnum):
    """Of cudnnPointwiseMode_t."""

    ADD = 0
    MUL = 1
    DIV = 6
    SUB = 9
    EXP = 13
    LOG = 15
    IDENTITY = 21
    GREATER_OR_EQUAL = 303
    INDEX = 501
    SELECT = 601


class Reduction(IntEnum):
    """Of cudnnReduceTensorOp_t."""

    ADD = 0
    MAX = 3


class Tensor(NamedTuple):
    """A tensor of a graph; strides in elements."""

    descriptor: Descriptor
    shape: Shape
    strides: Shape
    dtype: str


def row_major(shape: Shape) -> Shape:
    """Strides of an array without gaps."""
    found, step = [0] * len(shape), 1
    for k in reversed(range(len(shape))):
        found[k] = step
        step *= shape[k]
    return tuple(found)


class Nodes:
    """The operations of a graph, in `operations`. A result goes into memory, to a tensor `into`, or
    is virtual and only read by operations after it."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.operations: list[Descriptor] = []
        self._next = FIRST_VIRTUAL

    def tensor(self, number: int, dtype: str, shape: Shape, strides: Shape) -> Tensor:
        """A tensor in memory, under its number."""
        return Tensor(tensor(self.library, number, dtype, shape, strides), shape, strides, dtype)

    def number(self, number: int, rank: int = 4) -> Tensor:
        """A float of the CPU's memory, read when the graph is run."""
        ones = (1,) * rank
        told = tensor(self.library, number, "float32", ones, ones, is_by_value=True)
        return Tensor(told, ones, ones, "float32")

    def virtual(self, shape: Shape, dtype: str = "float32", strides: Shape | None = None) -> Tensor:
        """A tensor that is never in memory."""
        self._next += 1
        strides = row_major(shape) if strides is None else strides
        told = tensor(self.library, self._next, dtype, shape, strides, is_virtual=True)
        return Tensor(told, shape, strides, dtype)

    def pointwise(
        self,
        mode: Mode,
        x: Tensor,
        b: Tensor | None = None,
        where: Tensor | None = None,
        *,
        axis: int | None = None,
        dtype: str = "float32",
        into: Tensor | None = None,
    ) -> Tensor:
        """x and b, which is broadcast against it, element by element, in `dtype`: the places along
        `axis`; x where `where` holds, and b elsewhere."""
        y = self.virtual(x.shape, dtype) if into is None else into
        what = {d.POINTWISE_MODE: int(mode), d.POINTWISE_PRECISION: d.DATA_TYPES[dtype]}
        what |= {} if axis is None else {d.POINTWISE_AXIS: axis}
        given = {
            d.APPLY_POINTWISE: made(self.library, Kind.POINTWISE, what),
            d.APPLY_POINTWISE_X: x.descriptor,
            d.APPLY_POINTWISE_Y: y.descriptor,
        }
        given |= {} if b is None else {d.APPLY_POINTWISE_B: b.descriptor}
        given |= {} if where is None else {d.APPLY_POINTWISE_WHERE: where.descriptor}
        self._add(Kind.APPLY_POINTWISE, given)
        return y

    def matmul(self, x: Tensor, y: Tensor, into: Tensor | None = None, dtype: str = "") -> Tensor:
        """x @ y of stacks (batch, heads, n, k) and (batch, heads or a part of them, k, m)."""
        if into is None:
            into = self.virtual((*x.shape[:-1], y.shape[-1]), dtype or "float32")
        how = made(self.library, Kind.MATMUL, {d.MATMUL_PRECISION: d.DATA_TYPES["float32"]})
        given = {
            d.MULTIPLY: how, d.MULTIPLY_X: x.descriptor, d.MULTIPLY_Y: y.descriptor,
            d.MULTIPLY_OUT: into.descriptor,
        }  # fmt: skip
        self._add(Kind.MULTIPLY, given)
        return into

    def reduction(self, kind: Reduction, x: Tensor, into: Tensor | None = None) -> Tensor:
        """x reduced along its last dimension, or to the shape of `into`."""
        into = self.virtual((*x.shape[:-1], 1)) if into is None else into
        what = {d.REDUCTION_KIND: int(kind), d.REDUCTION_PRECISION: d.DATA_TYPES["float32"]}
        given = {
            d.REDUCE: made(self.library, Kind.REDUCTION, what),
            d.REDUCE_X: x.descriptor,
            d.REDUCE_Y: into.descriptor,
        }
        self._add(Kind.REDUCE, given)
        return into

    def transposed(self, x: Tensor, dtype: str) -> Tensor:
        """x with its last two dimensions exchanged, in `dtype`."""
        shape, strides = (
            (*v[:-2], v[-1], v[-2]) for v in (x.shape, x.strides)
        )  # the memory stays as it is
        y = self.virtual(shape, dtype, strides)
        self._add(Kind.RESHAPE, {d.RESHAPE_X: x.descriptor, d.RESHAPE_Y: y.descriptor})
        return y

    def _add(self, kind: Kind, values: dict[d.Attribute, Descriptor]) -> None:
        self.operations.append(made(self.library, kind, values))
