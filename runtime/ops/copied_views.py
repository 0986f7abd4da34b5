"""View operations whose result has memory of its own: `permute_copy` and its like."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from . import complex_numbers, joins, shapes, stacking, strided, views
from .copies import copied

__all__ = [
    "alias_copy",
    "as_strided_copy",
    "detach_copy",
    "diagonal_copy",
    "expand_copy",
    "narrow_copy",
    "permute_copy",
    "select_copy",
    "slice_copy",
    "split_copy",
    "split_with_sizes_copy",
    "squeeze_copy",
    "t_copy",
    "transpose_copy",
    "unbind_copy",
    "unfold_copy",
    "unsqueeze_copy",
    "view_as_complex_copy",
    "view_as_real_copy",
    "view_copy",
]


def _copying(function: Any) -> Any:
    def copying(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if isinstance(result, tuple):
            return tuple(copied(part) for part in result)
        return copied(result)

    copying.__name__ = copying.__qualname__ = f"{function.__name__}_copy"
    copying.__doc__ = f"`{function.__name__}` with memory of its own."
    return copying


as_strided_copy = _copying(strided.as_strided)
diagonal_copy = _copying(strided.diagonal)
unfold_copy = _copying(strided.unfold)
expand_copy = _copying(views.expand)
permute_copy = _copying(views.permute)
squeeze_copy = _copying(views.squeeze)
t_copy = _copying(views.t)
transpose_copy = _copying(views.transpose)
unsqueeze_copy = _copying(views.unsqueeze)
narrow_copy = _copying(joins.narrow)
select_copy = _copying(joins.select)
unbind_copy = _copying(joins.unbind)
split_copy = _copying(joins.split)
split_with_sizes_copy = _copying(stacking.split_with_sizes)
view_as_real_copy = _copying(complex_numbers.view_as_real)
view_as_complex_copy = _copying(complex_numbers.view_as_complex)
detach_copy = _copying(Tensor.detach)


def view_copy(*args: Any, **kwargs: Any) -> Any:
    """`view` with memory of its own, of a tensor in any layout."""
    input, *rest = args
    return copied(views.view(input.contiguous(), *rest, **kwargs))


def slice_copy(
    input: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """The slice start:end:step of dimension `dim` with memory of its own."""
    d = shapes.normalized_dim(dim, input.ndim, "slice_copy")
    return copied(input[(*[slice(None)] * d, slice(start, end, step))])


def alias_copy(input: Any) -> Any:
    """A copy of input."""
    return copied(input)
