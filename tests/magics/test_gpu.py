"""The instruments of a session whose tensors are on a GPU."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
from flambeau import cuda
from flambeau.backends import cuda as backend
from flambeau.magics.profile import ceilings

from ..runtime.conftest import gpu

__all__ = ["gpu"]  # the fixture

Run = Callable[[str], str]

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceilings are measured on little memory, for the stand-in's sake."""
    ceilings.ceilings.cache_clear()
    monkeypatch.setitem(ceilings.COPIED, "cuda", 1 << 20)
    monkeypatch.setitem(ceilings.SIZE, "cuda", 64)


def test_free_gives_the_cache_of_the_gpu_back(run: Run) -> None:
    run("x = torch.empty(1 << 24, device='cuda')")
    run("del x")
    before = cuda.memory_reserved()
    assert "of GPU cache went to the driver" in run("%free")
    assert cuda.memory_reserved() <= before - (64 << 20)


def test_mem_shows_blocks_of_the_gpu(run: Run) -> None:
    run("weights = torch.ones(1 << 20, device='cuda')")
    run("more = torch.ones(1 << 20, device='cuda:1') if torch.cuda.device_count() > 1 else 0")
    told = run("%mem")
    if cuda.device_count() > 1:
        assert "GPU 0: 4." in told
        assert "GPU 1: 4." in told
    else:
        assert "GPU 4." in told
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
    assert "Largest holders: weights 40.00 MiB and activations 10.00 MiB" in told


def test_a_profile_times_the_gpu_by_events_and_waits_once(run: Run, monkeypatch: Any) -> None:
    waits: list[int] = []
    plain = cuda.synchronize
    monkeypatch.setattr(cuda, "synchronize", lambda *args: waits.append(1) or plain(*args))
    run("w = torch.ones(8, device='cuda', requires_grad=True)")
    run("adam = torch.optim.Adam([w])")
    ceilings.ceilings("cuda:0")
    waits.clear()
    told = run("%%profile\n(w * w).sum().backward()\nadam.step()")
    assert waits == [1]
    assert "on the GPU by CUDA's events" in told
    if not hasattr(backend.xp.cuda.Stream.null, "capture"):
        return
    # The stand-in's events are a millisecond apart: an operation lies between two of them.
    assert "5.00 ms on the GPU" in told
    for name in ("mul", "sum", "Adam.step"):
        assert any(name in row and " ms" in row for row in told.splitlines()), name


def test_a_chrome_trace_has_a_row_of_the_gpu(run: Run, tmp_path: Path) -> None:
    run("w = torch.ones(8, device='cuda', requires_grad=True)")
    run(f"%%profile -o {tmp_path}/trace.json\n(w * w).sum().backward()")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    kernels = [e for e in events if e.get("cat") == "kernel"]
    assert [e["name"] for e in kernels[:2]] == ["aten::mul", "aten::sum"]
    assert {e["tid"] for e in kernels} == {"GPU 0"}
    launches = {e["id"]: e for e in events if e.get("cat") == "ac2g" and e["ph"] == "s"}
    arrivals = {e["id"]: e for e in events if e.get("cat") == "ac2g" and e["ph"] == "f"}
    assert launches.keys() == arrivals.keys()
    assert len(launches) == len(kernels)


def test_a_replay_of_a_graph_is_an_operation_of_a_profile(run: Run) -> None:
    run("x = torch.ones(8, device='cuda'); g = torch.cuda.CUDAGraph()")
    run("with torch.cuda.graph(g):\n    y = x * 2")
    assert "CUDAGraph.replay" in run("%profile g.replay()")


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


def test_operations_are_ranges_for_nsight(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(cuda.nvtx, "range_start", lambda name: told.append(name) or len(told))
    monkeypatch.setattr(cuda.nvtx, "range_end", lambda number: told.append(number))
    x = torch.ones(3, device="cuda", requires_grad=True)
    with torch.profiler.emit_nvtx(), torch.profiler.record_function("both"):
        with pytest.raises(RuntimeError):
            x @ torch.ones(4, device="cuda")
        (x * 2).sum()
    assert told[0] == "both"
    names = [t for t in told if isinstance(t, str)]
    assert names[-2:] == ["aten::mul", "aten::sum"]
    ended = [t for t in told if isinstance(t, int)]
    assert sorted(ended) == [k + 1 for k, t in enumerate(told) if isinstance(t, str)]


def test_a_table_has_the_times_of_the_gpu() -> None:
    x = torch.ones(8, device="cuda")
    profiler = torch.profiler
    activities = [profiler.ProfilerActivity.CPU, profiler.ProfilerActivity.CUDA]
    with profiler.profile(activities=activities) as found, profiler.record_function("both"):
        (x * 2).sum()
    rows = {row.key: row for row in found.key_averages()}
    table = found.key_averages().table(sort_by="cuda_time_total")
    assert "Self CUDA" in table
    assert rows["aten::sum"].self_cuda_time_total > 0
    parts = rows["aten::sum"].cuda_time_total + rows["aten::mul"].cuda_time_total
    assert rows["both"].cuda_time_total == pytest.approx(parts)
    assert rows["both"].self_cuda_time_total == 0
