"""x[index], x[index] = v and x[index] += v against NumPy, with closed forms for the gradients."""

from __future__ import annotations

from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import flambeau as torch

from .drawing import examples, operands, seeds, shapes, values


@st.composite
def indices(draw: Any, shape: Any) -> Any:
    """A NumPy index of an array of `shape`: basic, of integers, of truth values, or mixed."""
    kind = draw(st.sampled_from(["basic", "mixed", "mixed", "mask"]))
    if kind == "basic":
        found = draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True, max_dims=6))
        items = found if isinstance(found, tuple) else (found,)
        assume(not any(isinstance(i, slice) and (i.step or 1) < 0 for i in items))
        return found
    if kind == "mask":
        kept = draw(st.integers(0, len(shape)))
        return np.asarray(np.random.RandomState(draw(seeds)).randint(0, 2, shape[:kept]), np.bool_)
    common = draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=1, max_side=3))
    items = []
    k = 0
    while k < len(shape):
        choice = draw(st.sampled_from(["array", "array", "slice", "number", "mask", "new", "stop"]))
        stream = np.random.RandomState(draw(seeds))
        n = shape[k]
        if choice == "stop":
            break
        if choice == "new":
            items.append(None)
            if len(items) > 5:
                break
            continue
        if choice in ("array", "number") and n == 0:
            choice = "slice"
        if choice == "array":
            ones = [1 if draw(st.booleans()) else m for m in common]
            ones = ones[draw(st.integers(0, len(ones))) :]
            items.append(np.asarray(stream.randint(-n, n, ones)))
        elif choice == "number":
            items.append(int(stream.randint(-n, n)))
        elif choice == "mask":
            if any(isinstance(i, np.ndarray) for i in items):
                items.append(slice(None))
            else:
                items.append(stream.randint(0, 2, n).astype(np.bool_))
        else:
            start, stop = draw(st.integers(-4, 3)), draw(st.none() | st.integers(-3, 5))
            items.append(slice(start, stop, draw(st.integers(1, 2))))
        k += 1
    if draw(st.booleans()) and len(items) < len(shape) and items:
        items.insert(draw(st.integers(0, len(items))), Ellipsis)
    return tuple(items)


def steps(index: Any) -> Any:
    """The index in NumPy's terms as two: what numbers select, and the rest of it.

    To PyTorch a number is never one of the index arrays, to NumPy it is.
    """
    items = index if isinstance(index, tuple) else (index,)
    first: list[Any] = []
    for item in items:
        if is_number(item) or item is Ellipsis:
            first.append(item if item is Ellipsis else int(item))
        elif item is not None:
            many = item.ndim if isinstance(item, np.ndarray) and item.dtype == bool else 1
            first += [slice(None)] * many
    if Ellipsis not in first:
        first.append(Ellipsis)  # keeps a view of one element an array
    return tuple(first), tuple(i for i in items if not is_number(i))


def is_number(item: Any) -> bool:
    if isinstance(item, np.ndarray):
        return item.ndim == 0 and item.dtype != bool
    return isinstance(item, int)


def as_torch(index: Any) -> Any:
    """The index with tensors for arrays."""
    if isinstance(index, tuple):
        return tuple(as_torch(i) for i in index)
    return torch.from_numpy(index.copy()) if isinstance(index, np.ndarray) else index


@st.composite
def indexed(draw: Any) -> Any:
    """A tensor, its array, and an index that NumPy takes."""
    shape = draw(shapes(max_dims=4))
    index = draw(indices(shape))
    tensor, array = draw(operands(shape))
    first, rest = steps(index)
    try:
        array[first][rest]
    except IndexError:
        assume(False)
    return tensor, array, index


def numbered(shape: Any) -> Any:
    """1, 2, 3... in that shape."""
    return np.asarray(1.0 + np.arange(np.prod(shape, dtype=int)).reshape(shape))


@given(case=indexed())
@examples(150)
def test_reading(case: Any) -> None:
    x, array, index = case
    first, rest = steps(index)
    wanted = np.asarray(array[first][rest])
    found = x[as_torch(index)]
    assert tuple(found.shape) == wanted.shape
    np.testing.assert_array_equal(found.numpy(), wanted)
    is_view = not any(isinstance(i, np.ndarray) for i in rest)
    assert np.shares_memory(found.numpy(), x.numpy()) == (is_view and wanted.size > 0)


@given(case=indexed())
@examples(80)
def test_the_gradient_of_reading_adds_up_at_the_places_read(case: Any) -> None:
    x, array, index = case
    leaf = x.detach().requires_grad_()
    out = leaf[as_torch(index)]
    g = numbered(tuple(out.shape))
    (found,) = torch.autograd.grad(out, leaf, torch.from_numpy(g))
    wanted = np.zeros(array.shape)
    first, rest = steps(index)
    np.add.at(wanted[first], rest, g)
    np.testing.assert_allclose(found.numpy(), wanted)


