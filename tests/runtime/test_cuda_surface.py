"""What programs ask `torch.cuda` for besides computing: a GPU's state, memory by hand, waits."""

from __future__ import annotations

import ctypes
import pickle
import signal
import threading
import warnings
from typing import Any

import pytest

import flambeau as torch
from flambeau.backends import cuda as backend
from flambeau.backends.cuda import waits
from flambeau.cuda import monitoring

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


class Library:
    """NVML's functions for a GPU on bus 1, as C declares them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def nvmlErrorString(self, status: int) -> bytes:
        return b"Not Supported" if status == 3 else b"?"

    def nvmlDeviceGetHandleByPciBusId_v2(self, place: bytes, handle: Any) -> int:
        self.asked.append(place.decode())
        return 0

    def nvmlDeviceGetUtilizationRates(self, handle: Any, found: Any) -> int:
        found._obj.gpu, found._obj.memory = 87, 42
        return 0

    def nvmlDeviceGetTemperature(self, handle: Any, sensor: int, found: Any) -> int:
        found._obj.value = 61 if sensor == 0 else 0
        return 0

    def nvmlDeviceGetPowerUsage(self, handle: Any, found: Any) -> int:
        return 3

    def nvmlDeviceGetClockInfo(self, handle: Any, kind: int, found: Any) -> int:
        found._obj.value = 1980 if kind == 1 else 0
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, found: Any) -> int:
        found._obj.total, found._obj.used = 80 << 30, 5 << 30
        return 0

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, count: Any, found: Any) -> int:
        if found is None:
            count._obj.value = 1
            return monitoring.TOO_SMALL
        count._obj.value, found[0].pid, found[0].memory = 1, 4711, 3 << 20
        return 0


def test_the_management_library_is_asked_about_the_gpu_by_its_place_on_the_bus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = Library()
    monkeypatch.setattr(monitoring, "_library", lambda: library)
    assert (torch.cuda.utilization(), torch.cuda.memory_usage()) == (87, 42)
    assert (torch.cuda.temperature(), torch.cuda.clock_rate()) == (61, 1980)
    assert torch.cuda.device_memory_used() == 5 << 30
    assert torch.cuda.list_gpu_processes().split("\n") == [
        "GPU:0", "process       4711 uses        3.000 MB GPU memory",
    ]  # fmt: skip
    with pytest.raises(RuntimeError, match=r"nvmlDeviceGetPowerUsage failed.*Not Supported"):
        torch.cuda.power_draw()
    assert {*library.asked} == {backend.xp.cuda.runtime.deviceGetPCIBusId(0)}


def test_without_the_management_library_the_error_says_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(monitoring, "LIBRARIES", ("libnvml_that_is_not_there.so",))
    with pytest.raises(RuntimeError, match="comes with the NVIDIA driver"):
        monitoring._library.__wrapped__()


WAITS: dict[str, Any] = {
    "item": lambda x: x.sum().item(),
    "if": lambda x: bool(x[0]),
    "list": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "nonzero": lambda x: x.nonzero(),
    "to": lambda x: torch.ones(3).to("cuda"),
}


@pytest.mark.parametrize("name", WAITS)
def test_waits_that_nobody_asked_for_warn_on_the_line_or_fail(name: str) -> None:
    x = torch.arange(3.0, device="cuda")
    try:
        torch.cuda.set_sync_debug_mode("warn")
        with pytest.warns(UserWarning, match="called a synchronizing CUDA operation") as told:
            WAITS[name](x)
        assert told[0].filename == __file__
        torch.cuda.set_sync_debug_mode(2)
        assert torch.cuda.get_sync_debug_mode() == 2
        with pytest.raises(RuntimeError, match="synchronizing"):
            WAITS[name](x)
        y = (x * 2).relu().to("cuda", torch.float64) + 1  # which goes on beside the CPU
        y.to("cpu", non_blocking=True)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert y.tolist() == [1, 3, 5]
    with pytest.raises(ValueError, match="warn"):
        torch.cuda.set_sync_debug_mode("loud")


@pytest.mark.parametrize("name", ["device", "stream", "event", "item"])
def test_ctrl_c_ends_a_long_wait(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = backend.xp.cuda
    if not hasattr(cuda.Stream.null, "capture"):
        pytest.skip("A GPU's work cannot be made to last for ever.")
    monkeypatch.setattr(waits._Chosen, "is_interruptible", True)
    x, event = torch.ones(1, device="cuda"), torch.cuda.Event()
    event.record()
    for_ever = threading.Event()
    for kind in (cuda.Device, type(cuda.Stream.null), cuda.Event):
        monkeypatch.setattr(kind, "synchronize", lambda self: for_ever.wait(20))
    for kind in (type(cuda.Stream.null), cuda.Event):
        monkeypatch.setattr(kind, "done", property(lambda self: False))
    wait = {
        "device": torch.cuda.synchronize, "stream": torch.cuda.current_stream().synchronize,
        "event": event.synchronize, "item": x.item,
    }[name]  # fmt: skip
    main = threading.main_thread().ident
    timer = threading.Timer(0.05, signal.pthread_kill, [main, signal.SIGINT])

    def interrupted() -> None:
        timer.start()  # here: on a busy machine it fires before the wait begins
        wait()

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for_ever.set()


def test_what_fails_while_it_is_waited_for_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = backend.xp.cuda
    failure = cuda.runtime.CUDARuntimeError(700)

    def fail(self: Any) -> None:
        raise failure

    monkeypatch.setattr(waits._Chosen, "is_interruptible", True)
    monkeypatch.setattr(waits, "AT_ONCE", 0.0)
    awaited = type("", (), {"done": False, "synchronize": fail})()
    with pytest.raises(cuda.runtime.CUDARuntimeError):
        waits.wait_for(backend.xp, awaited)


def test_blocks_by_hand_are_counted_and_taken_back_once() -> None:
    before = torch.cuda.memory_allocated()
    address = torch.cuda.caching_allocator_alloc(1000)
    assert torch.cuda.memory_allocated() == before + 1024
    torch.cuda.caching_allocator_delete(address)
    assert torch.cuda.memory_allocated() == before
    with pytest.raises(ValueError, match="in use"):
        torch.cuda.caching_allocator_delete(address)
    for refused in (
        lambda: torch.cuda.memory.CUDAPluggableAllocator("a.so", "a", "f"),
        lambda: torch.cuda.memory.change_current_allocator(None),
        lambda: torch.cuda.caching_allocator_enable(False),
    ):
        with pytest.raises(NotImplementedError, match="expected"):
            refused()


def test_a_pool_of_its_own_holds_what_is_allocated_inside() -> None:
    pool = torch.cuda.MemPool()
    with torch.cuda.use_mem_pool(pool):
        x = torch.ones(1 << 20, device="cuda")
        assert pool.use_count() == 2
    y = torch.ones(1 << 20, device="cuda")
    (segment,) = pool.snapshot()
    start = segment["address"]
    assert start <= x.data_ptr() < start + segment["total_size"]
    assert not start <= y.data_ptr() < start + segment["total_size"]
    assert torch.cuda.memory_snapshot(pool.id) == [segment]
    reserved = torch.cuda.memory_reserved()
    del x, pool
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= reserved - segment["total_size"]


def test_the_history_of_memory_names_lines_and_is_written_as_the_viewer_reads_it(
    tmp_path: Any,
) -> None:
    torch.cuda.memory._record_memory_history(max_entries=100)
    try:
        x = torch.ones(70_000, device="cuda")
        place = x.data_ptr()
        torch.cuda.memory._dump_snapshot(str(tmp_path / "snapshot.pickle"))
        del x
        torch.cuda.memory_allocated()
        events = torch.cuda.memory._snapshot()["device_traces"][0]
    finally:
        torch.cuda.memory._record_memory_history(enabled=None)
    made = next(e for e in events if e["action"] == "alloc" and e["addr"] == place)
    assert made["size"] == 280_064  # in units of 512
    assert __file__ in [frame["filename"] for frame in made["frames"]]
    assert [e["action"] for e in events if e.get("addr") == place][-2:] == [
        "free_requested", "free_completed",
    ]  # fmt: skip
    written = pickle.loads((tmp_path / "snapshot.pickle").read_bytes())
    blocks = [b for s in written["segments"] for b in s["blocks"]]
    assert next(b for b in blocks if b["address"] == place)["frames"] == made["frames"]
    assert torch.cuda.memory._snapshot()["device_traces"] == [[]] * torch.cuda.device_count()


def test_cudas_own_calls_go_by_their_names() -> None:
    runtime = torch.cuda.cudart()
    assert runtime.cudaProfilerStart() == runtime.cudaProfilerStop() == 0
    assert runtime.cudaMemGetInfo(0) == torch.cuda.mem_get_info(0)
    torch.cuda.check_error(runtime.cudaDeviceSynchronize())
    with torch.cuda.profiler.profile():
        torch.ones(1, device="cuda")
    with pytest.raises(torch.cuda.CudaError, match="700"):
        torch.cuda.check_error(700)
    assert issubclass(torch.AcceleratorError, RuntimeError)


def test_what_is_not_there_says_what_to_use() -> None:
    for name in ("tunable", "jiterator", "gds", "green_contexts"):
        assert not hasattr(torch.cuda, name)
        with pytest.raises(AttributeError, match=rf"torch\.cuda\.{name} is not there\. "):
            getattr(torch.cuda, name)
    assert not torch.cuda.nccl.is_available()


def test_properties_and_generators_of_each_gpu() -> None:
    found = torch.cuda.get_device_properties(0)
    assert len(found.uuid) == 36
    assert found.max_threads_per_block >= 1024
    assert torch.cuda.get_arch_list() == [f"sm_{found.major}{found.minor}"]
    assert len(torch.cuda.default_generators) == torch.cuda.device_count()
    assert torch.cuda.is_initialized()
    assert ctypes.sizeof(monitoring._Process) == 24


def test_the_accelerator_is_the_gpu() -> None:
    with torch.accelerator.device_index(0):
        assert torch.accelerator.current_device_index() == 0
    begin, end = torch.Event(enable_timing=True), torch.Event("cuda", enable_timing=True)
    begin.record()
    end.record()
    torch.accelerator.synchronize()
    assert begin.elapsed_time(end) >= 0
    assert torch.float32 in torch.accelerator.get_device_capability()["supported_dtypes"]
    with warnings.catch_warnings():
        assert torch.accelerator.max_memory_allocated() == torch.cuda.max_memory_allocated()
    assert torch.Stream("cuda").device == torch.device("cuda", 0)
