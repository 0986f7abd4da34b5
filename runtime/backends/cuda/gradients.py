"""Gradients of many parameters, scaled or limited in place by one launch."""

from __future__ import annotations

from typing import Any

from . import launch


def together(tensors: list[Any]) -> list[Any] | None:
    """The arrays of the tensors, if one launch serves all of them."""
    first = tensors[0]._key
    fit = (
        first.device.type == "cuda"
        and first.is_float
        and not first.dtype.is_complex
        and all(t._key is first and t._array.flags.c_contiguous for t in tensors)
        and any(t._array.size for t in tensors)
        and launch.driver.is_available()
    )
    return [t._array for t in tensors] if fit else None


def _scaled(factor: Any, xp: Any, g: Any) -> None:
    g *= factor


def _limited(least: Any, largest: Any, xp: Any, g: Any) -> None:
    xp.clip(g, least, largest, out=g)


def scale(arrays: list[Any], factor: Any, found: Any = None) -> None:
    """Multiply by a number, or by that of an array, which may not be known yet. The element of
    `found`, float32, becomes 1 if a result is not finite."""
    from .steps import run

    run(_scaled, (factor,), [[a] for a in arrays], found)


def limit(arrays: list[Any], least: float, largest: float) -> None:
    """Put each element into [least, largest]."""
    from .steps import run

    run(_limited, (least, largest), [[a] for a in arrays])
