"""The graph as data: what was computed from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flambeau import Tensor
from flambeau.core.spec import Spec

from ..base import counted
from ..statistics import Statistics, values_of
from .modules import infer_paths, recorded_line, recorded_path

FOLDED = "(module)"  # in the place of a backward node's name
SHOWN_ATTRIBUTES = 48  # characters of all attributes together


@dataclass
class GraphNode:
    """One operation, or one leaf tensor.

    `shape` and `dtype` are of the result; None where a finished backward pass has freed what told
    them. `inputs` are the keys of the nodes it was computed from, `path` the modules it ran in (the
    outermost first), `line` the user's line, `saved` bytes kept for the backward pass, `grad_norm`
    that of a leaf's gradient. A folded node stands for `operations` others, with the leaves that
    only they read: `parameters` elements, and the norm of all their gradients.
    """

    key: int
    label: str
    is_leaf: bool
    backward_name: str
    shape: tuple[int, ...] | None = None
    dtype: str = ""
    device: str = ""
    attributes: str = ""
    inputs: list[int] = field(default_factory=list)
    path: tuple[str, ...] = ()
    line: str = ""
    saved: int = 0
    grad_norm: float | None = None
    operations: int = 1
    parameters: int = 0

    @property
    def is_folded(self) -> bool:
        """Whether this stands for a whole module."""
        return self.backward_name == FOLDED

    @property
    def count(self) -> int:
        """Elements of the result; 0 if the shape is not known."""
        product = 1
        for n in self.shape or ():
            product *= n
        return product if self.shape is not None else 0


@dataclass
class Graph:
    """All that `roots` were computed from, youngest operation first, leaves last.

    Where it was folded, `whole` is what it was before, and `depth` how deep modules are shown.
    """

    roots: list[int]
    nodes: dict[int, GraphNode]
    is_cut: bool = False
    whole: Graph | None = None
    depth: int | None = None

    @property
    def operations(self) -> list[GraphNode]:
        """The nodes that are operations, youngest first."""
        return [n for n in self.nodes.values() if not n.is_leaf]

    @property
    def leaves(self) -> list[GraphNode]:
        """The leaf tensors."""
        return [n for n in self.nodes.values() if n.is_leaf]

    def summary(self) -> str:
        """How large it is, in one line."""
        whole = self.whole or self
        elements = sum(leaf.count for leaf in whole.leaves)
        operations = counted(len(whole.operations), "operation", "operations")
        leaves = counted(len(whole.leaves), "leaf", "leaves")
        text = f"{operations}, {leaves} with {counted(elements, 'element', 'elements')}"
        text += ", cut at the steps asked for" if self.is_cut else ""
        if self.whole is not None:
            text += f", modules folded at depth {self.depth}"
        return text

    def __str__(self) -> str:
        from .text import graph_text

        return graph_text(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _repr_svg_(self) -> str:
        from .svg import graph_svg

        return graph_svg(self)

    def _repr_html_(self) -> str:
        from .folding_html import graph_html

        return graph_html(self)


def graph(
    tensors: Tensor | Sequence[Tensor],
    names: Mapping[int, str] | None = None,
    steps: int | None = None,
) -> Graph:
    """The graph behind `tensors`, with leaves called by `names` (id of a tensor -> its name).

    Names with dots tell the modules that operations ran in, where nobody watched them run. `steps`
    limits the way from the tensors. Raises: ValueError for a tensor that was computed
    from none which requires a gradient.
    """
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    reader = _Reader(names or {}, steps)
    for root in roots:
        if not root.requires_grad:
            raise ValueError(
                f"graph: expected a tensor with a past. Got one of shape {tuple(root.shape)} that "
                "was computed from none which requires a gradient (or under no_grad, or detached)."
            )
        reader.add_root(root)
    return reader.read()


class _Reader:
    """Walks the tape from the roots, without recursion."""

    def __init__(self, names: Mapping[int, str], steps: int | None) -> None:
        self.names, self.steps = names, steps
        self.roots: list[int] = []
        self.found: dict[int, GraphNode] = {}
        self.sequence: dict[int, int] = {}
        self.stack: list[tuple[Any, int]] = []
        self.is_cut = False

    def add_root(self, tensor: Any) -> None:
        """Begin at `tensor`, whose shape is known for sure."""
        target = tensor._edge.as_target()
        node = self._visit(target, 0)
        node.shape = tuple(tensor.shape)
        node.dtype, node.device = _short(tensor.dtype), str(tensor.device)
        if node.key not in self.roots:
            self.roots.append(node.key)

    def read(self) -> Graph:
        """Everything behind the roots."""
        while self.stack:
            target, depth = self.stack.pop()
            self._expand(target, depth)
        order = sorted(self.found.values(), key=lambda n: (n.is_leaf, -self.sequence[n.key]))
        found = Graph(self.roots, {n.key: n for n in order}, self.is_cut)
        if not any(n.path for n in found.operations):
            infer_paths(found)
        return found

    def _visit(self, target: Any, depth: int) -> GraphNode:
        key = id(target)
        if key not in self.found:
            self.found[key] = self._leaf(target) if not target.edges else self._operation(target)
            self.sequence[key] = target.sequence
            if target.edges:
                self.stack.append((target, depth))
        return self.found[key]

    def _expand(self, target: Any, depth: int) -> None:
        if self.steps is not None and depth >= self.steps:
            self.is_cut = True
            return
        node = self.found[id(target)]
        for k, edge in enumerate(target.edges):
            if edge is None:
                continue
            below = self._visit(edge.as_target(), depth + 1)
            node.inputs.append(below.key)
            if below.shape is None:
                below.shape = _saved_shape(target, k)

    def _leaf(self, target: Any) -> GraphNode:
        tensor = getattr(target, "variable", None)
        if tensor is None:
            return GraphNode(id(target), "gone", True, target.name())
        kind = type(tensor).__name__.lower()
        grad = tensor.grad
        values = None if grad is None else values_of(grad)
        return GraphNode(
            id(target),
            self.names.get(id(tensor), f"a {kind} without name"),
            True,
            target.name(),
            tuple(tensor.shape),
            _short(tensor.dtype),
            str(tensor.device),
            grad_norm=None if values is None else Statistics.of(values).norm,
        )

    def _operation(self, target: Any) -> GraphNode:
        operation = getattr(target, "operation", None)
        return GraphNode(
            id(target),
            operation.label if operation is not None else target.name(),
            False,
            target.name(),
            _own_shape(target, operation),
            _short(target.key.dtype),
            str(target.key.device),
            _attributes(target, operation),
            path=recorded_path(target),
            line=recorded_line(target),
            saved=sum(getattr(value, "nbytes", 0) for value in target.saved or ()),
        )


def _short(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _saved_shape(target: Any, k: int) -> tuple[int, ...] | None:
    """The shape of input k, if the node still knows it."""
    saved = target.saved
    if saved is None or k >= len(saved) or saved[k] is None:
        return None
    value = saved[k]
    return tuple(value) if isinstance(value, tuple) else tuple(value.shape)


def _own_shape(target: Any, operation: Any) -> tuple[int, ...] | None:
    """The shape of the result: as a backward pass left it, or by the operation's shape rule if the
    node still knows enough."""
    left = getattr(target, "result_shape", None)
    if left is not None:
        return tuple(left)
    if operation is None or target.saved is None or target.outputs != 1 or operation.takes_list:
        return None
    specs = []
    for value in target.saved[: len(target.edges)]:
        if value is None:
            return None
        shape = value if isinstance(value, tuple) else value.shape
        specs.append(Spec(tuple(shape), target.key.dtype))
    attributes = dict(zip(operation.attribute_names, target.attributes, strict=False))
    try:
        return tuple(operation.rule(*specs, **attributes).shape)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None  # inputs of other dtypes, or attributes the rule has no words for


def _attributes(target: Any, operation: Any) -> str:
    """The attributes worth reading, as `dim=1, keepdim=True`; shapes stand elsewhere."""
    if operation is None or not target.attributes:
        return ""
    defaults = operation.defaults
    text = ""
    for name, value in zip(operation.attribute_names, target.attributes, strict=False):
        plain = isinstance(value, bool | int | float | str | tuple) and name not in (
            "shape",
            "like",
        )
        if plain and not (name in defaults and defaults[name] == value):
            longer = f"{text}{', ' if text else ''}{name}={value!r}"
            if len(longer) > SHOWN_ATTRIBUTES:
                return f"{text}, ..." if text else ""
            text = longer
    return text
