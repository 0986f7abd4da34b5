"""Modules as functions of their parameters."""

from __future__ import annotations

from typing import Any

from ..ops.joins import stack


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with the tensors of the dict (or of several) in the place of its own
    parameters and buffers, by name. The module is left as it was.

    With `tie_weights`, a tensor that the module has under several names is replaced under all of
    them. Names that it has not are ignored, unless `strict`, which also wants all of them given.
    Raises: ValueError for names given twice, RuntimeError if strict names do not fit.
    """
    given = _merged(parameter_and_buffer_dicts)
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    if tie_weights:
        given = _tied(given, own)
    if strict and given.keys() != own.keys():
        raise RuntimeError(
            f"functional_call: expected all names of parameters and buffers of "
            f"{type(module).__name__} (strict=True). Unknown: {sorted(given.keys() - own.keys())}; "
            f"missing: {sorted(own.keys() - given.keys())}."
        )
    places = []
    for name, value in given.items():
        if name in own:
            owner_name, _, last = name.rpartition(".")
            owner = module.get_submodule(owner_name)
            registry = owner._parameters if last in owner._parameters else owner._buffers
            places.append((registry, last, registry[last], value))
    for registry, last, _, value in places:
        registry[last] = value
    try:
        positional = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*positional, **(kwargs or {}))
    finally:
        for registry, last, before, _ in places:
            registry[last] = before


def _merged(dicts: Any) -> dict[str, Any]:
    if isinstance(dicts, dict):
        return dict(dicts)
    if not isinstance(dicts, list | tuple) or not all(isinstance(d, dict) for d in dicts):
        raise ValueError(
            "functional_call: expected a dict of names and tensors, or several. Got "
            f"{type(dicts).__name__}."
        )
    found: dict[str, Any] = {}
    for one in dicts:
        twice = found.keys() & one.keys()
        if twice:
            raise ValueError(f"functional_call: {sorted(twice)} came in several dicts.")
        found.update(one)
    return found


def _tied(given: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """`given` with every other name of the tensors that it replaces."""
    names: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names.setdefault(id(tensor), []).append(name)
    found = dict(given)
    for several in names.values():
        chosen = [n for n in several if n in given]
        if len({id(given[n]) for n in chosen}) > 1:
            raise ValueError(
                f"functional_call: expected one tensor for {several}, which are tied. Got several. "
                "Pass tie_weights=False to replace them apart."
            )
        found.update({n: given[chosen[0]] for n in several if chosen})
    return found


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Let all batch normalization in the module `root` use the statistics of the batch only, as
    `vmap` has no place for running ones that differ from slice to slice; returns root."""
    for module in root.modules():
        if hasattr(module, "track_running_stats") and "running_mean" in module._buffers:
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and buffers of several models of one class, each stacked along a new first
    dimension; the parameters as leaves, for `vmap` over `functional_call`.

    Raises: RuntimeError for no models, or such of different classes or modes.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: expected at least one model. Got none.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: expected models of one class.")
    if any(m.training != models[0].training for m in models):
        raise RuntimeError("stack_module_state: expected all models in training, or none.")
    parameters = {}
    for name, first in models[0].named_parameters():
        stacked = stack([dict(m.named_parameters())[name].detach() for m in models])
        parameters[name] = stacked.requires_grad_(first.requires_grad)
    buffers = {
        name: stack([dict(m.named_buffers())[name] for m in models])
        for name, _ in models[0].named_buffers()
    }
    return parameters, buffers
