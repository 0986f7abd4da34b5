"""Reshaping, views and joins against NumPy: values, what shares memory, gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flambeau as torch

from .drawing import EVERY_DTYPE, examples, operands, seeds, shapes

Cases = Callable[[Any, Any], tuple[Callable[[Any], Any], Callable[[Any], Any]]]


def axis(draw: Any, ndim: int) -> int:
    return draw(st.integers(-ndim, ndim - 1))


# Each function draws its arguments for an array of some shape; it returns the call on a tensor and
# on an array.


def permute(draw: Any, shape: Any) -> Any:
    order = draw(st.permutations(range(len(shape))))
    return lambda t: t.permute(*order), lambda a: a.transpose(order)


def transpose(draw: Any, shape: Any) -> Any:
    a, b = axis(draw, len(shape)), axis(draw, len(shape))
    return lambda t: t.transpose(a, b), lambda x: x.swapaxes(a, b)


def movedim(draw: Any, shape: Any) -> Any:
    count = draw(st.integers(0, len(shape)))
    source = draw(st.permutations(range(len(shape))))[:count]
    target = draw(st.permutations(range(len(shape))))[:count]
    return lambda t: t.movedim(source, target), lambda x: np.moveaxis(x, source, target)


def unsqueeze(draw: Any, shape: Any) -> Any:
    a = axis(draw, len(shape) + 1)
    return lambda t: t.unsqueeze(a), lambda x: np.expand_dims(x, a)


def squeeze(draw: Any, shape: Any) -> Any:
    if not draw(st.booleans()):
        return lambda t: t.squeeze(), np.squeeze
    dims = sorted({axis(draw, len(shape)) % len(shape) for _ in range(2)})
    ones = tuple(d for d in dims if shape[d] == 1)
    return lambda t: t.squeeze(tuple(dims)), lambda x: np.squeeze(x, ones) if ones else x


def expand(draw: Any, shape: Any) -> Any:
    lead = draw(shapes(max_dims=2))
    wide = [draw(st.integers(0, 3)) if n == 1 else n for n in shape]
    asked = [-1 if n == m and draw(st.booleans()) else m for n, m in zip(shape, wide, strict=True)]
    return lambda t: t.expand(*lead, *asked), lambda x: np.broadcast_to(x, (*lead, *wide))


def diagonal(draw: Any, shape: Any) -> Any:
    if len(shape) < 2:
        return unsqueeze(draw, shape)
    a, b, *_ = draw(st.permutations(range(len(shape))))
    offset = draw(st.integers(-4, 4))
    return lambda t: t.diagonal(offset, a, b - len(shape)), lambda x: x.diagonal(offset, a, b)


def unfold(draw: Any, shape: Any) -> Any:
    a = axis(draw, len(shape))
    size, step = draw(st.integers(0, shape[a])), draw(st.integers(1, 3))

    return lambda t: t.unfold(a, size, step), lambda x: _windows(x, a % x.ndim, size, step)


def _windows(x: Any, a: int, size: int, step: int) -> Any:
    starts = range(0, x.shape[a] - size + 1, step)
    return np.stack([np.moveaxis(x.take(range(k, k + size), a), a, -1) for k in starts], a)


def flip(draw: Any, shape: Any) -> Any:
    dims = draw(st.lists(st.integers(0, len(shape) - 1), unique=True, max_size=3))
    signed = [d - len(shape) if draw(st.booleans()) else d for d in dims]
    return lambda t: t.flip(signed), lambda x: np.flip(x, dims)


def roll(draw: Any, shape: Any) -> Any:
    shift = draw(st.integers(-7, 7))
    if draw(st.booleans()):
        return lambda t: t.roll(shift), lambda x: np.roll(x, shift)
    dims = draw(st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1, max_size=2))
    shifts = [draw(st.integers(-7, 7)) for _ in dims]
    return lambda t: t.roll(shifts, dims), lambda x: np.roll(x, shifts, dims)


def rot90(draw: Any, shape: Any) -> Any:
    if len(shape) < 2:
        return roll(draw, shape)
    turns, (a, b, *_) = draw(st.integers(-5, 5)), draw(st.permutations(range(len(shape))))
    return lambda t: t.rot90(turns, (a, b)), lambda x: np.rot90(x, turns, (a, b))


def repeat(draw: Any, shape: Any) -> Any:
    many = [draw(st.integers(0, 2)) for _ in range(len(shape) + draw(st.integers(0, 1)))]
    return lambda t: t.repeat(*many), lambda x: np.tile(x, many)


def tile(draw: Any, shape: Any) -> Any:
    many = draw(st.lists(st.integers(0, 2), max_size=4))
    return lambda t: t.tile(many), lambda x: np.tile(x, many)


def repeat_interleave(draw: Any, shape: Any) -> Any:
    if draw(st.booleans()):
        n = draw(st.integers(0, 3))
        return lambda t: t.repeat_interleave(n), lambda x: np.repeat(x, n)
    a = axis(draw, len(shape))
    many = np.asarray(
        draw(st.lists(st.integers(0, 2), min_size=shape[a], max_size=shape[a])), np.int64
    )
    return (lambda t: t.repeat_interleave(torch.from_numpy(many), a),
            lambda x: np.repeat(x, many, a))  # fmt: skip


def tril_and_triu(draw: Any, shape: Any) -> Any:
    if len(shape) < 2:
        return roll(draw, shape)
    k, name = draw(st.integers(-4, 4)), draw(st.sampled_from(["tril", "triu"]))
    return lambda t: getattr(t, name)(k), lambda x: getattr(np, name)(x, k)


def reshape(draw: Any, shape: Any) -> Any:
    size = int(np.prod(shape, dtype=int))
    sides = [n for n in range(1, size + 1) if size % n == 0] or [0]
    first = draw(st.sampled_from(sides))
    rest = [n for n in range(1, size // first + 1) if size // first % n == 0] if first else [3]
    second = draw(st.sampled_from(rest))
    target = [first, second, size // (first * second) if first else 2]
    if size and draw(st.booleans()):
        target[draw(st.integers(0, 2))] = -1
    return lambda t: t.reshape(target), lambda x: x.reshape(target)


def flatten(draw: Any, shape: Any) -> Any:
    a, b = sorted(axis(draw, len(shape)) % len(shape) for _ in range(2))
    middle = int(np.prod(shape[a : b + 1], dtype=int))
    return (lambda t: t.flatten(a, b - len(shape)),
            lambda x: x.reshape((*shape[:a], middle, *shape[b + 1 :])))  # fmt: skip


def narrow(draw: Any, shape: Any) -> Any:
    a = axis(draw, len(shape))
    start = draw(st.integers(0, shape[a]))
    length = draw(st.integers(0, shape[a] - start))
    return lambda t: t.narrow(a, start, length), lambda x: x.take(range(start, start + length), a)


VIEWS = {f.__name__: f for f in (
    permute, transpose, movedim, unsqueeze, squeeze, expand, diagonal, unfold, narrow,
)}  # fmt: skip
COPIES = {f.__name__: f for f in (
    flip, roll, rot90, repeat, tile, repeat_interleave, tril_and_triu,
)}  # fmt: skip
EITHER = {f.__name__: f for f in (reshape, flatten)}


@pytest.mark.parametrize("name", [*VIEWS, *COPIES, *EITHER])
@given(shape=shapes(min_dims=1), dtype=st.sampled_from(EVERY_DTYPE), data=st.data())
@examples(40)
def test_values_and_memory(name: str, shape: Any, dtype: Any, data: Any) -> None:
    on_tensor, on_array = {**VIEWS, **COPIES, **EITHER}[name](data.draw, shape)
    x, array = data.draw(operands(shape, dtype))
    found, wanted = on_tensor(x), np.asarray(on_array(array))
    assert found.dtype is dtype
    assert tuple(found.shape) == wanted.shape
    np.testing.assert_array_equal(found.numpy(), wanted)
    if name in VIEWS:
        assert found._base is not None
        assert found._version == x._version
        assert wanted.size == 0 or np.shares_memory(found.numpy(), x.numpy())
    elif name in COPIES:
        assert not np.shares_memory(found.numpy(), x.numpy())


@pytest.mark.parametrize("name", [*VIEWS, *COPIES, *EITHER])
@given(shape=shapes(min_dims=1), data=st.data())
@examples(30)
def test_the_gradient_puts_each_element_back_where_it_came_from(
    name: str, shape: Any, data: Any
) -> None:
    on_tensor, on_array = {**VIEWS, **COPIES, **EITHER}[name](data.draw, shape)
    x, array = data.draw(operands(shape))
    leaf = x.detach().requires_grad_()
    out = on_tensor(leaf)
    g = np.asarray(1.0 + np.arange(out.numel()).reshape(tuple(out.shape)))
    (found,) = torch.autograd.grad(out, leaf, torch.from_numpy(g))
    places = np.asarray(on_array(1 + np.arange(array.size).reshape(shape)))  # 0: from nowhere
    wanted = np.zeros(array.size + 1)
    np.add.at(wanted, places.reshape(-1), g.reshape(-1))
    assert found.shape == leaf.shape
    np.testing.assert_allclose(found.numpy(), wanted[1:].reshape(shape))


@pytest.mark.parametrize("name", [n for n in VIEWS if n != "expand"])
@given(shape=shapes(min_dims=1), seed=seeds, data=st.data())
@examples(30)
def test_a_write_through_a_view_equals_a_functional_rewrite(
    name: str, shape: Any, seed: int, data: Any
) -> None:
    on_tensor, on_array = VIEWS[name](data.draw, shape)
    x, array = data.draw(operands(shape))
    places = np.asarray(on_array(np.arange(array.size).reshape(shape)))
    if len(np.unique(places)) < places.size:
        return  # windows that overlap
    w = np.random.RandomState(seed).uniform(0.5, 1.5, places.shape)
    leaf, weight = x.detach().requires_grad_(), torch.from_numpy(np.asarray(w)).requires_grad_()
    base = leaf * 2
    on_tensor(base).mul_(weight)
    factors = np.ones(array.size)
    factors[places.reshape(-1)] = w.reshape(-1)
    factors = factors.reshape(shape)
    np.testing.assert_allclose(base.detach().numpy(), 2 * array * factors)
    g = np.asarray(1.0 + np.arange(array.size).reshape(shape))
    by_x, by_w = torch.autograd.grad(base, [leaf, weight], torch.from_numpy(g))
    np.testing.assert_allclose(by_x.numpy(), 2 * g * factors)
    np.testing.assert_allclose(by_w.numpy(), np.asarray(on_array(2 * array * g)))


# -- joins and parts -------------------------------------------------------------------------------


@st.composite
def parts(draw: Any) -> Any:
    """(tensors, their arrays, dim): equal but along dim."""
    shape = list(draw(shapes(min_dims=1, max_dims=3)))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    drawn = []
    for _ in range(draw(st.integers(1, 4))):
        shape[dim] = draw(st.integers(0, 3))
        drawn.append(draw(operands(tuple(shape))))
    return [t for t, _ in drawn], [a for _, a in drawn], dim


@given(case=parts())
@examples(80)
def test_cat_and_split_back(case: Any) -> None:
    tensors, arrays, dim = case
    leaves = [t.detach().requires_grad_() for t in tensors]
    joined = torch.cat(leaves, dim)
    wanted = np.concatenate(arrays, dim)
    np.testing.assert_array_equal(joined.detach().numpy(), wanted)
    g = np.asarray(1.0 + np.arange(wanted.size).reshape(wanted.shape))
    grads = torch.autograd.grad(joined, leaves, torch.from_numpy(g), retain_graph=True)
    lengths = [a.shape[dim] for a in arrays]
    for back, leaf, found, part in zip(
        torch.split(joined, lengths, dim), leaves, grads,
        np.split(g, np.cumsum(lengths)[:-1], dim), strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(back.detach().numpy(), leaf.detach().numpy())
        np.testing.assert_array_equal(found.numpy(), part)


@given(shape=shapes(max_dims=3), count=st.integers(1, 3), data=st.data())
@examples(60)
def test_stack_and_unbind_back(shape: Any, count: int, data: Any) -> None:
    drawn = [data.draw(operands(shape)) for _ in range(count)]
    dim = data.draw(st.integers(-len(shape) - 1, len(shape)))
    stacked = torch.stack([t for t, _ in drawn], dim)
    np.testing.assert_array_equal(stacked.numpy(), np.stack([a for _, a in drawn], dim))
    for back, (_, array) in zip(torch.unbind(stacked, dim), drawn, strict=True):
        np.testing.assert_array_equal(back.numpy(), array)


@given(shape=shapes(min_dims=1, max_dims=3), n=st.integers(1, 5), data=st.data())
@examples(80)
def test_chunk_split_and_tensor_split(shape: Any, n: int, data: Any) -> None:
    x, array = data.draw(operands(shape))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    length = shape[dim]

    def pieces(step: int) -> Any:
        starts = range(0, length, step) if length else [0]
        return [array.take(range(k, min(k + step, length)), dim) for k in starts]

    # With chunks of no length, PyTorch gives as many as were asked for.
    in_chunks = pieces(-(-length // n)) if length else [array] * n
    marks = sorted(data.draw(st.lists(st.integers(0, 5), max_size=3)))
    for found, wanted in [
        (x.split(n, dim), pieces(n)),
        (x.chunk(n, dim), in_chunks),
        (x.tensor_split(n, dim), np.array_split(array, n, dim)),
        (x.tensor_split(marks, dim), np.split(array, marks, dim)),
    ]:
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
            assert tuple(a.shape) == b.shape


@given(data=st.data())
@examples(60)
def test_as_strided_reads_the_places_of_memory_that_it_names(data: Any) -> None:
    memory = np.arange(24.0)
    size = data.draw(st.lists(st.integers(0, 3), max_size=3))
    stride = [data.draw(st.integers(0, 4)) for _ in size]
    start = data.draw(st.integers(0, 23))
    leaf = torch.from_numpy(memory.copy()).requires_grad_()
    reach = start + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 not in size and reach > 23:
        with pytest.raises(RuntimeError):
            leaf.as_strided(size, stride, start)
        return
    places = np.full(size, start)
    for place in itertools.product(*map(range, size)):
        places[place] += sum(i * s for i, s in zip(place, stride, strict=True))
    out = leaf.as_strided(size, stride, start)
    np.testing.assert_array_equal(out.detach().numpy(), memory[places])
    (found,) = torch.autograd.grad(out, leaf, torch.ones_like(out))
    np.testing.assert_array_equal(found.numpy(), np.bincount(places.reshape(-1), minlength=24))
