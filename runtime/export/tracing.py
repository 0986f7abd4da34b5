"""A module or function, traced on example inputs into a graph of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .. import fx
from ..autograd.grad_mode import no_grad
from ..core.tensor import Tensor
from ..jit import tracing
from ..nn import Module, Parameter
from ..random import get_rng_state, set_rng_state
from ..utils import _pytree
from ..utils._pytree import LEAF, TreeSpec
from .merging import Merged, merge
from .reading import current_place, warn_at
from .recording import ExportError, Recording, Reference
from .shapes import given_arguments
from .sizes import OpenDims, resized, revalued, variations
from .state import State

__all__ = ["Traced", "rooted", "trace"]


OTHER_VALUES = 8
"""How many times inputs are given other values until sizes that follow from them change."""

RANDOM = (
    "Export: random numbers are drawn while the model runs. They become constants of the exported "
    "model, the same at each run. Give them as inputs, or export in eval mode."
)


@dataclass
class Traced:
    """A graph of operations: `module` runs it on the flat inputs, and returns flat outputs.

    `inputs` and `outputs` are the shapes of the trees that the traced function takes, as
    (args, kwargs), and returns; None stands for numbers and other fixed arguments. The first
    outputs of the graph are new values of the buffers called `updates`.
    """

    module: fx.GraphModule
    input_names: list[str]
    inputs: TreeSpec
    fixed: list[Any]
    outputs: TreeSpec
    fixed_outputs: list[Any]
    opened: OpenDims
    examples: list[Tensor]
    updates: list[str] = field(default_factory=list)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the traced function gives for arguments of the same kinds."""
        tensors = self.tensors_of(args, kwargs)
        found = iter(self.module(*tensors))
        with no_grad():
            for name in self.updates:
                self.module.get_buffer(name).copy_(next(found))
        values = [next(found) if f is None else f[0] for f in self.fixed_outputs]
        return _pytree.tree_unflatten(values, self.outputs)

    def tensors_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
        """The tensors among the arguments of a call, in the order of `input_names`.

        Raises: TypeError for arguments of another form than the traced ones.
        """
        leaves = list(_leaves_like(self.inputs, (args, kwargs)))
        tensors = [x for x, f in zip(leaves, self.fixed, strict=True) if f is None]
        for name, x in zip(self.input_names, tensors, strict=True):
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"Exported program: expected a tensor as {name}. Got {type(x).__name__}."
                )
        return tensors


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
    those of the parameters. A module runs as in `eval()` unless `keeps_mode`; buffers, arguments
    and the stream of random numbers are afterwards as they were.
    """
    call = _Call(function, args, kwargs or {}, names, warns)
    opening = opened(call.names) if opened else OpenDims([{} for _ in call.examples])
    with _mode(call.root, keeps_mode), no_grad(), tracing():
        first = opening.sizes(call.examples)
        runs = variations(opening, first, lambda sizes: call.run(opening, sizes))
        runs += call.runs_at_other_values(opening, *runs[0])
    values, spec = runs[0][1].values, runs[0][1].spec
    if not any(isinstance(x, Tensor) for x in values):
        raise ExportError(
            f"Export: expected a model that returns tensors. Got {type(values[0]).__name__}."
        )
    merged = Merged([r.recording for _, r in runs], [s for s, _ in runs], opening, call.names)
    merge(merged, [r.results for _, r in runs])
    module = _module_of(merged, call.root)
    module.training = bool(keeps_mode and getattr(call.root, "training", False))
    kept = [None if isinstance(x, Tensor) else (x,) for x in values]
    updates = list(runs[0][1].updates)
    return Traced(
        module, call.names, call.spec, call.fixed, spec, kept, opening, call.examples, updates
    )


@dataclass
class _Run:
    """One run: what was written down, what the function returned, flat, and new values of
    buffers."""

    recording: Recording
    values: list[Any]
    spec: TreeSpec
    references: list[Reference]
    updates: dict[str, Reference]

    @property
    def results(self) -> list[Reference]:
        """What the graph returns."""
        return [*self.updates.values(), *self.references]


class _Call:
    """A function with the arguments that it is traced on."""

    def __init__(
        self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], names: Sequence[str],
        warns: bool,
    ) -> None:  # fmt: skip
        self.function, self.warns = function, warns
        leaves, self.spec = _pytree.tree_flatten((args, kwargs))
        self.fixed = [None if isinstance(x, Tensor) else (x,) for x in leaves]
        self.examples = [x for x in leaves if isinstance(x, Tensor)]
        own = input_names(function, args, kwargs)
        if len(names) > len(own):
            raise ValueError(
                f"Export: expected at most {len(own)} names of inputs, one for each tensor. Got "
                f"{len(names)}: {', '.join(names)}."
            )
        self.names = [*names, *own[len(names) :]]
        self.root = (
            function if isinstance(function, Module) else getattr(function, "__self__", None)
        )

    def runs_at_other_values(
        self, opening: OpenDims, sizes: dict[str, int], first: _Run
    ) -> list[tuple[dict[str, int], _Run]]:
        """Where values decide about sizes, such as how many boxes stay, up to two runs in which
        they are others; none where the model does other things then, or Python looks at values."""
        if not first.recording.value_sizes or first.recording.told:
            return []
        found: list[tuple[dict[str, int], _Run]] = []
        seen = [first.recording.value_sizes]
        for seed in range(OTHER_VALUES):
            try:
                run = self.run(opening, sizes, seed)
            except Exception:  # values that the model does not take, whatever it says
                continue
            is_alike = run.recording.operations == first.recording.operations
            if is_alike and run.recording.value_sizes not in seen:
                seen.append(run.recording.value_sizes)
                found.append((sizes, run))
            if len(found) == 2:
                break
        return found

    def run(self, opening: OpenDims, sizes: dict[str, int], seed: int | None = None) -> _Run:
        """The function on copies of the examples, with these open sizes, and with a seed at other
        values."""
        inputs = resized(self.examples, opening, sizes)
        inputs = inputs if seed is None else revalued(inputs, seed)
        filled = iter(inputs)
        values = [next(filled) if f is None else f[0] for f in self.fixed]
        args, kwargs = _pytree.tree_unflatten(values, self.spec)
        shortens = seed is not None and seed % 2 == 0
        recording = Recording(inputs, _names_of(self.root), self.warns, shortens=shortens)
        state, random = State(self.root), get_rng_state()
        try:
            with recording.running():
                result = self.function(*args, **kwargs)
            found, spec = _pytree.tree_flatten(result)
            references = [recording.reference(x) for x in found if isinstance(x, Tensor)]
            updates = state.updates(recording)
            if self.warns and not (get_rng_state() == random).all():
                warn_at(current_place(), RANDOM)
        finally:
            state.restore()
            set_rng_state(random)
        self.warns = False  # the next runs would say the same
        return _Run(recording, found, spec, references, updates)


def _leaves_like(spec: TreeSpec, tree: Any) -> Iterator[Any]:
    """The leaves of `tree` in the order of `spec`, whose dicts may list their keys in another."""
    if spec.type is None:
        yield tree
        return
    parts, own = _pytree.tree_flatten(tree, is_leaf=lambda x: x is not tree)
    is_dict = isinstance(tree, dict) and isinstance(spec.context, tuple)
    if is_dict and own.type is spec.type and set(tree) == set(spec.context):
        parts = [tree[key] for key in spec.context]
    elif own != TreeSpec(spec.type, spec.context, (LEAF,) * len(spec.children_specs)):
        raise TypeError(
            f"Exported program: expected arguments as in the export, {_form(spec)}. Got "
            f"{_form(own)}."
        )
    for part, child in zip(parts, spec.children_specs, strict=True):
        yield from _leaves_like(child, part)


def _form(spec: TreeSpec) -> str:
    """A tree of arguments in words."""
    if spec.type is None:
        return "a value"
    if issubclass(spec.type, dict) and isinstance(spec.context, tuple):
        return f"a dict of {', '.join(map(str, spec.context)) or 'nothing'}"
    return f"a {spec.type.__name__} of {len(spec.children_specs)}"


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


def input_names(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[str]:
    """Names for the tensors among the arguments: those of the parameters, numbered in trees."""
    found: list[str] = []
    for name, value in given_arguments(function, args, kwargs):
        tensors = [x for x in _pytree.tree_leaves(value) if isinstance(x, Tensor)]
        single = isinstance(value, Tensor)
        found += [name] if single else [f"{name}_{k}" for k in range(len(tensors))]
    return found
