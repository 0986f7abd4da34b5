"""Fixes for a call whose operands do not fit: small changes, each tried on meta before it is named.

    >>> x, w = torch.ones(4, 3), torch.ones(5, 3)
    >>> [fix.text for fix in verified_fixes(torch.matmul, [x, w], names=["x", "w"])]
    ['w.mT', ...]

No value is read and nothing is computed: operands become tensors of their shape, dtype and device
without memory, on which the operation's own shape rule says whether it would work.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter, methodcaller
from typing import Any

import flambeau
from flambeau import nn
from flambeau.core.tensor import Tensor

from .apart import apart
from .devices import shadow_device

MOST_FIXES = 3


@dataclass(frozen=True)
class Fix:
    """A change that makes a call work: `text` as the user would write it, the `argument` that it
    replaces (its position or keyword), and the `shape` that the call then gives, if a tensor."""

    text: str
    argument: int | str
    shape: tuple[int, ...] | None


Change = tuple[str, Callable[[Tensor], Any]]


def verified_fixes(
    operation: Callable[..., Any] | str,
    args: Sequence[Any],
    kwargs: dict[str, Any] | None = None,
    names: Sequence[str | None] = (),
    limit: int = MOST_FIXES,
) -> list[Fix]:
    """Up to `limit` changes of one operand with which `operation(*args, **kwargs)` would work.

    `operation` is a function of the runtime or its name (`"matmul"`, `"cross_entropy"`), a module,
    or a method bound to a tensor. `names` says how the user wrote each positional argument; one
    without a name is not changed. Never raises: what cannot be tried is not named.
    """
    found = _resolved(operation)
    if found is None:
        return []
    kwargs = dict(kwargs or {})
    fixes: list[Fix] = []
    with apart(gradients=False):
        try:
            shadows = [_shadow(a) for a in args]
            keywords = {k: _shadow(v) for k, v in kwargs.items()}
        except Exception:
            return []
        for position, name, text, changed in _candidates(shadows, keywords, names):
            new_args, new_kwargs = list(shadows), dict(keywords)
            if isinstance(position, int):
                new_args[position] = changed
            else:
                new_kwargs[position] = changed
            with suppress(Exception):
                result = found(*new_args, **new_kwargs)
                shape = tuple(result.shape) if isinstance(result, Tensor) else None
                fixes.append(Fix(text.format(name), position, shape))
            if len(fixes) >= limit:
                break
    return fixes


def _resolved(operation: Callable[..., Any] | str) -> Callable[..., Any] | None:
    if not isinstance(operation, str):
        return _on_meta(operation) if isinstance(operation, nn.Module) else operation
    for owner in (flambeau, nn.functional, flambeau.linalg, Tensor):
        function = getattr(owner, operation, None)
        if callable(function):
            return function  # type: ignore[no-any-return]
    return None


def _on_meta(module: nn.Module) -> nn.Module | None:
    """`module` itself if it has no memory; else a copy without."""
    tensors = [*module.parameters(), *module.buffers()]
    if all(t.is_meta for t in tensors):
        return module
    with suppress(Exception):
        made = type(module)(**settings(module))
        return made.to(shadow_device(tensors[0].device))
    return None


def _shadow(value: Any) -> Any:
    if isinstance(value, Tensor):
        if value.is_meta:
            return value.detach()
        return flambeau.empty_strided(
            tuple(value.shape),
            tuple(value.stride()),
            dtype=value.dtype,
            device=shadow_device(value.device),
        )
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)([_shadow(item) for item in value])
    return value


def _candidates(
    args: list[Any], kwargs: dict[str, Any], names: Sequence[str | None]
) -> Iterator[tuple[int | str, str, str, Any]]:
    """Changed operands: position, name, text with a place for the name, and the value."""
    operands: list[tuple[int | str, str | None, Any]] = [
        (k, names[k] if k < len(names) else None, value) for k, value in enumerate(args)
    ]
    operands += [(key, key, value) for key, value in kwargs.items()]
    tensors = [(k, n, v) for k, n, v in operands if isinstance(v, Tensor) and n is not None]
    others = [v for _, _, v in operands if isinstance(v, Tensor)]
    per_operand = [
        [(position, str(name), *change) for change in _changes(value, others)]
        for position, name, value in reversed(tensors)
    ]
    for rank in range(max(map(len, per_operand), default=0)):
        for changes in per_operand:
            if rank < len(changes):
                position, name, text, function = changes[rank]
                value = {k: v for k, _, v in tensors}[position]
                with suppress(Exception):
                    yield position, name, text, function(value)


def _changes(value: Tensor, others: list[Tensor]) -> list[Change]:
    """Small changes of `value` that may make it fit, the likeliest first."""
    found: list[Change] = []
    for place in {t.device for t in others if t.device != value.device}:
        found.append(("{}.to(device)", methodcaller("to", place)))
    if not value.is_floating_point():
        found.append(("{}.float()", methodcaller("float")))
    elif not any(t.dtype is value.dtype for t in others if t is not value):
        found.append(("{}.long()", methodcaller("long")))
    if value.ndim >= 2:
        found.append(("{}.mT", attrgetter("mT")))
    if value.ndim > 2:
        found.append(("{}.flatten(1)", methodcaller("flatten", 1)))
    for other in others:
        if other is not value and other.shape != value.shape and other.numel() == value.numel():
            shape = tuple(other.shape)
            found.append((f"{{}}.reshape{shape}", methodcaller("reshape", shape)))
    for dim in (d for d in range(value.ndim) if value.shape[d] == 1):
        found.append((f"{{}}.squeeze({dim})", methodcaller("squeeze", dim)))
    for dim in (1, 0, -1):
        found.append((f"{{}}.unsqueeze({dim})", methodcaller("unsqueeze", dim)))
    if value.ndim == 4:
        found.append(("{}.permute(0, 3, 1, 2)", methodcaller("permute", 0, 3, 1, 2)))
    if value.ndim == 3:
        found.append(("{}.permute(2, 0, 1)", methodcaller("permute", 2, 0, 1)))
        found.append(("{}.transpose(0, 1)", methodcaller("transpose", 0, 1)))
    return found


# -- layers ----------------------------------------------------------------------------------------


SIZES: tuple[tuple[type, str, Callable[[Any, Tensor], Any]], ...] = (
    (nn.Linear, "in_features", lambda m, x: x.shape[-1]),
    (nn.Conv1d, "in_channels", lambda m, x: x.shape[-2]),
    (nn.Conv2d, "in_channels", lambda m, x: x.shape[-3]),
    (nn.Conv3d, "in_channels", lambda m, x: x.shape[-4]),
    (nn.ConvTranspose1d, "in_channels", lambda m, x: x.shape[-2]),
    (nn.ConvTranspose2d, "in_channels", lambda m, x: x.shape[-3]),
    (nn.ConvTranspose3d, "in_channels", lambda m, x: x.shape[-4]),
    (nn.BatchNorm1d, "num_features", lambda m, x: x.shape[1]),
    (nn.BatchNorm2d, "num_features", lambda m, x: x.shape[1]),
    (nn.BatchNorm3d, "num_features", lambda m, x: x.shape[1]),
    (nn.GroupNorm, "num_channels", lambda m, x: x.shape[1]),
    (nn.LayerNorm, "normalized_shape", lambda m, x: tuple(x.shape[-len(m.normalized_shape) :])),
    (nn.RMSNorm, "normalized_shape", lambda m, x: tuple(x.shape[-len(m.normalized_shape) :])),
    (nn.RNNBase, "input_size", lambda m, x: x.shape[-1]),
    (nn.LSTMCell, "input_size", lambda m, x: x.shape[-1]),
    (nn.GRUCell, "input_size", lambda m, x: x.shape[-1]),
    (nn.MultiheadAttention, "embed_dim", lambda m, x: x.shape[-1]),
)  # fmt: skip
"""Layers, the size that their input must have, and where the input has it."""


def layer_size(module: nn.Module, args: Sequence[Any]) -> tuple[str, Any, Any] | None:
    """The size of `module` that does not fit its input: its name, what it is, and what it would
    have to be. None unless the layer works with that size."""
    if not args or not isinstance(args[0], Tensor):
        return None
    for kind, name, size_of in SIZES:
        if isinstance(module, kind):
            with suppress(Exception), apart(gradients=False):
                wanted = size_of(module, args[0])
                made = type(module)(**{**settings(module), name: wanted})
                made.to(args[0].device)(*args)
                return name, getattr(module, name), wanted
    return None


def settings(module: nn.Module) -> dict[str, Any]:
    """The arguments that `module` was made with, as far as it keeps them."""
    names = _arguments(type(module))
    found = {n: getattr(module, n) for n in names if n in vars(module)}
    if "bias" in names and "bias" not in found:
        found["bias"] = module._parameters.get("bias") is not None
    return found


def _arguments(kind: type) -> list[str]:
    """The names of the arguments that make a `kind`: of the first constructor that names them, but
    for what its own class fills in (the mode of recurrent layers)."""
    for base in kind.__mro__:
        parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return [p.name for p in parameters if p.name not in ("self", "mode")]
    return []
