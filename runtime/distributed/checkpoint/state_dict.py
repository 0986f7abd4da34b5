"""State dicts of models whose parameters lie on several processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...autograd.grad_mode import no_grad
from ...core.tensor import Tensor
from ...nn.modules.module import Module
from ...nn.parameter import Parameter
from ..group import get_rank, is_initialized

__all__ = [
    "StateDictOptions", "get_model_state_dict", "get_optimizer_state_dict", "get_state_dict",
    "set_model_state_dict", "set_optimizer_state_dict", "set_state_dict",
]  # fmt: skip


@dataclass
class StateDictOptions:
    """How state dicts are given and taken.

    full_state_dict           whole tensors instead of this process's parts
    cpu_offload               tensors in the CPU's memory; with `full_state_dict`, in the first
                              process alone
    broadcast_from_rank0      whole tensors are taken from the first process
    strict                    names must fit
    """

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False


def full_state_dict(module: Module) -> dict[str, Tensor]:
    """The state dict of `module` with whole tensors; all processes call this."""
    found = module.state_dict(keep_vars=True)
    return {
        name: value.gathered() if _is_part(value) else _detached(value)
        for name, value in found.items()
    }


def _is_part(value: Any) -> bool:
    return getattr(value, "shard_group", None) is not None


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


@no_grad()
def load_full_state_dict(module: Module, state_dict: Any, strict: bool = True) -> Any:
    """Give `module` the whole tensors of `state_dict`, of which parts keep their rows; gives the
    names that are missing and those that are too many.

    Raises: RuntimeError as `Module.load_state_dict`.
    """
    own = module.state_dict(keep_vars=True)
    taken = {}
    for name, value in state_dict.items():
        part = own.get(name)
        taken[name] = part.rows_of(value) if _is_part(part) else value
    return module.load_state_dict(taken, strict=strict)


def get_model_state_dict(
    model: Module, *, submodules: Any = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The parameters and buffers of `model`; all processes call this."""
    options = options or StateDictOptions()
    if options.full_state_dict:
        found = full_state_dict(model)
        if options.cpu_offload and is_initialized() and get_rank() != 0:
            return {}
    else:
        held = model.state_dict(keep_vars=True)
        found = {n: v.like(v) if _is_part(v) else _detached(v) for n, v in held.items()}
    if options.ignore_frozen_params:
        frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
        found = {name: value for name, value in found.items() if name not in frozen}
    if options.cpu_offload:
        found = {n: v.cpu() if isinstance(v, Tensor) else v for n, v in found.items()}
    return found


def set_model_state_dict(
    model: Module, model_state_dict: Any, *, options: StateDictOptions | None = None
) -> Any:
    """Give `model` what `get_model_state_dict` gave with the same options."""
    options = options or StateDictOptions()
    if options.full_state_dict:
        if options.broadcast_from_rank0:
            from ..objects import broadcast_object_list

            held = [model_state_dict if get_rank() == 0 else None]
            broadcast_object_list(held)
            model_state_dict = held[0]
        return load_full_state_dict(model, model_state_dict, options.strict)
    return model.load_state_dict(model_state_dict, strict=options.strict)


def _named(model: Module) -> dict[Parameter, str]:
    return {p: name for name, p in model.named_parameters()}


def _cut_like(parameter: Any, value: Any) -> Any:
    """A state of the parameter's shape is a part as it is."""
    is_part = _is_part(parameter) and isinstance(value, Tensor) and value.shape == parameter.shape
    return parameter.like(value) if is_part and parameter.ndim else value


def get_optimizer_state_dict(
    model: Module, optimizers: Any, *, submodules: Any = None, options: Any = None
) -> dict[str, Any]:
    """The state of one optimizer, or the states of several together, by the parameters' names:
    `{"state": {name: {...}}, "param_groups": [{"params": [name, ...], ...}]}`."""
    names = _named(model)
    found: dict[str, Any] = {"state": {}, "param_groups": []}
    for optimizer in optimizers if isinstance(optimizers, list | tuple) else [optimizers]:
        for parameter, state in optimizer.state.items():
            found["state"][names[parameter]] = {
                key: _cut_like(parameter, value) for key, value in state.items()
            }
        for group in optimizer.param_groups:
            kept = {key: value for key, value in group.items() if key != "params"}
            found["param_groups"].append({**kept, "params": [names[p] for p in group["params"]]})
    return found


def set_optimizer_state_dict(
    model: Module, optimizers: Any, optim_state_dict: Any, *, options: Any = None
) -> None:
    """Give optimizers what `get_optimizer_state_dict` gave.

    Raises: ValueError for another number of parameter groups.
    """
    groups = iter(optim_state_dict["param_groups"])
    names = _named(model)
    for optimizer in optimizers if isinstance(optimizers, list | tuple) else [optimizers]:
        numbers: dict[str, int] = {}
        made = []
        for group in optimizer.param_groups:
            given = next(groups, None)
            if given is None:
                raise ValueError("set_optimizer_state_dict: expected more parameter groups.")
            for parameter in group["params"]:
                numbers[names[parameter]] = len(numbers)
            kept = {key: value for key, value in given.items() if key != "params"}
            made.append({**kept, "params": [numbers[names[p]] for p in group["params"]]})
        state = {
            numbers[name]: value
            for name, value in optim_state_dict["state"].items()
            if name in numbers
        }
        optimizer.load_state_dict({"state": state, "param_groups": made})


def get_state_dict(
    model: Module, optimizers: Any, *, submodules: Any = None, options: Any = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state dicts of the model and of its optimizers."""
    return (
        get_model_state_dict(model, options=options),
        get_optimizer_state_dict(model, optimizers, options=options),
    )


def set_state_dict(
    model: Module,
    optimizers: Any,
    *,
    model_state_dict: Any,
    optim_state_dict: Any,
    options: Any = None,
) -> Any:
    """Give the model and its optimizers what `get_state_dict` gave."""
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return set_model_state_dict(model, model_state_dict, options=options)
