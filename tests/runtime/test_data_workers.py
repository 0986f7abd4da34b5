"""Workers that share the work, die, raise, hang or are interrupted; nothing outlives them."""

from __future__ import annotations

import ctypes
import functools
import gc
import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.autograd import grad_mode
from flambeau.core import batched
from flambeau.ops import autocast
from flambeau.utils import data
from flambeau.utils.data import pool as pools
from flambeau.utils.data import transfer, workers

from ..programs import running

SHARED_MEMORY = "/dev/shm/"
DEADLINE = 20.0  # s


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(claim: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE
    while not claim() and time.monotonic() < deadline:
        time.sleep(0.01)  # between two looks; nothing depends on its length
    return claim()


def segments(*pids: int) -> set[str]:
    """Files in shared memory that the processes map, by names that would outlive them."""
    lines = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids).splitlines()
    return {line for line in lines if SHARED_MEMORY in line and not line.endswith(" (deleted)")}


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """After each test no worker runs and no descriptor is open."""
    resource_tracker.ensure_running()  # Python's own, which spawning starts for good
    gc.collect()
    before = descriptors()
    yield
    gc.collect()
    assert not [p for p in pools._pools if p.processes]
    assert not multiprocessing.active_children()
    assert descriptors() <= before  # what earlier tests left open may close meanwhile


class Numbered(data.Dataset[Any]):
    def __init__(self, count: int, make: Any = None) -> None:
        self.count, self.make = count, make

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return index if self.make is None else self.make(index)


# -- the work --------------------------------------------------------------------------------------


