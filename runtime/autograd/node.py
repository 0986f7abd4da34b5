"""Nodes of the backward graph: what an operation leaves behind so that its gradient can be
computed."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.callsite import last_write, shown
from ..core.spec import Spec
from ..core.tensor import Tensor, wrap
from ..errors import GradientError
from . import record

if TYPE_CHECKING:
    from ..core.dispatch import DispatchKey
    from ..ops.operation import Operation

tick = itertools.count(1).__next__
"""Gives each node its place in time. A node is younger than all it leads to, so youngest first is
an order in which every node has its whole gradient before it runs."""


class Node:
    """One step of the backward pass.

    `edges`       the nodes that its gradients go to, one per tensor input; None where none is
    needed
    `saved`       per input the bare array, or its shape where the values are not needed; then the
    output
    `versions`    in-place counters of the saved arrays and their values when saved, alternating
    `attributes`  the operation's keyword values, in the order of its declaration
    `sequence`    the node's place in time
    """

    operation: Operation
    edges: tuple[Any, ...]
    key: DispatchKey
    sequence: int
    saved: Any = None
    versions: tuple[Any, ...] = ()
    attributes: tuple[Any, ...] = ()
    hooks: list[Any] | None = None
    prehooks: list[Callable[..., Any]] | None = None
    outputs: int = 1
    saves_arrays: bool = False
    output_shapes: tuple[tuple[int, ...], ...] | None = None
    result_shape: tuple[int, ...] | None = None  # set when a pass frees what would tell it
    output_edges: dict[int, weakref.ref[OutputEdge]] | None = None
    _metadata: dict[str, Any] | None = None

    alias: str | None = None  # see `named`

    def name(self) -> str:
        """The operation's name as PyTorch would print it, such as `MulBackward0`."""
        if self.alias is not None:
            return self.alias
        naming = self.operation.naming
        return self.operation.node_name if naming is None else naming(self)

    @property
    def metadata(self) -> dict[str, Any]:
        """A dict for observers and users to write to."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """The nodes that gradients go to, each with the number of the output it belongs to."""
        return tuple(
            (None, 0) if e is None else (e.as_target(), getattr(e, "index", 0)) for e in self.edges
        )

    def as_grad_fn(self) -> Any:
        """What a tensor with this edge shows as `grad_fn`."""
        return self

    def as_target(self) -> Any:
        """The node that stands behind this edge."""
        return self

    def register_hook(self, hook: Callable[..., Any]) -> Any:
        """Call `hook(grad_inputs, grad_outputs)` after the node ran; it may return new
        grad_inputs."""
        if self.hooks is None:
            self.hooks = []
        return RemovableHandle(self.hooks, hook)

    def check(self) -> None:
        """Raises: GradientError if what was saved is gone or was changed in place."""
        if self.saved is None:
            raise self._freed()
        versions = self.versions
        for k in range(0, len(versions), 2):
            if versions[k][0] != versions[k + 1] and self.saved[k // 2].__class__ is not tuple:
                raise self._changed(k // 2)

    def release(self, gs: list[Any]) -> None:
        """Let go of what was saved, after a pass in which the outputs had the gradients `gs`."""
        self.saved = None

    def _freed(self) -> GradientError:
        return GradientError(
            f"backward: expected the values saved for {self.name()}. They were freed by an earlier "
            "backward pass through this graph. Pass retain_graph=True to that earlier one."
        )

    def _changed(self, k: int) -> GradientError:
        names = [*self.operation.array_names, "its result"]
        which = names[min(k, len(names) - 1)] if not self.operation.takes_list else f"input {k}"
        version, before = self.versions[2 * k], self.versions[2 * k + 1]
        writer = last_write(version)
        return GradientError(
            f"backward: expected {which} of {self.operation.label} (node {self.name()}) as it was "
            f"in the forward pass. A tensor of shape {tuple(self.saved[k].shape)} was since "
            f"changed in place {version[0] - before} time(s)"
            f"{', last by ' + writer if writer else ''}. Use the out-of-place operation, or "
            f"clone() the tensor before changing it.{self.origin()}"
        )

    def origin(self) -> str:
        """In words, where the node was recorded; empty if that is not known."""
        place = (self._metadata or {}).get("forward_line")
        return "" if place is None else f" The node was recorded at {shown(place)}"

    def apply(self, g: Any) -> Any:
        """Gradients for the edges from the bare gradient `g` (a tuple for several outputs)."""
        if self.saved is None:
            self.check()
        versions = self.versions
        for k in range(0, len(versions), 2):  # what `check` looks for, without its call
            if versions[k][0] != versions[k + 1]:
                self.check()
        vjp = record.compiled_vjp(self, g)
        return vjp(g, self.saved, self.attributes), vjp.fresh

    def apply_recorded(self, g: Any) -> Any:
        """Like `apply` on tensors, by operations that the tape records in their turn."""
        self.check()
        needs = tuple([e is not None for e in self.edges])
        inputs, outputs = self._rewrapped()
        rule = self.operation.vjp_rule
        wirtinger = self.key.dtype.is_complex and self.operation.is_holomorphic
        if wirtinger:  # as in Recording.compile
            g = _conjugate(g)
        attributes = dict(zip(self.operation.attribute_names, self.attributes, strict=True))
        extra = {"out": outputs[0] if self.outputs == 1 else outputs} if outputs else {}
        grads = rule(record.TAPE, g, needs, *inputs, **extra, **attributes)
        grads = grads if isinstance(grads, tuple | list) else (grads,)
        return [_conjugate(x) for x in grads] if wirtinger else grads

    def _rewrapped(self) -> tuple[list[Any], list[Any]]:
        """Saved inputs as tensors on their edges (Specs where only the shape was saved), and
        outputs."""
        count = len(self.edges)
        inputs = [
            self._rewrap(value, edge)
            for value, edge in zip(self.saved[:count], self.edges, strict=True)
        ]
        outputs = []
        for index, array in enumerate(self.saved[count:]):
            edge = self if self.outputs == 1 else OutputEdge.of(self, index)
            is_saved = array.__class__ is not tuple  # only where a gradient that is needed reads it
            outputs.append(wrap(array, self.key.of_array(array), edge) if is_saved else None)
        return ([inputs] if self.operation.takes_list else inputs), outputs

    def _rewrap(self, value: Any, edge: Any) -> Any:
        if value is None:
            return None
        if value.__class__ is tuple:
            return Spec(value, self.key.dtype)
        return wrap(value, self.key.of_array(value), edge)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


def named(result: Any, name: str) -> Any:
    """`result`, a new tensor or several. The node of the first is called `name` + Backward and a
    number from now on: as the one node that PyTorch has where several are here."""
    first = result[0] if isinstance(result, tuple) else result
    edge = getattr(first, "_edge", None)
    node = None if edge is None else edge.as_target()
    if isinstance(node, Node):
        cls = type(node)
        node.__class__ = _renamed.get((cls, name)) or _rename(cls, name)
    return result


_renamed: dict[tuple[type[Node], str], type[Node]] = {}


def _rename(cls: type[Node], name: str) -> type[Node]:
    stem = name.rstrip("0123456789")
    alias = f"{stem}Backward{name[len(stem) :] or 0}"
    made = _renamed[cls, name] = type(alias, (cls,), {"alias": alias})
    return made


def _conjugate(g: Any) -> Any:
    if isinstance(g, list | tuple):
        return [_conjugate(x) for x in g]
    return record.TAPE.conj(g) if g is not None and g.dtype.is_complex else g


class OutputEdge:
    """The edge of one output of a node that has several; collects that output's gradient."""

    __slots__ = ("__weakref__", "hooks", "index", "node", "prehooks", "sequence")

    def __init__(self, node: Node, index: int) -> None:
        self.node = node
        self.index = index
        self.sequence = tick()
        self.prehooks: list[Callable[..., Any]] | None = None
        self.hooks: list[Any] | None = None
        if node.output_edges is None:
            node.output_edges = {}
        node.output_edges[index] = weakref.ref(self)  # the edge holds the node, not the reverse

    @classmethod
    def of(cls, node: Node, index: int) -> OutputEdge:
        """The edge of output `index`: the one in use, for an output has one place where its
        gradient gathers."""
        reference = (node.output_edges or {}).get(index)
        edge = None if reference is None else reference()
        return cls(node, index) if edge is None else edge

    def as_grad_fn(self) -> Node:
        """The node with several outputs."""
        return self.node

    as_target = as_grad_fn


