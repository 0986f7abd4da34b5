"""What the property tests draw: shapes, values, element types and layouts of memory.

The default run is small and the same each time. `FLAMBEAU_EXAMPLES=2000` in the environment makes
it a thorough one, with that many examples of every property, and others at each run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import flambeau as torch
from flambeau.core.tensor import Tensor

EXAMPLES = int(os.environ.get("FLAMBEAU_EXAMPLES", "0"))

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
COMPLEX = (torch.complex64, torch.complex128)
EVERY_DTYPE = (torch.bool, *INTEGERS, *FLOATS, *COMPLEX)


def examples(count: int, **options: Any) -> settings:
    """Settings for `count` examples, more in a thorough run."""
    return settings(max_examples=max(count, EXAMPLES), derandomize=EXAMPLES == 0, **options)


seeds = st.integers(0, 2**32 - 1)
sizes = st.sampled_from([0, 1, 1, 2, 2, 3, 3, 4])


def shapes(min_dims: int = 0, max_dims: int = 4, min_side: int = 0) -> st.SearchStrategy[Any]:
    """Shapes with zeros and ones among them."""
    sides = sizes.filter(lambda n: n >= min_side)
    return st.lists(sides, min_size=min_dims, max_size=max_dims).map(tuple)


def tolerance(dtype: Any, terms: int = 1) -> dict[str, float]:
    """Bounds for results rounded to `dtype` after sums or products of `terms` numbers."""
    real = dtype.to_real()
    if not real.is_floating_point:
        return {"rtol": 0.0, "atol": 0.0}
    step = float(torch.finfo(real).eps) * 8 * max(terms, 1)
    return {"rtol": step, "atol": step}


# -- values ----------------------------------------------------------------------------------------

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, np.inf, -np.inf, np.nan, 2.0, 100.0, -100.0])


def values(shape: Any, dtype: Any, seed: int, low: float = -3.0, high: float = 3.0) -> Any:
    """An array of numbers between `low` and `high` that `dtype` represents.

    Floating ones lie on a grid moved off 0, 1/2 and 1 by an amount that depends on the seed, so
    that kinks are met by nobody and ties by few.
    """
    stream = np.random.RandomState(seed)
    if dtype is torch.bool:
        return np.asarray(stream.randint(0, 2, shape), np.bool_)
    if dtype in INTEGERS:
        floor = max(int(low), 0 if dtype is torch.uint8 else -100)
        return np.asarray(stream.randint(floor, int(high) + 1, shape)).astype(dtype.numpy)
    grid = (stream.randint(0, 96, shape) + stream.uniform(0.1, 0.4)) / 96
    found = low + (high - low) * grid
    if dtype in COMPLEX:
        found = found + 1j * values(shape, torch.float64, seed ^ 1, low, high)
    return np.asarray(found).astype(dtype.numpy)


def special_values(shape: Any, dtype: Any, seed: int) -> Any:
    """Zeros of both signs, infinities, NaN and large numbers, mixed with ordinary ones."""
    stream = np.random.RandomState(seed)
    ordinary = values(shape, torch.float64, seed)
    pool = SPECIAL[stream.randint(0, len(SPECIAL), shape)]
    return np.where(stream.randint(0, 2, shape), pool, ordinary).astype(dtype.numpy)


# -- layouts ---------------------------------------------------------------------------------------


def _filled(shape: Any, dtype: Any) -> Any:
    """Memory that nobody may read: a number which would be seen in any result."""
    return np.full(shape, 77, dtype)


def contiguous(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, order="C"))


def reversed_storage(array: Any) -> Tensor:
    """Dimensions stored in reverse: Fortran's order."""
    return torch.from_numpy(np.array(array.T, order="C")).permute(*reversed(range(array.ndim)))


def rotated_storage(array: Any) -> Tensor:
    """The last dimension stored first, as channels-last images store theirs last."""
    if array.ndim < 2:
        return contiguous(array)
    memory = np.array(np.moveaxis(array, -1, 0), order="C")
    return torch.from_numpy(memory).movedim(0, -1)


def stepped(array: Any) -> Tensor:
    """Every second element, from the second on, of a larger memory."""
    memory = _filled([2 * n + 1 for n in array.shape], array.dtype)
    memory[(slice(1, None, 2),) * array.ndim] = array
    return torch.from_numpy(memory)[(slice(1, None, 2),) * array.ndim]


def offset(array: Any) -> Tensor:
    """The inside of a larger memory."""
    memory = _filled([n + 2 for n in array.shape], array.dtype)
    memory[(slice(1, -1),) * array.ndim] = array
    return torch.from_numpy(memory)[(slice(1, -1),) * array.ndim]


