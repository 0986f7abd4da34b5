"""Rows and elements at places that arrays name: read, written and added up, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F

from .conftest import build_at_once
from .kit import assert_launched
from .shim import HostDriver

I, J = np.array([[0, -1, 3], [2, 2, -4]]), np.array([1, 0, -3])
SELECTIONS: dict[str, tuple[tuple[int, ...], Any]] = {
    "rows": ((4, 8), lambda i, j: i),
    "rows in words of a byte": ((4, 3), lambda i, j: j),
    "two dimensions": ((4, 3, 5), lambda i, j: (i, j)),
    "the second dimension": ((2, 4, 8), lambda i, j: (slice(None), i)),
    "the last dimensions": ((2, 3, 4, 3), lambda i, j: (..., i, j)),
    "elements": ((4,), lambda i, j: i),
    "none": ((4, 8), lambda i, j: i[:0]),
    "of nothing": ((4, 0), lambda i, j: i),
}


def numbers(shape: Any, dtype: Any) -> Any:
    """Whole numbers, whose sums are exact in each dtype."""
    values = np.random.default_rng(1).integers(-9, 9, shape)
    return torch.tensor(values).to(dtype)


def equal(found: Any, wanted: Any) -> None:
    assert found.dtype is wanted.dtype
    assert found.shape == wanted.shape
    assert torch.equal(found.cpu(), wanted)


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build_at_once("gathers")


DTYPES = (torch.float32, torch.bfloat16, torch.int8, torch.complex128, torch.bool)


@pytest.mark.parametrize("dtype", DTYPES)
def test_indices_select_and_replace_rows(host: HostDriver, dtype: Any) -> None:
    for shape, select in SELECTIONS.values():
        x, kind = numbers(shape, dtype), torch.int32 if dtype is torch.int8 else torch.int64
        index = select(torch.tensor(I).to(kind), torch.tensor(J).to(kind))
        there = select(torch.tensor(I).to(kind).cuda(), torch.tensor(J).to(kind).cuda())
        host.launched.clear()
        wanted = x[index]
        equal(x.cuda()[there], wanted)
        if wanted.numel():
            assert_launched(host, "take_rows")
        for values in (torch.zeros_like(wanted), numbers((1,), dtype).reshape(())):
            a, b = x.clone(), x.cuda()
            a[index], b[there] = values, values.cuda()
            equal(b, a)
        if wanted.numel():
            assert_launched(host, "put_rows")


def test_rows_that_are_written_are_broadcast(host: HostDriver) -> None:
    x, values = numbers((2, 4, 8), torch.float32), numbers((3, 8), torch.float32)
    index = torch.tensor([3, 0, 2])
    a, b = x.clone(), x.cuda()
    a[:, index], b[:, index.cuda()] = values, values.cuda()
    equal(b, a)
    assert_launched(host, "put_rows")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("name", [n for n in SELECTIONS if n != "of nothing"])
def test_gradients_of_selections_add_up(host: HostDriver, dtype: Any, name: str) -> None:
    shape, select = SELECTIONS[name]
    found = []
    for place in ("cpu", "cuda"):
        i, j = torch.tensor(I).to(place), torch.tensor(J).to(place)
        x = numbers(shape, dtype).to(place).requires_grad_()
        out = x[select(i, j)]
        out.backward(numbers(tuple(out.shape), dtype).to(place))
        found.append(x.grad)
    equal(found[1], found[0])
    if name != "none":
        assert_launched(host, "find_rows")


def test_slices_of_halves_get_their_gradients_without_a_detour(host: HostDriver) -> None:
    x = numbers((5, 6), torch.bfloat16).cuda().requires_grad_()
    host.launched.clear()
    (gradient,) = torch.autograd.grad(x[1:4, ::2].sum(), x)
    assert not any(name.startswith("cast") for name in host.launched)
    wanted = torch.zeros(5, 6, dtype=torch.bfloat16)
    wanted[1:4, ::2] = 1
    equal(gradient, wanted)


ALONG: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "rows": ((5, 7), (5, 3), 1),
    "fewer columns": ((5, 7), (4, 3), 0),
    "middle": ((2, 5, 3), (2, 4, 3), 1),
    "line": ((9,), (4,), 0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ALONG)
def test_elements_along_a_dimension(host: HostDriver, dtype: Any, name: str) -> None:
    shape, index_shape, dim = ALONG[name]
    generator = np.random.default_rng(2)
    index = torch.tensor(generator.integers(0, shape[dim], index_shape))
    x = numbers(shape, dtype)
    equal(x.cuda().gather(dim, index.cuda()), x.gather(dim, index))
    assert_launched(host, "take_along")
    order = np.argsort(generator.random(index_shape), dim)  # no place twice
    index, source = torch.tensor(order), numbers(tuple(n + 1 for n in index_shape), dtype)
    equal(x.cuda().scatter(dim, index.cuda(), source.cuda()), x.scatter(dim, index, source))
    assert_launched(host, "put_along")


def test_transposed_arrays_and_expanded_indices_are_read_as_they_lie(host: HostDriver) -> None:
    x = numbers((6, 4, 5), torch.float32)
    index = torch.tensor([[3], [0]])
    views = [t.permute(2, 1, 0)[1:3].gather(1, index[..., None].to(t.device).expand(2, 1, 6))
             for t in (x, x.cuda())]  # fmt: skip
    equal(views[1], views[0])
    assert_launched(host, "take_along")


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_gradients_of_gather_and_scatter(host: HostDriver, dtype: Any, deterministic: bool) -> None:
    torch.use_deterministic_algorithms(deterministic)
    try:
        for shape, index_shape, dim in ALONG.values():
            index = torch.tensor(np.random.default_rng(3).integers(0, shape[dim], index_shape))
            found = []
            for place in ("cpu", "cuda"):
                x = numbers(shape, dtype).to(place).requires_grad_()
                y = numbers(index_shape, dtype).to(place).requires_grad_()
                there = index.to(place)
                out = x.gather(dim, there) * y + x.scatter_add(dim, there, y).sum()
                found.append(torch.autograd.grad(out.sum(), [x, y]))
            for a, b in zip(*found, strict=True):
                equal(b, a)
            assert_launched(host, "find_along")
    finally:
        torch.use_deterministic_algorithms(False)


def test_scattered_values_hide_what_was_there(host: HostDriver) -> None:
    found = []
    for place in ("cpu", "cuda"):
        x = numbers((5, 7), torch.float32).to(place).requires_grad_()
        y = numbers((5, 3), torch.float32).to(place).requires_grad_()
        index = torch.tensor([[0, 3, 2]] * 5).to(place)
        (x.scatter(1, index, y) * 2).sum().backward()
        found.append((x.grad, y.grad))
    for a, b in zip(*found, strict=True):
        equal(b, a)


@pytest.mark.parametrize("wide", [3, 8])
def test_embedding_copies_rows(host: HostDriver, wide: int) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        table, index = numbers((7, wide), dtype), torch.tensor([[1, 6], [0, 1]])
        equal(F.embedding(index.cuda(), table.cuda()), F.embedding(index, table))
        word = {6: "uint16", 12: "uint32", 16: "Wide", 32: "Wide"}[wide * dtype.itemsize]
        assert host.launched == [f"take_rows<{word}, int64>"]
        host.launched.clear()


def test_places_that_are_not_there_are_told(host: HostDriver) -> None:
    x, wrong = torch.zeros(4, 3, device="cuda"), torch.tensor([0, 4, -5])
    for call in (
        lambda i: x[i], lambda i: x[:, i[:1] + 3], lambda i: x.index_put((i,), x[0]),
        lambda i: x.gather(0, i[1:, None]), lambda i: x.scatter(0, i[1:, None], x),
        lambda i: x.scatter_add(0, i[1:, None], x), lambda i: x.index_add(0, i, x[:3]),
    ):  # fmt: skip
        found = call(wrong.cuda())
        assert torch.isfinite(found).shape == found.shape
        with pytest.raises(IndexError, match="GPU found some calls ago"):
            torch.cuda.synchronize()


@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "amax", "amin"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_reductions_by_place(host: HostDriver, reduce: str, dtype: Any) -> None:
    generator = np.random.default_rng(4)
    rows = torch.tensor(generator.integers(0, 4, 150))
    cases = [(shape, torch.tensor(generator.integers(0, shape[dim], wide)), dim)
             for shape, wide, dim in ALONG.values()]  # fmt: skip
    cases.append(((5, 3), rows[:, None].expand(150, 3), 0))
    for (shape, index, dim), include_self in zip(cases, [True, False] * 3, strict=False):
        x = torch.tensor(generator.integers(-2, 3, shape)).to(dtype)
        source = torch.tensor(generator.choice([-1, 0, 1], tuple(index.shape))).to(dtype)
        if reduce == "sum":
            found = x.cuda().scatter_add(dim, index.cuda(), source.cuda())
            equal(found, x.scatter_add(dim, index, source))
            continue
        options = {"include_self": include_self}
        host.launched.clear()
        found = x.cuda().scatter_reduce(dim, index.cuda(), source.cuda(), reduce, **options)
        equal(found, x.scatter_reduce(dim, index, source, reduce, **options))
        assert_launched(host, "find_along")


@pytest.mark.parametrize("reduce", ["prod", "amax"])
def test_gradients_of_reductions_by_place(host: HostDriver, reduce: str) -> None:
    index = torch.tensor([[0, 2, 2], [1, 1, 1]])
    for value in (0.0, 3.0):  # a lone zero, and one beside another
        found = []
        for place in ("cpu", "cuda"):
            x = torch.tensor([[2.0, 0.0, 3.0], [1.0, 3.0, 4.0]]).to(place).requires_grad_()
            y = torch.tensor([[0.0, 3.0, -1.0], [value, 3.0, 0.0]]).to(place).requires_grad_()
            out = x.scatter_reduce(1, index.to(place), y, reduce)
            g = numbers((2, 3), torch.float32).to(place)
            found.append([out.detach(), *torch.autograd.grad(out, [x, y], g)])
        for a, b in zip(*found, strict=True):
            equal(b, a)


def test_caches_grow_in_place(host: HostDriver) -> None:
    cache, new = numbers((2, 5, 8), torch.bfloat16).cuda(), numbers((2, 2, 8), torch.bfloat16)
    wanted, place = cache.cpu(), torch.tensor([3, 1])
    wanted[:, place] = new
    host.launched.clear()
    for write in (
        lambda c: c.index_copy_(1, place.cuda(), new.cuda()),
        lambda c: c.index_put_((None, place.cuda()), new.cuda()),
    ):
        copy = cache.clone()
        assert write(copy) is copy
        equal(copy, wanted)
        assert [name.partition("<")[0] for name in host.launched] == ["put_rows"]
        host.launched.clear()
