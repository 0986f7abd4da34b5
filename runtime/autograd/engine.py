"""The backward pass: walks the graph from the youngest node to the oldest.

Nodes are taken from a heap by age, never by recursion, so depth is no limit; each gradient is let
go as soon as its last reader has it. On a first-order pass gradients are bare arrays.
"""

from __future__ import annotations

import heapq
import warnings
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np

from ..backends.layout import laid_like
from ..core import batched, deferral, observers
from ..core.concealed import conceal, concealed_key
from ..core.dispatch import backends, operations
from ..core.sparse_arrays import SparseArray
from ..core.spec import Spec
from ..core.tensor import Tensor, wrap
from ..errors import BatchingError, DeviceError, GradientError, ShapeError
from . import anomaly, completion
from .grad_mode import is_grad_enabled, no_grad, set_grad_enabled
from .node import AccumulateGrad, Node, OutputEdge

__all__ = ["backward", "grad"]


class Pass:
    """One backward pass: the gradients under way and where they finally go."""

    def __init__(
        self, create_graph: bool, retain_graph: bool, wanted: dict[Any, int] | None
    ) -> None:
        self.create_graph = create_graph
        self.retain_graph = retain_graph
        self.wanted = wanted
        self.needed: set[Any] | None = None  # edges that lead to a wanted one; None means all
        self.found: dict[int, Any] = {}
        self.heap: list[tuple[int, Any]] = []
        # edge -> its gradient and whether nobody else can see that memory; for a node of several
        # outputs a list of gradients instead of one
        self.pending: dict[Any, tuple[Any, bool]] = {}
        # How many gradients are still to come to the leaves that are finished at once (see
        # `completion`); they wait in `pending`, not on the heap.
        self.awaited: dict[Any, int] = {}

    def send(self, edge: Any, g: Any, fresh: bool) -> None:
        """Add `g` to what waits for `edge`; `fresh` says that `g` is new memory."""
        waiting = self.pending.get(edge)
        if waiting is None:
            if not self.awaited or edge not in self.awaited:
                heapq.heappush(self.heap, (-edge.sequence, edge))
            self.pending[edge] = g, fresh
        else:
            self.pending[edge] = self._sum(*waiting, g, edge)

    def _sum(self, before: Any, owned: bool, g: Any, edge: Any) -> tuple[Any, bool]:
        if self.create_graph:
            return before + g, False
        if owned and before.__class__ is np.ndarray:
            return np.add(before, g, before), True
        if before.__class__ is Spec:
            return before, False
        if before.__class__ is SparseArray:
            return before + g, True
        key = _key(edge)
        if key is not None and before.__class__ is key.array_class is g.__class__:
            return key.plus(before, g), True
        return before + g, True

    def run(self) -> None:
        """Process edges until none is left."""
        heap, pending = self.heap, self.pending
        following = None
        while following is not None or heap:
            if following is None:
                edge = heapq.heappop(heap)[1]
                g, fresh = pending.pop(edge)
            else:
                edge, g, fresh = following
                following = None
            if edge.prehooks:
                g, fresh = self._run_prehooks(edge, g, fresh)
            if self.wanted is not None:
                if self._capture(edge, g):
                    continue
                fresh = fresh and edge not in self.wanted
            if edge.__class__ is AccumulateGrad:
                if self.wanted is None:
                    self.accumulate(edge, g, fresh, self.create_graph)
            elif edge.__class__ is OutputEdge:
                self._collect(edge, g)
            else:
                following = self._hand_on(edge, *self._run_node(edge, g), fresh)
        for edge in [leaf for leaf in self.awaited if leaf in pending]:
            self._finish(edge)  # some of its gradients were None

    def _finish(self, leaf: AccumulateGrad) -> None:
        """Give an awaited leaf what came for it."""
        del self.awaited[leaf]
        g, fresh = self.pending.pop(leaf)
        if leaf.prehooks:
            g, fresh = self._run_prehooks(leaf, g, fresh)
        self.accumulate(leaf, g, fresh, self.create_graph)

    def _run_node(self, node: Node, g: Any) -> tuple[Any, Any]:
        """The node's gradients, one per edge, and which of them are new memory."""
        if node.output_shapes is not None:
            g = self._with_zeros(node, g)  # a list, as from all nodes of several outputs
        started = 0.0
        if observers.active:
            for observer in observers.active:
                observer.backward_entered(node, (g,) if node.outputs == 1 else tuple(g))
            started = perf_counter()
        freshness: Any = None
        if self.create_graph:
            grads = node.apply_recorded(g)
        else:
            grads, freshness = node.apply(g)
        if observers.active:
            seconds = perf_counter() - started
            for observer in observers.active:
                observer.backward_left(node, grads, seconds)
        if node.hooks:
            grads, freshness = self._run_hooks(node, grads, g), None
        if anomaly.state.enabled:
            anomaly.inspect(node, grads)
        if not self.retain_graph and node.saves_arrays:
            if g.__class__ is list:
                node.release(g)
            else:
                node.saved = None
                node.result_shape = g.shape
        return grads, freshness

    def _hand_on(self, node: Node, grads: Any, freshness: Any, fresh: bool) -> Any:
        """Send `grads` to the node's edges. The one edge that can only be next, since nothing that
        waits is younger, is returned with its gradient instead: most graphs are long chains."""
        needed, direct = self.needed, self.wanted is None and not self.create_graph
        following: Any = None
        for k, edge in enumerate(node.edges):
            if edge is None or (needed is not None and edge not in needed):
                continue
            g = grads[k]
            if g is None:
                continue
            is_fresh = False if not freshness else freshness[k]
            if is_fresh is None:
                is_fresh = fresh
            if edge.__class__ is AccumulateGrad:
                if direct and not (edge.prehooks or edge.post_hooks):
                    self.accumulate(edge, g, is_fresh, False)  # no hook waits for its sum
                else:
                    self.send(edge, g, is_fresh)
                    if edge in self.awaited:
                        self.awaited[edge] -= 1
                        if not self.awaited[edge]:
                            self._finish(edge)
            elif following is None and edge not in self.pending:
                following = edge, g, is_fresh
            else:
                if following is not None and following[0] is edge:
                    self.send(*following)
                    following = None
                self.send(edge, g, is_fresh)
        if following is not None and self.heap and self.heap[0][0] < -following[0].sequence:
            self.send(*following)
            return None
        return following

    def _collect(self, edge: OutputEdge, g: Any) -> None:
        node = edge.node
        if node not in self.pending:
            count = len(node.output_shapes) if node.output_shapes is not None else node.outputs
            self.pending[node] = [None] * count, False
            heapq.heappush(self.heap, (-node.sequence, node))
        self.pending[node][0][edge.index] = g

    def _with_zeros(self, node: Node, slots: list[Any]) -> Any:
        """Zeros for the outputs that no gradient reached."""
        assert node.output_shapes is not None
        like = next(g for g in slots if g is not None)
        zeros = operations["zeros_of"]
        for k, g in enumerate(slots):
            if g is None:
                shape = node.output_shapes[k]
                if self.create_graph:
                    slots[k] = zeros.function(like, shape=shape)
                else:
                    slots[k] = node.key.zeros_of(like, shape=shape)
        return slots

    def accumulate(self, edge: AccumulateGrad, g: Any, fresh: bool, create_graph: bool) -> None:
        """Add `g` to the leaf's `grad`; it is copied unless its memory is new."""
        leaf = edge._variable()
        if leaf is None:
            return
        if create_graph:
            leaf._grad = g if leaf._grad is None else leaf._grad + g
        else:
            key = leaf._key
            if g.__class__ is not key.array_class and g.__class__ is not SparseArray:
                g, fresh = key.as_array(g), True
            if leaf._grad is not None:
                _add_to(leaf, g)
            elif fresh or key.device.type == "meta":
                if g.ndim > 2 and key.device.type == "cuda" and g.__class__ is key.array_class:
                    g = laid_like(g, leaf._array)  # steps go through both together
                leaf._grad = wrap(g, key.of_array(g))
                if g.ndim > 2:  # images, maybe with channels innermost
                    conceal(leaf._grad, leaf._array)
            else:
                leaf._grad = wrap(g.copy(), key.of_array(g))
        if edge.post_hooks:
            with no_grad():
                for hook in list(edge.post_hooks):
                    hook(leaf)

    def _as_tensor(self, g: Any, edge: Any) -> Tensor:
        return g if self.create_graph else wrap_gradient(g, _key(edge))

    def _run_prehooks(self, edge: Any, g: Any, fresh: bool) -> tuple[Any, bool]:
        """Tensor hooks: each may replace the gradient by the tensor it returns."""
        tensor = self._as_tensor(g, edge)
        with set_grad_enabled(self.create_graph):
            for hook in list(edge.prehooks):
                result = hook(tensor)
                if result is not None:
                    tensor = result
        return (tensor, False) if self.create_graph else (tensor._array, False)

    def _run_hooks(self, node: Node, grads: Any, g: Any) -> list[Any]:
        """Node hooks, called with tensors (gradients of inputs, gradients of outputs)."""
        assert node.hooks is not None
        inputs = tuple(None if x is None else self._as_tensor(x, node) for x in grads)
        gs = g if isinstance(g, list | tuple) else (g,)
        outputs = tuple(None if x is None else self._as_tensor(x, node) for x in gs)
        with set_grad_enabled(self.create_graph):
            for hook in list(node.hooks):
                result = hook(inputs, outputs)
                if result is not None:
                    inputs = result if isinstance(result, tuple) else (result,)
        if self.create_graph:
            return list(inputs)
        return [None if x is None else x._array for x in inputs]

    def _capture(self, edge: Any, g: Any) -> bool:
        """Keep `g` if `edge` is wanted; whether the pass ends there."""
        assert self.wanted is not None
        index = self.wanted.get(edge)
        if index is not None:
            self.found[index] = self._as_tensor(g, edge)
        return edge.__class__ is AccumulateGrad


