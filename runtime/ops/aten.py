"""`torch.ops.aten`: PyTorch's operations by its names for them. They are the runtime's functions,
under whatever overload they are asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..core.tensor import Tensor


def __getattr__(name: str) -> Overloads:
    found = None if name.startswith("__") else _function(name)
    if found is None:
        raise AttributeError(f"torch.ops.aten has no operation {name!r}.")
    return found


class Overloads:
    """A function of the runtime by PyTorch's name for its operation: `aten.add`, and
    `aten.add.Tensor`, `aten.add.default`, ..., which are the same here."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.__name__, self._function = name, function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __getattr__(self, overload: str) -> Overloads:
        if overload.startswith("__"):
            raise AttributeError(overload)
        return _overload(self.__name__, overload, self._function)

    def __repr__(self) -> str:
        return f"<torch.ops.aten.{self.__name__}>"


OTHER_NAMES = {
    "_log_softmax": "log_softmax", "_reshape_alias": "reshape", "_softmax": "softmax",
    "_to_copy": "to", "_unsafe_view": "view",
}  # fmt: skip
"""Operations of PyTorch's that its functions call, and the functions that do the same."""


def _slice(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    return input[(slice(None),) * (dim % input.ndim) + (slice(start, end, step),)]


INDEXING: dict[str, Callable[..., Any]] = {
    "_local_scalar_dense": Tensor.item,
    "alias": lambda input: input.view_as(input),
    "index": lambda input, indices: input[
        tuple(slice(None) if index is None else index for index in indices)
    ],
    "slice": _slice,
    "sym_size": lambda input, dim: input.shape[dim],
}
"""Operations behind brackets and attributes."""


@functools.cache
def _overload(name: str, overload: str, function: Callable[..., Any]) -> Overloads:
    return Overloads(f"{name}.{overload}", function)


@functools.cache
def _function(name: str) -> Overloads | None:
    """The function or method that computes PyTorch's operation `name`."""
    import flambeau

    if name in INDEXING:
        return Overloads(name, INDEXING[name])
    name = OTHER_NAMES.get(name, name)
    places = [flambeau, flambeau.nn.functional, flambeau.linalg, flambeau.special, Tensor]
    names = [name, name.removeprefix("linalg_").removeprefix("special_"), name.lstrip("_")]
    found = (getattr(place, n, None) for n in names for place in places)
    function = next((f for f in found if callable(f)), None)
    if function is None and name.startswith("_"):  # libraries say what they do in its place
        function = functools.partial(_absent, name)
    return None if function is None else Overloads(name, function)


def _absent(name: str, *args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError(f"torch.ops.aten.{name} is internal to PyTorch and not there.")
