"""Who holds what: every block of tensor memory, and the roots that keep it alive.

A *block* is the memory of one array, however many views show it. A *root* is where holding begins:
a variable, `Out[3]`, the last traceback. The walk goes from the roots to the blocks, through
containers, modules, optimizers, closures and backward graphs, and keeps the path it took.
"""

from __future__ import annotations

import gc
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flambeau import Tensor
from flambeau.autograd.node import Node
from flambeau.core.quantized_arrays import QuantizedArray
from flambeau.core.sparse_arrays import SparseArray
from flambeau.nn import Module, Parameter
from flambeau.optim import Optimizer

BUDGET = 2_000_000
"""Objects that one walk looks at; a session with more is shown as far as that reaches."""

SKIPPED = (type, types.ModuleType, types.CodeType, types.BuiltinFunctionType, str, bytes)
"""What leads nowhere, or everywhere."""

ROLES = ("value", "parameters", "buffers", "gradients", "optimizer state", "graph")
"""What a block is to the root that holds it, the most telling first."""


@dataclass
class Block:
    """The memory of one array: `holders` maps a root's name to (role, path) of the first way
    found."""

    nbytes: int
    shape: tuple[int, ...]
    dtype: str
    device: str
    holders: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass
class Root:
    """Where holding begins. `is_pin` says that the session holds it on its own account, so that
    `%free` lets go of it."""

    name: str
    value: Any
    is_pin: bool = False
    cell: int | None = None


@dataclass
class Census:
    """All blocks that were found, and the roots that hold them."""

    roots: list[Root]
    blocks: dict[int, Block]
    is_cut: bool = False

    def held_by(self, root: str) -> list[Block]:
        """The blocks that `root` keeps alive, alone or with others, the largest first."""
        found = [b for b in self.blocks.values() if root in b.holders]
        return sorted(found, key=lambda b: -b.nbytes)

    def only_held_by(self, roots: Iterable[str]) -> int:
        """Bytes that would come back if all of `roots` let go."""
        dropped = set(roots)
        return sum(
            b.nbytes for b in self.blocks.values() if b.holders and b.holders.keys() <= dropped
        )

    @property
    def unclaimed(self) -> list[Block]:
        """Blocks that no root leads to: running code, libraries, or a cycle not yet collected."""
        return [b for b in self.blocks.values() if not b.holders]

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return sum(b.nbytes for b in self.blocks.values())


def census(roots: list[Root], unseen: Iterable[Any] = ()) -> Census:
    """Walk from each of `roots`; nothing is followed into the objects of `unseen`.

    Tensors and graphs that live but are reached from no root are counted too, unclaimed.
    """
    found = Census(roots, dict(living()))
    barred = {id(x) for x in unseen}
    budget = BUDGET
    for root in roots:
        walk = _Walk(found.blocks, root.name, barred, budget)
        walk.run(root.value)
        budget = walk.budget
        found.is_cut = found.is_cut or budget <= 0
    return found