def _key(edge: Any) -> Any:
    if edge.__class__ is AccumulateGrad:
        return edge.variable._key if edge.variable is not None else None
    return edge.node.key if edge.__class__ is OutputEdge else edge.key


def wrap_gradient(g: Any, key: Any) -> Tensor:
    """The bare gradient `g` as a tensor on the device of `key`."""
    if g.__class__ is not key.array_class and g.__class__ is not SparseArray:
        g = key.as_array(g)
    key = key.of_array(g)
    if g.__class__ is np.ndarray and g.ndim > 2 and not g.flags.c_contiguous:
        key = concealed_key(key)  # hooks may ask for a view
    return wrap(g, key)


def _add_to(leaf: Tensor, g: Any) -> None:
    before = leaf._grad
    assert before is not None
    if before._edge is not None or before.is_meta or before._array.dtype != g.dtype:
        leaf._grad = wrap_gradient(before._array + g, leaf._key) if not before.is_meta else before
    else:
        array = before._array
        by_operator = array.__class__ is np.ndarray or array.__class__ is SparseArray
        into = None if by_operator else getattr(leaf._key.plus, "into", None)
        if into is None or not into(array, array, g):
            array += g
        before._writes[0] += 1


def _first_gradient(root: Tensor, given: Tensor | None, create_graph: bool) -> Any:
    if given is None:
        if root.numel() != 1:
            raise GradientError(
                "backward: expected a scalar, or a gradient of the same shape. Got a tensor of "
                "shape "
                f"{tuple(root.shape)} and no gradient. Reduce it first, as in "
                "loss.sum().backward(), or "
                "pass gradient=."
            )
        one = _one(root)
        return wrap(one, root._key) if create_graph else one
    if tuple(given.shape) != tuple(root.shape):
        raise ShapeError(
            f"backward: expected a gradient of shape {tuple(root.shape)}, that of the tensor. Got "
            f"{tuple(given.shape)}."
        )
    if given.device != root.device:
        raise DeviceError(
            f"backward: expected a gradient on {root.device}, as the tensor is. Got one on "
            f"{given.device}. Use gradient.to({str(root.device)!r})."
        )
    return given if create_graph else given._array


