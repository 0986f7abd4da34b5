"""The process group: processes that call the same collectives in the same order."""

from __future__ import annotations

import functools
import multiprocessing.util
import os
import sys
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from .calls import Call
from .failures import DistBackendError, DistTimeoutError
from .lanes import Lanes
from .machines import windows
from .mesh import Mesh
from .order import Order
from .post import ABORT, GOODBYE, Post
from .store import Store, seconds_of
from .window import Window
from .work import Work

Schedule = Callable[[Lanes], Any]

NEWS_COME_WITHIN = 1.0
"""Seconds: what ends a lane also tells its reason, on another connection."""

END_WITHIN = 5.0
"""Seconds that `close` waits for calls under way."""

_open: weakref.WeakSet[ProcessGroup] = weakref.WeakSet()


class Backend(str):
    """The name of what moves tensors between processes, in small letters."""

    GLOO, NCCL, MPI, UCC = "gloo", "nccl", "mpi", "ucc"

    __slots__ = ()

    def __new__(cls, name: str) -> Backend:
        return super().__new__(cls, name.lower())


class ProcessGroup:
    """The processes of `ranks`, by their places among all, and the connections between them.

    Collectives run in the thread that calls them if nothing is under way, else one after another in
    a thread of the group.
    """

    def __init__(
        self,
        store: Store | None,
        rank: int,
        ranks: list[int],
        backend: str,
        timeout: float,
        around: ProcessGroup | None = None,
    ) -> None:
        self.backend, self.ranks, self.timeout = backend, ranks, timeout
        self._rank = rank
        self.pid = os.getpid()  # a fork knows its parent's group, but is not in it
        self.store = store
        self._number = -1  # of the last call; the first is the one below
        self._collectives, self._messages = Order("collectives"), Order("postman")
        self._closed = False
        self.mesh: Mesh | None = None
        self._window: Window | None = None
        self._machines = [[k] for k in range(len(ranks))]
        if len(ranks) > 1:
            assert store is not None
            whole = None if around is None else around.mesh
            self.mesh = Mesh(store, rank, len(ranks), timeout, whole)
            self.post = Post(self.mesh)
            _remember(self)
            try:
                self.run("init_process_group", self._find_machines)
            except BaseException:
                self.close()
                raise

    def _find_machines(self, lanes: Lanes) -> None:
        self._window, self._machines = windows(lanes)

    def rank(self) -> int:
        """The place of this process in the group."""
        return self._rank

    def size(self) -> int:
        """How many processes there are."""
        return len(self.ranks)

    def name(self) -> str:
        """The name of the backend."""
        return self.backend

    def place_of(self, global_rank: int, what: str) -> int:
        """The place in this group of a process, by its rank among all. Raises: ValueError for one
        that is not in it."""
        if global_rank not in self.ranks:
            raise ValueError(
                f"{what}: expected a rank of the group {self.ranks}. Got {global_rank}."
            )
        return self.ranks.index(global_rank)

    # -- collectives -----------------------------------------------------------------------------

    def run(
        self,
        words: str,
        schedule: Schedule,
        finish: Callable[[], Any] | None = None,
        async_op: bool = False,
        result: Any = None,
    ) -> Work | None:
        """Do a collective: `schedule` moves bytes along lanes, `finish` puts them where they
        belong. A Work of `result` if `async_op`.

        Raises: DistBackendError if it fails here or at another process.
        """
        work = Work(words, result) if async_op else None
        if self.mesh is None:
            if finish is not None:
                finish()
            if work is not None:
                work._finish(None)
            return work
        call = functools.partial(self._carry_out, words, schedule, finish)
        if work is not None:
            return self._collectives.later(call, work)
        self._collectives.now(words, call)
        return None

    def _carry_out(self, words: str, schedule: Schedule, finish: Any) -> None:
        mesh = self.mesh
        assert mesh is not None
        try:
            if self._closed:
                raise DistBackendError(f"{words}: this process has left the group.")
            self._number += 1
            if mesh.failure is not None:
                raise self._once_more(words, mesh.failure)
            call = Call(self._number, words)
            lanes = Lanes(mesh, call, self._give_up, self._window, self._machines)
            schedule(lanes)
            if finish is not None:
                finish()
        except DistBackendError:
            raise
        except BaseException as error:
            kind = type(error).__name__
            self.abort(f"Rank {self.rank()} was interrupted in {words}, by {kind}.")
            raise

    def _once_more(self, words: str, failure: DistBackendError) -> DistBackendError:
        error = DistBackendError(
            f"{words}: expected a group in which all went well so far. Got one that failed: "
            f"{failure} Call destroy_process_group() and begin anew."
        )
        error.__cause__ = failure
        return error

    def _give_up(self, call: Call, error: DistBackendError, at_end: bool) -> DistBackendError:
        """End the group for a reason found here, tell it to the others; the error to raise. If a
        lane is `at_end`, the next post says why."""
        mesh = self.mesh
        assert mesh is not None
        if at_end:
            mesh.failed.wait(NEWS_COME_WITHIN)
        if mesh.failure is not None:
            reason = str(mesh.failure)
            kind = type(mesh.failure)
            return kind(reason if str(call) in reason else f"{call}: {reason}")
        self.post.tell(ABORT, str(error), isinstance(error, DistTimeoutError))
        mesh.fail(error)
        return error

    def abort(self, reason: str | DistBackendError = "The group was aborted.") -> None:
        """End the group everywhere: all calls under way and to come fail for `reason`."""
        if self.mesh is not None and self.mesh.failure is None:
            error = DistBackendError(reason) if isinstance(reason, str) else reason
            self.post.tell(ABORT, str(error), isinstance(error, DistTimeoutError))
            self.mesh.fail(error)

    # -- point to point --------------------------------------------------------------------------

    def send_later(self, words: str, send: Callable[[], None], result: Any) -> Work:
        """Let `send` run in a thread, after what was given before."""
        return self._messages.later(send, Work(words, result))

    # -- the end ---------------------------------------------------------------------------------

    def close(self) -> None:
        """Leave the group, after what is under way; the others may go on with what needs no
        answer."""
        if self._closed:
            return
        self._closed = True
        for order in (self._collectives, self._messages):
            order.close(END_WITHIN)
        if self.mesh is not None:
            self.post.tell(GOODBYE)
            self.mesh.close()
            self.post.close()
            self._window = None  # its memory goes, though somebody may keep the group
            _open.discard(self)

    def set_timeout(self, timeout: timedelta | float) -> None:
        """Wait so long in calls from now on."""
        self.timeout = seconds_of(timeout)
        if self.mesh is not None:
            self.mesh.set_timeout(self.timeout)


def _leave_all() -> None:
    """At the end of a program that has not called destroy_process_group."""
    error = getattr(sys, "last_value", None)
    for group in list(_open):
        if error is not None:
            group.abort(f"Rank {group.rank()} ended with {type(error).__name__}: {error}")
        group.close()


def _let_go_in_child() -> None:
    """A forked process must not keep connections open when its parent dies."""
    for group in list(_open):
        if group.mesh is not None:
            for connection in (*group.mesh.lanes, *group.mesh.posts):
                connection.close()
    _open.clear()


def _remember(group: ProcessGroup) -> None:
    if not _open:  # not by atexit, which processes of `multiprocessing` do not heed
        multiprocessing.util.Finalize(None, _leave_all, exitpriority=10)
    _open.add(group)


os.register_at_fork(after_in_child=_let_go_in_child)
