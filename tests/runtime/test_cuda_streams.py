"""Streams, events, copies beside other work, several devices."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


@pytest.fixture
def two_gpus(gpu: None) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("There is one GPU.")


def test_work_goes_to_the_stream_of_the_block() -> None:
    side = torch.cuda.Stream(priority=-1)
    before = torch.cuda.current_stream()
    with torch.cuda.stream(side) as entered:
        assert entered is side
        assert torch.cuda.current_stream() == side != before
        x = torch.ones(3, device="cuda") * 2
    assert torch.cuda.current_stream() == before == torch.cuda.default_stream()
    before.wait_stream(side)
    assert (x + 1).tolist() == [3, 3, 3]
    assert side.priority == -1
    assert {side, torch.cuda.ExternalStream(side.cuda_stream)} == {side}
    with torch.cuda.stream(None):
        assert torch.cuda.current_stream() == before


def test_set_stream_holds_until_changed() -> None:
    side, before = torch.cuda.Stream(), torch.cuda.current_stream()
    torch.cuda.set_stream(side)
    try:
        assert torch.cuda.current_stream() == side
    finally:
        torch.cuda.set_stream(before)


def test_events_are_points_in_time() -> None:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    assert start.query()
    start.record()
    torch.ones(1000, device="cuda").sum()
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) >= 0
    assert end.query()
    with pytest.raises(ValueError, match="enable_timing=True"):
        start.elapsed_time(torch.cuda.current_stream().record_event())


def test_copies_from_pinned_memory_and_back_go_on_beside_the_cpu() -> None:
    x = torch.arange(6.0).reshape(2, 3).pin_memory()
    assert x.is_pinned()
    assert x[1].is_pinned()
    assert not x.clone().is_pinned()
    assert x.pin_memory() is x
    there = x.to("cuda", non_blocking=True)
    back = there.to("cpu", non_blocking=True)
    torch.cuda.current_stream().synchronize()
    assert back.is_pinned()
    assert torch.equal(back, x)
    half = there.to("cpu", torch.float16, non_blocking=True)  # waits: the CPU converts
    assert half.tolist() == x.tolist()
    held = torch.zeros(2, 3)
    held.copy_(there, non_blocking=True)
    assert torch.equal(held, x)
    with pytest.raises(RuntimeError, match="Got one on cuda:0"):
        there.pin_memory()


def test_batches_of_a_loader_are_pinned() -> None:
    data = torch.utils.data.TensorDataset(torch.arange(6.0), torch.arange(6))
    loader = torch.utils.data.DataLoader(data, batch_size=3, pin_memory=True)
    batches = [(x, y) for x, y in loader]
    assert all(x.is_pinned() and y.is_pinned() for x, y in batches)
    assert torch.cat([x for x, _ in batches]).tolist() == [0, 1, 2, 3, 4, 5]


def test_tensors_and_modules_compute_on_a_gpu_that_is_not_the_current_one(two_gpus: None) -> None:
    x = torch.ones(2, 3, device="cuda:1")
    assert torch.cuda.current_device() == 0
    layer = nn.Linear(3, 2).to("cuda:1")
    out = torch.relu(layer(x)).sum() + (x * 2).sum()
    out.backward()
    assert layer.weight.grad is not None
    assert str(out.device) == str(layer.weight.grad.device) == "cuda:1"
    torch.optim.AdamW(layer.parameters()).step()
    assert torch.cuda.current_device() == 0


def test_copies_go_from_gpu_to_gpu(two_gpus: None) -> None:
    x = torch.arange(6.0, device="cuda:0").reshape(2, 3).t()
    y = x.to("cuda:1")
    assert str(y.device) == "cuda:1"
    assert y.cpu().tolist() == x.cpu().tolist()
    assert torch.cuda.can_device_access_peer(0, 1) in (True, False)
    with torch.cuda.device_of(y):
        assert torch.cuda.current_device() == 1
        assert torch.ones(1, device="cuda").device.index == 1
    with torch.cuda.device_of(torch.ones(1)):
        assert torch.cuda.current_device() == 0
    with pytest.raises(RuntimeError, match="cuda:0"):
        x + y.t().contiguous().t()


def test_what_the_gpu_is() -> None:
    found = torch.cuda.get_device_properties(0)
    assert found.name == torch.cuda.get_device_name() != ""
    assert (found.major, found.minor) == torch.cuda.get_device_capability()
    assert found.multi_processor_count > 0
    assert found.warp_size == 32
    assert torch.cuda.is_initialized()


def test_named_ranges_nest() -> None:
    assert torch.cuda.nvtx.range_push("outer") == 0
    with torch.cuda.nvtx.range("step {}", 3):
        assert torch.cuda.nvtx.range_push("inner") == 2
        assert torch.cuda.nvtx.range_pop() == 2
    assert torch.cuda.nvtx.range_pop() == 0
    torch.cuda.nvtx.mark("here")


def test_pinned_tensors_are_saved_like_others(tmp_path: Any) -> None:
    x = torch.arange(3.0).pin_memory()
    torch.save({"x": x, "y": x.cuda()}, tmp_path / "a.pt")
    assert torch.load(tmp_path / "a.pt", map_location="cpu")["y"].tolist() == [0, 1, 2]
    moved = torch.load(tmp_path / "a.pt", map_location="cuda:0")
    assert [str(t.device) for t in moved.values()] == ["cuda:0", "cuda:0"]
    assert str(torch.load(tmp_path / "a.pt")["y"].device) == "cuda:0"
    assert pickle.loads(pickle.dumps(x)).tolist() == [0, 1, 2]


def test_arrays_of_other_libraries_share_their_memory_both_ways() -> None:
    import cupy

    array = cupy.asarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    for found in (torch.as_tensor(array), torch.asarray(array), torch.from_dlpack(array)):
        assert (str(found.device), found.shape) == ("cuda:0", (2, 3))
        found += 1
    assert array.get().tolist() == [[3, 4, 5], [6, 7, 8]]
    copied = torch.tensor(array)
    copied += 1
    assert array.get().tolist() == [[3, 4, 5], [6, 7, 8]]
    assert torch.as_tensor(array, device="cpu").tolist() == array.get().tolist()
    x = torch.ones(3, device="cuda")
    for there in (cupy.asarray(x), cupy.from_dlpack(x)):
        there *= 2
    assert x.tolist() == [4, 4, 4]
    assert not hasattr(torch.ones(3), "__cuda_array_interface__")
    with pytest.raises(RuntimeError, match=r"Use detach\(\)"):
        cupy.asarray(x.requires_grad_())
