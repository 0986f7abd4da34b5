"""The base of all optimizers: parameter groups, state, their saving, and the frame of a step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from time import perf_counter
from typing import Any

from ..autograd.grad_mode import enable_grad
from ..autograd.node import RemovableHandle
from ..core import callsite, observers, sparse_arrays
from ..core.tensor import Tensor
from .sparse_gradients import step_sparse

Group = dict[str, Any]

_pre_hooks_of_all: list[Any] = []
_post_hooks_of_all: list[Any] = []


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` before each step of every optimizer."""
    return RemovableHandle(_pre_hooks_of_all, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(optimizer, args, kwargs)` after each step of every optimizer."""
    return RemovableHandle(_post_hooks_of_all, hook)


class Optimizer:
    """Changes parameters by their gradients. Subclasses give `update(group, parameters)`.

    `params` is an iterable of tensors, of (name, tensor) pairs, or of dicts: groups with options of
    their own. Raises: TypeError or ValueError for what is no leaf tensor, or comes twice.
    """

    takes_sparse_gradients = False  # whether `update` does; else see `sparse_gradients`

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "Expected an iterable of tensors or groups. Got one tensor. Use [tensor] or "
                "model.parameters()."
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._pre_hooks: list[Any] = []
        self._post_hooks: list[Any] = []
        groups = list(params)
        if not groups:
            raise ValueError("Expected at least one parameter. Got an empty list.")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(dict(group))

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters; options it lacks are the optimizer's defaults."""
        params = param_group["params"]
        items = [params] if isinstance(params, Tensor) else list(params)
        if items and isinstance(items[0], tuple):
            param_group["param_names"] = [name for name, _ in items]
            items = [tensor for _, tensor in items]
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in items:
            if not isinstance(p, Tensor):
                raise TypeError(f"Expected tensors to optimize. Got {type(p).__name__}.")
            if not p.is_leaf:
                raise ValueError(
                    f"Expected leaf tensors to optimize. Got the result of {p.grad_fn.name()}."
                )
            if id(p) in known:
                raise ValueError("Expected each parameter in one group. Got one that is in two.")
            known.add(id(p))
        param_group["params"] = items
        for name, value in self.defaults.items():
            param_group.setdefault(name, value)
        self.param_groups.append(param_group)

    # -- a step ----------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change the parameters once; with a `closure` that recomputes the loss, return that
        loss."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for hook in (*_pre_hooks_of_all, *self._pre_hooks):
            hook(self, (), {})
        if observers.active:
            self._observed_step()
        else:
            self._update_all()
        for hook in (*self._post_hooks, *_post_hooks_of_all):
            hook(self, (), {})
        return loss

    def _observed_step(self) -> None:
        for observer in observers.active:
            observer.step_started(self)
        started = perf_counter()
        self._update_all()
        seconds = perf_counter() - started
        for observer in observers.active:
            observer.step_done(self, seconds)

    def _update_all(self) -> None:
        name, place = f"{type(self).__name__}.step", callsite.current()
        for group in self.param_groups:
            given = [p for p in group["params"] if p._grad is not None]
            rest = step_sparse(self, group, given) if sparse_arrays.in_use else given
            self.update(group, rest)
            for p in given:  # as `count_write` does, in one place for all
                writes = p._writes
                writes[:] = writes[0] + 1, name, place

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        """Change the arrays of `parameters`, which have gradients, by the rule and group
        options."""
        raise NotImplementedError(f"{type(self).__name__} gives no update rule.")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to 0."""
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    if set_to_none:
                        p._grad = None
                    else:
                        p._grad.detach_().zero_()

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step."""
        return RemovableHandle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return RemovableHandle(self._post_hooks, hook)

    # -- saving ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """State and groups in PyTorch's form, parameters replaced by their numbers."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers.setdefault(id(p), len(numbers)) for p in group["params"]]
            groups.append(packed)
        state = {numbers[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` gave, here or in PyTorch.

        Raises: ValueError if groups or their sizes differ from this optimizer's.
        """
        saved = state_dict["param_groups"]
        ours = [len(g["params"]) for g in self.param_groups]
        theirs = [len(g["params"]) for g in saved]
        if ours != theirs:
            raise ValueError(
                f"load_state_dict: expected groups of {ours} parameters. Got groups of {theirs}."
            )
        by_number: dict[int, Tensor] = {}
        for group, loaded in zip(self.param_groups, saved, strict=True):
            by_number.update(zip(loaded["params"], group["params"], strict=True))
            group.update({k: deepcopy(v) for k, v in loaded.items() if k != "params"})
        self.state.clear()
        for number, values in state_dict["state"].items():
            parameter = by_number[int(number)]
            self.state[parameter] = {k: _fitted(k, v, parameter) for k, v in values.items()}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("_pre_hooks", "_post_hooks")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _pre_hooks=[], _post_hooks=[])

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for k, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {k}")
            lines += [f"    {n}: {group[n]}" for n in sorted(group) if n != "params"]
        return "\n".join([*lines, ")"])


def _fitted(name: str, value: Any, parameter: Tensor) -> Any:
    """A copy of loaded state on the parameter's device and in its dtype; counters stay as they
    are."""
    if not isinstance(value, Tensor):
        return deepcopy(value)
    if name == "step":
        return value.detach().clone()
    return value.detach().clone().to(parameter.device, parameter.dtype)


def require_valid(name: str, options: Iterable[tuple[str, Any]]) -> None:
    """Raises: ValueError for a negative rate, or a beta outside [0, 1)."""
    for option, value in options:
        values = value if option == "betas" else [value]
        for v in values:
            if isinstance(v, Tensor):
                v = v.item()
            if not (v >= 0 and (option != "betas" or v < 1)):
                wanted = "from 0 to below 1" if option == "betas" else "not below 0"
                raise ValueError(f"{name}: expected {option} {wanted}. Got {value}.")