class AccumulateGrad:
    """The edge of a leaf: adds what arrives to the leaf's `grad`.

    It knows its leaf weakly, so that a leaf and its edge make no cycle.
    """

    __slots__ = ("__weakref__", "_variable", "hooks", "post_hooks", "prehooks", "sequence")

    def __init__(self, variable: Tensor) -> None:
        self._variable = weakref.ref(variable)
        self.sequence = tick()
        self.prehooks: list[Callable[..., Any]] | None = None
        self.hooks: list[Any] | None = None
        self.post_hooks: list[Callable[..., Any]] | None = None

    @property
    def variable(self) -> Tensor | None:
        """The leaf, while it lives."""
        return self._variable()

    edges: tuple[Any, ...] = ()
    next_functions: tuple[Any, ...] = ()

    def name(self) -> str:
        """`AccumulateGrad`, whatever the leaf."""
        return "AccumulateGrad"

    def as_grad_fn(self) -> None:
        """A leaf has no grad_fn."""
        return

    def as_target(self) -> AccumulateGrad:
        """The node that stands behind this edge."""
        return self

    def __repr__(self) -> str:
        return f"<AccumulateGrad object at {id(self):#x}>"


class RemovableHandle:
    """Takes a hook out of its list again; as a `with` block, at its end."""

    def __init__(self, hooks: list[Any], hook: Any, prepend: bool = False) -> None:
        self._hooks, self._hook = hooks, hook
        hooks.insert(0 if prepend else len(hooks), hook)

    def remove(self) -> None:
        """Take the hook out once; a second time does nothing."""
        hooks, self._hooks = self._hooks, []
        place = next((k for k, h in enumerate(hooks) if h is self._hook), None)
        if place is not None:
            del hooks[place]

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()
