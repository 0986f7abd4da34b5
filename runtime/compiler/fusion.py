"""Which steps of a graph go into one loop.

A group goes over a domain: tensors of one shape seen as rows, the last `depth` dimensions being the
columns. In it a value is `full` (one for each element), `row` (one for each row) or `scalar`; a
group may also end in a sum over all rows, of `columns`, or in a `total`. Reductions make rows of
full values, formulas combine all of them, and only what others read is written to memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..core import dtypes
from ..core.spec import contiguous_strides
from .decompositions import dims_of
from .graph import Graph, Step, Value

LEAST_FUSED = 4_096
"""Elements of a domain from which on a loop beats the calls of kernels that it replaces."""
LEAST_COLUMNS = 16
"""Columns that fill a vector; rows of fewer leave most of its lanes idle."""

REDUCTIONS = {"sum_over": "sum", "mean_over": "mean", "amax": "max", "amin": "min"}
SPREADS_OF_REDUCED = frozenset(["expand_reduced", "expand_mean"])
SPREADS = SPREADS_OF_REDUCED | {"expand_to", "expand_shape"}
FINAL = frozenset(["columns", "total"])
"""Kinds of values that are there when the loop has ended only."""

Shape = tuple[int, ...]


class Group:
    """Steps of one loop over the domain `shape`; `kinds` says what each value that they make is."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.depth: int | None = None  # None as long as any will do
        self.steps: list[Step] = []
        self.kinds: dict[int, str] = {}
        self.real = ""  # the name of the floating-point type

    @property
    def rows_shape(self) -> Shape:
        """The shape of one number a row, with the columns' sizes kept as 1."""
        depth = self.depth or 0
        return self.shape[: len(self.shape) - depth] + (1,) * depth

    @property
    def label(self) -> str:
        """How the loop is called: `fused(add, gelu, ...)`."""
        names = list(dict.fromkeys(s.operation.label for s in self.steps))
        return f"fused({', '.join(names[:8])}{', ...' if len(names) > 8 else ''})"

    def kind_of(self, value: Value) -> str:
        """What `value` is here, made in the loop or not."""
        made = self.kinds.get(value.number)
        if made is not None:
            return made
        if value.size == 1 and math.prod(self.shape) != 1:
            return "scalar"
        if self.depth and value.shape == self.rows_shape:
            return "row"
        return "full"

    def is_of_rows(self, value: Value, depth: int) -> bool:
        """Whether an input of the loop has a number for each row of `depth` dimensions of columns:
        by its sizes of 1 or, without those, as a spread over the last dimensions reads it. Anything
        else sees the same shape along the last dimensions."""
        rows = self.shape[: len(self.shape) - depth]
        if value.shape == rows + (1,) * depth:
            return True
        return value.shape == rows and self.is_read(value, as_rows=True)

    def is_read(self, value: Value, as_rows: bool) -> bool:
        """Whether a step reads `value` as numbers of rows, or in another way."""
        return any(
            value in step.read() and self._reads_rows(step) == as_rows for step in self.steps
        )

    def _reads_rows(self, step: Step) -> bool:
        if step.operation.name not in SPREADS_OF_REDUCED:
            return False
        dims, ndim = _reduced(step, len(self.shape)), len(self.shape)
        return dims == tuple(range(ndim - len(dims), ndim))

    def inputs(self) -> list[Value]:
        """The values from outside that the steps read."""
        found = {v.number: v for s in self.steps for v in s.read() if v.number not in self.kinds}
        return list(found.values())


Unit = Group | Step


