"""One call of all processes: bytes sent and received along the lanes, once both ends have said the
same."""

from __future__ import annotations

import copy
import select
import socket
from collections.abc import Callable
from typing import Any

from .calls import HEAD, Call, parsed, words_behind
from .failures import DistBackendError, DistTimeoutError
from .mesh import Mesh
from .window import Window

NEVER_BLOCKS = 1 << 14
"""Bytes that always fit into the buffers of an empty lane; more is sent while receiving."""

Bytes = memoryview


class Lanes:
    """What the schedule of a call uses of a mesh.

    The first bytes to each peer say which call this is; from then on only payload flows. Errors of
    a lane become the failure of the whole group, by `give_up`, which also tells the others.
    """

    def __init__(
        self,
        mesh: Mesh,
        call: Call,
        give_up: Callable[[Call, DistBackendError, bool], DistBackendError],
        own_window: Window | None,
        machines: list[list[int]],
    ) -> None:
        self.mesh, self.call, self.give_up = mesh, call, give_up
        self.rank, self.size = mesh.rank, mesh.size
        self.peers = list(range(mesh.size))
        self._own_window, self._machines = own_window, machines
        self.window = own_window if len(machines) == 1 else None
        is_even = len({len(ranks) for ranks in machines}) == 1
        self.machines = machines if 1 < len(machines) < mesh.size and is_even else None
        self._told: set[int] = set()
        self._heard: set[int] = set()

    def _among(self, peers: list[int]) -> Lanes:
        """The lanes between some of the processes, by their places among them."""
        some = copy.copy(self)
        some.peers, some.rank, some.size = peers, peers.index(self.rank), len(peers)
        some.window = some.machines = None
        return some

    def here(self) -> Lanes:
        """The lanes between the processes of this machine, with their window."""
        some = self._among(next(ranks for ranks in self._machines if self.rank in ranks))
        some.window = self._own_window
        return some

    def across(self) -> Lanes:
        """The lanes between the processes that have this one's place on each machine."""
        place = next(ranks.index(self.rank) for ranks in self._machines if self.rank in ranks)
        return self._among([ranks[place] for ranks in self._machines])

    def exchange(self, dst: int, data: Bytes | None, src: int, into: Bytes | None) -> None:
        """Send `data` to `dst` while receiving `into` from `src`; None stands for neither."""
        dst, src, greeting = self.peers[dst], self.peers[src], b""
        if data is not None and dst not in self._told:
            self._told.add(dst)
            greeting = self.call.greeting(len(data))
        peer = dst
        try:
            if data is not None and len(data) <= NEVER_BLOCKS:
                _send_small(self.mesh.lanes[dst], greeting, data)
                peer, data = src, None
                if into is None:
                    return
            elif greeting:
                self.mesh.lanes[dst].sendall(greeting)
            if into is not None and src not in self._heard:
                peer = src
                self._hear(src, len(into))
            if data is not None and into is not None:
                self._both_ways(dst, data, src, into)
            elif data is not None:
                self.mesh.lanes[dst].sendall(data)
            elif into is not None:
                receive_into(self.mesh.lanes[src], into)
        except OSError as error:
            raise self._failed(peer, error) from None

    def _hear(self, src: int, nbytes: int) -> None:
        """Read the greeting of `src` and compare it."""
        expected = self.call.greeting(nbytes)
        head = bytearray(HEAD.size)
        lane = self.mesh.lanes[src]
        receive_into(lane, memoryview(head))
        length = words_behind(head)
        words = bytearray(max(0, length))
        receive_into(lane, memoryview(words))
        self._heard.add(src)
        if head + words != expected:
            error = self._mismatch(src, bytes(head + words), nbytes)
            raise self.give_up(self.call, error, False)

    def _mismatch(self, src: int, greeting: bytes, nbytes: int) -> DistBackendError:
        if words_behind(greeting[: HEAD.size]) < 0:
            return DistBackendError(
                f"Expected rank {src} to begin {self.call}. Got bytes that begin no call."
            )
        own, (theirs, sent) = self.mesh.rank, parsed(greeting)
        if theirs == self.call:
            return DistBackendError(
                f"{self.call}: expected {nbytes} bytes from rank {src} at rank {own}. Got "
                f"{sent}. The sizes that both give for this exchange must agree."
            )
        return DistBackendError(
            f"Expected all processes to make the same calls with the same shapes and dtypes. Rank "
            f"{own} is in {self.call}; rank {src} is in {theirs}. Look for a branch that "
            "only some ranks take, or for inputs of different sizes."
        )

    def _both_ways(self, dst: int, data: Bytes, src: int, into: Bytes) -> None:
        """Send and receive as either is possible, so that no two processes wait for each other."""
        out, back = self.mesh.lanes[dst], self.mesh.lanes[src]
        limit = self.mesh.timeout * 1000
        while data and into:
            sent = _now(out.send, data)
            data = data[sent:]
            got = _now(back.recv_into, into)
            if got == 0 and not sent and _is_at_end(back):
                raise ConnectionResetError(0, "the connection ended")
            into = into[got:]
            if not (sent or got):
                waiting = select.poll()
                waiting.register(out, select.POLLOUT)
                if dst == src:
                    waiting.modify(out, select.POLLOUT | select.POLLIN)
                else:
                    waiting.register(back, select.POLLIN)
                if not waiting.poll(limit):
                    raise BlockingIOError
        if data:
            out.sendall(data)
        if into:
            receive_into(back, into)

    def _failed(self, peer: int, error: OSError) -> DistBackendError:
        """What to raise for a lane that is of no use any more."""
        own = self.mesh.rank
        if isinstance(error, BlockingIOError):
            late = DistTimeoutError(
                f"{self.call}: rank {own} expected rank {peer} within "
                f"{self.mesh.timeout:g} s. It did not come: it may have stopped, be far behind, or "
                "have left this call out. init_process_group takes a longer timeout."
            )
            return self.give_up(self.call, late, False)
        gone = DistBackendError(
            f"{self.call}: rank {own} expected rank {peer} to take part. Its process has "
            "left the group. Its own output tells why."
        )
        return self.give_up(self.call, gone, True)


def _send_small(lane: socket.socket, greeting: bytes, data: Bytes) -> None:
    sent = lane.sendmsg([greeting, data]) if greeting else lane.send(data)
    if sent < len(greeting) + len(data):  # a signal came while the lane was full
        lane.sendall(b"".join([greeting, data])[sent:])


def receive_into(lane: socket.socket, into: Any) -> None:
    """Fill `into`. Raises: ConnectionError at the end of the stream, BlockingIOError when the time
    is over."""
    while into:
        got = lane.recv_into(into)
        if got == 0:
            raise ConnectionResetError(0, "the connection ended")
        into = into[got:]


def _now(move: Any, data: Bytes) -> int:
    """How many bytes `move`, a method of a socket, moves without waiting."""
    try:
        if move.__name__ == "send":
            return int(move(data, socket.MSG_DONTWAIT))
        return int(move(data, 0, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return 0


def _is_at_end(lane: socket.socket) -> bool:
    try:
        return not lane.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK)
    except BlockingIOError:
        return False
