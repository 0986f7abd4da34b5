"""Connections from each process of a group to each other one.

Between two processes run two connections: a *lane* for collectives, whose order both know, and a
*post* for what comes unasked (messages from point to point, news that a process failed or left). A
thread reads all posts. When a process fails, it tells all others, whose threads then close the
lanes, and whoever waits at one learns why. So waiting costs one system call, and never lasts longer
than all processes live.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

from .failures import DistBackendError
from .meeting import LANE, POST, Meeting
from .store import Store


class Mesh:
    """The connections of the process with `rank` to the others of `size`, by their ranks. Of those
    of a group within another one, `around` is the other's mesh: its failure ends the wait for them.

    Raises: see Meeting.
    """

    def __init__(
        self, store: Store, rank: int, size: int, timeout: float, around: Mesh | None = None
    ) -> None:
        self.rank, self.size, self.timeout = rank, size, timeout
        self.failure: DistBackendError | None = None
        self.failed = threading.Event()
        self._lock = threading.Lock()
        found = Meeting(store, rank, size, timeout, around).connections()
        nobody = socket.socket()  # stands at our own place, so that ranks are indices
        nobody.close()
        self.lanes = [found.get((peer, LANE), nobody) for peer in range(size)]
        self.posts = [found.get((peer, POST), nobody) for peer in range(size)]
        self.set_timeout(timeout)

    def fail(self, error: DistBackendError) -> DistBackendError:
        """Keep `error` as what ended the group, if it is the first; wake whoever waits at a lane.
        Returns the first."""
        with self._lock:
            if self.failure is None:
                self.failure = error
                self.failed.set()
        for lane in self.lanes:
            with contextlib.suppress(OSError):
                lane.shutdown(socket.SHUT_RDWR)
        return self.failure

    def set_timeout(self, seconds: float) -> None:
        """Let waits at lanes end after so long."""
        self.timeout = seconds
        for peer, lane in enumerate(self.lanes):
            if peer != self.rank:
                _limit(lane, seconds)

    def close(self) -> None:
        """Take all connections down."""
        for connection in (*self.lanes, *self.posts):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def _limit(lane: socket.socket, seconds: float) -> None:
    """Let waits at the lane end after `seconds`, without a call to ask for them each time."""
    span = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
    lane.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
    lane.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
