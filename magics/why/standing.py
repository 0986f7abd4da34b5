"""Why a gradient is what it is, from what can be seen of a tensor without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flambeau import Tensor

from ..base import joined, shape_text
from ..source import line_at
from ..statistics import Statistics, values_of
from .history import Suspect, last_binding, suspects

LIMIT = 4  # suspect lines that are shown


def explain(
    tensor: Tensor, name: str, namespace: Mapping[str, Any], cells: Sequence[str]
) -> list[str]:
    """Lines that say why the gradient of `tensor`, called `name`, is None, zero or as it is."""
    if tensor.grad is not None:
        return _of_gradient(tensor, name)
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return [
            f"{name}.grad is None: {tensor.dtype} has no gradients. Make it floating-point "
            "first, by .float()."
        ]
    root = name.partition(".")[0].partition("[")[0]
    if not tensor.requires_grad:
        return _of_constant(tensor, name, root, cells)
    if not tensor.is_leaf:
        return _of_intermediate(tensor, name, root, cells)
    return _of_leaf(tensor, name, root, namespace, cells)


def _of_gradient(tensor: Tensor, name: str) -> list[str]:
    grad = tensor.grad
    assert grad is not None
    if not state(tensor, name).endswith("all zero."):
        return [state(tensor, name)]
    if len(grad._writes) > 1 and grad._writes[1] in ("zero_", "fill_"):
        _, operation, place = grad._writes
        at = f" by {operation} at {line_at(*place)}" if place is not None else f" by {operation}"
        return [f"{name}.grad is all zero because it was set so after the backward pass,{at}"]
    return [
        f"{name}.grad is all zero: a backward pass reached {name}, and zero came out. Put "
        f"%%why {name}.grad on top of the cell that runs it, to see where the gradient dies."
    ]


def state(tensor: Tensor, name: str) -> str:
    """What the gradient is, in a sentence without reasons."""
    grad = tensor.grad
    if grad is None:
        return f"{name}.grad is None."
    if grad.is_meta:
        return f"{name}.grad is there: {shape_text(grad.shape)}, on meta."
    found = Statistics.of(values_of(grad))
    if found.zeros == 1.0:
        return f"{name}.grad is all zero."
    trouble = f", with {found.trouble()}" if found.trouble() else ""
    return f"{name}.grad is there: {shape_text(grad.shape)} of norm {found.norm:.4g}{trouble}."


def _of_constant(tensor: Tensor, name: str, root: str, cells: Sequence[str]) -> list[str]:
    kind = type(tensor).__name__
    lines = [f"{name}.grad is None: {name} requires no gradient."]
    if kind == "Parameter":
        return [*lines, f"The parameter is frozen; {name}.requires_grad_() thaws it."]
    bound = last_binding(cells, root)
    if bound is not None:
        lines.append(f"It was made in In [{bound.cell}] line {bound.line}: {bound.text}")
        makers = [s for s in suspects(cells, root) if (s.cell, s.line) == (bound.cell, bound.line)]
        cut = next((s.reason for s in makers), _cut_in(bound))
        if cut:
            return [*lines, f"There its past ends: {cut}."]
    return [*lines, f"Call {name}.requires_grad_() before the forward pass."]


def _cut_in(bound: Suspect) -> str:
    from .history import CUTS

    words = {f".{word}": reason for word, reason in CUTS.items()}
    return next((reason for word, reason in words.items() if word in bound.text), "")


def _of_intermediate(tensor: Tensor, name: str, root: str, cells: Sequence[str]) -> list[str]:
    lines = [
        f"{name}.grad is None: {name} is not a leaf but the result of {tensor.grad_fn.name()}, and "
        "gradients of intermediate results are not kept."
    ]
    bound = last_binding(cells, root)
    if bound is not None:
        lines.append(f"It was computed in In [{bound.cell}] line {bound.line}: {bound.text}")
    return [
        *lines,
        f"Call {name}.retain_grad() before backward(). Or, if {name} was meant as a leaf, make it "
        "one at the end: requires_grad_() after the last operation on it.",
    ]


def _of_leaf(
    tensor: Tensor, name: str, root: str, namespace: Mapping[str, Any], cells: Sequence[str]
) -> list[str]:
    reaching, others, constants = _results(tensor, namespace)
    start = f"{name}.grad is None: "
    done = [n for n, is_freed in reaching.items() if is_freed]
    if done:
        return [
            f"{start}the backward pass of {joined(done)} has run through {name}, and the gradient "
            "was cleared since, by zero_grad() or .grad = None; or autograd.grad() returned it "
            "instead."
        ]
    scalars = [n for n in (*others, *constants) if namespace[n].ndim == 0]
    if reaching and not (scalars and all(namespace[n].ndim for n in reaching)):
        names = list(reaching)
        return [f"{start}no backward pass has run. {joined(names)} would reach it: "
                f"{names[-1]}.backward()."]  # fmt: skip
    lines = [f"{start}no loss of the session was computed from {name} on a recorded path."]
    if constants:
        lines.append(f"{joined(constants)} requires no gradient at all: its past was cut.")
    elif others:
        lines.append(f"The graph behind {joined(others)} does not lead to {name}.")
    found = suspects(cells, root, constants or others)
    if found:
        lines += ["Lines that cut the path:", *(f"  {s}" for s in found[:LIMIT])]
    lines.append(f"To see it happen, put %%why {name}.grad on top of the cell that computes it.")
    return lines


def _results(
    leaf: Tensor, namespace: Mapping[str, Any]
) -> tuple[dict[str, bool], list[str], list[str]]:
    """Names of scalars (else of all tensors) whose graph leads to `leaf`, with whether a backward
    pass has freed it; of those whose graph does not; and of scalars without a graph."""
    reaching: dict[str, bool] = {}
    others, constants = [], []
    for name, value in list(namespace.items()):
        if name.startswith("_") or not isinstance(value, Tensor) or value is leaf:
            continue
        if value.grad_fn is None:
            if value.ndim == 0 and value.is_floating_point() and not value.requires_grad:
                constants.append(name)
            continue
        leads, freed = _leads_to(value.grad_fn, leaf)
        if leads:
            reaching[name] = freed
        else:
            others.append(name)
    scalars = {n: freed for n, freed in reaching.items() if namespace[n].ndim == 0}
    return scalars or reaching, others, constants


def _leads_to(node: Any, leaf: Tensor) -> tuple[bool, bool]:
    """Whether the graph behind `node` has `leaf`, and whether a backward pass has freed it."""
    leads = freed = False
    for found in nodes_behind(node):
        if getattr(found, "variable", None) is leaf:
            leads = True
        elif getattr(found, "saves_arrays", False) and found.saved is None:
            freed = True
    return leads, freed


def nodes_behind(node: Any) -> Iterator[Any]:
    """Every node of the graph behind `node`, itself first."""
    seen, stack = {id(node)}, [node]
    while stack:
        current = stack.pop()
        yield current
        for edge in current.edges:
            if edge is not None and id(edge.as_target()) not in seen:
                seen.add(id(edge.as_target()))
                stack.append(edge.as_target())
