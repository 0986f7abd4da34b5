"""Copies between layouts, joins, borders, flips, rolls and triangles, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch

from .conftest import build_at_once
from .kit import assert_launched
from .shim import HostDriver

DTYPES = (torch.int8, torch.bfloat16, torch.float32, torch.float64, torch.complex128)


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    build_at_once("movement")


def numbered(shape: tuple[int, ...], dtype: Any) -> Any:
    return torch.tensor(np.arange(np.prod(shape)).reshape(shape) % 113 - 50).to(dtype)


def same(host: HostDriver, function: Any, x: Any, kernel: str) -> None:
    """The function gives the same of x on both devices, by a kernel in one launch."""
    wanted = function(x)
    there = x.cuda()
    host.launched.clear()
    found = function(there)
    if wanted.numel():
        assert len(host.launched) == 1, host.launched
        assert_launched(host, kernel)
    assert found.dtype is wanted.dtype
    assert found.stride() == wanted.stride()
    assert torch.equal(found.cpu(), wanted)


VIEWS: dict[str, tuple[tuple[int, ...], Any, str]] = {
    "transposed": ((33, 70), lambda x: x.t(), "transpose"),
    "transposed, even": ((64, 132), lambda x: x.t(), "transpose"),
    "channels to the end": ((2, 9, 5, 8), lambda x: x.permute(0, 2, 3, 1), "transpose"),
    "heads": ((2, 5, 3, 16), lambda x: x.transpose(1, 2), "copy_strided"),
    "outer and inner": ((8, 3, 2, 9), lambda x: x.permute(3, 2, 1, 0), "transpose"),
    "narrow": ((3, 50), lambda x: x.t(), "copy_strided"),
    "every other": ((6, 20), lambda x: x[::2, ::3], "copy_strided"),
    "at an odd place": ((6, 20), lambda x: x[:, 1:17], "copy_strided"),
    "expanded": ((4, 1, 8), lambda x: x.expand(4, 3, 8), "copy_strided"),
    "none": ((0, 4), lambda x: x.t(), "copy_strided"),
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_contiguous_copies(host: HostDriver, dtype: Any) -> None:
    for shape, view, kernel in VIEWS.values():
        base = numbered(shape, dtype)
        wanted = view(base).contiguous()
        given = view(base.cuda())
        host.launched.clear()
        found = given.contiguous()
        if wanted.numel():
            wide = dtype.itemsize == 16 and kernel == "transpose"
            assert_launched(host, "copy_strided" if wide else kernel)
        assert found.is_contiguous()
        assert torch.equal(found.cpu(), wanted)


def test_images_change_their_layout(host: HostDriver) -> None:
    x = numbered((2, 9, 5, 8), torch.bfloat16)
    last = torch.channels_last
    same(host, lambda t: t.contiguous(memory_format=last), x, "transpose")
    same(host, lambda t: t.contiguous(), x.to(memory_format=last), "transpose")


def test_reshapes_copy_only_what_no_view_shows(host: HostDriver) -> None:
    x = numbered((4, 6, 10), torch.float32).cuda()
    view = x[:, :, :8].reshape(24, 8)
    assert host.launched == []
    assert view.data_ptr() == x.data_ptr()
    found = x.transpose(1, 2).reshape(40, 6)
    assert len(host.launched) == 1
    assert torch.equal(found.cpu(), x.cpu().transpose(1, 2).reshape(40, 6))


@pytest.mark.parametrize("dtype", DTYPES)
def test_joins(host: HostDriver, dtype: Any) -> None:
    parts = [numbered((3, n, 4), dtype) for n in (5, 1, 0, 8)] + [torch.zeros(0, dtype=dtype)]
    there = [p.cuda() for p in parts]
    host.launched.clear()
    found = torch.cat(there, 1)
    assert len(host.launched) == 1
    assert_launched(host, "join")
    assert torch.equal(found.cpu(), torch.cat(parts, 1))
    many = [numbered((2, 3), dtype) + k for k in range(100)]
    for dim in (0, 1, 2):
        found = torch.stack([p.cuda() for p in many], dim)
        assert_launched(host, "join")
        assert torch.equal(found.cpu(), torch.stack(many, dim))


@pytest.mark.parametrize("dtype", [torch.int8, torch.float32, torch.complex128])
def test_borders_flips_and_rolls(host: HostDriver, dtype: Any) -> None:
    pad = torch.nn.functional.pad
    x = numbered((3, 4, 5), dtype)
    for function in (
        lambda t: pad(t, (1, 2)), lambda t: pad(t, (0, 0, 2, 1), value=7),
        lambda t: pad(t, (-1, 2, 0, -2, 1, 0), value=-1), lambda t: torch.flip(t, (0, 2)),
        lambda t: torch.flip(t, (1,)), lambda t: torch.roll(t, 2, 1), lambda t: torch.roll(t, -7),
        lambda t: torch.roll(t, (1, -1), (0, 2)), lambda t: torch.roll(t, (1, 1), (2, 2)),
    ):  # fmt: skip
        same(host, function, x, "turn")
    assert torch.roll(x[:0].cuda(), 1, 0).shape == (0, 4, 5)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.complex128])
def test_triangles(host: HostDriver, dtype: Any) -> None:
    x = numbered((2, 5, 7), dtype)
    for diagonal in (-3, 0, 2):
        same(host, lambda t, d=diagonal: torch.tril(t, d), x, "triangle")
        same(host, lambda t, d=diagonal: torch.triu(t, d), x, "triangle")


def test_gradients_of_parts_are_written_with_their_border_at_once(host: HostDriver) -> None:
    x = numbered((4, 6, 8), torch.bfloat16)
    for part in (
        lambda t: t[:, 2], lambda t: t.narrow(1, 1, 3), lambda t: t.select(2, -1),
        lambda t: torch.cat([t, t], 1)[:, :6], lambda t: torch.diff(t, dim=0),
    ):  # fmt: skip
        found = []
        for place in ("cpu", "cuda"):
            leaf = x.to(place).requires_grad_()
            out = part(leaf)
            g = numbered(tuple(out.shape), torch.bfloat16).to(place)
            found.append(torch.autograd.grad(out, leaf, g)[0])
        assert torch.equal(found[1].cpu(), found[0])


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_borders_of_what_lies_inside(host: HostDriver, mode: str) -> None:
    for shape, pad in (
        ((2, 3, 5), (2, 3)),
        ((1, 2, 4, 5), (1, 0, 3, 2)),
        ((2, 3, 4, 5), (0, 0, 1, 1)),
    ):
        for dtype in (torch.float32, torch.bfloat16):
            found = []
            for place in ("cpu", "cuda"):
                x = numbered(shape, dtype).to(place).requires_grad_()
                host.launched.clear()
                out = torch.nn.functional.pad(x, pad, mode)
                if place == "cuda":
                    assert_launched(host, "turn")
                g = numbered(tuple(out.shape), dtype).remainder(5).to(place)
                found.append((out.detach(), torch.autograd.grad(out, x, g)[0]))
            assert_launched(host, "unturn")
            for a, b in zip(*found, strict=True):
                assert torch.equal(b.cpu(), a)
