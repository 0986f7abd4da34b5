"""The base of all optimizers: parameter groups, state, their saving, and the frame of a step."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import wraps
from itertools import count
from time import perf_counter
from typing import Any

from ..autograd.grad_mode import enable_grad
from ..autograd.node import RemovableHandle
from ..core import callsite, deferral, observers, sparse_arrays
from ..core.tensor import Tensor
from .options import required
from .sparse_gradients import step_sparse

__all__ = [
    "Optimizer",
    "ParamsT",
    "register_optimizer_step_post_hook",
    "register_optimizer_step_pre_hook",
    "required",
]

ParamsT = Iterable[Tensor] | Iterable[dict[str, Any]] | Iterable[tuple[str, Tensor]]
"""What optimizers are made for: tensors, groups, or names with their tensors."""

Group = dict[str, Any]
Hooks = list[Callable[..., Any]]

_pre_hooks_of_all: Hooks = []
_post_hooks_of_all: Hooks = []


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before each step of every optimizer.

    `args` begins with the optimizer. A hook that returns (args, kwargs) changes what `step` gets.
    """
    return RemovableHandle(_pre_hooks_of_all, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after each step of every optimizer."""
    return RemovableHandle(_post_hooks_of_all, hook)


def _framed(step: Callable[..., Any]) -> Callable[..., Any]:
    """`step` between its hooks, seen by observers. A step that calls its parent's is one step."""

    @wraps(step)
    def framed(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if self._is_stepping:
            return step(self, *args, **kwargs)
        given: tuple[Any, ...] = (self, *args)
        hooks = vars(self).get("_hooks", {})  # a wrapper of another optimizer may have none
        for hook in (*_pre_hooks_of_all, *hooks.get("step_pre", ())):
            changed = hook(self, given, kwargs)
            if changed is not None:
                given, kwargs = _changed_arguments(changed)
        self._opt_called = self._is_stepping = True
        try:
            result = _observed(self, step, given, kwargs)
        finally:
            self._is_stepping = False
        for hook in (*hooks.get("step_post", ()), *_post_hooks_of_all):
            hook(self, given, kwargs)
        return result

    framed.is_framed = True  # type: ignore[attr-defined]
    return framed


def _changed_arguments(changed: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if not isinstance(changed, tuple) or len(changed) != 2:
        raise RuntimeError(
            f"step: expected a pre-hook to return None or (args, kwargs). Got {changed!r}."
        )
    return changed


def _observed(optimizer: Optimizer, step: Any, args: Any, kwargs: Any) -> Any:
    if not observers.active:
        return step(*args, **kwargs)
    for observer in observers.active:
        observer.step_started(optimizer)
    optimizer._closure_seconds = 0.0
    started = perf_counter()
    result = step(*args, **kwargs)
    seconds = perf_counter() - started - optimizer._closure_seconds
    for observer in observers.active:
        observer.step_done(optimizer, seconds)
    return result


class Optimizer:
    """Changes parameters by their gradients.

    `params` is an iterable of tensors, of (name, tensor) pairs, or of dicts: groups with options of
    their own. `defaults` are the options of groups that don't say otherwise. A subclass defines
    `step(closure=None)`; ours give `update(group, parameters)`, which the `step` here calls.

    Raises: TypeError or ValueError for what is no leaf tensor, or is in two groups.
    """

    takes_sparse_gradients = False  # whether `update` does; else see `sparse_gradients`
    _opt_called = False  # whether a step was made, since the first schedule if there is one
    _is_scheduled = False
    _is_stepping = False
    _closure_seconds = 0.0  # spent in the closure of the present step, no part of the step itself

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "step" in vars(cls):
            cls.step = _framed(vars(cls)["step"])  # type: ignore[method-assign]

    def __init__(self, params: ParamsT, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "Expected an iterable of tensors or groups. Got one tensor. Use [tensor] or "
                "model.parameters()."
            )
        self.defaults = defaults
        self.state: defaultdict[Any, Any] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._hooks: defaultdict[str, Hooks] = defaultdict(list)
        groups: list[Any] = list(params)
        if not groups:
            raise ValueError("Expected at least one parameter. Got an empty list.")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters; options it lacks are the optimizer's defaults.

        Raises: TypeError or ValueError for what is no leaf tensor or is in another group, for a set
        (its order changes from run to run), for groups of which only some have names.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"Expected a group as a dict. Got {type(param_group).__name__}.")
        _separate_names(param_group)
        leaves_only = not self.defaults.get("differentiable")
        for p in param_group["params"]:
            _require_parameter(p, leaves_only)
        for name, value in self.defaults.items():
            if value is required and name not in param_group:
                raise ValueError(f"Expected the option {name!r} in each group. Got none in one.")
            param_group.setdefault(name, value)
        identities = {id(p) for p in param_group["params"]}
        if len(identities) < len(param_group["params"]):
            warnings.warn(
                "Got a group with the same parameter twice; each step will change it twice.",
                stacklevel=3,
            )
        for group in self.param_groups:
            if ("param_names" in group) != ("param_names" in param_group):
                raise ValueError("Expected names in all groups or in none. Got both kinds.")
            if any(id(p) in identities for p in group["params"]):
                raise ValueError("Expected each parameter in one group. Got one that is in two.")
        self.param_groups.append(param_group)

    # -- a step ----------------------------------------------------------------------------------

    @_framed
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters once; with a `closure` that recomputes the loss, return that
        loss."""
        loss = None if closure is None else self._evaluated(closure)
        deferral.settle("an optimizer stepped")
        for group in self.param_groups:
            given = [p for p in group["params"] if p._grad is not None]
            rest = step_sparse(self, group, given) if sparse_arrays.in_use else given
            self.update(group, rest)
            self._count_writes(given)
        return loss

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        """Change `parameters`, which have gradients, by the rule and the group's options."""
        raise NotImplementedError(f"{type(self).__name__} gives no update rule.")

    def _evaluated(self, closure: Callable[[], Any]) -> Any:
        """What `closure` returns, run with gradients whatever the caller's mode."""
        started = perf_counter()
        with enable_grad():
            loss = closure()
        self._closure_seconds += perf_counter() - started
        return loss

    def _expect_steps(self) -> None:
        """A schedule begins: from the first one on, steps are to come before those of schedules."""
        if not self._is_scheduled:
            self._is_scheduled, self._opt_called = True, False

    def _count_writes(self, parameters: list[Tensor]) -> None:
        """Let backward know that the arrays of `parameters` were written (see `count_write`)."""
        name, place = f"{type(self).__name__}.step", callsite.current()
        for p in parameters:
            writes = p._writes
            writes[:] = writes[0] + 1, name, place

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to 0."""
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    if set_to_none:
                        p._grad = None
                    else:
                        p._grad.detach_().zero_()

    # -- hooks -----------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step, before its closure.

        `args` begins with the optimizer. A hook that returns (args, kwargs) changes what `step`
        gets.
        """
        return RemovableHandle(self._hooks["step_pre"], hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return RemovableHandle(self._hooks["step_post"], hook)

    def register_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` before `state_dict()`, first of all hooks with `prepend`."""
        return RemovableHandle(self._hooks["state_dict_pre"], hook, prepend)

    def register_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` on the result of `state_dict()`; what it returns, if
        not None, takes the result's place."""
        return RemovableHandle(self._hooks["state_dict_post"], hook, prepend)

    def register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer, state_dict)` before loading, on a shallow copy; what it returns, if
        not None, is loaded instead."""
        return RemovableHandle(self._hooks["load_state_dict_pre"], hook, prepend)

    def register_load_state_dict_post_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(optimizer)` after `load_state_dict`."""
        return RemovableHandle(self._hooks["load_state_dict_post"], hook, prepend)

    # -- saving ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """State and groups in PyTorch's form, parameters replaced by their numbers."""
        for hook in self._hooks["state_dict_pre"]:
            hook(self)
        places = count()
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers.setdefault(id(p), next(places)) for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(k)] if isinstance(k, Tensor) else k: v for k, v in self.state.items()}
        result: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._hooks["state_dict_post"]:
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` gave, here or in PyTorch.

        Tensors are copied to the device and dtype of their parameter; counters stay as they are.
        Options that the loaded groups lack keep the optimizer's defaults.

        Raises: ValueError if groups or their sizes differ from this optimizer's.
        """
        state_dict = dict(state_dict)
        for hook in self._hooks["load_state_dict_pre"]:
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved = state_dict["param_groups"]
        ours = [len(g["params"]) for g in self.param_groups]
        theirs = [len(g["params"]) for g in saved]
        if ours != theirs:
            raise ValueError(
                f"load_state_dict: expected groups of {ours} parameters. Got groups of {theirs}."
            )
        by_number: dict[Any, Tensor] = {}
        for group, loaded in zip(self.param_groups, saved, strict=True):
            by_number.update(zip(loaded["params"], group["params"], strict=True))
        state: defaultdict[Any, Any] = defaultdict(dict)
        for number, values in state_dict["state"].items():
            p = by_number.get(number)
            state[number if p is None else p] = values if p is None else _fitted(values, p)
        groups = [self._continued(g, s) for g, s in zip(self.param_groups, saved, strict=True)]
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in self._hooks["load_state_dict_post"]:
            hook(self)

    def _continued(self, group: Group, loaded: Group) -> Group:
        """`loaded` for the parameters of `group`."""
        continued = deepcopy({k: v for k, v in loaded.items() if k != "params"})
        if "param_names" in group:
            continued.setdefault("param_names", group["param_names"])
        return {**self.defaults, **continued, "params": group["params"]}

    def __getstate__(self) -> dict[str, Any]:
        return {k: getattr(self, k) for k in ("defaults", "state", "param_groups")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if "_hooks" not in vars(self):
            self._hooks = defaultdict(list)

    def __repr__(self) -> str:
        groups = []
        for k, group in enumerate(self.param_groups):
            options = [f"    {n}: {group[n]}\n" for n in sorted(group) if n != "params"]
            groups.append(f"\nParameter Group {k}\n{''.join(options)}")
        return f"{type(self).__name__} ({''.join(groups)})"


def _separate_names(group: Group) -> None:
    """Make `params` of `group` a list of tensors, and `param_names` the names that came with
    them."""
    params = group["params"]
    if isinstance(params, set):
        raise TypeError("Expected parameters in an order. Got a set. Use a list.")
    items = [params] if isinstance(params, Tensor) else list(params)
    names = [item[0] for item in items if isinstance(item, tuple)]
    if names and len(names) < len(items):
        raise ValueError(f"Expected a name for each of {len(items)} parameters. Got {len(names)}.")
    if names:
        group["param_names"] = names
        items = [tensor for _, tensor in items]
    group["params"] = items


def _require_parameter(p: Any, leaves_only: bool) -> None:
    if not isinstance(p, Tensor):
        raise TypeError(f"Expected tensors to optimize. Got {type(p).__name__}.")
    if leaves_only and not (p.is_leaf or p.retains_grad):
        raise ValueError(
            f"Expected leaf tensors to optimize. Got the result of {p.grad_fn.name()}."
        )


def _fitted(value: Any, parameter: Tensor, name: Any = None) -> Any:
    """A copy of loaded state on the parameter's device and in its dtype."""
    if isinstance(value, Tensor):
        copy = value.detach().clone()
        if name == "step":
            return copy
        dtype = parameter.dtype if parameter.dtype.is_floating_point else value.dtype
        return copy.to(parameter.device, dtype)
    if isinstance(value, dict):
        return {k: _fitted(v, parameter, k) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_fitted(v, parameter) for v in value)
    return deepcopy(value)