class Drawing(data.Dataset[Any]):
    """Samples that tell who made them with which random numbers."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        info = data.get_worker_info()
        assert info is not None
        return torch.full((2000,), index), info.id, torch.rand(1), np.random.rand(), random.random()


def test_workers_share_the_work_and_draw_from_streams_of_their_own() -> None:
    torch.manual_seed(2)
    first = list(data.DataLoader(Drawing(), 2, num_workers=2))
    assert [b[0][:, 0].tolist() for b in first] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [b[1].tolist() for b in first] == [[0, 0], [1, 1], [0, 0], [1, 1]]
    for position in (2, 3, 4):
        drawn = [v for b in first for v in b[position].reshape(-1).tolist()]
        assert len(set(drawn)) == 8
    torch.manual_seed(2)
    again = list(data.DataLoader(Drawing(), 2, num_workers=2))
    assert all(torch.equal(a[2], b[2]) for a, b in zip(first, again, strict=True))


def test_arrays_from_workers_can_be_written_to_and_outlive_the_pool() -> None:
    (batch,) = [b[0] for b in data.DataLoader(Drawing(), 8, num_workers=1)]
    assert not segments(os.getpid())
    gc.collect()
    batch += 1
    assert batch[:, 5].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_worker_init_fn_runs_in_every_worker() -> None:
    def initialize(number: int) -> None:
        os.environ["WORKER"] = str(number)

    dataset = Numbered(2, lambda k: os.environ["WORKER"])
    loader = data.DataLoader(dataset, 1, num_workers=2, worker_init_fn=initialize)
    assert [list(b) for b in loader] == [["0"], ["1"]]


def test_a_worker_knows_itself_and_nobody_else_does() -> None:
    assert data.get_worker_info() is None
    dataset = Numbered(2, lambda k: repr(data.get_worker_info()))
    words = "".join(s for b in data.DataLoader(dataset, num_workers=2) for s in b)
    assert "WorkerInfo(id=1, num_workers=2, seed=" in words
    assert "worker_method='multiprocessing')" in words


def test_a_worker_computes_with_one_thread_after_its_parent_used_all() -> None:
    x = torch.rand(300, 300)
    expected = (x @ x).sum().item()
    dataset = Numbered(2, lambda k: ((x @ x).sum().item(), torch.get_num_threads()))
    for total, threads in data.DataLoader(dataset, num_workers=2, timeout=DEADLINE):
        assert total.item() == pytest.approx(expected, rel=1e-5)
        assert threads.item() == 1


Pair = namedtuple("Pair", "left right")


def nested(index: int) -> Any:
    return {
        "pair": Pair(np.full((40, 40), index, np.float32), (index, "é" * index)),
        "list": [torch.full((0, 3), 1.0), bytes(index), {"deep": torch.arange(700) + index}],
        "half": torch.full((5,), index, dtype=torch.bfloat16),
        "flag": index > 1,
    }


def test_nested_batches_arrive_as_they_were_collated() -> None:
    here = list(data.DataLoader(Numbered(6, nested), 3))
    there = list(data.DataLoader(Numbered(6, nested), 3, num_workers=2))

    def same(a: Any, b: Any) -> bool:
        if isinstance(a, torch.Tensor):
            return a.dtype is b.dtype and a.shape == b.shape and torch.equal(a, b)
        if isinstance(a, dict):
            return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
        if isinstance(a, list | tuple) and not (a and isinstance(a[0], str | bytes)):
            return type(a) is type(b) and all(map(same, a, b))
        return bool(a == b)

    assert same(here, there)
    assert isinstance(there[0]["pair"], Pair)
    assert there[1]["list"][0].shape == (3, 0, 3)


def test_very_large_batches_of_arrays_and_of_words_arrive_whole() -> None:
    size = 20_000_000  # bytes a sample

    def large(index: int) -> Any:
        return np.full(size, index, np.uint8)

    (batch,) = data.DataLoader(Numbered(4, large), 4, num_workers=1, timeout=4 * DEADLINE)
    assert batch.shape == (4, size)
    assert batch[:, -1].tolist() == [0, 1, 2, 3]
    words = Numbered(300_000, str)  # requests and answers of megabytes pass each other
    loader = data.DataLoader(words, 100_000, num_workers=2, timeout=4 * DEADLINE)
    assert [b[-1] for b in loader] == ["99999", "199999", "299999"]


def test_more_batches_than_open_files_allow_can_be_kept() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 40, limits[1]))
    try:
        loader = data.DataLoader(Numbered(200, lambda k: torch.full((1000,), k)), num_workers=2)
        batches = list(loader)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [b[0, -1].item() for b in batches] == list(range(200))


def test_without_shared_memory_batches_come_through_the_pipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transfer, "HAS_SHARED_MEMORY", False)
    loader = data.DataLoader(Numbered(3, lambda k: torch.full((5000,), k)), num_workers=1)
    assert [b[0, 0].item() for b in loader] == [0, 1, 2]


def test_many_batches_ahead_do_not_block() -> None:
    dataset = Numbered(1500, lambda k: "x" * 1500)
    loader = data.DataLoader(dataset, num_workers=2, prefetch_factor=700, timeout=4 * DEADLINE)
    assert sum(len(b[0]) for b in loader) == 1500 * 1500


def test_data_sets_may_hold_tensors_that_are_in_use() -> None:
    held = torch.arange(12.0).reshape(4, 3).requires_grad_()
    (held * 2).sum().backward()
    view = held.detach()[:, 1:]
    found = list(data.DataLoader(data.TensorDataset(view), 2, num_workers=2))
    assert torch.equal(torch.cat([b[0] for b in found]), view)
    found[0][0].zero_()  # the data set's own memory stays as it is
    assert held[0].tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match=r"Use detach\(\)"):
        list(data.DataLoader(data.TensorDataset(held), 2, num_workers=1))


def test_spawned_workers_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # A shell that ran in this process may have left a main module without it; spawning asks.
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    dataset = data.TensorDataset(torch.arange(2000.0).reshape(2, 1000))
    loader = data.DataLoader(dataset, num_workers=1, multiprocessing_context="spawn")
    assert [b[0][0, -1].item() for b in loader] == [999, 1999]


def test_batches_out_of_order_come_as_they_are_ready(tmp_path: Path) -> None:
    done = tmp_path / "done"

    def make(index: int) -> int:
        if index == 0:
            assert eventually(done.exists)
        return index

    loader = data.DataLoader(Numbered(8, make), num_workers=2, in_order=False)
    found = []
    for batch in loader:
        found.append(batch.item())
        if len(found) == 6:
            done.touch()
    assert found[-2:] == [0, 2]  # what the first worker was asked for
    assert sorted(found) == list(range(8))


def test_iterable_data_sets_end_worker_by_worker() -> None:
    class Uneven(data.IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            info = data.get_worker_info()
            assert info is not None
            return iter(range(10 * info.id, 10 * info.id + (1 if info.id else 4)))

    loader = data.DataLoader(Uneven(), None, num_workers=2, persistent_workers=True)
    for _ in range(2):
        assert list(loader) == [0, 10, 1, 2, 3]
    assert sorted(data.DataLoader(Uneven(), None, num_workers=2, in_order=False)) == [
        0,
        1,
        2,
        3,
        10,
    ]


# -- persistent workers, and passes left early -----------------------------------------------------


def test_persistent_workers_serve_all_passes_even_those_left_early() -> None:
    loader = data.DataLoader(
        Numbered(40, lambda k: (k, os.getpid(), torch.full((3000,), k))),
        num_workers=2,
        persistent_workers=True,
    )
    pids = {b[1].item() for b in loader}
    assert len(pids) == 2
    for _ in range(3):
        for k, batch in enumerate(loader):
            assert batch[0].item() == k
            assert batch[1].item() in pids
            if k == 3:
                break
    assert [b[0].item() for b in loader] == list(range(40))
    del loader
    assert eventually(lambda: not any(map(runs, pids)))


def test_persistent_workers_that_died_are_replaced() -> None:
    loader = data.DataLoader(
        Numbered(2, lambda k: os.getpid()), num_workers=1, persistent_workers=True
    )
    (first,) = {b.item() for b in loader}
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: not loader._iterator.is_usable())  # type: ignore[union-attr]
    (second,) = {b.item() for b in loader}
    assert first != second


@pytest.mark.parametrize("count", [0, 1, 5])
def test_leaving_a_pass_early_ends_its_workers(count: int) -> None:
    passage = iter(data.DataLoader(Numbered(50, lambda k: torch.full((9000,), k)), num_workers=2))
    pids = [p.pid for p in passage._pool.processes]  # type: ignore[attr-defined]
    for _ in range(count):
        next(passage)
    del passage
    assert not any(map(runs, pids))


def test_two_passes_at_once_do_not_disturb_each_other() -> None:
    loader = data.DataLoader(Numbered(6), num_workers=1)
    assert [(a.item(), b.item()) for a, b in zip(loader, loader, strict=True)] == [
        (k, k) for k in range(6)
    ]


def test_passes_in_threads_do_not_disturb_each_other() -> None:
    found: dict[int, list[int]] = {}

    def run(number: int) -> None:
        dataset = Numbered(20, lambda k: k + 100 * number)
        found[number] = [b.item() for b in data.DataLoader(dataset, num_workers=1)]

    threads = [threading.Thread(target=run, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert found == {n: [k + 100 * n for k in range(20)] for n in range(3)}


# -- what goes wrong in a worker -------------------------------------------------------------------


def failing(fail: Callable[[], Any]) -> Any:
    return Numbered(6, lambda k: fail() if k == 2 else k)


def raise_key_error() -> None:
    raise KeyError("the missing thing")


def test_an_error_in_a_worker_arrives_with_its_type_and_traceback() -> None:
    with pytest.raises(KeyError) as caught:
        list(data.DataLoader(failing(raise_key_error), 1, num_workers=2))
    lines = str(caught.value).splitlines()  # not the quoted line that a KeyError makes of it
    assert lines[0] == "Raised by DataLoader worker 0:"
    assert any("in raise_key_error" in line for line in lines)
    assert lines[-1] == "KeyError: 'the missing thing'"
    caught.value.__traceback__ = None
    del caught


def test_after_an_error_the_pass_can_go_on() -> None:
    passage = iter(data.DataLoader(failing(raise_key_error), 1, num_workers=2))
    found = []
    while True:
        try:
            found.append(next(passage).item())
        except KeyError:
            found.append("error")
        except StopIteration:
            break
    assert found == [0, 1, "error", 3, 4, 5]


class Demanding(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(one, two)


def raise_demanding() -> None:
    raise Demanding(1, 2)


@pytest.mark.parametrize("fail", [raise_demanding, lambda: sys.exit(3)])
def test_an_error_that_cannot_be_made_again_is_told_as_a_runtime_error(fail: Any) -> None:
    with pytest.raises(workers.WorkerError, match=r"Demanding: \(1, 2\)|SystemExit: 3"):
        list(data.DataLoader(failing(fail), 1, num_workers=1))
    assert issubclass(workers.WorkerError, RuntimeError)


def test_errors_of_worker_init_fn_and_of_iter_are_reported() -> None:
    def initialize(number: int) -> None:
        raise ValueError(f"no worker {number}")

    with pytest.raises(ValueError, match="no worker 0"):
        list(data.DataLoader(Numbered(2), num_workers=1, worker_init_fn=initialize))

    class Broken(data.IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            raise OSError("no file")

    with pytest.raises(OSError, match="no file"):
        list(data.DataLoader(Broken(), num_workers=1))


def test_a_batch_that_cannot_be_sent_is_an_error() -> None:
    loader = data.DataLoader(Numbered(1), collate_fn=lambda b: lambda: b, num_workers=1)
    with pytest.raises(Exception, match="pickle"):
        list(loader)


@pytest.mark.parametrize("persistent", [False, True])
def test_a_worker_that_is_killed_is_reported(persistent: bool) -> None:
    loader = data.DataLoader(
        failing(lambda: os.kill(os.getpid(), signal.SIGKILL)),
        num_workers=2,
        persistent_workers=persistent,
    )
    passage = iter(loader)
    with pytest.raises(RuntimeError, match=r"worker 0 \(process \d+\) died: killed by SIGKILL"):
        list(passage)
    with pytest.raises(RuntimeError, match="Begin a new one"):
        next(passage)


def test_a_worker_that_exits_is_reported() -> None:
    with pytest.raises(RuntimeError, match="died: it ended with status 7"):
        list(data.DataLoader(failing(lambda: os._exit(7)), num_workers=1))


def test_a_worker_that_hangs_is_reported_and_ended() -> None:
    forever = threading.Event()
    passage = iter(data.DataLoader(failing(forever.wait), num_workers=1, timeout=0.5))
    (pid,) = [p.pid for p in passage._pool.processes]  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"worker 0 within 0.5 s"):
        list(passage)
    assert not runs(pid)


def test_a_worker_that_ignores_a_request_to_end_is_killed() -> None:
    def stubborn(index: int) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if index:
            threading.Event().wait()
        return index

    passage = iter(data.DataLoader(Numbered(2, stubborn), num_workers=1))
    (pid,) = [p.pid for p in passage._pool.processes]  # type: ignore[attr-defined]
    assert next(passage).item() == 0
    del passage
    assert not runs(pid)


# -- what goes wrong in the loader's process -------------------------------------------------------

SLOW = """
import threading
import flambeau as torch
from flambeau.utils import data