def _one(root: Tensor) -> Any:
    """A bare 1 in the shape of `root`, which has one element; the 0-d one is kept with the key."""
    key, shape = root._key, tuple(root.shape)
    if shape:
        return key.ones_of(root._array, shape=shape)
    if key.one is None:
        one = key.ones_of(root._array, shape=())
        if getattr(key.backend, "is_recording", False):
            return one  # which holds no value before the graph is replayed
        key.one = one
    return key.one


def _reach(edges: list[Any], wanted: dict[Any, int]) -> set[Any]:
    """All edges from `edges` on that lead to a wanted one."""
    order: list[Any] = []
    seen = set()
    stack = list(edges)
    while stack:
        edge = stack.pop()
        if edge is not None and edge not in seen:
            seen.add(edge)
            order.append(edge)
            stack.extend([edge.node] if edge.__class__ is OutputEdge else edge.edges)
    needed = set(wanted)
    for edge in sorted(order, key=lambda e: e.sequence):
        below = [edge.node] if edge.__class__ is OutputEdge else edge.edges
        if any(e in needed for e in below if e is not None):
            needed.add(edge)
    return needed


def _kind_of_pass() -> type[Pass]:
    if not getattr(backends["cuda"], "has_choice", False):
        return Pass
    from .placement import PlacedPass  # which is built on this module

    return PlacedPass


