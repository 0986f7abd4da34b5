"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.joins import cat


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all `parameters`, one behind the other: (n,)."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make slices of `vec` (n,) the memory of `parameters`.

    Raises: ShapeError if the numbers of elements differ.
    """
    held = list(parameters)
    count = sum(p.numel() for p in held)
    if vec.ndim != 1 or vec.numel() != count:
        raise ShapeError(
            f"vector_to_parameters: expected a vector of {count} elements, as the parameters have. "
            f"Got shape {tuple(vec.shape)}."
        )
    start = 0
    for p in held:
        p.data = vec[start : start + p.numel()].view_as(p).detach()
        start += p.numel()
