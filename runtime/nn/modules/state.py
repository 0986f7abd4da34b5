"""Saving and loading a module's parameters and buffers as a dict of names and tensors."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ...autograd.grad_mode import no_grad
from ...autograd.node import RemovableHandle
from ...core.tensor import Tensor
from ..parameter import Parameter

EXTRA = "_extra_state"


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class IncompatibleKeys(_Keys):
    """What `load_state_dict` did not find, and what it found besides."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()


class _StateDict(OrderedDict[str, Any]):
    """What is saved, with each module's version beside it, as PyTorch keeps it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._metadata: dict[str, Any] = {}


class State:
    """The part of a module that saves and loads."""

    _version: int = 1
    _state_hooks: dict[str, list[Any]] = {}  # noqa: RUF012 - empty for all; own ones on demand

    def _tensors(self) -> Iterable[tuple[str, Tensor | None]]:
        """Own parameters and persistent buffers."""
        module: Any = self
        yield from module._parameters.items()
        for name, buffer in module._buffers.items():
            if name not in module._non_persistent:
                yield name, buffer

    # -- saving ----------------------------------------------------------------------------------

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Any]:
        """All parameters and persistent buffers by dotted name, sharing memory with the module.

        They are detached unless `keep_vars`.
        """
        module: Any = self
        if destination is None:
            destination = _StateDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_hooks.get("save_pre", ()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in module._modules.items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_hooks.get("save", ()):
            hook(self, destination, prefix, metadata)
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, tensor in self._tensors():
            if tensor is not None:
                destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not State.get_extra_state:
            destination[prefix + EXTRA] = self.get_extra_state()

    def get_extra_state(self) -> Any:
        """What else the state dict shall hold; a subclass that overrides it also overrides
        `set_extra_state`."""
        raise NotImplementedError(f"{type(self).__name__} keeps no extra state.")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise NotImplementedError(f"{type(self).__name__} takes no extra state.")

    # -- loading ---------------------------------------------------------------------------------

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy `state_dict` into the parameters and buffers, or `assign` its tensors to them.

        Raises: RuntimeError that lists shapes which differ, and with `strict` all names that are
        missing or unexpected; nothing has been changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected a dict. Got {type(state_dict).__name__}.")
        metadata = getattr(state_dict, "_metadata", {})
        given = OrderedDict(state_dict)
        found = IncompatibleKeys([], [])
        errors: list[str] = []
        assignments: list[Callable[[], Any]] = []
        modules: Any = list(self.named_modules(remove_duplicate=False))  # type: ignore[attr-defined]
        for path, module in modules:
            prefix = f"{path}." if path else ""
            for hook in module._state_hooks.get("load_pre", ()):
                hook(module, given, prefix, metadata.get(path, {}), strict, *found, errors)
            assignments += module._plan_load(given, prefix, assign, found, errors)
        expected = {p for path, m in modules for p in m._expected_keys(f"{path}." if path else "")}
        found.unexpected_keys.extend(k for k in given if k not in expected)
        if strict:
            errors = _strict_errors(found) + errors
        if errors:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(errors)
            )
        with no_grad():
            for perform in assignments:
                perform()
        for _, module in modules:
            for hook in module._state_hooks.get("load_post", ()):
                hook(module, found)
        return found

    def _expected_keys(self, prefix: str) -> list[str]:
        extra = type(self).set_extra_state is not State.set_extra_state
        return [prefix + name for name, _ in self._tensors()] + [prefix + EXTRA] * extra

    def _plan_load(
        self,
        given: Mapping[str, Any],
        prefix: str,
        assign: bool,
        found: IncompatibleKeys,
        errors: list[str],
    ) -> list[Callable[[], Any]]:
        """What to do to load this module's own members, once all are known to fit."""
        plan: list[Callable[[], Any]] = []
        for name, tensor in self._tensors():
            key = prefix + name
            if key in given and tensor is not None:
                error = _misfit(key, tensor, given[key], assign)
                if error:
                    errors.append(error)
                else:
                    plan.append(self._loader(name, tensor, given[key], assign))
            elif tensor is not None and self._version_needs(name):
                found.missing_keys.append(key)
            elif key in given:
                found.unexpected_keys.append(key)
        if type(self).set_extra_state is not State.set_extra_state:
            if prefix + EXTRA in given:
                plan.append(lambda: self.set_extra_state(given[prefix + EXTRA]))
            else:
                found.missing_keys.append(prefix + EXTRA)
        return plan

    def _version_needs(self, name: str) -> bool:
        """Whether a state dict must have the member `name`."""
        return True

    def _loader(self, name: str, tensor: Tensor, value: Tensor, assign: bool) -> Callable[[], Any]:
        if not assign:
            return functools.partial(tensor.copy_, value)

        def replace() -> None:
            new: Any = value
            if isinstance(tensor, Parameter) and not isinstance(value, Parameter):
                new = Parameter(value, tensor.requires_grad)
            setattr(self, name, new)

        return replace

    # -- hooks -----------------------------------------------------------------------------------

    def _register_state_hook(self, kind: str, hook: Any) -> RemovableHandle:
        own = vars(self).setdefault("_state_hooks", {})
        return RemovableHandle(own.setdefault(kind, []), hook)

    def register_state_dict_pre_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the state dict is made."""
        return self._register_state_hook("save_pre", hook)

    def register_state_dict_post_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` when this module's part is in."""
        return self._register_state_hook("save", hook)

    def register_load_state_dict_pre_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)` before loading; it may rename keys."""
        return self._register_state_hook("load_pre", hook)

    def register_load_state_dict_post_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading."""
        return self._register_state_hook("load_post", hook)


def _misfit(key: str, tensor: Tensor, value: Any, assign: bool) -> str:
    """Why `value` cannot be loaded into `tensor`; '' if it can."""
    if not isinstance(value, Tensor):
        return f'While copying "{key}": expected a tensor, got {type(value).__name__}.'
    if tuple(value.shape) != tuple(tensor.shape):
        return (
            f"size mismatch for {key}: the state dict has {tuple(value.shape)}, the module "
            f"{tuple(tensor.shape)}."
        )
    if tensor.is_meta and not assign:
        return f"{key}: the module's is on meta, which has no memory to copy to. Use assign=True."
    return ""


def _strict_errors(found: IncompatibleKeys) -> list[str]:
    named = (("Unexpected", found.unexpected_keys), ("Missing", found.missing_keys))
    return [
        f"{word} key(s) in state_dict: {', '.join(map(repr, keys))}."
        for word, keys in named
        if keys
    ]