class Fusion:
    """The search for groups among `steps`; `is_fit(step)` says which formulas loops can compute,
    `reduces` whether they can compute reductions."""

    def __init__(
        self,
        graph: Graph,
        steps: list[Step],
        is_fit: Callable[[Step], bool],
        reduces: bool = True,
    ) -> None:
        self.graph, self.is_fit, self.reduces = graph, is_fit, reduces
        self.maker: dict[int, Unit] = {}
        self.units: list[Unit] = []
        self.order = {id(step): k for k, step in enumerate(steps)}
        for step in steps:
            self._place(step)
        while self._merges():
            pass

    def _merges(self) -> bool:
        """Whether two groups have become one."""
        groups = [u for u in self.units if isinstance(u, Group)]
        for k, first in enumerate(groups):
            for second in groups[k + 1 :]:
                if first.shape == second.shape and self._are_near(first, second):
                    merged = self._merged(first, second)
                    if merged is not None:
                        self.units[self.units.index(first)] = merged
                        self.units.remove(second)
                        for number in merged.kinds:
                            self.maker[number] = merged
                        return True
        return False

    def _are_near(self, first: Group, second: Group) -> bool:
        """Whether one reads what the other makes, or both read something of their domain's size."""
        a, b = ({v.number for v in g.inputs()} for g in (first, second))
        size = math.prod(first.shape)
        shared = any(self.graph.values[n].size == size for n in a & b)
        return shared or bool(a & second.kinds.keys() or b & first.kinds.keys())

    def _merged(self, first: Group, second: Group) -> Group | None:
        group = Group(first.shape)
        group.depth = first.depth if second.depth is None else second.depth
        both = {**first.kinds, **second.kinds}
        outside = [
            self.maker.get(v.number)
            for g in (first, second)
            for v in g.inputs()
            if v.number not in both
        ]
        if self._leads_to(outside, (first, second)):
            return None
        steps = sorted([*first.steps, *second.steps], key=lambda s: self.order[id(s)])
        return group if all(self._takes(group, step) for step in steps) else None

    def _place(self, step: Step) -> None:
        group = self._joined(step)
        if group is None:
            group = self._founded(step)
        unit: Unit = step if group is None else group
        if unit not in self.units:
            self.units.append(unit)
        for value in step.outputs:
            self.maker[value.number] = unit

    def _joined(self, step: Step) -> Group | None:
        """The group that takes the step, if one does."""
        candidates = [self.maker.get(v.number) for v in step.read()]
        read = {v.number for v in step.read() if v.size > 1}
        siblings = [
            u
            for u in self.units
            if isinstance(u, Group) and any(v.number in read for v in u.inputs())
        ]
        for unit in dict.fromkeys([*candidates, *siblings]):
            if (
                isinstance(unit, Group)
                and not self._is_cycle(unit, step)
                and self._takes(unit, step)
            ):
                return unit
        return None

    def _founded(self, step: Step) -> Group | None:
        """A new group for the step, if it can begin one."""
        values = [*step.read(), *step.outputs]
        shape = max((v.shape for v in values), key=math.prod, default=())
        if math.prod(shape) < max(LEAST_FUSED, 2):  # one number would be of all kinds
            return None
        group = Group(shape)
        return group if self._takes(group, step) else None

    def _is_cycle(self, group: Group, step: Step) -> bool:
        """Whether the step reads what follows from the group outside of it."""
        outside = [self.maker.get(v.number) for v in step.read() if v.number not in group.kinds]
        return self._leads_to(outside, (group,))

    def _leads_to(self, units: list[Unit | None], wanted: tuple[Group, ...]) -> bool:
        """Whether one of `units` is one of `wanted`, or reads what follows from them."""
        waiting, seen = list(units), set()
        while waiting:
            unit = waiting.pop()
            if unit is None or id(unit) in seen:
                continue
            if any(unit is w for w in wanted):
                return True
            seen.add(id(unit))
            read = unit.inputs() if isinstance(unit, Group) else unit.read()
            waiting += [self.maker.get(v.number) for v in read]
        return False

    def _takes(self, group: Group, step: Step) -> bool:
        """Let the group take the step, if its loop can do it."""
        inputs = list(step.read())
        if not inputs or any(group.kinds.get(v.number) in FINAL for v in inputs):
            return False
        if not all(v.is_plain for v in step.outputs):
            return False  # loops write row by row
        reals = {v.dtype.name for v in (*inputs, *step.outputs) if v.dtype.is_floating_point}
        if len(reals) != 1 or not reals <= {group.real or "float32", group.real or "float64"}:
            return False
        depth = group.depth
        found = self._kind(group, step, inputs)
        if found is None:
            group.depth = depth
            return False
        group.real = reals.pop()
        group.steps.append(step)
        group.kinds[step.outputs[0].number] = found
        return True

    def _kind(self, group: Group, step: Step, inputs: list[Value]) -> str | None:
        """What the result is in the group; None if the loop cannot compute it."""
        operation, out = step.operation, step.outputs[0]
        if operation.formula is not None:
            return self._kind_of_formula(group, step, inputs) if self.is_fit(step) else None
        if not self.reduces:
            return None
        if operation.name == "cast" and inputs[0].dtype is dtypes.bool_:
            kind = group.kind_of(inputs[0])
            return kind if (kind == "full") == (out.shape == group.shape) else None
        if not out.dtype.is_floating_point or out.dtype is not inputs[0].dtype:
            return None
        if operation.name in REDUCTIONS:
            return self._kind_of_reduction(group, step, inputs[0])
        if operation.name == "sum_to":
            return self._kind_of_sum(group, inputs[0], out.shape)
        if operation.name in SPREADS and out.shape == group.shape:
            return self._kind_of_spread(group, step, inputs[0])
        return None

    def _kind_of_formula(self, group: Group, step: Step, inputs: list[Value]) -> str | None:
        shape = step.outputs[0].shape
        kinds = [group.kind_of(v) for v in inputs]
        if shape == group.shape:
            for v, kind in zip(inputs, kinds, strict=True):
                is_row = kind == "row" or group.is_read(v, as_rows=True)
                if is_row and len(v.shape) < len(group.shape):
                    return None  # without its sizes of 1 it is seen along other dimensions
            return "full"
        is_of_rows = group.depth is not None and shape == group.rows_shape
        is_of_rows = is_of_rows and any(v.number in group.kinds for v in inputs)
        return "row" if is_of_rows and "full" not in kinds else None

    def _kind_of_reduction(self, group: Group, step: Step, x: Value) -> str | None:
        if x.shape != group.shape:
            return None
        dims, ndim = dims_of(step), len(x.shape)
        name = REDUCTIONS[step.operation.name]
        if len(dims) == ndim and name in ("sum", "mean"):
            return "total"
        if dims == tuple(range(ndim - len(dims), ndim)) and len(dims) < ndim:
            return "row" if self._has_depth(group, len(dims)) else None
        is_of_columns = dims == tuple(range(len(dims))) and name == "sum"
        if is_of_columns and len(dims) < ndim and self._has_depth(group, ndim - len(dims)):
            return "columns"
        return None

    def _kind_of_sum(self, group: Group, x: Value, like: Shape) -> str | None:
        if x.shape != group.shape:
            return None
        if math.prod(like) == 1:
            return "total"
        kept = 0
        while len(like) == len(x.shape) and kept < len(like) and like[-kept - 1] == 1:
            kept += 1
        if kept and like[:-kept] == x.shape[:-kept]:
            return "row" if self._has_depth(group, kept) else None
        sizes = like
        while sizes and sizes[0] == 1:
            sizes = sizes[1:]
        depth = len(sizes)
        if depth < len(x.shape) and sizes == x.shape[-depth:] and self._has_depth(group, depth):
            return "columns"
        return None

    def _kind_of_spread(self, group: Group, step: Step, x: Value) -> str | None:
        made, ndim = group.kinds.get(x.number), len(group.shape)
        if step.operation.name in ("expand_to", "expand_shape"):
            kind = group.kind_of(x)
            is_seen_so = made != "row" or x.shape == group.rows_shape
            return kind if kind in ("row", "scalar") and is_seen_so else None
        dims = _reduced(step, ndim)
        found: str | None = None
        if len(dims) == ndim:
            found = "scalar" if x.size == 1 else None
        elif dims == tuple(range(len(dims))) and made is None:
            is_row = len(x.shape) < ndim and group.is_read(x, as_rows=True)
            found = None if is_row else "full"
        elif dims == tuple(range(ndim - len(dims), ndim)) and self._has_depth(group, len(dims)):
            is_full = len(x.shape) < ndim and group.is_read(x, as_rows=False)
            found = None if is_full else "row"
        return found if made in (None, found) else None

    def _has_depth(self, group: Group, depth: int) -> bool:
        """Whether the columns are, or from now on are, the last `depth` dimensions."""
        if group.depth is None:
            if math.prod(group.shape[-depth:]) < LEAST_COLUMNS:
                return False
            group.depth = depth
        return group.depth == depth

    # -- order -----------------------------------------------------------------------------------

    def ordered(self) -> list[Unit]:
        """The units, each behind those it reads from."""
        found: list[Unit] = []
        state: dict[int, bool] = {}
        for root in self.units:
            stack: list[Unit] = [root]
            while stack:
                unit = stack[-1]
                if state.get(id(unit)):
                    stack.pop()
                    continue
                read = unit.inputs() if isinstance(unit, Group) else unit.read()
                before = [self.maker[v.number] for v in read if v.number in self.maker]
                waiting = [u for u in before if not state.get(id(u))]
                if waiting:
                    stack += waiting
                else:
                    state[id(unit)] = True
                    found.append(stack.pop())
        return found


