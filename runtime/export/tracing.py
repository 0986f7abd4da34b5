"""A module or function, traced on example inputs into a graph of operations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .. import fx
from ..autograd.grad_mode import no_grad
from ..core.tensor import Tensor
from ..jit import tracing
from ..nn import Module, Parameter
from ..random import get_rng_state
from ..utils import _pytree
from .merging import Merged, merge
from .recording import ExportError, Recording, current_place, warn_at
from .sizes import OpenDims, resized, variations

__all__ = ["Traced", "rooted", "trace"]


RANDOM = (
    "Export: random numbers are drawn while the model runs. They become constants of the exported "
    "model, the same at each run. Give them as inputs, or export in eval mode."
)


@dataclass
class Traced:
    """A graph of operations: `module` runs it on the flat inputs, and returns flat outputs.

    `inputs` and `outputs` are the shapes of the trees that the traced function takes, as
    (args, kwargs), and returns; None stands for numbers and other fixed arguments.
    """

    module: fx.GraphModule
    input_names: list[str]
    inputs: _pytree.TreeSpec
    fixed: list[Any]
    outputs: _pytree.TreeSpec
    fixed_outputs: list[Any]
    opened: OpenDims
    examples: list[Tensor]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the traced function gives for arguments of the same kinds."""
        leaves, spec = _pytree.tree_flatten((args, kwargs))
        if spec != self.inputs:
            raise TypeError(
                f"Exported program: expected arguments as in the export, {len(self.fixed)} in "
                f"all. Got {len(leaves)} in another form."
            )
        tensors = [x for x, f in zip(leaves, self.fixed, strict=True) if f is None]
        found = iter(self.module(*tensors))
        values = [next(found) if f is None else f[0] for f in self.fixed_outputs]
        return _pytree.tree_unflatten(values, self.outputs)


def trace(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    opened: Callable[[list[str]], OpenDims] | None = None,
    names: Sequence[str] = (),
    keeps_mode: bool = False,
    warns: bool = True,
) -> Traced:
    """Run `function`, a module or not, on the arguments, at several sizes if dimensions are open.

    `opened` gives the open dimensions for the names of the tensor inputs, which are `names` or
    those of the parameters. A module runs as in `eval()` unless `keeps_mode`.
    """
    kwargs = kwargs or {}
    leaves, spec = _pytree.tree_flatten((args, kwargs))
    fixed = [None if isinstance(x, Tensor) else (x,) for x in leaves]
    examples = [x for x in leaves if isinstance(x, Tensor)]
    found_names = [*names, *_input_names(function, args, kwargs)[len(names) :]]
    opening = opened(found_names) if opened else OpenDims([{} for _ in examples])
    root = function if isinstance(function, Module) else getattr(function, "__self__", None)
    outputs: list[Any] = []

    def run(sizes: dict[str, int]) -> Any:
        inputs = resized(examples, opening, sizes)
        filled = iter(inputs)
        values = [next(filled) if f is None else f[0] for f in fixed]
        given, keywords = _pytree.tree_unflatten(values, spec)
        recording = Recording(inputs, _names_of(root), warns and not outputs)
        before = get_rng_state()
        with recording.running():
            result = function(*given, **keywords)
        if recording.warns and not (get_rng_state() == before).all():
            warn_at(current_place(), RANDOM)
        found, out_spec = _pytree.tree_flatten(result)
        outputs.append((found, out_spec))
        references = [recording.reference(x) for x in found if isinstance(x, Tensor)]
        return recording, references

    with _mode(root, keeps_mode), no_grad(), tracing():
        first = opening.sizes(examples)
        runs = variations(opening, first, run) if first else [(first, run(first))]
    values, out_spec = outputs[0]
    if not any(isinstance(x, Tensor) for x in values):
        raise ExportError(
            f"Export: expected a model that returns tensors. Got {type(values[0]).__name__}."
        )
    recordings = [recording for _, (recording, _) in runs]
    merged = Merged(recordings, [s for s, _ in runs], opening, found_names)
    merge(merged, [refs for _, (_, refs) in runs])
    module = _module_of(merged, root)
    module.training = bool(keeps_mode and getattr(root, "training", False))
    kept = [None if isinstance(x, Tensor) else (x,) for x in values]
    return Traced(module, found_names, spec, fixed, out_spec, kept, opening, examples)


def _module_of(merged: Merged, root: Any) -> fx.GraphModule:
    """The module that runs the merged graph, with those of the attributes as parameters that are
    such of `root`."""
    merged.graph.eliminate_dead_code()
    own = {id(p) for p in root.parameters()} if isinstance(root, Module) else set()
    parameters = {path for path, t in merged.attributes.items() if id(t) in own}
    return fx.GraphModule(rooted(merged.attributes, parameters), merged.graph)


@contextmanager
def _mode(root: Any, keeps: bool) -> Iterator[None]:
    """In this block the module is as in `eval()`; each submodule gets its own mode back."""
    modules = list(root.modules()) if isinstance(root, Module) and not keeps else []
    before = [m.training for m in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, mode in zip(modules, before, strict=True):
            module.training = mode


def _names_of(root: Any) -> dict[int, str]:
    if not isinstance(root, Module):
        return {}
    tensors = [*root.named_buffers(), *root.named_parameters()]
    return {id(t): name for name, t in tensors}


def rooted(attributes: dict[str, Any], parameters: set[str]) -> Module:
    """A module that holds what a graph reads, under its names, some of it as parameters."""
    holder = Module()
    for path, tensor in attributes.items():
        *parents, name = path.split(".")
        here = holder
        for part in parents:
            if part not in here._modules:
                here.add_module(part, Module())
            here = here._modules[part]  # type: ignore[assignment]
        if path in parameters:
            is_new = not isinstance(tensor, Parameter)
            here.register_parameter(name, Parameter(tensor) if is_new else tensor)
        else:
            here.register_buffer(name, tensor)
    return holder


def _input_names(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[str]:
    """Names for the tensors among the arguments: those of the parameters, numbered in trees."""
    called = function.forward if isinstance(function, Module) else function
    try:
        bound = inspect.signature(called).bind(*args, **kwargs)
    except (TypeError, ValueError):
        given = [(f"input_{k}", a) for k, a in enumerate(args)] + list(kwargs.items())
    else:
        given = list(bound.arguments.items())
    found: list[str] = []
    for name, value in given:
        tensors = [x for x in _pytree.tree_leaves(value) if isinstance(x, Tensor)]
        single = isinstance(value, Tensor)
        found += [name] if single else [f"{name}_{k}" for k in range(len(tensors))]
    return found