class Slow(data.Dataset):
    def __len__(self):
        return 10_000
    def __getitem__(self, index):
        if index >= {hang}:
            threading.Event().wait()
        return torch.ones(5000)

passage = iter(data.DataLoader(Slow(), 2, num_workers=2, persistent_workers={persistent}))
print(*[p.pid for p in passage._pool.processes], flush=True)
for batch in passage:
    print("batch", flush=True)
"""


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("hang", [10_000, 6])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_and_no_segment_outlives_a_loader_that_is_ended(
    number: signal.Signals, hang: int, persistent: bool
) -> None:
    """Ctrl-C goes to the whole process group, as a terminal sends it; the others to one process."""
    code = SLOW.format(hang=hang, persistent=persistent)
    with running(sys.executable, "-W", "ignore", "-c", code) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pids = [int(p) for p in process.stdout.readline().split()]
        assert process.stdout.readline() == "batch\n", process.stderr.read()
        assert len(pids) == 2
        assert not segments(process.pid, *pids)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, told = process.communicate()
        assert eventually(lambda: not any(map(runs, pids)))
    if number == signal.SIGINT:
        assert told.count("Traceback") == 1  # the loader's own; no worker's
        assert told.rstrip().endswith("KeyboardInterrupt")
    else:
        assert told == ""


def test_ctrl_c_is_not_lost_while_a_batch_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt = functools.partial(ctypes.CDLL(None).kill, os.getpid(), signal.SIGINT)
    libc = SimpleNamespace(mmap=transfer._libc().mmap, munmap=interrupt)
    monkeypatch.setattr(transfer, "_libc", lambda: libc)
    batch = transfer.unpack(*transfer.pack(torch.ones(5000)))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012, as the signal may come a line later
        del batch
        time.sleep(1)


def test_a_forked_process_leaves_its_parents_workers_alone() -> None:
    passage = iter(data.DataLoader(Numbered(9), num_workers=1))
    next(passage)
    child = multiprocessing.get_context("fork").Process(target=gc.collect)
    child.start()
    child.join(DEADLINE)
    assert child.exitcode == 0
    child.close()
    assert [b.item() for b in passage] == list(range(1, 9))


def _switches() -> None:
    with torch.no_grad(), torch.autocast("cpu"):
        torch.vmap(torch.exp)(torch.zeros(2))


@pytest.mark.parametrize("module", [grad_mode, autocast, batched])
def test_a_process_forked_while_another_thread_switches_can_switch(module: Any) -> None:
    held = threading.Event()

    def hold() -> None:
        with module._lock:
            held.set()
            threading.Event().wait(0.2)  # as long as it takes to fork

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(DEADLINE)
    child = multiprocessing.get_context("fork").Process(target=_switches, daemon=True)
    child.start()
    other.join(DEADLINE)
    child.join(DEADLINE)
    assert child.exitcode == 0
    child.close()


def test_a_process_forked_while_another_thread_draws_can_draw() -> None:
    with torch.default_generator._lock:
        child = multiprocessing.get_context("fork").Process(target=torch.rand, args=(3,))
        child.start()
        child.join(DEADLINE)
    assert child.exitcode == 0
    child.close()
