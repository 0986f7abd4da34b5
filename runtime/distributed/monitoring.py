"""A barrier that tells who did not come."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .failures import DistTimeoutError
from .group import is_member, world
from .process_group import ProcessGroup
from .store import seconds_of

HERE, WORDS = -2, "monitored_barrier"


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """Wait until every process is here, `timeout` at most (default: that of the group).

    Raises: DistTimeoutError on all that came, which names the first rank that did not, or with
    `wait_all_ranks` each of them.
    """
    if not is_member(group):
        return
    here = world(group)
    if here.size() == 1:
        return
    seconds = seconds_of(timeout, here.timeout)
    byte = memoryview(np.zeros(1, np.uint8))
    if here.rank() != 0:
        here.post.send(0, HERE, WORDS, byte)
        wanted = here.post.receive(0, HERE, WORDS, memoryview(np.zeros(1, np.uint8)))
        try:
            here.post.wait(wanted, 2 * seconds)  # rank 0 says first who is missing
        except DistTimeoutError:
            raise DistTimeoutError(
                f"monitored_barrier: rank {here.rank()} expected rank 0 within {seconds:g} s. It "
                "did not come."
            ) from None
        return
    absent = _absent(here, seconds, wait_all_ranks)
    if absent:
        error = DistTimeoutError(
            f"monitored_barrier: expected all {here.size()} ranks within {seconds:g} s. Rank "
            f"{', '.join(map(str, absent))} did not come"
            + (". Others may be missing too." if not wait_all_ranks else ".")
        )
        here.abort(error)
        raise error
    for peer in range(1, here.size()):
        here.post.send(peer, HERE, WORDS, byte)


def _absent(here: ProcessGroup, seconds: float, wait_all_ranks: bool) -> list[int]:
    deadline = time.monotonic() + seconds
    absent = []
    for peer in range(1, here.size()):
        wanted = here.post.receive(peer, HERE, WORDS, memoryview(np.zeros(1, np.uint8)))
        try:
            here.post.wait(wanted, max(0.001, deadline - time.monotonic()))
        except DistTimeoutError:
            absent.append(here.ranks[peer])
            if not wait_all_ranks:
                break
    return absent
