"""Saving and loading a module's parameters and buffers as a dict of names and tensors."""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from ...autograd.grad_mode import no_grad
from ...autograd.node import RemovableHandle
from ...core.tensor import Tensor
from ..parameter import Parameter, is_lazy

_EXTRA_STATE_KEY_SUFFIX = "_extra_state"

ASSIGN = "assign_to_params_buffers"
"""The entry of a module's metadata that tells `_load_from_state_dict` to take tensors over."""


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class _IncompatibleKeys(_Keys):
    """What `load_state_dict` did not find, and what it found besides."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()


class State:
    """The part of a module that saves and loads."""

    T_destination = TypeVar("T_destination", bound=dict[str, Any])

    _version: int = 1
    _state_hooks: dict[str, list[Any]] = {}  # noqa: RUF012 - empty for all; own ones on demand

    def _tensors(self) -> Iterable[tuple[str, Tensor | None]]:
        """Own parameters and persistent buffers."""
        module: Any = self
        yield from module._parameters.items()
        for name, buffer in module._buffers.items():
            if name not in module._non_persistent_buffers_set:
                yield name, buffer

    # -- saving ----------------------------------------------------------------------------------

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """All parameters and persistent buffers by dotted name, sharing memory with the module.

        They are detached unless `keep_vars`.
        """
        module: Any = self
        if args:  # as PyTorch took them once, and warns now
            warnings.warn(
                "state_dict: give destination, prefix and keep_vars by name.",
                FutureWarning,
                stacklevel=2,
            )
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            return self.state_dict(
                **{"destination": destination, "prefix": prefix, "keep_vars": keep_vars, **given}
            )
        if destination is None:
            made: Any = OrderedDict()
            # Each module's version, beside what is saved, as PyTorch keeps it.
            made._metadata = OrderedDict()
            destination = made
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in list(self._state_hooks.get("save_pre", ())):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in module._modules.items():
            if child is not None:
                child.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook, may_replace in list(self._state_hooks.get("save", ())):
            result = hook(self, destination, prefix, metadata)
            if result is not None and not may_replace:
                raise RuntimeError(
                    "state_dict: expected None from a hook of register_state_dict_post_hook. Got "
                    f"{type(result).__name__}. Change the dict in place."
                )
            destination = destination if result is None else result
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name, tensor in self._tensors():
            if tensor is not None:
                kept = keep_vars or is_lazy(tensor)
                destination[prefix + name] = tensor if kept else tensor.detach()
        if type(self).get_extra_state is not State.get_extra_state:
            destination[prefix + _EXTRA_STATE_KEY_SUFFIX] = self.get_extra_state()

    def get_extra_state(self) -> Any:
        """What else the state dict shall hold; a subclass that overrides it also overrides
        `set_extra_state`."""
        raise RuntimeError(f"{type(self).__name__} keeps no extra state.")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(f"{type(self).__name__} takes no extra state.")

    # -- loading ---------------------------------------------------------------------------------

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy `state_dict` into the parameters and buffers, or `assign` its tensors to them.

        Raises: RuntimeError that lists shapes which differ, and with `strict` all names that are
        missing or unexpected. Nothing has been changed then, unless a module has a
        `_load_from_state_dict` of its own or a hook that runs after loading.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected a dict. Got {type(state_dict).__name__}.")
        loading = _Loading(self, state_dict, assign)
        loading.visit(self, loading.given, "")
        errors = loading.errors
        if strict:
            errors = _strict_errors(loading.found) + errors
        if errors:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(errors)
            )
        with no_grad():
            for perform in loading.assignments:
                perform()
        return loading.found

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load what is this module's own; a class that keeps its state otherwise overrides it."""
        found = _IncompatibleKeys(missing_keys, unexpected_keys)
        with no_grad():
            for perform in self._plan_load(
                state_dict, prefix, local_metadata, strict, found, error_msgs
            ):
                perform()

    def _plan_load(
        self,
        given: Mapping[str, Any],
        prefix: str,
        metadata: dict[str, Any],
        strict: bool,
        found: _IncompatibleKeys,
        errors: list[str],
    ) -> list[Callable[[], Any]]:
        """What to do to load this module's own members, once all are known to fit."""
        for hook, with_module in list(self._state_hooks.get("load_pre", ())):
            first = (self,) if with_module else ()
            hook(*first, given, prefix, metadata, strict, *found, errors)
        plan: list[Callable[[], Any]] = []
        assign = metadata.get(ASSIGN, False)
        for name, tensor in self._tensors():
            key = prefix + name
            if tensor is None:
                continue
            if key in given:
                value = given[key]
                if isinstance(value, Tensor) and _is_old_scalar(tensor, value):
                    value = value[0]
                error = _misfit(key, tensor, value, assign)
                if error:
                    errors.append(error)
                else:
                    plan.append(self._loader(name, tensor, value, assign))
            elif strict and self._version_needs(name, metadata.get("version")):
                found.missing_keys.append(key)
        if type(self).set_extra_state is not State.set_extra_state:
            if prefix + _EXTRA_STATE_KEY_SUFFIX in given:
                plan.append(
                    functools.partial(self.set_extra_state, given[prefix + _EXTRA_STATE_KEY_SUFFIX])
                )
            elif strict:
                found.missing_keys.append(prefix + _EXTRA_STATE_KEY_SUFFIX)
        if strict:
            found.unexpected_keys.extend(self._unexpected(given, prefix))
        return plan

    def _unexpected(self, given: Mapping[str, Any], prefix: str) -> list[str]:
        """Keys below `prefix` that are neither this module's nor one of its modules'."""
        module: Any = self
        own = {name for name, tensor in self._tensors() if tensor is not None}
        if type(self).set_extra_state is not State.set_extra_state:
            own.add(_EXTRA_STATE_KEY_SUFFIX)
        found = []
        for key in given:
            if key.startswith(prefix):
                name, _, rest = key[len(prefix) :].partition(".")
                if name not in (module._modules if rest else own):
                    found.append(key)
        return found

    def _version_needs(self, name: str, version: int | None) -> bool:
        """Whether a state dict of `version` (None: not said) must have the member `name`."""
        return True

    def _loader(self, name: str, tensor: Tensor, value: Tensor, assign: bool) -> Callable[[], Any]:
        def load() -> None:
            if is_lazy(tensor):
                if is_lazy(value):
                    return
                tensor.materialize(tuple(value.shape))  # type: ignore[attr-defined]
            if not assign:
                tensor.copy_(value)
                return
            new: Any = value
            if isinstance(tensor, Parameter) and not isinstance(value, Parameter):
                new = Parameter(value, tensor.requires_grad)
            setattr(self, name, new)

        return load

    # -- hooks -----------------------------------------------------------------------------------

    def _register_state_hook(self, kind: str, hook: Any) -> RemovableHandle:
        own = vars(self).setdefault("_state_hooks", {})
        return RemovableHandle(own.setdefault(kind, []), hook)

    def register_state_dict_pre_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the state dict is made."""
        return self._register_state_hook("save_pre", hook)

    def register_state_dict_post_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` when this module's part is in."""
        return self._register_state_hook("save", (hook, False))

    def _register_state_dict_hook(self, hook: Any) -> RemovableHandle:
        """As the public one; what this hook returns replaces the state dict."""
        return self._register_state_hook("save", (hook, True))

    def register_load_state_dict_pre_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)` before loading; it may rename keys."""
        return self._register_state_hook("load_pre", (hook, True))

    def _register_load_state_dict_pre_hook(
        self, hook: Any, with_module: bool = False
    ) -> RemovableHandle:
        """As the public one; the hook gets the module only `with_module`."""
        return self._register_state_hook("load_pre", (hook, with_module))

    def register_load_state_dict_post_hook(self, hook: Any) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may change both lists."""
        return self._register_state_hook("load_post", hook)


class _Loading:
    """One call of `load_state_dict`: what was given, and what was found out on the way down."""

    def __init__(self, root: Any, state_dict: Mapping[str, Any], assign: bool) -> None:
        self.metadata = getattr(state_dict, "_metadata", None)
        self.given: OrderedDict[str, Any] = OrderedDict(state_dict)
        self.assign = assign
        self.found = _IncompatibleKeys([], [])
        self.errors: list[str] = []
        self.assignments: list[Callable[[], Any]] = []
        # Code of others runs in the midst of loading and counts on what came before it.
        self.at_once = any(
            _loads_itself(m) or m._state_hooks.get("load_post") for m in root.modules()
        )

    def visit(self, module: Any, given: OrderedDict[str, Any], prefix: str) -> None:
        """Plan or do what concerns `module`, then its modules, each with its part of `given`."""
        metadata = {} if self.metadata is None else dict(self.metadata.get(prefix[:-1], {}))
        if self.assign:
            metadata[ASSIGN] = True
        if self.at_once:
            module._load_from_state_dict(given, prefix, metadata, True, *self.found, self.errors)
        else:
            self.assignments += module._plan_load(
                given, prefix, metadata, True, self.found, self.errors
            )
        for name, child in module._modules.items():
            if child is not None:
                below = f"{prefix}{name}."
                part = OrderedDict((k, v) for k, v in given.items() if k.startswith(below))
                self.visit(child, part, below)
        for hook in list(module._state_hooks.get("load_post", ())):
            if hook(module, self.found) is not None:
                raise AssertionError(
                    "load_state_dict: expected None from a hook of "
                    "register_load_state_dict_post_hook. Change the lists of keys in place."
                )


def _loads_itself(module: Any) -> bool:
    return type(module)._load_from_state_dict is not State._load_from_state_dict


def _is_old_scalar(tensor: Tensor, value: Tensor) -> bool:
    """Whether `value` is a number as files of PyTorch before 0.4 have it, with one dimension."""
    if is_lazy(tensor) or is_lazy(value):
        return False
    return tensor.ndim == 0 and tuple(value.shape) == (1,)


def _misfit(key: str, tensor: Tensor, value: Any, assign: bool) -> str:
    """Why `value` cannot be loaded into `tensor`; '' if it can."""
    if not isinstance(value, Tensor):
        return (
            f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
            f"object from checkpoint but received {type(value)}"
        )
    if is_lazy(tensor):
        return ""
    if value.shape != tensor.shape:
        return (
            f"size mismatch for {key}: copying a param with shape {value.shape} from checkpoint, "
            f"the shape in current model is {tensor.shape}."
        )
    if tensor.is_meta and not value.is_meta and not assign:
        return f"{key}: the module's is on meta, which has no memory to copy to. Use assign=True."
    return ""


def _strict_errors(found: _IncompatibleKeys) -> list[str]:
    named = (("Missing", found.missing_keys), ("Unexpected", found.unexpected_keys))
    return [
        f"{word} key(s) in state_dict: " + ", ".join(f'"{k}"' for k in keys) + ". "
        for word, keys in named
        if keys
    ]
