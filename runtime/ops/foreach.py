"""`torch._foreach_add_(tensors, others)` and its like: one operation over lists of tensors, as
optimizers and weight averages of other libraries call them.

An argument that is a list or tuple gives each tensor its own value; any other holds for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from .norms import vector_norm

UNARY = """
abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg
reciprocal round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc
"""
WITH_OTHERS = "add sub mul div pow clamp_min clamp_max maximum minimum lerp"
SCALED = "addcmul addcdiv"
INPLACE_ONLY = "zero_ copy_"


def _step(method: str) -> Callable[..., Any]:
    """What happens to one tensor: its method, which may be told a number in a tensor's place."""

    def step(tensor: Tensor, *others: Any, **options: Any) -> Any:
        name = method
        if method.startswith(("maximum", "minimum")) and not isinstance(others[0], Tensor):
            name = method.replace("maximum", "clamp_min").replace("minimum", "clamp_max")
        if method.startswith("addc") and len(others) == 3:
            *others, options["value"] = others  # type: ignore[assignment]
        if name in ("maximum_", "minimum_"):  # tensors have no such methods
            return tensor.copy_(getattr(tensor, name[:-1])(*others))
        return getattr(tensor, name)(*others, **options)

    return step


def _foreach(name: str, step: Callable[..., Any], inplace: bool) -> Callable[..., Any]:
    def foreach(self: Sequence[Tensor], *others: Any, **options: Any) -> Any:
        columns = [_column(name, other, len(self)) for other in others]
        results = tuple(step(*row, **options) for row in zip(self, *columns, strict=True))
        return None if inplace else results

    foreach.__name__ = foreach.__qualname__ = name
    whose = "each tensor" if inplace else "the results for each tensor"
    foreach.__doc__ = f"`{name.removeprefix('_foreach_')}` over a list: {whose}, in its place."
    foreach.__module__ = __name__
    return foreach


def _column(name: str, other: Any, count: int) -> Sequence[Any]:
    """What each tensor gets. Raises: ShapeError for a list of another length."""
    if not isinstance(other, list | tuple):
        return [other] * count
    if len(other) != count:
        raise ShapeError(f"{name}: expected as many values as tensors, {count}. Got {len(other)}.")
    return other


def _norm(tensor: Tensor, ord: float = 2, dtype: Any = None) -> Tensor:
    return vector_norm(tensor, ord, dtype=dtype)


def _functions() -> dict[str, Callable[..., Any]]:
    found = {}
    for method in f"{UNARY} {WITH_OTHERS} {SCALED}".split():
        for ending in ("", "_"):
            name = f"_foreach_{method}{ending}"
            found[name] = _foreach(name, _step(method + ending), inplace=bool(ending))
    for method in INPLACE_ONLY.split():
        name = f"_foreach_{method}"
        found[name] = _foreach(name, _step(method), inplace=True)
    found["_foreach_norm"] = _foreach("_foreach_norm", _norm, inplace=False)
    found["_foreach_max"] = _foreach("_foreach_max", Tensor.max, inplace=False)
    return found


globals().update(_functions())
__all__ = sorted(_functions())
