"""The GPU's memory: blocks that are reused, counts, limits and errors."""

from __future__ import annotations

import gc
import itertools
import random
from typing import Any

import pytest

import flambeau as torch
from flambeau.backends import cuda as backend

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


@pytest.fixture(autouse=True)
def _fresh() -> Any:
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def test_counts_follow_tensors() -> None:
    before = torch.cuda.memory_allocated()
    x = torch.empty(1 << 20, device="cuda")
    y = torch.empty(100, device="cuda")
    assert torch.cuda.memory_allocated() - before == (4 << 20) + 512
    del x
    assert torch.cuda.memory_allocated() - before == 512
    assert torch.cuda.max_memory_allocated() - before == (4 << 20) + 512
    assert torch.cuda.memory_reserved() >= torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    assert torch.cuda.max_memory_allocated() - before == y.element_size() * 128
    stats = torch.cuda.memory_stats()
    assert stats["allocated_bytes.all.current"] == torch.cuda.memory_allocated()
    assert (
        stats["allocation.all.allocated"] - stats["allocation.all.freed"]
        == (stats["allocation.all.current"])
    )


def test_blocks_are_reused_at_once_on_their_stream_and_not_on_others() -> None:
    x = torch.empty(1000, device="cuda")
    place = x.data_ptr()
    del x
    with torch.cuda.stream(torch.cuda.Stream()):
        elsewhere = torch.empty(1000, device="cuda")
    assert elsewhere.data_ptr() != place
    assert torch.empty(1000, device="cuda").data_ptr() == place


def test_a_block_that_another_stream_uses_waits_for_it() -> None:
    side = torch.cuda.Stream()
    x = torch.ones(1000, device="cuda")
    place = x.data_ptr()
    with torch.cuda.stream(side):
        copied = x.to("cpu", non_blocking=True)  # still to be done
    x.record_stream(side)
    del x
    y = torch.zeros(1000, device="cuda")
    is_there = y.data_ptr() == place and not side.query()
    side.synchronize()
    assert not is_there
    assert copied.tolist() == [1] * 1000


def test_freed_neighbours_become_one_block() -> None:
    parts = [torch.empty(1 << 20, dtype=torch.uint8, device="cuda") for _ in range(2)]
    large = [torch.empty(3 << 20, dtype=torch.uint8, device="cuda") for _ in range(6)]
    reserved = torch.cuda.memory_reserved()
    del large[1:5]
    whole = torch.empty(9 << 20, dtype=torch.uint8, device="cuda")
    assert torch.cuda.memory_reserved() == reserved
    assert whole.numel() == 9 << 20
    assert len(parts) == 2


def test_living_blocks_never_overlap() -> None:
    choose = random.Random(0)
    streams = [torch.cuda.current_stream(), torch.cuda.Stream()]
    living: list[tuple[Any, int]] = []
    for step in range(1500):
        if living and choose.random() < 0.5:
            living.pop(choose.randrange(len(living)))
        else:
            size = choose.choice([1, 511, 513, 4000, 70_000, 1 << 20, (1 << 20) + 1, 3 << 20])
            with torch.cuda.stream(choose.choice(streams)):
                living.append((torch.empty(size, dtype=torch.uint8, device="cuda"), size))
        if step % 100 == 0:
            spans = sorted((t.data_ptr(), t.data_ptr() + n) for t, n in living)
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
            held = sum(-(-n // 512) * 512 for _, n in living)
            assert torch.cuda.memory_allocated() >= held
    living.clear()
    torch.cuda.empty_cache()
    segments = torch.cuda.memory_snapshot()
    assert all(s["active_size"] for s in segments)
    for segment in segments:
        assert sum(b["size"] for b in segment["blocks"]) == segment["total_size"]


def test_the_cache_goes_back_to_the_driver() -> None:
    x = torch.empty(64 << 20, dtype=torch.uint8, device="cuda")
    reserved = torch.cuda.memory_reserved()
    del x
    assert torch.cuda.memory_reserved() == reserved
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= reserved - (64 << 20)
    assert 0 < torch.cuda.mem_get_info()[0] <= torch.cuda.mem_get_info()[1]


def test_a_full_gpu_gives_back_its_cache_then_says_who_holds_it(monkeypatch: Any) -> None:
    backend.allocator.give_back()
    total = torch.cuda.mem_get_info()[1]
    limit = torch.cuda.memory_reserved() + (100 << 20)
    torch.cuda.set_per_process_memory_fraction(limit / total)
    monkeypatch.setattr(backend.allocator, "largest_holders", lambda device: "Largest: model.")
    try:
        held = torch.empty(60 << 20, dtype=torch.uint8, device="cuda")
        cached = torch.empty(30 << 20, dtype=torch.uint8, device="cuda")
        del cached
        other = torch.empty(36 << 20, dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.cuda.OutOfMemoryError, match=r"Expected 50\.00 MiB.*model\.") as e:
            torch.empty(50 << 20, dtype=torch.uint8, device="cuda")
        assert isinstance(e.value, RuntimeError)
        assert isinstance(e.value, MemoryError)
        assert torch.cuda.memory_stats()["num_ooms"] >= 1
        del held
        assert torch.empty(50 << 20, dtype=torch.uint8, device="cuda").numel() == 50 << 20
        assert other.numel() == 36 << 20
    finally:
        backend.allocator.limits.clear()


def test_the_summary_names_what_was_counted() -> None:
    x = torch.empty(1 << 20, device="cuda")
    text = torch.cuda.memory_summary()
    assert "allocated bytes" in text
    assert x.numel()


def test_fractions_outside_of_0_and_1_are_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        torch.cuda.set_per_process_memory_fraction(1.5)


def test_a_device_that_has_failed_is_not_called_full(monkeypatch: Any) -> None:
    runtime = backend.xp.cuda.runtime

    def malloc(size: int) -> int:
        raise failure

    failure = runtime.CUDARuntimeError(700)
    if getattr(failure, "status", None) != 700:
        failure = runtime.CUDARuntimeError("cudaErrorIllegalAddress", 700)
    monkeypatch.setattr(backend.allocator, "_runtime", type("", (), {
        "malloc": staticmethod(malloc), "getDevice": staticmethod(lambda: 0),
        "CUDARuntimeError": runtime.CUDARuntimeError,
    }))  # fmt: skip
    with pytest.raises(runtime.CUDARuntimeError):
        torch.empty(900 << 20, dtype=torch.uint8, device="cuda")
