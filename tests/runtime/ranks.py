"""A world of real processes for a test: forks of this one, which find one another by a file."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flambeau as torch
import flambeau.distributed as dist

PATIENCE = 60.0
"""Seconds after which processes that have not ended fail the test."""


def in_ranks(count: int, function: Callable[..., Any], *args: Any, timeout: float = 20.0) -> Any:
    """What `function(rank, *args)` returned, or raised, in each of `count` processes of a group; an
    exit code for one that died."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as directory:
        processes, ends = [], []
        for rank in range(count):
            ours, theirs = context.Pipe(duplex=False)
            begin = (rank, count, str(Path(directory) / "store"), timeout)
            process = context.Process(target=_live, args=(begin, function, args, theirs))
            process.start()
            theirs.close()
            processes.append(process)
            ends.append(ours)
        return [_told(p, end) for p, end in zip(processes, ends, strict=True)]


def _live(
    begin: tuple[int, int, str, float], function: Callable[..., Any], args: Any, told: Any
) -> None:
    rank, count, store, timeout = begin
    try:
        dist.init_process_group(
            init_method=f"file://{store}", rank=rank, world_size=count, timeout=timeout
        )
        torch.set_num_threads(1)  # the processes share the cores
        result = function(rank, *args)
        dist.destroy_process_group()
    except Exception as error:
        result = error
    told.send_bytes(pickle.dumps(result))
    os._exit(0)  # what pytest would do at its end is not for us


def _told(process: Any, end: Any) -> Any:
    try:
        if not end.poll(PATIENCE):
            process.kill()
            raise AssertionError(f"A process has not ended within {PATIENCE:g} s.")
        return pickle.loads(end.recv_bytes())
    except EOFError:
        process.join()
        return process.exitcode
    finally:
        process.join()
