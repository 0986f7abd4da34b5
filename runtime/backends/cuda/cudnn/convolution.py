"""Convolutions by cuDNN: three maps of images x, weights w and results y, each of which gives one
of them for the other two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...layout import is_channels_last
from .. import launch
from ..batch_norm import scale_shift_channels
from ..rows import empty
from . import descriptors as d
from .computations import Computation, Situation, is_aligned, kept, situation
from .descriptors import Descriptor, Kind, made
from .library import Library
from .nodes import Mode, Nodes, Tensor

Shape = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]

CROSS_CORRELATION = 1
"""Of cudnnConvolutionMode_t."""
BIAS = 4
"""Its number, after the two operands and the result."""


class Map(NamedTuple):
    """One of the three maps: its kind of operation, and its operands and result by role."""

    kind: Kind
    roles: str


FORWARD = Map(Kind.CONVOLVE, "xwy")
BY_INPUT = Map(Kind.CONVOLVE_INPUT, "ywx")
BY_WEIGHT = Map(Kind.CONVOLVE_WEIGHT, "yxw")


class Problem(NamedTuple):
    """A map of arrays of certain shapes, in two or three spatial dimensions."""

    map: Map
    dtype: str
    shapes: tuple[Shape, Shape, Shape]
    is_last: bool
    has_bias: bool
    stride: Shape
    padding: Shape
    dilation: Shape

    def order(self) -> Shape:
        """The dimensions in the order in which they lie in memory."""
        rank = len(self.stride)
        return (0, *range(2, 2 + rank), 1) if self.is_last else tuple(range(2 + rank))

    def strides(self, shape: Shape) -> Shape:
        """Of an array without gaps, in elements."""
        found, step = [0] * len(shape), 1
        for k in reversed(self.order()):
            found[k] = step
            step *= shape[k]
        return tuple(found)

    def operations(self, library: Library) -> list[Descriptor]:
        """The map, and the addition of the bias. Raises: CuDNNError if they do not fit."""
        nodes = Nodes(library)
        first, second, result = (
            nodes.tensor(k, self.dtype, shape, self.strides(shape))
            for k, shape in enumerate(self.shapes, 1)
        )
        unbiased = result
        if self.has_bias:
            unbiased = nodes.virtual(result.shape, _wide(self.dtype), result.strides)
        self._add_map(nodes, dict(zip(self.map.roles, (first, second, unbiased), strict=True)))
        if self.has_bias:
            shape = (1, result.shape[1], *[1] * len(self.stride))
            bias = nodes.tensor(BIAS, self.dtype, shape, self.strides(shape))
            nodes.pointwise(Mode.ADD, unbiased, bias, dtype=_wide(self.dtype), into=result)
        return nodes.operations

    def _add_map(self, nodes: Nodes, tensors: dict[str, Tensor]) -> None:
        values = {
            d.CONVOLUTION_PRECISION: d.DATA_TYPES[_wide(self.dtype)],
            d.CONVOLUTION_MODE: CROSS_CORRELATION,
            d.CONVOLUTION_RANK: len(self.stride),
            d.CONVOLUTION_STRIDES: self.stride,
            d.CONVOLUTION_PRE_PADDINGS: self.padding,
            d.CONVOLUTION_POST_PADDINGS: self.padding,
            d.CONVOLUTION_DILATIONS: self.dilation,
        }
        given = made(nodes.library, Kind.CONVOLUTION, values)
        parts = (1.0, 0.0, given, *[tensors[role].descriptor for role in "wxy"])
        named = dict(zip(d.CONVOLVE[self.map.kind], parts, strict=True))
        nodes.operations.append(made(nodes.library, self.map.kind, named))


def _wide(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


class Prepared:
    """A problem that stands ready."""

    def __init__(self, problem: Problem, arrays: Sequence[Any], where: Situation) -> None:
        """`arrays` are its operands, as later ones will lie."""
        self.problem = problem
        self.order = problem.order()
        result = problem.shapes[2]
        self.memory_shape = tuple([result[k] for k in self.order])
        self.axes = tuple(sorted(range(len(result)), key=self.order.__getitem__))
        self.is_packed = [self._lies_well(a) for a in arrays]
        label = f"convolution of {problem.dtype} {problem.shapes}"
        bare = problem._replace(has_bias=False)
        self.computations = [Computation(label, bare.operations, where)]
        if problem.has_bias:  # a good plan without the sum beats a last resort with it
            whole = Computation(label, problem.operations, where, is_last_resort_fine=False)
            self.computations.insert(0, whole)

    def _lies_well(self, array: Any) -> bool:
        wanted = [step * array.itemsize for step in self.problem.strides(array.shape)]
        given = zip(array.shape, array.strides, wanted, strict=True)
        return all(size == 1 or own == step for size, own, step in given)

    def __call__(self, first: Any, second: Any, bias: Any) -> Any:
        """The result; None if our own kernel is to compute it."""
        operands = [
            a if packed and is_aligned(a) else self._copied(a)
            for a, packed in zip((first, second), self.is_packed, strict=True)
        ]
        if bias is not None and not (bias.flags.c_contiguous and is_aligned(bias)):
            bias = bias.copy()
        out = empty(self.memory_shape, first.dtype)
        if self.computations[0].run(*operands, out, *([] if bias is None else [bias])):
            return out.transpose(self.axes) if self.problem.is_last else out
        if bias is None or not self.computations[1].run(*operands, out):
            return None
        out = out.transpose(self.axes) if self.problem.is_last else out
        biased = scale_shift_channels(out, None, bias) if launch.driver.is_available() else None
        return out + bias.reshape(-1, *[1] * (out.ndim - 2)) if biased is None else biased

    def _copied(self, array: Any) -> Any:
        """The array's elements without gaps, in the order of the problem's memory."""
        return array.transpose(self.order).copy()


def convolution(
    input: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """y; None for what is left to our own kernel."""
    return _computed(FORWARD, input, weight, bias, None, stride, padding, dilation, groups)


def convolution_input(
    g: Any,
    weight: Any,
    like: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """x, of the shape `like`; None for what is left to our own kernel."""
    return _computed(BY_INPUT, g, weight, None, like, stride, padding, dilation, groups)


def convolution_weight(
    g: Any,
    input: Any,
    like: Shape,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """w, of the shape `like`; None for what is left to our own kernel."""
    return _computed(BY_WEIGHT, g, input, None, like, stride, padding, dilation, groups)


def _computed(
    map: Map,
    first: Any,
    second: Any,
    bias: Any,
    like: Shape | None,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Any:
    """The result, of the shape `like` if that does not follow from the operands."""
    where = situation(first.dtype)
    if where is None or first.dtype != second.dtype or first.ndim != second.ndim:
        return None
    if len(stride) == 1:  # lines are images with one row
        first, second, dilation = first[:, :, None], second[:, :, None], (1, *dilation)
        stride, padding = (1, *stride), ((0, 0), *padding)
        like = None if like is None else (*like[:2], 1, like[2])
        out = _computed(map, first, second, bias, like, stride, padding, dilation, groups)
        return None if out is None else out[:, :, 0]
    key = (
        map.kind, first.shape, first.strides, second.shape, second.strides,
        None if bias is None else (bias.shape, bias.strides, bias.dtype), like, stride, padding,
        dilation, groups, where,
    )  # fmt: skip

    def prepare() -> Prepared | None:
        problem = _problem(map, (first, second), bias, like, stride, padding, dilation, groups)
        return None if problem is None else Prepared(problem, (first, second), where)

    ready = kept(key, prepare)
    return None if ready is None else ready(first, second, bias)


def _problem(
    map: Map,
    operands: tuple[Any, Any],
    bias: Any,
    like: Shape | None,
    stride: Shape,
    padding: Pairs,
    dilation: Shape,
    groups: int,
) -> Problem | None:
    """None for what cuDNN has no code for, and for shapes that do not belong together: the array
    kernel says what is wrong."""
    from ....ops.convolution import output_sizes

    first, second = operands
    shapes = dict(zip(map.roles, (first.shape, second.shape, like), strict=True))
    x, w = shapes["x"], shapes["w"]
    sizes = output_sizes(x[2:], w[2:], stride, padding, dilation)
    y = shapes["y"] = shapes["y"] or (x[0], w[0], *sizes)
    low = tuple([pair[0] for pair in padding])
    # Zeros behind the last position that is computed do not matter.
    is_even = output_sizes(x[2:], w[2:], stride, tuple([(p, p) for p in low]), dilation) == y[2:]
    if not is_even or min(*low, *(n - 1 for shape in (x, w, y) for n in shape)) < 0:
        return None
    if (x[1], w[0] % groups) != (w[1] * groups, 0):
        return None
    if bias is not None and (bias.shape != y[1:2] or bias.dtype != first.dtype):
        return None
    return Problem(
        map, first.dtype.name, tuple([shapes[role] for role in map.roles]),
        _is_last(map, first, second), bias is not None, stride, low, dilation,
    )  # fmt: skip


def _is_last(map: Map, first: Any, second: Any) -> bool:
    """Whether channels are innermost: as in the first operand, for a weight as in either."""
    import cupy

    images = (first, second) if map is BY_WEIGHT else (first,)
    return any(not a.flags.c_contiguous and is_channels_last(cupy, a) for a in images)
