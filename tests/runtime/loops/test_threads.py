"""The pool of threads: all of the work is done once, whoever comes meanwhile, and after a fork."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from multiprocessing.connection import Connection

import numpy as np
import pytest

from flambeau.backends.cpu.loops import sharing, threads
from flambeau.backends.cpu.loops.threads import Pool, pool

from ...programs import PATIENCE, printed
from .kit import mapped, words

SIZE, CHUNK = 100_001, 1_000


@pytest.fixture(params=[True, False], ids=["OpenMP's threads", "own threads"])
def three(request: pytest.FixtureRequest) -> Pool:
    """A pool of three threads, however many processors there are."""
    made = Pool(uses_openmp=request.param)
    made.set_limit(3)
    return made


def added(pool: Pool, times: int) -> bool:
    """Whether adding 1 to each element in place, many times, counts each of them."""
    code = mapped(lambda m, x: x + 1)
    x = np.zeros(SIZE, np.float32)
    for _ in range(times):
        pool.run(code, words(x, x), SIZE, CHUNK)
    return bool((x == times).all())


def test_every_chunk_is_done_once(three: Pool) -> None:
    assert added(three, 300)
    three.stop()
    assert added(three, 3)  # new threads
    three.stop()


def test_threads_of_python_share_a_pool_without_waiting_for_each_other(three: Pool) -> None:
    done: list[bool] = []
    others = [threading.Thread(target=lambda: done.append(added(three, 100))) for _ in range(3)]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(PATIENCE)
    three.stop()
    assert done == [True] * 3


def test_the_number_of_threads_can_change_between_calls(three: Pool) -> None:
    for count in (1, 4, 2):
        three.set_limit(count)
        assert added(three, 5)
    three.stop()


def test_who_is_there_does_the_part_of_those_who_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = {**sharing.functions(), "start": lambda memory, thread: 1}  # the system has no more
    monkeypatch.setattr(sharing, "functions", lambda: calls)
    alone = Pool(uses_openmp=False)
    alone.set_limit(4)
    assert added(alone, 5)


def test_a_limit_of_one_thread_does_all_chunks(three: Pool) -> None:
    three.set_limit(1)
    assert added(three, 5)


def _added_in_child(result: Connection) -> None:
    result.send(added(pool, 20))


def test_parent_and_child_compute_after_a_fork() -> None:
    limit = pool.limit
    pool.set_limit(2)
    assert added(pool, 3)
    fork = multiprocessing.get_context("fork")
    result, theirs = fork.Pipe(duplex=False)
    child = fork.Process(target=_added_in_child, args=(theirs,), daemon=True)
    child.start()
    assert added(pool, 20)
    assert result.poll(PATIENCE), "the child computes for ever"
    assert result.recv()
    child.join(PATIENCE)
    assert child.exitcode == 0
    pool.set_limit(limit)


LIMITED = """
import sys
import flambeau as torch
torch.set_num_threads(3)
assert "llvmlite" not in sys.modules
from flambeau.backends.cpu.loops.threads import Pool, pool
print(pool.limit, Pool().limit)
"""


def test_a_limit_of_threads_waits_for_the_pool() -> None:
    assert printed(sys.executable, "-c", LIMITED).split() == ["3", "3"]


def test_the_pool_heeds_openmps_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "thread_limit", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert threads.Pool().limit == 5
    monkeypatch.setenv("OMP_NUM_THREADS", "no number")
    assert threads.Pool().limit == threads._cores() >= 1