def _crosses_levels(roots: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> bool:
    """Whether a gradient is of a vmap that its root is not of."""
    pairs = zip(roots, gradients, strict=True)
    return any(g is not None and g._key.level > root._key.level for root, g in pairs)


def run(
    roots: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: dict[Any, int] | None,
    retain_graph: bool,
    create_graph: bool,
) -> dict[int, Any]:
    """Send `gradients` from `roots` through the graph; returns the gradients of wanted edges."""
    deferral.settle("a backward pass began")  # which adds to gradients in place
    # A gradient from inside a vmap meets arrays from outside: operations know how, rules compiled
    # for the arrays of their node do not.
    by_operations = create_graph or (batched.in_use and _crosses_levels(roots, gradients))
    walk = _kind_of_pass()(by_operations, retain_graph, wanted)
    edges = []
    for root in roots:
        if root._edge is None:
            raise GradientError(
                "backward: expected a tensor that depends on one with requires_grad=True. Got "
                "one of "
                f"shape {tuple(root.shape)} that depends on none"
                + (". Gradients are switched off here (no_grad)." if not is_grad_enabled() else ".")
            )
        edges.append(root._edge)
    watchers: list[completion.Watcher] = []
    if wanted is not None:
        walk.needed = _reach(edges, wanted)
    else:
        walk.awaited, watchers = completion.begin(edges)
    for root, given in zip(roots, gradients, strict=True):
        walk.send(root._edge, _first_gradient(root, given, by_operations), False)
    with np.errstate(all="ignore"):
        if by_operations:
            with set_grad_enabled(create_graph):
                walk.run()
        else:
            walk.run()  # on bare arrays, which no mode concerns
    for watcher in watchers:
        watcher.pass_ended()
    return walk.found


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple | list) else [value]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add to each leaf's `grad` the gradient of `tensors`, weighted by `grad_tensors`.

    `grad_tensors` has the shapes of `tensors` and may be left out for scalars. `inputs` restricts
    which tensors get a `grad`. `create_graph` records the pass, for higher derivatives.
    Raises: GradientError for a graph already freed, a tensor changed in place, or no graph at all.
    """
    if batched.in_use and batched.running():
        raise BatchingError(
            "backward: expected a call outside of vmap. Inside it, gradients of slices have no "
            "place on tensors that all share. Use torch.func.grad or torch.func.vjp."
        )
    roots = _as_list(tensors)
    gradients = [None] * len(roots) if grad_tensors is None else _as_list(grad_tensors)
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        run(roots, gradients, None, retain, create_graph)
        return
    leaves = _as_list(inputs)
    found = run(roots, gradients, _wanted(leaves), retain, create_graph)
    for k, leaf in enumerate(leaves):
        if k in found:
            leaf.grad = found[k] if leaf.grad is None else leaf.grad + found[k]


def _wanted(inputs: list[Tensor]) -> dict[Any, int]:
    for k, tensor in enumerate(inputs):
        if tensor._edge is None:
            raise GradientError(
                f"grad: expected inputs with requires_grad=True. Input {k}, of shape "
                f"{tuple(tensor.shape)}, requires no gradient."
            )
    return {tensor._edge: k for k, tensor in enumerate(inputs)}


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` by `inputs`, one per input, in their shapes; no `grad` is touched.

    `only_inputs` is PyTorch's old word for that, and False is passed over with a warning.

    Raises: GradientError if an input does not enter `outputs` and neither `allow_unused` (gives
    None) nor `materialize_grads` (gives zeros) is set.
    """
    if not only_inputs:
        warnings.warn(
            "grad: only_inputs=False has no effect. Use backward() for all leaves.",
            FutureWarning,
            stacklevel=2,
        )
    if is_grads_batched:
        options = (retain_graph, create_graph, True, allow_unused, False, materialize_grads)
        return _grad_of_rows(outputs, inputs, _as_list(grad_outputs), options)
    roots, leaves = _as_list(outputs), _as_list(inputs)
    gradients = [None] * len(roots) if grad_outputs is None else _as_list(grad_outputs)
    retain = create_graph if retain_graph is None else retain_graph
    found = run(roots, gradients, _wanted(leaves), retain, create_graph)
    edges = _wanted(leaves)
    results = [found.get(edges[leaf._edge]) for leaf in leaves]
    if materialize_grads:
        zeros = operations["zeros_of"].function
        results = [
            zeros(leaf.detach(), shape=tuple(leaf.shape)) if g is None else g
            for g, leaf in zip(results, leaves, strict=True)
        ]
    elif not allow_unused and any(g is None for g in results):
        unused = next(k for k, g in enumerate(results) if g is None)
        raise GradientError(
            f"grad: expected every input to enter the outputs. Input {unused} does not. Pass "
            "allow_unused=True to get None for it, or materialize_grads=True to get zeros."
        )
    return tuple(results)


def _grad_of_rows(
    outputs: Any, inputs: Any, grad_outputs: list[Any], options: tuple[Any, ...]
) -> tuple[Tensor | None, ...]:
    """`grad` for each row of `grad_outputs`, all at once."""
    from ..transforms.batching import vmap  # built on all that is made here

    unused: list[int] = []

    def one_row(*gs: Any) -> Any:
        found = grad(outputs, inputs, gs, *options)
        unused.extend(k for k, g in enumerate(found) if g is None)
        return tuple(g for g in found if g is not None)

    in_dims = tuple(None if g is None else 0 for g in grad_outputs)
    rows = list(vmap(one_row, in_dims)(*grad_outputs))
    for k in unused:
        rows.insert(k, None)
    return tuple(rows)
