"""The instruments of a session whose tensors are on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flambeau as torch
from flambeau import cuda
from flambeau.backends import cuda as backend

from ..runtime.conftest import gpu

__all__ = ["gpu"]  # the fixture

Run = Callable[[str], str]

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


def test_free_gives_the_cache_of_the_gpu_back(run: Run) -> None:
    run("x = torch.empty(1 << 24, device='cuda')")
    run("del x")
    before = cuda.memory_reserved()
    assert "of GPU cache went to the driver" in run("%free")
    assert cuda.memory_reserved() <= before - (64 << 20)


def test_mem_shows_blocks_of_the_gpu(run: Run) -> None:
    run("weights = torch.ones(1 << 20, device='cuda')")
    assert "GPU 4." in run("%mem")
    assert "cuda:0" in run("%mem weights")


def test_a_full_gpu_names_the_variables_that_hold_it(run: Run, shell: Any) -> None:
    backend.allocator.give_back()
    limit = cuda.memory_reserved() + (64 << 20)
    cuda.set_per_process_memory_fraction(limit / cuda.mem_get_info()[1])
    try:
        run("activations = [torch.empty(10 << 20, dtype=torch.uint8, device='cuda')] * 2")
        run("weights = torch.empty(40 << 20, dtype=torch.uint8, device='cuda')")
        result = shell.run_cell("torch.empty(40 << 20, dtype=torch.uint8, device='cuda')")
        told = str(result.error_in_exec or shell.last_execution_result.error_in_exec)
    finally:
        backend.allocator.limits.clear()
    assert "Largest holders: weights 41.9 MB and activations 10.5 MB" in told


def test_times_of_a_profile_include_the_gpus(run: Run, monkeypatch: Any) -> None:
    waits: list[int] = []
    plain = cuda.synchronize
    monkeypatch.setattr(cuda, "synchronize", lambda *args: waits.append(1) or plain(*args))
    run("w = torch.ones(8, device='cuda', requires_grad=True)")
    run("adam = torch.optim.Adam([w])")
    run("%%profile\n(w * w).sum().backward()\nadam.step()")
    # Two operations, their two nodes at least, the step, and the end.
    assert len(waits) >= 6


def test_device_lists_gpus_and_makes_tensors_there(run: Run, shell: Any) -> None:
    assert "cuda:0" in run("%device")
    run("%device cuda")
    try:
        assert shell.user_ns["torch"].ones(1).is_cuda
    finally:
        run("%device cpu")


def test_bench_waits_for_the_gpu(run: Run, monkeypatch: Any) -> None:
    waits: list[int] = []
    monkeypatch.setattr(cuda, "synchronize", lambda *args: waits.append(1))
    run("x = torch.ones(8, device='cuda')")
    assert "median" in run("%bench x + x")
    assert waits


def test_named_ranges_and_activities_are_accepted() -> None:
    x = torch.ones(8, device="cuda")
    profiler = torch.profiler
    activities = [profiler.ProfilerActivity.CPU, profiler.ProfilerActivity.CUDA]
    with profiler.profile(activities=activities) as found, torch.cuda.nvtx.range("sum"):
        x.sum()
    assert "sum" in found.key_averages().table(sort_by="cuda_time_total")
