"""Regions: where operations are put off, and what has them computed after all."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import anomaly
from ..autograd.grad_mode import is_grad_enabled
from ..autograd.graph import saved_tensors_hooks
from ..core import callsite, deferral, observers
from ..core.dispatch import DispatchKey, key_of
from ..core.tensor import Tensor, note_view
from . import prefixes
from .capturing import frozen, is_capturable, lie_plainly
from .graph import Value
from .habits import Habit, sight_of
from .lazy import LazyTensor
from .nodes import CompiledNode

if TYPE_CHECKING:
    from ..core.devices import device
    from ..ops.operation import Operation

LEAST = 16_384
"""Elements of an operand from which on an operation on plain tensors is put off: smaller ones take
less time than it takes to note them."""
MOST_STEPS = 2_000
"""Steps after which a graph is computed, so that endless loops do not fill memory."""


class Pending:
    """Operations that wait, the plain tensors they read, and the lazy ones they make."""

    def __init__(self, region: Region, place: device) -> None:
        self.region = region
        self.prefix = prefixes.first(place)  # which the operations lead to
        self.values: list[Value] = []
        self.tensors: list[Tensor] = []  # the inputs
        self.arrays: list[Any] = []  # what they held; a tensor may be given another array
        self.versions: list[int] = []
        self.edges: list[Any] = []  # of the inputs, None where no gradient is wanted
        self.results: dict[int, weakref.ref[LazyTensor]] = {}  # by number of the value
        self.requiring: set[int] = set()  # numbers of the values that require a gradient
        self.views: dict[int, int] = {}  # the values whose memory others show
        self._inputs: dict[int, Value] = {}  # by id of the tensor

    def value(self, tensor: Tensor) -> Value:
        """What stands for `tensor` in the graph."""
        if tensor.__class__ is LazyTensor and tensor._pending is self:
            return self.values[tensor._number]
        found = self._inputs.get(id(tensor))
        if found is None:
            array, edge = tensor._array, tensor._edge
            self.prefix = self.prefix.input(array, tensor._key.dtype, edge is not None)
            found = self._inputs[id(tensor)] = self.prefix.entry
            self.values.append(found)
            self.tensors.append(tensor)
            self.arrays.append(array)
            self.versions.append(tensor._writes[0])
            self.edges.append(edge)
            if edge is not None:
                self.requiring.add(found.number)
        return found

    def append(
        self, operation: Operation, tensors: list[Any], attributes: dict[str, Any], identity: Any
    ) -> Any:
        """The lazy results of `operation`; `identity` tells its attributes apart."""
        inputs = tuple([None if t is None else self.value(t) for t in tensors])
        recorded = (
            operation.is_differentiable and is_grad_enabled() and self._records(operation, inputs)
        )
        self.prefix = self.prefix.step(operation, inputs, attributes, identity, recorded)
        outs = self.prefix.entry.outputs
        self.values += outs
        key = next(t for t in tensors if t is not None)._key
        results = tuple([self._lazy(value, key, recorded) for value in outs])
        if operation.is_view:
            for value, result in zip(outs, results, strict=True):
                self.views[value.number] = inputs[0].number
                result._writes = tensors[0]._writes
        return results if operation.outputs != 1 else results[0]

    def _records(self, operation: Operation, inputs: tuple[Any, ...]) -> bool:
        """Whether some input that `operation` has a gradient for requires one."""
        for x, p in zip(inputs, operation.arrays, strict=True):
            if x is not None and p.role == "main" and x.number in self.requiring:
                return True
        return False

    def _lazy(self, value: Value, like: DispatchKey, recorded: bool) -> LazyTensor:
        tensor: LazyTensor = object.__new__(LazyTensor)
        requires = recorded and value.dtype.is_floating_point
        key = like if value.dtype is like.dtype else key_of(like.device, value.dtype)
        vars(tensor).update(
            _pending=self, _number=value.number, _shape=value.shape, _strides=value.strides,
            _key=key, _writes=[0], _requires=requires,
        )  # fmt: skip
        if requires:
            self.requiring.add(value.number)
        self.results[value.number] = weakref.ref(tensor)
        return tensor

    def flush(self, reason: str, is_break: bool = False) -> None:
        """Compute what is still wanted, and make its tensors plain ones."""
        if self.region.pending is self:
            self.region.pending = None
        alive = {n: t for n, ref in self.results.items() if (t := ref()) is not None}
        alive = {n: t for n, t in alive.items() if t.__class__ is LazyTensor}
        if not alive:
            return
        alive = {**self._owners(alive), **alive}
        self._require_unchanged()
        outputs = tuple(alive)
        program = self.prefix.program(self, outputs)
        self.region.note(program, reason, is_break)
        self.region.has_gained |= bool(program.forward.loops)
        before = deferral.enter(None)
        try:
            arrays = program.run(self.arrays)
        finally:
            deferral.enter(before)
        for number, tensor in alive.items():
            tensor.become_plain(arrays[number])
        for number in self.views.keys() & alive.keys():
            self._become_view(alive[number], number)
        for stage in program.stages:
            node = CompiledNode.of(self, stage, arrays, alive)
            node.attach([alive[n] for n in stage.wanted])
            for observer in observers.active:
                observer.node_recorded(node)

    def _require_unchanged(self) -> None:
        for tensor, version in zip(self.tensors, self.versions, strict=True):
            if tensor._writes[0] != version:
                raise RuntimeError(
                    "compile: expected the tensors that waiting operations read as they were. One "
                    f"of shape {tuple(tensor.shape)} was changed in place after the compiled "
                    "function had been left by an exception. Compute the result again."
                )

    def _owners(self, alive: dict[int, LazyTensor]) -> dict[int, LazyTensor]:
        """Tensors for memory that several of `alive` show and whose own is gone: what is written to
        one changes the gradients of the others through it."""
        found: dict[int, LazyTensor] = {}
        shown: set[int] = set()
        there = {*alive, *self._input_numbers()}
        for number, view in alive.items():
            root = self._root(number)
            if root in shown and root not in found:
                owner = self._lazy(self.values[root], view._key, root in self.requiring)
                owner._writes = view._writes
                found[root] = owner
            if root not in there:
                shown.add(root)
        return found

    def _input_numbers(self) -> list[int]:
        return [v.number for v in self._inputs.values()]

    def _root(self, number: int) -> int:
        """The number of the value whose memory the value `number` shows: itself, if no view."""
        while number in self.views:
            number = self.views[number]
        return number

    def _become_view(self, tensor: Tensor, number: int) -> None:
        """Let a view know the tensor whose memory it shows, if that is still there."""
        root = self._root(number)
        inputs = self._input_numbers()
        reference = self.results.get(root)
        owner: Tensor | None = reference() if reference else None
        if root in inputs:
            owner = self.tensors[inputs.index(root)]
        if owner is not None:
            owner = owner if owner._base is None else owner._base
            tensor._base = owner
            note_view(owner, tensor)


def _is_packing() -> bool:
    """Whether hooks are to see each tensor that operations save."""
    return any(isinstance(o, saved_tensors_hooks) for o in observers.active)


class Region:
    """A call of a compiled function: what its thread computes meanwhile waits in `pending`."""

    def __init__(self, is_whole: bool = False, record: list[Any] | None = None) -> None:
        self.pending: Pending | None = None
        self.has_gained = False  # whether operations went into one loop
        self.is_whole = is_whole
        self.record = record

    def capture(self, operation: Operation, arguments: dict[str, Any], key: DispatchKey) -> Any:
        """See `core.deferral`."""
        out = self._captured(operation, arguments, key)
        if out is NotImplemented and self.pending is not None:
            for value in arguments.values():
                for x in value if isinstance(value, tuple | list) else (value,):
                    if x.__class__ is LazyTensor:
                        self.flush(f"{operation.label} does not wait")
                        return out
        return out

    def _captured(self, operation: Operation, arguments: dict[str, Any], key: DispatchKey) -> Any:
        if key.level or key.is_concealed or not is_capturable(operation, key):
            return NotImplemented
        if anomaly.state.records or _is_packing():
            return NotImplemented
        tensors = [arguments[n] for n in operation.array_names]
        attributes = {n: arguments[n] for n in operation.attribute_names}
        if getattr(attributes.get("dtype"), "is_complex", False):
            return NotImplemented
        identity = frozen(attributes)
        if identity is None or not self._is_worthwhile(tensors, key):
            return NotImplemented
        if key.device.type != "cpu" and operation.formula is not None and not lie_plainly(tensors):
            return NotImplemented
        if self.pending is None:
            self.pending = Pending(self, key.device)
        pending = self.pending
        out = pending.append(operation, tensors, attributes, identity)
        if pending.prefix.steps >= MOST_STEPS:
            pending.flush("it has many steps")
        return out

    def _is_worthwhile(self, tensors: list[Any], key: DispatchKey) -> bool:
        """Whether some operand is lazy or large, and each is an array as the kernels know it."""
        wanted = False
        for t in tensors:
            if t is None:
                continue
            if t.__class__ is LazyTensor and t._pending is self.pending:
                wanted = True
                continue
            array = t._array
            if array.__class__ is not key.array_class or t._key.is_concealed:
                return False
            wanted = wanted or array.size >= LEAST
        return wanted

    def reads(self, tensor: Tensor) -> bool:
        """See `core.deferral`."""
        if self.pending is None or tensor.__class__ is LazyTensor:
            return self.pending is not None
        array = tensor._array
        if array.__class__ is not np.ndarray:
            return True
        return any(
            t._array.__class__ is not np.ndarray or np.may_share_memory(t._array, array)
            for t in self.pending.tensors
        )

    def may_rename(self, tensor: Tensor) -> bool:
        """See `core.deferral`."""
        if tensor.__class__ is not LazyTensor or tensor._pending is not self.pending:
            return False
        views = tensor._pending.views
        return tensor._number not in views and tensor._number not in views.values()

    def rename(self, tensor: Tensor, result: Tensor, operation: str) -> bool:
        """See `core.deferral`."""
        if not isinstance(tensor, LazyTensor) or not isinstance(result, LazyTensor):
            return False
        pending = result._pending
        is_alike = result._key is tensor._key and result._shape == tensor._shape
        if tensor._pending is not pending or pending is not self.pending or not is_alike:
            return False
        del pending.results[tensor._number]
        tensor._number, tensor._requires = result._number, result._requires
        pending.results[result._number] = weakref.ref(tensor)
        callsite.count_write(tensor._writes, operation)
        return True

    def flush(self, reason: str, is_break: bool = False) -> None:
        """See `core.deferral`."""
        if self.pending is not None:
            self.pending.flush(reason, is_break)

    def note(self, program: Any, reason: str, is_break: bool) -> None:
        """Remember a flush for `explain`. Raises: RuntimeError if there should be none."""
        if not self.is_whole and self.record is None:
            return
        place = callsite.current()
        if self.is_whole and is_break:
            where = "" if place is None else f" at {callsite.shown(place)}"
            raise RuntimeError(
                "compile: expected a function that reads no values, as fullgraph=True says. In "
                f"this one {reason}{where}. Leave fullgraph out."
            )
        if self.record is not None:
            self.record.append((program, reason, place))


def run(
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    is_whole: bool = False,
    record: list[Any] | None = None,
    habit: Habit | None = None,
) -> Any:
    """What `function` returns, all of it computed; its operations wait meanwhile, in the region
    that runs or in one of their own, unless by `habit` none would.

    After an exception nothing more is computed; a lazy tensor that got out computes itself when it
    is read.
    """
    if deferral.state.region is not None:
        return function(*args, **kwargs)
    sight: Any = None
    if habit is not None and not is_whole:
        sight = sight_of(args, kwargs)
        if habit.is_vain(sight):
            return function(*args, **kwargs)
    region = Region(is_whole, record)
    deferral.enter(region)
    try:
        out = function(*args, **kwargs)
        region.flush("the end")
    finally:
        deferral.enter(None)
    if sight is not None and habit is not None:
        habit.learn(sight, region.has_gained)
    return out
