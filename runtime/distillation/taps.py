"""What modules inside of a model give, kept for the length of one call."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from ..core.tensor import Tensor
from ..nn.modules.attention import MultiheadAttention
from ..nn.modules.module import Module

Select = int | str | Callable[[Any], Tensor] | None
"""Which tensor of a module's output: by place, by key or attribute, by a function, or the obvious
one."""

_WRAPPERS = (["module"], ["_orig_mod"])
"""The only child of data-parallel, averaged and compiled models."""


def unwrapped(model: Module) -> Module:
    """The model inside of wrappers, whose modules have the names that the user knows."""
    while list(model._modules) in _WRAPPERS:
        (inner,) = model._modules.values()
        if inner is None:
            break
        model = inner
    return model


def require_module(role: str, model: Module, path: str) -> Module:
    """The module called `path`. Raises: AttributeError with names that come near."""
    inner = unwrapped(model)
    try:
        return inner.get_submodule(path)
    except AttributeError:
        names = [name for name, _ in inner.named_modules() if name]
    near = difflib.get_close_matches(path, names, n=3) or names[:8]
    raise AttributeError(
        f"Distiller: expected the name of a module of the {role}, {type(inner).__name__}. Got "
        f"{path!r}. It has {', '.join(map(repr, near)) or 'none'}."
    )


class Taps:
    """Which modules of one of the models are watched, by name.

    `nn.MultiheadAttention` modules among `attentions` are made to return the weights of each head.
    Raises: AttributeError for a name that `model` has not.
    """

    def __init__(
        self, role: str, model: Module, paths: Iterable[str], attentions: Iterable[str]
    ) -> None:
        self.role, self.attentions = role, frozenset(attentions)
        self.paths = [path for path in dict.fromkeys(paths) if path]
        for path in self.paths:
            require_module(role, model, path)

    def run(self, model: Module, inputs: Any) -> dict[str, Any]:
        """The outputs of the watched modules' last calls, and of the model as ''. The hooks last as
        long as this call. Raises: RuntimeError for a module that is not called."""
        if not self.paths:
            return {"": _called(model, inputs)}
        values: dict[str, Any] = {}
        with ExitStack() as stack:
            for path in self.paths:
                module = require_module(self.role, model, path)
                if path in self.attentions and isinstance(module, MultiheadAttention):
                    hook = module.register_forward_pre_hook(_ask_for_weights, with_kwargs=True)
                    stack.callback(hook.remove)
                stack.callback(module.register_forward_hook(_keep(values, path)).remove)
            values[""] = _called(model, inputs)
        unseen = [path for path in self.paths if path not in values]
        if unseen:
            raise RuntimeError(
                f"Distiller: expected the {self.role} to call {', '.join(map(repr, unseen))}. It "
                "did not in this forward pass: tap modules that run, and by their own call."
            )
        return values


def _called(model: Module, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, list | tuple) else model(inputs)


def _keep(values: dict[str, Any], path: str) -> Callable[..., None]:
    def keep(module: Module, args: Any, output: Any) -> None:
        values[path] = output

    return keep


def _ask_for_weights(module: Module, args: Any, kwargs: dict[str, Any]) -> Any:
    given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    return (), {**given, "need_weights": True, "average_attn_weights": False}


def chosen(role: str, path: str, value: Any, select: Select) -> Tensor:
    """The tensor of a module's output that a term compares. Raises: TypeError if there is none."""
    found = _selected(value, select)
    if isinstance(found, Tensor):
        return found
    where = f"{role}'s {path!r}" if path else role
    how = "none by itself" if select is None else f"none by select={select!r}"
    raise TypeError(
        f"Distiller: expected a tensor in what the {where} gives, {_described(value)}. Got {how}. "
        "Give the Term another select=: an index, a key, an attribute or a function."
    )


def _selected(value: Any, select: Select) -> Any:
    if select is None:
        if isinstance(value, list | tuple) and value:
            return value[0]
        for name in ("logits", "last_hidden_state"):
            named = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
            if named is not None:
                return named
        return value
    if callable(select):
        return select(value)
    try:
        return value[select]
    except (TypeError, KeyError, IndexError):
        return getattr(value, select, None) if isinstance(select, str) else None


def _described(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{type(value).__name__} with {', '.join(map(repr, value))}"
    if isinstance(value, list | tuple):
        return (
            f"{type(value).__name__} of {', '.join(type(x).__name__ for x in value) or 'nothing'}"
        )
    return type(value).__name__