def foreign(array: Any) -> Tensor:
    """NumPy's own strided memory, which no tensor ever was."""
    if array.ndim == 0:
        return contiguous(array)
    memory = _filled([2 * n for n in reversed(array.shape)], array.dtype)
    shown = memory[(slice(None, None, 2),) * array.ndim].transpose()
    shown[...] = array
    return torch.from_numpy(shown)


LAYOUTS: dict[str, Callable[[Any], Tensor]] = {
    f.__name__: f for f in (contiguous, reversed_storage, rotated_storage, stepped, offset, foreign)
}

layouts = st.sampled_from(list(LAYOUTS.values()))


@st.composite
def operands(draw: Any, shape: Any, dtype: Any = torch.float64, **bounds: float) -> Any:
    """A tensor of some layout, perhaps expanded, and the array of its values."""
    array = values(shape, dtype, draw(seeds), **bounds)
    layout = draw(layouts)
    axes = [k for k, n in enumerate(shape) if n > 1]
    if axes and draw(st.integers(0, 5)) == 0:
        axis = draw(st.sampled_from(axes))
        narrow = array.take([0], axis)
        array = np.array(np.broadcast_to(narrow, shape))
        return layout(narrow).expand(shape), array
    return layout(array), array


# -- shapes that go together ----------------------------------------------------------------------


@st.composite
def broadcastable(draw: Any, count: int, max_dims: int = 4) -> Any:
    """`count` shapes that broadcast, and their common shape."""
    common = draw(shapes(max_dims=max_dims))
    found = []
    for _ in range(count):
        kept = draw(st.integers(0, len(common)))
        sides = common[len(common) - kept :]
        ones = draw(st.lists(st.booleans(), min_size=kept, max_size=kept))
        found.append(tuple(1 if one else n for one, n in zip(ones, sides, strict=True)))
    return found, np.broadcast_shapes(*found)


# -- gradients -------------------------------------------------------------------------------------


def differences(function: Callable[..., Any], arrays: list[Any], k: int, step: float) -> Any:
    """Central differences of `function`, arrays to a number, by the array `k`."""
    slopes = np.zeros(arrays[k].shape)
    for place in np.ndindex(*arrays[k].shape):
        ends = []
        for sign in (1.0, -1.0):
            moved = [a.copy() for a in arrays]
            moved[k][place] += sign * step
            ends.append(function(*moved))
        slopes[place] = (ends[0] - ends[1]) / (2 * step)
    return slopes


def assert_gradients_equal_differences(
    function: Callable[..., Tensor], arrays: list[Any], inputs: list[Tensor] | None = None
) -> None:
    """The gradients of `function`'s results, weighted by fixed numbers, against differences.

    Where differences of two widths disagree there is a kink or a jump, of which they say nothing.
    """
    leaves = [(t if t is not None else contiguous(a)).detach().requires_grad_()
              for t, a in zip(inputs or [None] * len(arrays), arrays, strict=True)]  # fmt: skip
    out = function(*leaves)
    weights = 0.5 + np.random.RandomState(0).uniform(size=tuple(out.shape))
    if not out.requires_grad:
        found: Any = [None] * len(leaves)
    else:
        found = torch.autograd.grad(
            out, leaves, torch.from_numpy(np.asarray(weights)), allow_unused=True
        )

    def number(*moved: Any) -> float:
        with torch.no_grad():
            result = function(*[contiguous(a) for a in moved])
        return float((result.numpy() * weights).sum())

    for k, (leaf, g) in enumerate(zip(leaves, found, strict=True)):
        assert g is None or (g.shape == leaf.shape and g.dtype is leaf.dtype)
        got = np.zeros(tuple(leaf.shape)) if g is None else g.numpy()
        wide, narrow = (differences(number, arrays, k, h) for h in (1e-5, 0.5e-5))
        scale = 1 + np.abs(narrow)
        smooth = np.abs(wide - narrow) < 1e-5 * scale
        np.testing.assert_allclose(
            np.where(smooth, got, 0), np.where(smooth, narrow, 0), rtol=1e-4, atol=1e-5
        )


def real_leaf(array: Any) -> Tensor:
    """A leaf of the real and imaginary parts of `array`."""
    return torch.from_numpy(np.stack([array.real, array.imag], -1)).requires_grad_()


def in_real_numbers(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function` of complex tensors as one of their parts, for differences."""

    def of_parts(*leaves: Tensor) -> Tensor:
        out = function(*[torch.view_as_complex(t) if t.requires_grad else t for t in leaves])
        return torch.view_as_real(out) if out.is_complex() else out

    return of_parts
