"""Twins of modules, which run in their place: a look changes nothing, and another thread may train
meanwhile."""

from __future__ import annotations

import copy

from flambeau.nn import Module

Twins = dict[Module, Module]


def evaluated(model: Module) -> Module:
    """A twin of the model in evaluation mode."""
    return twins_of(model)[model].eval()


def twins_of(model: Module, own_buffers: bool = False) -> Twins:
    """For each module of `model` one of the same parameters, whose modes and hooks are its own; its
    buffers too, if asked for, as training writes to them."""
    twins: Twins = {}
    _add(model, twins)
    if own_buffers:
        for twin in twins.values():
            for name, buffer in twin._buffers.items():
                twin._buffers[name] = None if buffer is None else buffer.clone()
    return twins


def _add(module: Module, twins: Twins) -> Module:
    if module not in twins:
        twins[module] = twin = module.__new__(type(module))
        for name, value in vars(module).items():
            twin.__dict__[name] = copy.copy(value) if isinstance(value, dict) else value
        twin.__dict__["_hooks"] = {kind: list(hooks) for kind, hooks in module._hooks.items()}
        for name, child in module._modules.items():
            twin._modules[name] = None if child is None else _add(child, twins)
    return twins[module]