@st.composite
def written(draw: Any) -> Any:
    """A case of `indexed` with own memory, and values that broadcast to what is selected."""
    shape = draw(shapes(max_dims=4))
    index = draw(indices(shape))
    array = values(shape, torch.float64, draw(seeds))
    first, rest = steps(index)
    try:
        selected = np.asarray(array[first][rest]).shape
    except IndexError:
        assume(False)
    kept = draw(st.integers(0, len(selected)))
    part = [1 if draw(st.integers(0, 3)) == 0 else n for n in selected[len(selected) - kept :]]
    source, source_array = draw(operands(tuple(part)))
    return array, index, source, source_array


def places_are_distinct(shape: Any, index: Any) -> bool:
    first, rest = steps(index)
    numbers = np.asarray(numbered(shape)[first][rest]).reshape(-1)
    return len(set(numbers.tolist())) == len(numbers)


@given(case=written(), recorded=st.booleans())
@examples(150)
def test_writing(case: Any, recorded: bool) -> None:
    array, index, source, source_array = case
    assume(places_are_distinct(array.shape, index))
    x = torch.from_numpy(array.copy())
    if recorded:
        x.requires_grad_()
        x = x.clone()
    x[as_torch(index)] = source
    wanted = array.copy()
    first, rest = steps(index)
    wanted[first][rest] = source_array
    np.testing.assert_array_equal(x.detach().numpy(), wanted)


@given(case=written())
@examples(80)
def test_the_gradient_of_writing_goes_round_what_was_overwritten(case: Any) -> None:
    array, index, source, source_array = case
    assume(places_are_distinct(array.shape, index))
    x = torch.from_numpy(array.copy()).requires_grad_()
    v = source.detach().requires_grad_()
    out = x * 1
    out[as_torch(index)] = v
    g = numbered(array.shape)
    by_x, by_v = torch.autograd.grad(out, [x, v], torch.from_numpy(g), allow_unused=True)
    wanted = g.copy()
    first, rest = steps(index)
    inside = np.asarray(g[first][rest])
    wanted[first][rest] = 0
    np.testing.assert_array_equal(by_x.numpy(), wanted)
    np.testing.assert_allclose(by_v.numpy(), summed_to(inside, source_array.shape))


def summed_to(g: Any, shape: Any) -> Any:
    g = g.sum(tuple(range(g.ndim - len(shape))))
    axes = tuple(k for k, n in enumerate(shape) if n == 1 and g.shape[k] != 1)
    return np.asarray(g.sum(axes, keepdims=True))


@given(case=written())
@examples(80)
def test_adding_in_place_at_an_index_adds_once(case: Any) -> None:
    array, index, source, source_array = case
    x = torch.from_numpy(array.copy())
    wanted = array.copy()
    x[as_torch(index)] += source
    first, rest = steps(index)
    wanted[first][rest] += source_array
    np.testing.assert_allclose(x.numpy(), wanted)


@given(shape=shapes(min_dims=1, min_side=1), common=shapes(max_dims=2), seed=seeds, data=st.data())
@examples(80)
def test_index_put_accumulates_every_time(shape: Any, common: Any, seed: int, data: Any) -> None:
    stream = np.random.RandomState(seed)
    count = data.draw(st.integers(1, len(shape)))
    items = tuple(np.asarray(stream.randint(-n, n, common)) for n in shape[:count])
    array = values(shape, torch.float64, seed)
    selected = (*common, *shape[count:])
    kept = data.draw(st.integers(0, len(selected)))
    source, source_array = data.draw(operands(selected[len(selected) - kept :]))
    wanted = array.copy()
    # Broadcast by hand: NumPy 2.4 reads beyond values of fewer dimensions than the index.
    np.add.at(wanted, items, np.broadcast_to(source_array, selected))
    x = torch.from_numpy(array.copy()).requires_grad_()
    v = source.detach().requires_grad_()
    out = x.index_put(as_torch(items), v, accumulate=True)
    np.testing.assert_allclose(out.detach().numpy(), wanted)
    g = numbered(array.shape)
    by_x, by_v = torch.autograd.grad(out, [x, v], torch.from_numpy(g))
    np.testing.assert_array_equal(by_x.numpy(), g)
    np.testing.assert_allclose(by_v.numpy(), summed_to(np.asarray(g[items]), source_array.shape))


@given(shape=shapes(min_dims=1, max_dims=3), seed=seeds, data=st.data())
@examples(40)
def test_what_numpy_refuses_is_refused(shape: Any, seed: int, data: Any) -> None:
    x = torch.from_numpy(values(shape, torch.float64, seed))
    axis = data.draw(st.integers(0, len(shape) - 1))
    n = shape[axis]
    beyond = data.draw(st.sampled_from([n, n + 3, -n - 1]))
    forms = [int, torch.tensor, lambda i: [i], lambda i: torch.tensor([i])]
    form = data.draw(st.sampled_from(forms))
    index = (slice(None),) * axis + (form(beyond),)
    if 0 in shape and not isinstance(index[-1], int):
        return
    with pytest.raises(IndexError):
        x[index]
    with pytest.raises(IndexError):
        x[index] = 0.0
