"""Several modules, each on a GPU of its own, at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.devices import device as Device
from ...cuda.devices import device as current_gpu
from ..modules.module import Module

__all__ = ["parallel_apply"]


def parallel_apply(
    modules: Sequence[Module],
    inputs: Sequence[Any],
    kwargs_tup: Sequence[dict[str, Any]] | None = None,
    devices: Sequence[Any] | None = None,
) -> list[Any]:
    """The results of `modules[k](*inputs[k], **kwargs_tup[k])`, with `devices[k]` as the current
    GPU. One thread gives all GPUs their work, which they do beside each other.

    Raises: ValueError for different numbers of them; what a module raises, with a note that says
    on which GPU.
    """
    count = len(modules)
    kwargs = kwargs_tup or [{}] * count
    places = devices or [None] * count
    if not len(inputs) == len(kwargs) == len(places) == count:
        raise ValueError(
            f"parallel_apply: expected {count} inputs, kwargs and devices, as there are modules. "
            f"Got {len(inputs)}, {len(kwargs)} and {len(places)}."
        )
    found = []
    for k, (module, given, named, place) in enumerate(
        zip(modules, inputs, kwargs, places, strict=True)
    ):
        args = given if isinstance(given, tuple | list) else (given,)
        if place is None or Device(place).type != "cuda":
            found.append(module(*args, **named))
            continue
        try:
            with current_gpu(place):
                found.append(module(*args, **named))
        except Exception as error:
            error.add_note(f"This was replica {k}, on {Device(place)}.")
            raise
    return found
