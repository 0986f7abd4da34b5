"""Devices that are not there, and what is said about them."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
from flambeau.backends.cuda import presence
from flambeau.errors import ShapeError

from . import cupy_stand_in
from .cupy_stand_in import memory

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


@no_gpu
def test_questions_about_a_missing_gpu_are_answered() -> None:
    assert (torch.cuda.is_available(), torch.cuda.device_count()) == (False, 0)
    assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == (0, 0)
    torch.cuda.empty_cache()


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
@pytest.mark.parametrize(
    "ask",
    [
        lambda: torch.ones(1).cuda(),
        lambda: torch.ones(1, device="cuda"),
        lambda: torch.ones(1).to("cuda:0"),
        lambda: torch.nn.Linear(2, 2).cuda(),
        lambda: torch.cuda.synchronize(),
        lambda: torch.cuda.set_device(0),
        lambda: torch.cuda.mem_get_info(),
    ],
)
def test_without_cupy_the_error_says_what_to_install(ask: Any) -> None:
    with pytest.raises(RuntimeError, match=r"CuPy is not installed \(pip install 'flambeau\[cuda"):
        ask()


@no_gpu
@pytest.mark.parametrize(
    ("status", "told"),
    [
        (100, r"finds no GPU\. CUDA_VISIBLE_DEVICES='7' may hide some\..*device='cpu'"),
        (35, r"driver is for CUDA 12\.4, CuPy for CUDA 13\.0: update the driver"),
        (999, "CUDA says: unknown error"),
    ],
)
def test_a_driver_without_use_is_explained(
    monkeypatch: pytest.MonkeyPatch, status: int, told: str
) -> None:
    def count() -> int:
        raise memory.CUDARuntimeError("unknown error", status)

    for name, module in cupy_stand_in.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    runtime = types.SimpleNamespace(
        getDeviceCount=count, CUDARuntimeError=memory.CUDARuntimeError,
        driverGetVersion=lambda: 12040, runtimeGetVersion=lambda: 13000,
    )  # fmt: skip
    monkeypatch.setattr(sys.modules["cupy"].cuda, "runtime", runtime)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert not torch.cuda.is_available()
    assert torch.cuda.device_count() == 0
    with pytest.raises(RuntimeError, match=told):
        torch.ones(1).cuda()


@no_gpu
def test_without_a_driver_cupy_is_not_even_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cupy.py").write_text("raise ImportError('libcudart is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(presence, "DRIVERS", ("libcuda_that_is_not_there.so",))
    assert not torch.cuda.is_available()
    with pytest.raises(RuntimeError, match="no NVIDIA driver"):
        torch.ones(1).cuda()
    monkeypatch.setattr(presence, "DRIVERS", ("libc.so.6",))
    assert not torch.cuda.is_available()
    with pytest.raises(RuntimeError, match=r"CuPy does not load \(ImportError: libcudart is"):
        torch.ones(1).cuda()


@no_gpu
def test_a_process_that_only_talks_about_gpus_counts_what_the_system_lists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for place in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / place).mkdir()
    monkeypatch.setattr(presence, "LISTED", tmp_path)
    monkeypatch.setattr(presence._Asked, "is_away", False)
    with cupy_stand_in.installed(4):
        runtime = sys.modules["cupy"].cuda.runtime
        monkeypatch.setattr(runtime, "getDeviceCount", lambda: 1 / 0)
        presence.stay_away()
        assert torch.cuda.device_count() == 2
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
        assert torch.cuda.device_count() == 1
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
        assert not torch.cuda.is_available()


@no_gpu
@pytest.mark.skipif(not hasattr(os, "fork"), reason="There is no fork")
def test_a_process_forked_from_one_that_used_cuda_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with cupy_stand_in.installed():
        torch.ones(1).cuda()
        assert not presence.after_fork()
        monkeypatch.setattr(presence._Asked, "is_forked", False)
        presence._note_fork()  # as in the child
        assert torch.cuda.is_available()
        with pytest.raises(RuntimeError, match=r"forked from one that had used CUDA.*'spawn'"):
            torch.ones(1, device="cuda")


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:-1", "cuda:x", "meta:0:1"])
def test_names_of_no_device_are_refused(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name}|Expected"):
        torch.ones(1, device=name)


def test_meta_tensors_have_no_values() -> None:
    x = torch.ones(2, 3, device="meta")
    for ask in (x.tolist, x.sum().item, x.numpy, lambda: x.to("cpu"), lambda: bool(x.sum())):
        with pytest.raises((RuntimeError, TypeError), match="meta"):
            ask()


SEARCHES: dict[str, Callable[[Any], Any]] = {
    "isclose": lambda x: torch.isclose(x, x),
    "isin": lambda x: torch.isin(x, x[0]),
    "searchsorted": lambda x: torch.searchsorted(x, x, out_int32=True),
    "bucketize": lambda x: torch.bucketize(x, x[0]),
    "frexp": torch.frexp,
    "histc": lambda x: torch.histc(x, 7),
    "mode": lambda x: x.mode(0, keepdim=True),
    "nonzero_static": lambda x: torch.nonzero_static(x, size=5),
    "one_hot": lambda x: torch.nn.functional.one_hot((x * 0).long(), 3),
    "masked_scatter": lambda x: x.masked_scatter(x > 0, x),
    "multinomial": lambda x: torch.multinomial(x, 2),
    "histogram": lambda x: torch.histogram(x, 4, range=(0.0, 9.0)),
    "histogram of edges": lambda x: torch.histogram(x, x[0]),
    "ctc": lambda x: torch.nn.functional.ctc_loss(
        x[:, None],
        (x[:1] * 0).long() + 1,
        (x[:1, 0] * 0).long() + 2,
        (x[:1, 0] * 0).long() + 1,
        reduction="none",
    ),
    "fractional pooling": lambda x: torch.nn.functional.fractional_max_pool2d(
        x[None], 1, output_size=(1, 2), return_indices=True
    ),
    "segments": lambda x: torch.segment_reduce(x, "max", lengths=(x[:1, 0] * 0).long() + 2),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_on_meta_have_the_shapes_of_real_ones(name: str) -> None:
    x = torch.arange(1.0, 7.0).reshape(2, 3)
    real, meta = SEARCHES[name](x), SEARCHES[name](x.to("meta"))
    for a, b in zip(*[r if isinstance(r, tuple) else (r,) for r in (real, meta)], strict=True):
        assert (a.shape, a.dtype, b.device.type) == (b.shape, b.dtype, "meta")


@pytest.mark.parametrize("name", ["nonzero", "unique", "unique_consecutive", "argwhere"])
def test_shapes_that_depend_on_values_are_refused_on_meta(name: str) -> None:
    with pytest.raises(RuntimeError, match="expected a tensor with values, on which the result's"):
        getattr(torch, name)(torch.zeros(3, device="meta"))


def test_a_device_chooses_where_new_tensors_of_its_block_lie():
    with torch.device("meta"):
        inside = torch.zeros(2), torch.nn.Linear(2, 3).weight
        with torch.device("cpu"):
            assert torch.ones(2).device.type == "cpu"
        assert torch.get_default_device().type == "meta"
    assert [t.device.type for t in inside] == ["meta", "meta"]
    assert torch.zeros(2).device.type == "cpu"


def test_ranges_on_meta_take_no_memory():
    assert torch.arange(10**12, device="meta").shape == (10**12,)
    assert torch.linspace(0, 1, 10**12, device="meta").shape == (10**12,)
    assert torch.eye(10**6, device="meta").shape == (10**6, 10**6)


def test_a_convolution_on_meta_needs_no_gradient_mode() -> None:
    image, weight = torch.empty(2, 3, 8, 8, device="meta"), torch.empty(4, 3, 3, 3, device="meta")
    with torch.no_grad():
        assert torch.conv2d(image, weight).shape == (2, 4, 6, 6)


def test_assigning_to_a_part_on_meta_checks_the_shapes() -> None:
    x = torch.empty(4, 3, device="meta")
    x[0], x[:, 1], x[1:3] = torch.empty(3, device="meta"), 5.0, torch.empty(3, device="meta")
    with pytest.raises(ShapeError, match="selected shape"):
        x[0] = torch.empty(4, device="meta")
