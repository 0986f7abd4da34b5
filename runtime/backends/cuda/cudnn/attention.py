"""Attention by cuDNN, and its gradients: the graphs that its engines know as such.

For sm_90 those multiply by whole warp groups (wgmma) out of shared memory that the copy engine
fills, as the machine code shows that cuDNN 9.19 makes of these graphs: HGMMA 64x128x16 and UTMALDG,
168 registers, forward and backward. Our own kernel multiplies by warps (mma.sync), which cannot
reach Hopper's rate; hence cuDNN comes first where it has code. Masks, dropout, float32 and
gradients that must not differ from run to run are our kernel's: cuDNN sums those of the queries by
UTMAREDG.ADD, in any order.

Source: arXiv:2205.14135, section 3, and arXiv:2307.08691, section 3, for the recomputed weights.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ... import cuda as backend
from ... import cudnn as switches
from ..rows import empty
from ..sdp import allowed
from . import library
from .computations import Computation, Situation, is_aligned, kept, situation
from .descriptors import ALIGNMENT, Descriptor
from .library import Library
from .nodes import Mode, Nodes, Reduction, Shape, Tensor, row_major

LEAST_VERSION = 90600
"""Before 9.6.0 the sums of the gradient by queries had to be set to zero."""
FAULTY_VERSIONS = (91000, 91001)
"""Whose gradients are wrong, as the notes on 9.10.2 say."""
WIDEST_HEAD = 256
LANES = 8
"""Halves that the fastest loads take at once."""
FLOAT32 = np.dtype(np.float32)
EARLY_PLANS = 8
"""Shapes that are compiled when they first come, if gradients are recorded; each takes a second or
two, forward and backward."""
PATIENCE = 100
"""Times that other shapes must come before."""


def beside_heads(shape: Shape) -> Shape:
    """Strides of (batch, heads, n, width) whose heads lie side by side, as models put them next."""
    _, heads, n, width = shape
    return (n * heads * width, width, heads * width, 1)


def _turned(values: Shape) -> Shape:
    """The last two exchanged."""
    return (*values[:2], values[3], values[2])


class Problem(NamedTuple):
    """Attention of (batch, heads, n, width): queries, keys, values and results."""

    dtype: str
    shapes: tuple[Shape, Shape, Shape, Shape]
    strides: tuple[Shape, Shape, Shape, Shape]
    """In elements."""
    is_causal: bool

    @property
    def queries(self) -> Shape:
        """The shape of what there is one number of for each query."""
        return (*self.shapes[0][:3], 1)

    def operations(self, library: Library) -> list[Descriptor]:
        """The result and the logarithms of the sums of exponentials: tensors 4 and 5, of queries,
        keys and values 1 to 3. Raises: CuDNNError."""
        nodes = Nodes(library)
        query, value, out = (self._tensor(nodes, k) for k in (1, 3, 4))
        sums = nodes.tensor(5, "float32", self.queries, row_major(self.queries))
        scores = self._scores(nodes, query, nodes.number(6))
        scores = self._hidden(nodes, scores, 7)
        top = nodes.reduction(Reduction.MAX, scores)
        powers = nodes.pointwise(Mode.EXP, nodes.pointwise(Mode.SUB, scores, top))
        total = nodes.reduction(Reduction.ADD, powers)
        nodes.pointwise(Mode.ADD, top, nodes.pointwise(Mode.LOG, total), into=sums)
        weights = nodes.virtual(powers.shape, self.dtype)
        nodes.pointwise(Mode.DIV, powers, total, into=weights)
        nodes.matmul(weights, value, into=out)
        return nodes.operations

    def gradient_operations(self, library: Library) -> list[Descriptor]:
        """The gradients by queries, keys and values: tensors 7 to 9, of queries, keys, values,
        results, logarithms of sums and the results' gradient 1 to 6. Tensors 10 and 11 are what is
        in memory on the way. Raises: CuDNNError."""
        nodes = Nodes(library)
        query, out, g = self._tensor(nodes, 1), self._tensor(nodes, 4), self._tensor(nodes, 6, 3)
        turned_value = self._tensor(nodes, 3, is_turned=True)
        sums, along = (
            nodes.tensor(k, "float32", self.queries, row_major(self.queries)) for k in (5, 10)
        )
        scale, one = nodes.number(12), nodes.number(13)
        products = nodes.reduction(Reduction.ADD, nodes.pointwise(Mode.MUL, g, out))
        nodes.pointwise(Mode.MUL, products, one, into=along)
        scores = nodes.pointwise(Mode.SUB, self._scores(nodes, query, scale), sums)
        weights = nodes.pointwise(Mode.EXP, self._hidden(nodes, scores, 14))
        self._add_by_keys(nodes, weights, g, 9)
        by_weights = nodes.pointwise(Mode.SUB, nodes.matmul(g, turned_value), along)
        by_scores = nodes.pointwise(Mode.MUL, by_weights, weights)
        by_scores = nodes.pointwise(Mode.MUL, by_scores, scale)
        self._add_by_keys(nodes, by_scores, query, 8)
        wide = nodes.tensor(11, "float32", query.shape, row_major(query.shape))
        key = nodes.transposed(self._tensor(nodes, 2, is_turned=True), self.dtype)
        nodes.matmul(by_scores, key, into=wide)
        nodes.pointwise(Mode.IDENTITY, wide, into=self._gradient(nodes, 7))
        return nodes.operations

    def _tensor(
        self, nodes: Nodes, number: int, like: int | None = None, is_turned: bool = False
    ) -> Tensor:
        """Queries, keys, values, results (1 to 4), or one that lies as that of index `like`."""
        k = number - 1 if like is None else like
        shape, strides = self.shapes[k], self.strides[k]
        if is_turned:
            shape, strides = _turned(shape), _turned(strides)
        return nodes.tensor(number, self.dtype, shape, strides)

    def _gradient(self, nodes: Nodes, number: int) -> Tensor:
        """Number 7 to 9: by queries, keys or values."""
        shape = self.shapes[number - 7]
        return nodes.tensor(number, self.dtype, shape, beside_heads(shape))

    def _add_by_keys(self, nodes: Nodes, factors: Tensor, rows: Tensor, number: int) -> None:
        """factors.mT @ rows, summed over the heads that share one of keys."""
        result, left = self._gradient(nodes, number), nodes.transposed(factors, self.dtype)
        if result.shape[1] == factors.shape[1]:
            nodes.matmul(left, rows, into=result)
        else:
            each = nodes.matmul(left, rows, dtype=self.dtype)
            nodes.reduction(Reduction.ADD, each, into=result)

    def _scores(self, nodes: Nodes, query: Tensor, scale: Tensor) -> Tensor:
        turned_key = self._tensor(nodes, 2, is_turned=True)
        return nodes.pointwise(Mode.MUL, nodes.matmul(query, turned_key), scale)

    def _hidden(self, nodes: Nodes, scores: Tensor, number: int) -> Tensor:
        """The scores, -inf (the number of that number) where a query may not look."""
        if not self.is_causal:
            return scores
        rows = nodes.pointwise(Mode.INDEX, scores, axis=2, dtype="int32")
        columns = nodes.pointwise(Mode.INDEX, scores, axis=3, dtype="int32")
        sees = nodes.pointwise(Mode.GREATER_OR_EQUAL, rows, columns, dtype="bool")
        return nodes.pointwise(Mode.SELECT, scores, nodes.number(number), sees)


class Prepared:
    """A problem that stands ready, forward and backward, for arrays of certain shapes that lie in
    memory in certain ways."""

    built: ClassVar[int] = 0
    """How many were compiled while gradients were recorded."""

    def __init__(self, given: tuple[Any, ...], scale: float, is_causal: bool, where: Situation):
        """`given`: queries, keys and values, as later ones will lie."""
        self.is_fine = [_is_fine(a) for a in given]
        self.shapes = [a.shape for a in given]
        operands = self._operands(given)
        result = (*operands[0].shape[:3], operands[2].shape[3])
        strides = [tuple([s // a.itemsize for s in a.strides]) for a in operands]
        self.problem = problem = Problem(
            given[0].dtype.name, (*[a.shape for a in operands], result),
            (*strides, beside_heads(result)), is_causal,
        )  # fmt: skip
        label = f"attention of {problem.dtype} {problem.shapes[:3]}"
        hidden = (-math.inf,) if is_causal else ()
        self.forward = Computation(label, problem.operations, where, (scale, *hidden))
        numbers = (scale, 1.0, *hidden)
        self.backward = Computation(label, problem.gradient_operations, where, numbers)
        self.occurrences = 0

    def _operands(self, given: tuple[Any, ...]) -> list[Any]:
        """The arrays as (batch, heads, n, width), in rows that the fastest loads can take."""
        return [
            a if is_fine and is_aligned(a) else _fourfold(a).copy()
            for a, is_fine in zip(given, self.is_fine, strict=True)
        ]

    def is_worth_it(self) -> bool:
        """Whether the plan is there, or pays for its compilation: at once for the first shapes of a
        training, else when a shape has come often enough. A text that is generated word by word
        has a new shape with each of them."""
        if self.forward.plan is not None or allowed.cudnn_alone():
            return True
        from ....autograd.grad_mode import is_grad_enabled

        self.occurrences += 1
        is_early = is_grad_enabled() and Prepared.built < EARLY_PLANS
        if backend.is_recording or not (is_early or self.occurrences > PATIENCE):
            return False
        Prepared.built += is_early
        return True

    def run(self, *given: Any) -> tuple[Any, Any] | None:
        """The results and the logarithms of sums; None if that is left to our own kernel."""
        out = _beside_heads(self.problem.shapes[3], given[0].dtype)
        sums = empty(self.problem.queries[:3], FLOAT32)
        if not self.forward.run(*self._operands(given), out, sums):
            return None
        shape = self.shapes[0]
        if len(shape) == 4:
            return out, sums
        return out.reshape(*shape[:-1], out.shape[-1]), sums.reshape(shape[:-1])

    def run_back(self, g: Any, given: tuple[Any, ...], out: Any, sums: Any) -> list[Any] | None:
        """The gradients; None if that is left to our own kernel."""
        shapes, dtype = self.problem.shapes, g.dtype
        found = [_beside_heads(shape, dtype) for shape in shapes[:3]]
        rows = [_lying_as(_fourfold(a), self.problem.strides[3]) for a in (out, g)]
        if sums.dtype != FLOAT32:
            sums = sums.astype(FLOAT32)
        along, wide = empty(self.problem.queries, FLOAT32), empty(shapes[0], FLOAT32)
        operands = (*self._operands(given), rows[0], sums, rows[1], *found, along, wide)
        if not self.backward.run(*operands):
            return None
        return [a if len(s) == 4 else a.reshape(s) for a, s in zip(found, self.shapes, strict=True)]


def _is_fine(array: Any) -> bool:
    """Whether it has four dimensions, and rows without gaps that begin at multiples of 16 bytes."""
    *steps, last = array.strides
    is_packed = last == array.itemsize and all(s > 0 and not s % ALIGNMENT for s in steps)
    return array.ndim == 4 and is_packed


def _fourfold(array: Any) -> Any:
    """The array as (batch, heads, n, width)."""
    if array.ndim == 4:
        return array
    if array.ndim < 4:
        return array.reshape((1,) * (4 - array.ndim) + array.shape)
    return array.reshape(-1, *array.shape[-3:])


def _lying_as(array: Any, strides: Shape) -> Any:
    """The array, or a copy with these strides (in elements), those of heads side by side."""
    if array.strides == tuple([s * array.itemsize for s in strides]) and is_aligned(array):
        return array
    return array.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3)


def _beside_heads(shape: Shape, dtype: Any) -> Any:
    batch, heads, n, width = shape
    return empty((batch, n, heads, width), dtype).transpose(0, 2, 1, 3)


def tiled_attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    *,
    scale: float,
    is_causal: bool,
    dropped: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    held: int = 0,
) -> Any:
    """The results, and the logarithms of the sums of exponentials in float32; None for what is left
    to our own kernel."""
    if mask is not None or dropped:
        return None
    ready = _prepared(query, key, value, scale, is_causal)
    if ready is None or not ready.is_worth_it():
        return None
    return ready.run(query, key, value)


def tiled_attention_gradient(
    g: Any,
    query: Any,
    key: Any,
    value: Any,
    out: Any,
    sums: Any,
    mask: Any = None,
    *,
    scale: float,
    is_causal: bool,
    dropped: float = 0.0,
    seed: int = 0,
    offset: int = 0,
    held: int = 0,
) -> Any:
    """The gradients by query, key and value; None for what is left to our own kernel, as what it
    computed forward is, and gradients that must not differ from run to run: cuDNN's are summed up
    in any order."""
    if mask is not None or dropped or switches.is_deterministic():
        return None
    ready = _prepared(query, key, value, scale, is_causal)
    if ready is None or ready.forward.plan is None or not g.dtype == out.dtype == query.dtype:
        return None
    found = ready.run_back(g, (query, key, value), out, sums)
    return None if found is None else tuple(found)


def _prepared(query: Any, key: Any, value: Any, scale: float, is_causal: bool) -> Prepared | None:
    where = situation(query.dtype)
    if where is None or not allowed.cudnn:
        return None
    what = (
        query.shape, query.strides, key.shape, key.strides, key.dtype, value.shape, value.strides,
        value.dtype, scale, is_causal, where,
    )  # fmt: skip

    def prepare() -> Prepared | None:
        given = query, key, value
        return Prepared(given, scale, is_causal, where) if _is_fit(*given) else None

    found: Prepared | None = kept(what, prepare)
    return found


def _is_fit(query: Any, key: Any, value: Any) -> bool:
    """Whether cuDNN has code for it, and that is right."""
    functions = library.loaded()
    assert functions is not None
    if functions.version < LEAST_VERSION or functions.version in FAULTY_VERSIONS:
        return False
    widths = query.shape[-1], value.shape[-1]
    return (
        query.ndim >= 2
        and query.shape[:-3] == key.shape[:-3] == value.shape[:-3]
        and key.shape[:-1] == value.shape[:-1]
        and all(w % LANES == 0 and 0 < w <= WIDEST_HEAD for w in widths)
        and query.shape[-2] > 1  # one query at a time is no work for tensor cores
        and all(a.size and a.dtype == query.dtype for a in (query, key, value))
    )