def living() -> Iterator[tuple[int, Block]]:
    """The blocks of all tensors and graphs that the garbage collector knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of foreign objects that are looked at
        for thing in gc.get_objects():
            kind = type(thing)
            if issubclass(kind, Tensor):
                yield from blocks_of(getattr(thing, "_array", None))
            elif issubclass(kind, Node):
                for value in thing.saved or ():
                    yield from blocks_of(value)


def blocks_of(array: Any) -> Iterator[tuple[int, Block]]:
    """The block (or the blocks of a sparse or quantized array) that `array` shows, by the id of its
    owner."""
    if isinstance(array, SparseArray | QuantizedArray):
        for name in array.__slots__:
            yield from blocks_of(getattr(array, name))
        return
    owner = array
    while getattr(owner, "base", None) is not None and hasattr(owner.base, "nbytes"):
        owner = owner.base
    if not getattr(owner, "nbytes", 0) or not hasattr(array, "shape"):
        return
    place: Any = getattr(owner, "device", None)
    device = f"cuda:{place.id}" if hasattr(place, "id") else "cpu"
    if getattr(place, "type", None) == "meta" or type(owner).__name__ == "Spec":
        return
    whole = array.nbytes == owner.nbytes  # else the array is a part, and the memory's shape counts
    shape = tuple(array.shape if whole else getattr(owner, "shape", ()))
    yield id(owner), Block(int(owner.nbytes), shape, str(array.dtype), device)


Step = tuple[Any, str, str]
"""An object still to be looked at, the path to it, its role."""


class _Walk:
    """What one root leads to, the nearest first."""

    def __init__(self, blocks: dict[int, Block], root: str, barred: set[int], budget: int) -> None:
        self.blocks, self.root, self.barred, self.budget = blocks, root, barred, budget
        self.seen: set[int] = set()
        self.queue: deque[Step] = deque()

    def run(self, value: Any) -> None:
        if isinstance(value, types.FrameType):
            self.frame(value, self.root, "value")  # the collector does not know it while it runs
        else:
            self.put(value, self.root, "value")
        while self.queue and self.budget > 0:
            self.budget -= 1
            try:
                self.look(*self.queue.popleft())
            except MemoryError:
                raise
            except Exception:  # a foreign object may raise anything when it is looked at
                continue

    def put(self, value: Any, path: str, role: str) -> None:
        if value is None or isinstance(value, SKIPPED):
            return
        if id(value) in self.seen or id(value) in self.barred:
            return
        if gc.is_tracked(value) or _has_bytes(value):
            self.seen.add(id(value))
            self.queue.append((value, path, role))

    def claim(self, array: Any, path: str, role: str) -> None:
        for key, block in blocks_of(array):
            self.blocks.setdefault(key, block).holders.setdefault(self.root, (role, path))

    def look(self, value: Any, path: str, role: str) -> None:
        for kind, step in _STEPS:
            if isinstance(value, kind):
                step(self, value, path, role)
                return
        if hasattr(value, "nbytes") and hasattr(value, "dtype"):
            self.claim(value, path, role)
        else:
            self.attributes(value, path, role)

    # -- kinds of objects ------------------------------------------------------------------------

    def tensor(self, value: Any, path: str, role: str) -> None:
        if isinstance(value, Parameter) and role == "value":
            role = "parameters"
        self.claim(getattr(value, "_array", None), path, role)
        self.put(value._grad, f"{path}.grad", "gradients")
        self.put(value._base, path, role)
        edge = value._edge
        if edge is not None:
            self.put(edge.as_target(), path, "graph")
        self.plain_attributes(value, path, role)

    def node(self, value: Any, path: str, role: str) -> None:
        label = value.operation.label if hasattr(value, "operation") else value.name()
        for array in value.saved or ():
            self.claim(array, f"graph of {path}, saved by {label}", "graph")
            if not hasattr(array, "nbytes"):
                self.put(array, path, "graph")
        for edge in value.edges:
            if edge is not None:
                self.put(edge.as_target(), path, "graph")
        for name, kept in vars(value).items():
            if name not in _NODE_FIELDS:
                self.put(kept, f"graph of {path}, {label}", "graph")

    def mapping(self, value: Mapping[Any, Any], path: str, role: str) -> None:
        for key, kept in list(value.items()):
            word = repr(key) if isinstance(key, str | int | tuple) else type(key).__name__
            self.put(kept, f"{path}[{word}]", role)
            self.put(key, f"{path}, a key", role)

    def sequence(self, value: Any, path: str, role: str) -> None:
        for k, kept in enumerate(list(value)):
            self.put(kept, f"{path}[{k}]", role)

    def module(self, value: Module, path: str, role: str) -> None:
        for name, kept in vars(value).items():
            if name == "_parameters":
                for key, parameter in kept.items():
                    self.put(parameter, f"{path}.{key}", "parameters")
            elif name == "_buffers":
                for key, buffer in kept.items():
                    self.put(buffer, f"{path}.{key}", "buffers")
            elif name == "_modules":
                for key, child in kept.items():
                    self.put(child, f"{path}.{key}", role)
            else:
                self.put(kept, f"{path}.{name}", role)

    def optimizer(self, value: Optimizer, path: str, role: str) -> None:
        for number, state in enumerate(value.state.values()):
            for key, kept in state.items() if isinstance(state, dict) else ():
                self.put(kept, f"{path}.state[#{number}][{key!r}]", "optimizer state")
        self.seen.add(id(value.state))
        for k, group in enumerate(value.param_groups):
            for n, parameter in enumerate(group["params"]):
                self.put(parameter, f"{path}.param_groups[{k}]['params'][{n}]", "parameters")
        self.attributes(value, path, role)

    def function(self, value: types.FunctionType, path: str, role: str) -> None:
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=False):
            try:
                self.put(cell.cell_contents, f"{path}, closure over {name}", role)
            except ValueError:
                continue  # not filled yet
        for kept in (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()):
            self.put(kept, f"{path}, a default", role)
        self.put(value.__dict__, path, role)

    def method(self, value: types.MethodType, path: str, role: str) -> None:
        self.put(value.__self__, f"{path}.__self__", role)
        self.put(value.__func__, path, role)

    def suspended(self, value: Any, path: str, role: str) -> None:
        frame = value.gi_frame if isinstance(value, types.GeneratorType) else value.cr_frame
        if frame is not None:  # the collector does not know it before it has ended
            self.frame(frame, path, role)

    def frame(self, value: types.FrameType, path: str, role: str) -> None:
        for name, kept in value.f_locals.items():
            self.put(kept, f"{path}, {name} in {value.f_code.co_name}", role)

    def traceback(self, value: types.TracebackType, path: str, role: str) -> None:
        level: types.TracebackType | None = value
        while level is not None:
            frame = level.tb_frame
            if frame.f_code.co_name != "<module>":  # whose locals are the session's
                words = f"{path}, line {level.tb_lineno} of {frame.f_code.co_name}"
                for name, kept in frame.f_locals.items():
                    self.put(kept, f"{words}: {name}", role)
            level = level.tb_next

    def exception(self, value: BaseException, path: str, role: str) -> None:
        self.put(value.__traceback__, path, role)
        self.put(value.__cause__, path, role)
        self.put(value.__context__, path, role)
        self.put(value.args, path, role)

    def attributes(self, value: Any, path: str, role: str) -> None:
        """Named attributes where there are any, else whatever the collector knows."""
        if hasattr(value, "__dict__") or hasattr(type(value), "__slots__"):
            self.plain_attributes(value, path, role)
        else:
            for kept in gc.get_referents(value):
                self.put(kept, path, role)

    def plain_attributes(self, value: Any, path: str, role: str) -> None:
        for name, kept in list(getattr(value, "__dict__", {}).items()):
            if not (isinstance(value, Tensor) and name in _TENSOR_FIELDS):
                self.put(kept, f"{path}.{name}", role)
        for base in type(value).__mro__:
            slots = base.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if not name.startswith("__"):
                    self.put(getattr(value, name, None), f"{path}.{name}", role)


def _has_bytes(value: Any) -> bool:
    try:
        return hasattr(value, "nbytes")
    except Exception:  # as above
        return False


_TENSOR_FIELDS = {"_array", "_key", "_writes", "_edge", "_base", "_views", "_grad"}
_NODE_FIELDS = {"edges", "key", "sequence", "saved", "versions", "attributes", "outputs",
                "output_shapes", "result_shape", "output_edges", "_metadata"}  # fmt: skip

_STEPS: tuple[tuple[Any, Callable[..., None]], ...] = (
    (Tensor, _Walk.tensor),
    (Node, _Walk.node),
    (Mapping, _Walk.mapping),
    ((list, tuple, set, frozenset, deque), _Walk.sequence),
    (Module, _Walk.module),
    (Optimizer, _Walk.optimizer),
    (types.FunctionType, _Walk.function),
    (types.MethodType, _Walk.method),
    ((types.GeneratorType, types.CoroutineType), _Walk.suspended),
    (types.FrameType, _Walk.frame),
    (types.TracebackType, _Walk.traceback),
    (BaseException, _Walk.exception),
)
"""How to go on from an object of each kind; the first that fits counts."""
