"""Groups whose processes die, disagree, are interrupted or late, at every stage."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
import flambeau.distributed as dist
from flambeau.distributed import addresses, process_group
from flambeau.distributed.mesh import Mesh
from flambeau.distributed.post import FRAME, MESSAGE

from .ranks import in_ranks


def under_signals(rank: int) -> float:
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    dist.barrier()
    x = torch.full((2000,), float(rank))
    if rank == 1:  # the lane fills up meanwhile
        for _ in range(20):
            signal.sigwait([signal.SIGALRM])
        signal.setitimer(signal.ITIMER_REAL, 0)
    for _ in range(600):
        dist.broadcast(x, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    dist.barrier()
    return x.sum().item()


def test_signals_that_a_program_handles_leave_collectives_whole() -> None:
    assert in_ranks(2, under_signals) == [0, 0]


def from_two_threads(rank: int) -> list[float]:
    large, small = torch.ones(1_000_000), [torch.ones(100) for _ in range(20)]
    begun = threading.Event()
    group = dist.group.WORLD

    def first() -> None:
        schedule = group._carry_out

        def told(*args: Any) -> None:
            begun.set()
            schedule(*args)

        group._carry_out = told
        dist.all_reduce(large)

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait()
    works = [dist.all_reduce(t, async_op=True) for t in small]
    thread.join()
    for work in works:
        work.wait()
    return [large[0].item(), *{t[0].item() for t in small}]


def test_what_other_threads_begin_waits_for_the_call_under_way() -> None:
    assert in_ranks(2, from_two_threads) == [[2, 2]] * 2


def callback_fails(rank: int) -> float:
    x = torch.ones(3)
    dist.all_reduce(x, async_op=True).get_future().add_done_callback(lambda _: 1 / 0)
    dist.all_reduce(x, async_op=True).wait()
    return x[0].item()


def test_a_callback_that_fails_is_shown_and_holds_up_nothing(capfd: Any) -> None:
    assert in_ranks(2, callback_fails) == [4, 4]
    assert "ZeroDivisionError" in capfd.readouterr().err


def dies_while_machines_are_found(rank: int, directory: str) -> None:
    dist.destroy_process_group()
    if rank == 1:
        process_group.windows = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    dist.init_process_group(init_method=f"file://{directory}/b", rank=rank, world_size=3)


def test_a_process_that_dies_at_the_beginning_fails_the_others_at_once(tmp_path: Path) -> None:
    first, dead, last = in_ranks(3, dies_while_machines_are_found, str(tmp_path))
    assert dead == -signal.SIGKILL
    for error in (first, last):
        assert "rank 1 ended without leaving" in str(error)


def dies_before_a_group(rank: int) -> None:
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.group.WORLD.mesh.failed.wait()
    dist.new_group()


def test_a_group_of_processes_of_which_one_has_died_is_given_up_at_once() -> None:
    first, _, last = in_ranks(3, dies_before_a_group)
    for error in (first, last):
        assert "new_group: The process of rank 1 ended without leaving" in str(error)


def shared_memory(rank: int) -> Any:
    return dist.group.WORLD._machines, dist.group.WORLD._window is not None


def test_processes_of_one_machine_share_memory_without_a_name() -> None:
    before = set(os.listdir("/dev/shm"))
    assert in_ranks(3, shared_memory) == [([[0, 1, 2]], True)] * 3
    assert not {name for name in os.listdir("/dev/shm") if "flambeau" in name} - before


def dies_within_a_message(rank: int) -> None:
    x = torch.zeros(4_000_000)
    if rank == 0:
        dist.recv(x, 1)
    mesh = dist.group.WORLD.mesh
    words = b"float32 (4000000,)"
    head = FRAME.pack(MESSAGE, len(words), 0, x.nbytes)
    mesh.posts[0].sendall(head + words + bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_sender_that_dies_within_a_message_fails_who_waits_for_it() -> None:
    error, dead = in_ranks(2, dies_within_a_message, timeout=100.0)
    assert dead == -signal.SIGKILL
    assert not isinstance(error, dist.DistTimeoutError)
    assert "rank 1 ended without leaving" in str(error)


def meet(*places: tuple[int, int], seconds: float = 60.0) -> list[str]:
    """What processes of these ranks and sizes are told that meet in one store."""
    store, told = dist.HashStore(), []

    def come(rank: int, size: int) -> None:
        try:
            Mesh(store, rank, size, seconds).close()
        except (RuntimeError, ValueError) as error:
            told.append(str(error))

    threads = [threading.Thread(target=come, args=place) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_processes_of_different_world_sizes_are_told_both() -> None:
    for words in (told := meet((0, 2), (1, 3))):
        assert "one world_size in all processes" in words
    assert len(told) == 2


def test_a_process_that_never_comes_is_named() -> None:
    assert "expected rank 0 within 0.1 s at rank 1" in meet((1, 2), seconds=0.1)[0]
    assert "a connection from rank [1]" in meet((0, 2), seconds=0.1)[0]


def in_an_old_file(rank: int, directory: str) -> float:
    dist.destroy_process_group()
    dist.init_process_group(init_method=f"file://{directory}/s", rank=rank, world_size=2)
    dist.all_reduce(x := torch.ones(1))
    return x.item()


def test_a_second_run_may_meet_in_the_file_of_the_first(tmp_path: Path) -> None:
    for _ in range(2):
        assert in_ranks(2, in_an_old_file, str(tmp_path)) == [2, 2]


def test_a_name_that_stands_for_loopback_does_not_hide_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
    monkeypatch.setattr(
        addresses, "_of_interface", {"lo": "127.0.0.1", "eth0": "10.0.0.2"}.__getitem__
    )
    assert addresses.addresses(dist.HashStore()) == ["10.0.0.2", "127.0.0.1"]
    kept = dist.TCPStore("localhost", 0, is_master=True)
    assert addresses.is_loopback(str(kept.local_address()))
    kept.host = "node-0"  # for which this machine has the name in its own list of hosts
    assert kept.local_address() is None
