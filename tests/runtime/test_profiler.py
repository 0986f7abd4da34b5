"""torch.profiler: PyTorch's interface over the runtime's events."""

from __future__ import annotations

import gc
import gzip
import json
import weakref
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.core import observers
from flambeau.profiler import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    tensorboard_trace_handler,
)


def rows(prof: profile, **options: Any) -> dict[str, Any]:
    return {row.key: row for row in prof.key_averages(**options)}


def test_forward_and_backward_are_counted_under_pytorchs_names() -> None:
    x = torch.ones(10, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        for _ in range(3):
            x.exp().sum().backward()
    found = rows(prof)
    assert {name: found[name].count for name in found} == {
        "aten::exp": 3, "aten::sum": 3, "SumBackward0": 3, "ExpBackward0": 3,
    }  # fmt: skip
    assert found["aten::exp"].cpu_time_total > 0
    assert found["aten::exp"].cpu_time == pytest.approx(found["aten::exp"].cpu_time_total / 3)
    assert observers.active == []


def test_named_ranges_hold_what_is_inside() -> None:
    x = torch.ones(1000)
    with profile() as prof:
        with record_function("outer"):
            x.exp()
            with record_function("inner"):
                x.sin()
        x.cos()
    found = rows(prof)
    outer, inner = found["outer"], found["inner"]
    assert outer.cpu_time_total > inner.cpu_time_total + found["aten::exp"].cpu_time_total
    assert outer.self_cpu_time_total == pytest.approx(
        outer.cpu_time_total - inner.cpu_time_total - found["aten::exp"].cpu_time_total
    )
    assert found["aten::cos"].self_cpu_time_total == found["aten::cos"].cpu_time_total


def test_ranges_decorate_functions_and_cost_nothing_outside() -> None:
    @record_function("work")
    def work() -> int:
        return 3

    assert work() == 3
    with profile() as prof:
        work()
    assert rows(prof)["work"].count == 1


def test_the_table_has_the_columns_that_were_asked_for() -> None:
    net = nn.Linear(4, 5)
    with profile(record_shapes=True, profile_memory=True, with_flops=True) as prof:
        net(torch.ones(2, 4))
    text = prof.key_averages(group_by_input_shape=True).table(sort_by="cpu_time_total")
    for heading in ("Self CPU %", "CPU Mem", "# of Calls", "Input Shapes", "Total MFLOPs"):
        assert heading in text
    (row,) = prof.key_averages(group_by_input_shape=True)
    assert row.flops == 2 * 2 * 4 * 5
    assert row.input_shapes == [[2, 4], [5, 4], [5]]
    assert row.cpu_memory_usage == 40
    assert prof.key_averages().table(row_limit=0).count("aten::") == 0
    with pytest.raises(ValueError, match="sort_by"):
        prof.key_averages().table(sort_by="colour")


def test_schedules_cycle_as_pytorch_documents() -> None:
    plan = schedule(skip_first=1, wait=1, warmup=1, active=2, repeat=2)
    none, warm, record, save = (
        ProfilerAction.NONE, ProfilerAction.WARMUP, ProfilerAction.RECORD,
        ProfilerAction.RECORD_AND_SAVE,
    )  # fmt: skip
    assert [plan(k) for k in range(11)] == [
        none, none, warm, record, save, none, warm, record, save, none, none,
    ]  # fmt: skip
    with pytest.raises(ValueError, match="at least one active step"):
        schedule(wait=1, warmup=0, active=0)


def test_each_cycle_is_handed_over_once_with_its_steps_only() -> None:
    seen = []

    def ready(prof: profile) -> None:
        seen.append({row.key: row.count for row in prof.key_averages()})

    with profile(schedule=schedule(wait=1, warmup=1, active=2), on_trace_ready=ready) as prof:
        for _ in range(8):
            torch.ones(3).exp()
            prof.step()
    assert [cycle["aten::exp"] for cycle in seen] == [2, 2]
    assert set(seen[0]) == {"aten::exp", "ProfilerStep#2", "ProfilerStep#3"}
    assert observers.active == []


def test_chrome_traces_join_forward_and_backward(tmp_path: Path) -> None:
    x = torch.ones(10, requires_grad=True)
    with profile(with_stack=True) as prof:
        x.exp().sum().backward()
    prof.add_metadata("run", "first")
    target = tmp_path / "trace.json"
    prof.export_chrome_trace(str(target))
    content = json.loads(target.read_text())
    assert content["run"] == "first"
    complete = {e["name"]: e for e in content["traceEvents"] if e["ph"] == "X"}
    assert set(complete) == {"aten::exp", "aten::sum", "ExpBackward0", "SumBackward0"}
    assert complete["aten::exp"]["args"]["Input Dims"] == [[10]]
    assert "test_profiler.py" in complete["aten::exp"]["args"]["Call stack"]
    starts = {e["id"]: e["ts"] for e in content["traceEvents"] if e["ph"] == "s"}
    ends = {e["id"]: e["ts"] for e in content["traceEvents"] if e["ph"] == "f"}
    assert starts.keys() == ends.keys()
    assert len(starts) == 2
    assert all(starts[k] < ends[k] for k in starts)


def test_stacks_are_written_for_flame_graphs(tmp_path: Path) -> None:
    x = torch.ones(1_000_000)
    with profile(with_stack=True) as prof:
        x.exp()
    target = tmp_path / "stacks.txt"
    prof.export_stacks(str(target), "self_cpu_time_total")
    (line,) = target.read_text().splitlines()
    assert line.rpartition(" ")[0].endswith(";exp")
    assert "test_stacks_are_written_for_flame_graphs" in line
    with pytest.raises(ValueError, match="self_cpu_time_total"):
        prof.export_stacks(str(target), "wall")


def test_tensorboards_handler_writes_a_file_a_cycle(tmp_path: Path) -> None:
    handler = tensorboard_trace_handler(str(tmp_path / "log"), "me", use_gzip=True)
    with profile(on_trace_ready=handler):
        torch.ones(3).exp()
    (file,) = (tmp_path / "log").iterdir()
    assert file.name.startswith("me.")
    assert file.name.endswith(".pt.trace.json.gz")
    assert json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]


def test_optimizer_steps_are_events() -> None:
    w = torch.ones(2, requires_grad=True)
    sgd = torch.optim.SGD([w], lr=0.1)
    w.sum().backward()
    with profile() as prof:
        sgd.step()
    assert rows(prof)["Optimizer.step#SGD.step"].count == 1


def test_an_error_inside_ends_the_profile() -> None:
    with pytest.raises(ZeroDivisionError), profile():
        1 / 0  # noqa: B018
    assert observers.active == []


def test_graphs_that_outlive_a_profile_do_not_hold_it() -> None:
    x = torch.ones(3, requires_grad=True)
    with profile() as prof:
        y = x.exp()
    known = weakref.ref(prof)
    del prof
    gc.collect()
    assert known() is None
    y.sum().backward()


def test_results_that_outlive_a_profile_do_not_hold_it_nor_wait_for_the_collector() -> None:
    x = torch.ones(3)
    gc.collect()
    gc.disable()
    try:
        with profile() as prof:
            kept = x.exp()
            assert prof._recorder is not None
            recorder = weakref.ref(prof._recorder)
        known = weakref.ref(prof)
        del prof
        assert known() is None
        assert recorder() is None
    finally:
        gc.enable()
    assert kept.numel() == 3


def test_it_is_where_programs_look_for_it() -> None:
    assert torch.profiler.profile is profile
    assert torch.autograd.profiler.record_function is record_function