def _reduced(step: Step, ndim: int) -> Shape:
    """The dimensions of a result that a spread repeats its input along."""
    given = step.attributes["dim"]
    dims = range(ndim) if given is None or given == () else given
    return tuple(sorted(d % ndim for d in ((dims,) if isinstance(dims, int) else dims)))


def settled_depth(group: Group) -> int:
    """How many dimensions are columns: as many as lie in all inputs without gaps, or in none."""
    if group.depth is not None:
        return group.depth
    for depth in range(len(group.shape), 1, -1):
        if all(_is_even(v, group.shape, depth) for v in group.inputs()):
            return depth
    return 1


def _is_even(value: Value, shape: Shape, depth: int) -> bool:
    """Whether the last `depth` dimensions of `shape` are one run of the value's memory, or it has
    one number for them; with all dimensions, whether it has all or one."""
    if value.size == 1:
        return True
    if depth == len(shape):
        return value.shape == shape and value.is_plain
    own = ((1,) * (len(shape) - len(value.shape)) + value.shape)[-depth:]
    if all(n == 1 for n in own):
        return True
    return own == shape[-depth:] and value.strides[-depth:] == contiguous_strides(own)


def is_scattered(value: Value, shape: Shape, depth: int) -> bool:
    """Whether a loop needs the value copied first, since its columns lie apart in memory."""
    return not _is_even(value, shape, depth)
