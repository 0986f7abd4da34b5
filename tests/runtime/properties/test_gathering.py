"""gather, scatter and the index_ and masked_ functions against loops over their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flambeau as torch

from .drawing import (
    assert_gradients_equal_differences,
    examples,
    layouts,
    operands,
    seeds,
    shapes,
    values,
)


@st.composite
def along(draw: Any, fits_source: bool = False) -> Any:
    """(x, its array, dim, index, source, its array): index no larger than x but along dim."""
    shape = draw(shapes(min_dims=1, max_dims=3))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    sides = [draw(st.integers(0, n)) for n in shape]
    sides[dim] = draw(st.integers(0, 4)) if shape[dim] else 0
    stream = np.random.RandomState(draw(seeds))
    index = np.asarray(stream.randint(0, max(shape[dim], 1), sides), np.int64)
    x, array = draw(operands(shape))
    larger = [n + draw(st.integers(0, 1)) for n in sides]
    source, source_array = draw(operands(tuple(sides if fits_source else larger)))
    return x, array, dim, draw(layouts)(index), index, source, source_array


def target_of(place: Any, dim: int, index: Any) -> Any:
    target = list(place)
    target[dim] = index[place]
    return tuple(target)


@given(case=along())
@examples(60)
def test_gather(case: Any) -> None:
    x, array, dim, index_tensor, index, *_ = case
    wanted = np.zeros(index.shape)
    slope = np.zeros(array.shape)
    g = np.asarray(1.0 + np.arange(index.size).reshape(index.shape))
    for place in np.ndindex(*index.shape):
        wanted[place] = array[target_of(place, dim, index)]
        slope[target_of(place, dim, index)] += g[place]
    leaf = x.detach().requires_grad_()
    out = torch.gather(leaf, dim, index_tensor)
    np.testing.assert_array_equal(out.detach().numpy(), wanted)
    (found,) = torch.autograd.grad(out, leaf, torch.from_numpy(g))
    np.testing.assert_allclose(found.numpy(), slope)


COMBINE = {
    "sum": lambda a, b: a + b,
    "prod": lambda a, b: a * b,
    "amax": max,
    "amin": min,
}


@given(case=along(), reduce=st.sampled_from(sorted(COMBINE)), include_self=st.booleans())
@examples(80)
def test_scatter_reduce(case: Any, reduce: str, include_self: bool) -> None:
    x, array, dim, index_tensor, index, source, source_array = case
    wanted = array.copy()
    seen: set[Any] = set()
    for place in np.ndindex(*index.shape):
        target = target_of(place, dim, index)
        fresh = not include_self and target not in seen
        seen.add(target)
        value = source_array[place]
        wanted[target] = value if fresh else COMBINE[reduce](wanted[target], value)
    found = torch.scatter_reduce(x, dim, index_tensor, source, reduce, include_self=include_self)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)

    if reduce[1:] in ("max", "min") and len(np.unique(source_array)) < source_array.size:
        return  # equal ones share the gradient, which differences do not see

    def again(*tensors: Any) -> Any:
        return torch.scatter_reduce(
            tensors[0], dim, index_tensor, tensors[1], reduce, include_self=include_self
        )

    assert_gradients_equal_differences(again, [array, source_array], [x, source])


@given(case=along())
@examples(60)
def test_scatter_add(case: Any) -> None:
    x, array, dim, index_tensor, index, source, source_array = case
    wanted = array.copy()
    for place in np.ndindex(*index.shape):
        wanted[target_of(place, dim, index)] += source_array[place]
    np.testing.assert_allclose(x.scatter_add(dim, index_tensor, source).numpy(), wanted)
    assert_gradients_equal_differences(
        lambda a, s: a.scatter_add(dim, index_tensor, s), [array, source_array], [x, source]
    )


@given(case=along(), number=st.none() | st.sampled_from([0.5, 2]))
@examples(60)
def test_scatter_writes_one_of_the_values_sent_to_a_place(case: Any, number: Any) -> None:
    x, array, dim, index_tensor, index, source, source_array = case
    sent = source if number is None else number
    found = x.scatter(dim, index_tensor, sent).numpy()
    candidates: dict[Any, list[float]] = {}
    for place in np.ndindex(*index.shape):
        value = source_array[place] if number is None else float(number)
        candidates.setdefault(target_of(place, dim, index), []).append(value)
    for place in np.ndindex(*array.shape):
        assert found[place] in candidates.get(place, [array[place]])


@st.composite
def lines(draw: Any) -> Any:
    """(x, its array, dim, index of one dimension, source, its array) of the index_ functions."""
    shape = draw(shapes(min_dims=1, max_dims=3))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    n = draw(st.integers(0, 4)) if shape[dim] else 0
    index = np.random.RandomState(draw(seeds)).randint(0, max(shape[dim], 1), n)
    sides = list(shape)
    sides[dim] = n
    x, array = draw(operands(shape))
    source, source_array = draw(operands(tuple(sides)))
    return x, array, dim, draw(layouts)(np.asarray(index, np.int64)), index, source, source_array


@given(case=lines())
@examples(60)
def test_index_select(case: Any) -> None:
    x, array, dim, index_tensor, index, *_ = case
    found = torch.index_select(x, dim, index_tensor)
    np.testing.assert_array_equal(found.numpy(), array.take(index, dim))
    assert_gradients_equal_differences(
        lambda a: torch.index_select(a, dim, index_tensor), [array], [x]
    )


@given(case=lines(), alpha=st.sampled_from([1, 2.5]))
@examples(60)
def test_index_add(case: Any, alpha: float) -> None:
    x, array, dim, index_tensor, index, source, source_array = case
    wanted = array.copy()
    np.add.at(np.moveaxis(wanted, dim, 0), index, alpha * np.moveaxis(source_array, dim, 0))
    found = torch.index_add(x, dim, index_tensor, source, alpha=alpha)
    np.testing.assert_allclose(found.numpy(), wanted)
    assert_gradients_equal_differences(
        lambda a, s: torch.index_add(a, dim, index_tensor, s, alpha=alpha),
        [array, source_array],
        [x, source],
    )


@given(case=lines())
@examples(60)
def test_index_copy_and_fill(case: Any) -> None:
    x, array, dim, index_tensor, index, _, source_array = case
    _, last = np.unique(index[::-1], return_index=True)
    kept = np.sort(len(index) - 1 - last)  # each place once
    places = torch.from_numpy(np.asarray(index[kept], np.int64))
    chosen = torch.from_numpy(source_array.take(kept, dim))
    wanted = array.copy()
    np.moveaxis(wanted, dim, 0)[index[kept]] = np.moveaxis(source_array, dim, 0)[kept]
    np.testing.assert_array_equal(x.index_copy(dim, places, chosen).numpy(), wanted)
    np.moveaxis(wanted, dim, 0)[index] = 1.5
    np.testing.assert_array_equal(
        x.index_copy(dim, places, chosen).index_fill(dim, index_tensor, 1.5).numpy(), wanted
    )
    assert_gradients_equal_differences(
        lambda a, s: a.index_copy(dim, places, s), [array, chosen.numpy()], [x, chosen]
    )


@given(case=along(fits_source=True), data=st.data())
@examples(60)
def test_take_along_dim_broadcasts_the_other_dimensions(case: Any, data: Any) -> None:
    x, array, dim, _, _, _, _ = case
    stream = np.random.RandomState(data.draw(seeds))
    sides = [1 if data.draw(st.booleans()) else n for n in array.shape]
    sides[dim] = data.draw(st.integers(0, 3)) if array.shape[dim] else 0
    index = np.asarray(stream.randint(0, max(array.shape[dim], 1), sides), np.int64)
    full = list(array.shape)
    full[dim] = sides[dim]
    wanted = np.take_along_axis(array, np.broadcast_to(index, full), dim)
    found = torch.take_along_dim(x, torch.from_numpy(index), dim)
    np.testing.assert_array_equal(found.numpy(), wanted)


@given(shape=shapes(max_dims=3), seed=seeds, data=st.data())
@examples(60)
def test_masked_functions(shape: Any, seed: int, data: Any) -> None:
    x, array = data.draw(operands(shape))
    ones = [1 if data.draw(st.integers(0, 3)) == 0 else n for n in shape]
    part = ones[data.draw(st.integers(0, len(ones))) :]
    mask = np.asarray(np.random.RandomState(seed).randint(0, 2, part), np.bool_)
    there = np.broadcast_to(mask, shape)
    mask_tensor = data.draw(layouts)(mask)
    np.testing.assert_array_equal(torch.masked_select(x, mask_tensor).numpy(), array[there])
    filled = x.masked_fill(mask_tensor, 2.5)
    np.testing.assert_array_equal(filled.numpy(), np.where(there, 2.5, array))
    source = values((int(there.sum()) + 1,), torch.float64, seed)
    wanted = array.copy()
    wanted[there] = source[: there.sum()]
    found = x.masked_scatter(mask_tensor, torch.from_numpy(source))
    np.testing.assert_array_equal(found.numpy(), wanted)
    for function in (
        lambda a, _: torch.masked_select(a, mask_tensor),
        lambda a, _: a.masked_fill(mask_tensor, 2.5),
        lambda a, s: a.masked_scatter(mask_tensor, s),
    ):
        assert_gradients_equal_differences(function, [array, source], [x, None])


@given(case=along())
@examples(30)
def test_an_index_out_of_range_is_refused(case: Any) -> None:
    x, array, dim, _, index, source, _ = case
    if not index.size:
        return
    beyond = index.copy()
    beyond.flat[-1] = array.shape[dim]
    for function in (
        lambda i: torch.gather(x, dim, i),
        lambda i: x.scatter(dim, i, source),
        lambda i: x.scatter_add(dim, i, source),
    ):
        with pytest.raises((RuntimeError, IndexError)):
            function(torch.from_numpy(beyond))
