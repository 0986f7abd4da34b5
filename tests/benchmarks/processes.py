"""Collectives and data-parallel training of two processes, over PyTorch's gloo.

The other process repeats the same step for as long as the timed one lives: the collectives hold
both in step. On a machine with other work to do, processor time is what counts (THREADS=1).
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

from .case import Case, Rival, Step
from .training import training_step
from .transformers import gpt
from .turns import is_single

PROCESSES = 2
PR_SET_PDEATHSIG = 1  # of prctl: the signal a process gets when its parent dies
MIB = 1 << 20

Work = Callable[[Any], Step]


def in_step(work: Work, torch: Any) -> Step:
    """The step of `work` in this process, which another one takes too."""
    store = tempfile.mktemp(prefix="benchmark-store-")
    context = multiprocessing.get_context("fork")
    context.Process(target=_repeat, args=(work, torch, store), daemon=True).start()
    return _joined(work, torch, store, 0)


def _repeat(work: Work, torch: Any, store: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    step = _joined(work, torch, store, 1)
    while True:
        step()


def _joined(work: Work, torch: Any, store: str, rank: int) -> Step:
    threads = 1 if is_single() else max(1, (os.cpu_count() or 1) // PROCESSES)
    torch.set_num_threads(threads)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=PROCESSES
    )
    torch.distributed.barrier()
    if rank == 0:
        os.unlink(store)
    torch.manual_seed(rank)
    return work(torch)


def all_reduce(torch: Any, nbytes: int) -> Step:
    """A sum of float32."""
    x = torch.zeros(nbytes // 4)
    return lambda: torch.distributed.all_reduce(x)


def all_gather(torch: Any, nbytes: int) -> Step:
    """So many bytes of each process, float32."""
    x = torch.zeros(nbytes // 4)
    parts = [torch.zeros(nbytes // 4) for _ in range(PROCESSES)]
    return lambda: torch.distributed.all_gather(parts, x)


def broadcast(torch: Any, nbytes: int) -> Step:
    """From rank 0, float32."""
    x = torch.zeros(nbytes // 4)
    return lambda: torch.distributed.broadcast(x, 0)


def train_perceptron(torch: Any) -> Step:
    """64-128-10 with tanh, batch 32 a process, SGD."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 10))
    return _trained(torch, model, torch.randn(32, 64), torch.randint(0, 10, (32,)))


def train_gpt(torch: Any) -> Step:
    """3.2 M parameters in 4 layers of width 256, batch 2 of 64 a process, SGD."""
    model = gpt(torch, vocabulary=65, width=256, depth=4, heads=4, length=64)
    tokens = torch.randint(0, 65, (2, 65))
    return _trained(torch, model, tokens[:, :-1].contiguous(), tokens[:, 1:].flatten())


def _trained(torch: Any, model: Any, x: Any, classes: Any) -> Step:
    together = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    return training_step(torch, together, optimizer, x, classes)


def _case(name: str, work: Work) -> Case:
    return Case(f"{name}, {PROCESSES} processes", partial(in_step, work), (Rival(1.0),))


CASES = [
    _case("all_reduce of 4 B", partial(all_reduce, nbytes=4)),
    _case("all_reduce of 64 KiB", partial(all_reduce, nbytes=MIB // 16)),
    _case("all_reduce of 1 MiB", partial(all_reduce, nbytes=MIB)),
    _case("all_reduce of 25 MiB", partial(all_reduce, nbytes=25 * MIB)),
    _case("all_gather of 1 MiB", partial(all_gather, nbytes=MIB)),
    _case("broadcast of 1 MiB", partial(broadcast, nbytes=MIB)),
    _case("DistributedDataParallel, MLP 64-128-10, batch 32", train_perceptron),
    _case("DistributedDataParallel, GPT of 3.2 M, batch 2 x 64", train_gpt),
]
