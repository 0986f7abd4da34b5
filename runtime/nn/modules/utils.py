"""State dicts of wrapped modules, and sizes given once for every dimension."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple[Any, ...]]:
    """A function that makes a tuple: of an iterable its items, of anything else n times that."""

    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else tuple(repeat(x, n))

    parse.__name__ = name
    return parse


_single = _ntuple(1, "_single")
_pair = _ntuple(2, "_pair")
_triple = _ntuple(3, "_triple")
_quadruple = _ntuple(4, "_quadruple")


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take `prefix` off all keys of `state_dict` that begin with it, in place, as for a model that
    was saved inside of `DataParallel` ("module."). The order of keys is kept."""
    for key in list(state_dict):
        name = key.removeprefix(prefix)
        state_dict[name] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:
        for key in list(metadata):
            if key.startswith(prefix) or key + "." == prefix:
                name = key.removeprefix(prefix) if key.startswith(prefix) else ""
                metadata[name] = metadata.pop(key)
