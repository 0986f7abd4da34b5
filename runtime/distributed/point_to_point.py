"""Messages from one process to another.

A message that nobody waits for yet is kept where it arrives, so that `send` never waits for the
other side. Messages between two processes keep their order for each tag.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ..core.tensor import Tensor
from .failures import DistBackendError, DistTimeoutError
from .group import is_member, world
from .memory import Held, described, require_dense
from .post import Delivery
from .process_group import ProcessGroup
from .schedules import bytes_of
from .store import seconds_of
from .work import Work


def _peer(name: str, group: ProcessGroup, rank: int | None, place: int | None) -> int:
    if (rank is None) == (place is None):
        raise ValueError(f"{name}: expected a rank, or a rank of the group. Got both or none.")
    found = group.place_of(rank, name) if rank is not None else place
    assert found is not None
    if not 0 <= found < group.size() or found == group.rank():
        raise ValueError(
            f"{name}: expected another process of the group of {group.size()}. Got rank {found} at "
            f"rank {group.rank()}."
        )
    return found


def send(
    tensor: Tensor,
    dst: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> None:
    """Send a tensor to process `dst`, which receives it into one of the same shape and dtype."""
    work = isend(tensor, dst, group, tag, group_dst)
    if work is not None:
        work.wait()


def isend(
    tensor: Tensor,
    dst: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> Work | None:
    """`send` in the background; leave the tensor alone until the Work is done."""
    if not is_member(group):
        return None
    here = world(group)
    require_dense("send", [tensor])
    peer = _peer("send", here, dst, group_dst)
    held = Held(tensor)
    words = described(tensor)

    def deliver() -> None:
        here.post.send(peer, tag, words, bytes_of(held.array))

    return here.send_later(f"isend of {words} to rank {peer}", deliver, [tensor])


class _Receiving(Work):
    """An `irecv` under way."""

    def __init__(self, group: ProcessGroup, wanted: Delivery, held: Held) -> None:
        super().__init__(f"irecv of {wanted.words}", [held.tensor])
        self._group, self._wanted, self._held = group, wanted, held
        self._source: int | None = None

    def wait(self, timeout: timedelta | float | None = None) -> bool:
        if not self._future.done():
            seconds = seconds_of(timeout, self._group.timeout)
            try:
                self._source = self._group.post.wait(self._wanted, seconds)
            except DistTimeoutError:
                raise
            except DistBackendError as error:
                self._finish(error)
            else:
                self._held.put_back("recv")
                self._finish(None)
        return super().wait()

    def is_completed(self) -> bool:
        return self._wanted.arrived.is_set()

    def source_rank(self) -> int:
        """The rank, among all, that the message came from; it is waited for."""
        self.wait()
        assert self._source is not None
        return self._group.ranks[self._source]


def irecv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> Work | None:
    """`recv` in the background: the tensor is filled when the Work is waited for."""
    if not is_member(group):
        return None
    here = world(group)
    require_dense("recv", [], [tensor])
    anybody = src is None and group_src is None
    peer = None if anybody else _peer("recv", here, src, group_src)
    if anybody and here.size() == 1:
        raise ValueError("recv: expected another process. There is none.")
    held = Held(tensor)
    wanted = here.post.receive(peer, tag, described(tensor), bytes_of(held.array))
    return _Receiving(here, wanted, held)


def recv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> int:
    """Fill a tensor with one that process `src` sends, or any process if it is None; the rank that
    it came from, -1 for a process that is not in the group.

    Raises: DistBackendError for another shape or dtype, or a process that is gone.
    """
    work = irecv(tensor, src, group, tag, group_src)
    return -1 if work is None else work.source_rank()


class P2POp:
    """One message of `batch_isend_irecv`: `op` is isend or irecv, `peer` the other process."""

    def __init__(
        self,
        op: Callable[..., Any],
        tensor: Tensor,
        peer: int | None = None,
        group: Any = None,
        tag: int = 0,
        group_peer: int | None = None,
    ) -> None:
        if op not in (isend, irecv):
            raise ValueError("P2POp: expected dist.isend or dist.irecv. Got another function.")
        self.op, self.tensor, self.peer = op, tensor, peer
        self.group, self.tag, self.group_peer = group, tag, group_peer

    def start(self) -> Work | None:
        """Begin it."""
        work: Work | None = self.op(self.tensor, self.peer, self.group, self.tag, self.group_peer)
        return work


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Work]:
    """Begin all messages, receipts first; their Works, in the order given."""
    if not p2p_op_list or not all(isinstance(op, P2POp) for op in p2p_op_list):
        raise ValueError("batch_isend_irecv: expected a list of P2POp. Got another, or none.")
    order = sorted(range(len(p2p_op_list)), key=lambda k: p2p_op_list[k].op is isend)
    works = {k: p2p_op_list[k].start() for k in order}
    return [work for k in range(len(p2p_op_list)) if (work := works[k]) is not None]
