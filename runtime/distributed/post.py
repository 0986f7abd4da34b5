"""What comes unasked: messages from point to point, and news of processes that failed or left."""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Any

from .failures import DistBackendError, DistTimeoutError
from .mesh import Mesh

FRAME = struct.Struct("<BHqQ")  # what it is, bytes of its words, tag, bytes of its content
MESSAGE, ABORT, GOODBYE = range(3)
LONGEST_NEWS = 4000

TELL_WITHIN = 5.0
"""Seconds after which a process that takes no news is left without."""


@dataclass(eq=False)
class Delivery:
    """A message that came, or that somebody waits for."""

    src: int | None
    tag: int
    words: str = ""
    content: Any = None  # memory to be filled
    arrived: threading.Event = field(default_factory=threading.Event)
    error: DistBackendError | None = None


class Post:
    """The thread that reads the posts of a mesh, and the box of what it read.

    A message is read into the memory of who waits for it; if nobody does yet, into memory of its
    own. Messages of one sender and one tag keep their order.
    """

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self._lock = threading.Lock()
        self._box: list[Delivery] = []  # came, or is coming, and nobody waits for it
        self._waiting: list[Delivery] = []
        self._sending = [threading.Lock() for _ in range(mesh.size)]
        self._gone: dict[int, str] = {}
        self._selector = selectors.DefaultSelector()
        self._stop, self._stopped = socket.socketpair()
        self._selector.register(self._stopped, selectors.EVENT_READ, None)
        for peer, post in enumerate(mesh.posts):
            if peer != mesh.rank:
                post.setblocking(False)
                self._selector.register(post, selectors.EVENT_READ, _Reader(peer, post))
        self._thread = threading.Thread(target=self._read, daemon=True, name="post")
        self._thread.start()

    # -- sending ---------------------------------------------------------------------------------

    def send(self, dst: int, tag: int, words: str, content: Any) -> None:
        """Send a message; returns when it is on its way. Raises: DistBackendError; after part of a
        message that found no room for the group's timeout, the group has failed."""
        self._require_whole(f"send to rank {dst}")
        try:
            with self._sending[dst]:
                self._frame(dst, MESSAGE, words, content, tag, self.mesh.timeout)
        except TimeoutError:
            late = DistTimeoutError(
                f"send: rank {self.mesh.rank} expected rank {dst} to take {words} within "
                f"{self.mesh.timeout:g} s. It did not: it may have stopped."
            )
            self._gone[dst] = f"rank {dst} takes no more."
            self.tell(ABORT, str(late), is_timeout=True)
            raise self.mesh.fail(late) from None
        except OSError as error:
            raise self._lost(f"send to rank {dst}", dst, error) from None

    def _frame(
        self, dst: int, kind: int, words: str, content: Any, tag: int, seconds: float
    ) -> None:
        text = words.encode()[:LONGEST_NEWS]
        head = FRAME.pack(kind, len(text), tag, len(content)) + text
        _send_all(self.mesh.posts[dst], head, seconds)
        _send_all(self.mesh.posts[dst], content, seconds)

    def tell(self, kind: int, words: str = "", is_timeout: bool = False) -> None:
        """Tell all others that this process failed or leaves, as far as they can be reached."""
        for peer in range(self.mesh.size):
            if peer == self.mesh.rank or peer in self._gone:
                continue
            if not self._sending[peer].acquire(timeout=TELL_WITHIN):
                continue  # a message to it is under way, and goes no further
            try:
                with contextlib.suppress(OSError):
                    self._frame(peer, kind, words, b"", int(is_timeout), TELL_WITHIN)
            finally:
                self._sending[peer].release()

    # -- receiving -------------------------------------------------------------------------------

    def receive(self, src: int | None, tag: int, words: str, into: Any) -> Delivery:
        """Begin to wait for a message for `into`, from `src` or from anybody."""
        wanted = Delivery(src, tag, words, into)
        with self._lock:
            for came in self._box:
                if came.tag == tag and src in (None, came.src):
                    self._box.remove(came)
                    wanted.src, wanted.arrived = came.src, came.arrived
                    wanted.content = came, into  # `wait` copies it
                    return wanted
            reason = self._reason(src)
            if reason is not None:
                wanted.error = DistBackendError(f"recv: {reason}")
                wanted.arrived.set()
            else:
                self._waiting.append(wanted)
        return wanted

    def wait(self, wanted: Delivery, seconds: float) -> int:
        """Wait for what `receive` began; the rank it came from. Raises: DistBackendError for words
        or sizes that differ, a peer that is gone, or the end of the time."""
        if not wanted.arrived.wait(seconds) and not self._is_coming(wanted, seconds):
            whom = "any rank" if wanted.src is None else f"rank {wanted.src}"
            raise DistTimeoutError(
                f"recv: rank {self.mesh.rank} expected {wanted.words} with tag {wanted.tag} from "
                f"{whom} within {seconds:g} s. Nothing came."
            )
        if isinstance(wanted.content, tuple):
            came, into = wanted.content
            wanted.content, wanted.error = into, came.error
            if came.error is None and (error := _unfit(wanted, came)) is not None:
                wanted.error = error
            elif came.error is None:
                into[:] = came.content
        if wanted.error is not None:
            raise wanted.error
        assert wanted.src is not None
        return wanted.src

    def _is_coming(self, wanted: Delivery, seconds: float) -> bool:
        """Whether a message that is late has begun to come, and has come at last."""
        with self._lock:
            if wanted in self._waiting:
                self._waiting.remove(wanted)
                return False
        return wanted.arrived.wait(seconds)

    def _reason(self, src: int | None) -> str | None:
        """In words, why nothing can come from `src` any more."""
        if self.mesh.failure is not None:
            return str(self.mesh.failure)
        if src is None:
            everyone = len(self._gone) == self.mesh.size - 1
            return "all other processes have left the group." if everyone else None
        return self._gone.get(src)

    def _require_whole(self, words: str) -> None:
        if self.mesh.failure is not None:
            raise DistBackendError(f"{words}: {self.mesh.failure}")

    def _lost(self, words: str, peer: int, error: OSError) -> DistBackendError:
        reason = self._gone.get(peer) or f"rank {peer} cannot be reached ({error})."
        return DistBackendError(f"{words}: {reason}")

    # -- the thread ------------------------------------------------------------------------------

    def _read(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                reader: _Reader = key.data
                try:
                    reader.read_on(self)
                except Exception as error:  # of the connection, or no memory for what it brings
                    self._selector.unregister(key.fileobj)
                    self._ended(reader, error)

    def _ended(self, reader: _Reader, error: Exception) -> None:
        """The connection of a peer is at its end: it left, or it died."""
        peer = reader.peer
        if not isinstance(error, OSError | struct.error):
            words = (
                f"Rank {self.mesh.rank} expected a message that it can keep from rank {peer}. Got "
                f"{type(error).__name__} {error}."
            )
            self.tell(ABORT, words)
            self.mesh.fail(DistBackendError(words))
        elif reader.goodbye:
            with self._lock:
                self._gone[peer] = f"rank {peer} has left the group."
        else:
            self._gone[peer] = f"rank {peer} has died."
            how = (
                "does not answer any more: its machine or the network between is down."
                if isinstance(error, TimeoutError)
                else "ended without leaving the group. Its own output tells why."
            )
            self.mesh.fail(DistBackendError(f"The process of rank {peer} {how}"))
        if reader.delivery is not None:
            reader.delivery.error = DistBackendError(
                f"recv of {reader.delivery.words}: {self._reason(peer)}"
            )
            reader.delivery.arrived.set()
        self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        with self._lock:
            for wanted in list(self._waiting):
                reason = self._reason(wanted.src)
                if reason is not None:
                    self._waiting.remove(wanted)
                    wanted.error = DistBackendError(f"recv of {wanted.words}: {reason}")
                    wanted.arrived.set()

    def place_for(self, src: int, tag: int, words: str, nbytes: int) -> Delivery:
        """Where the thread puts a message that begins to come."""
        with self._lock:
            for wanted in self._waiting:
                if wanted.tag == tag and wanted.src in (None, src):
                    self._waiting.remove(wanted)
                    wanted.src = src
                    came = Delivery(src, tag, words)
                    wanted.error = _unfit(wanted, came)
                    if wanted.error is None:
                        return wanted
                    came.content = memoryview(bytearray(nbytes))
                    came.arrived = wanted.arrived
                    return came
            came = Delivery(src, tag, words, memoryview(bytearray(nbytes)))
            self._box.append(came)
            return came

    def hear(self, kind: int, words: str, is_timeout: bool) -> None:
        """News of a peer, in the thread."""
        if kind == ABORT:
            self.mesh.fail((DistTimeoutError if is_timeout else DistBackendError)(words))
            self._give_up_waiting()

    def close(self) -> None:
        """End the thread."""
        self._stop.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5)
        self._selector.close()
        self._stopped.close()


def _unfit(wanted: Delivery, came: Delivery) -> DistBackendError | None:
    if wanted.words == came.words:
        return None
    return DistBackendError(
        f"recv: expected {wanted.words} from rank {came.src}, with tag {came.tag}, as the tensor "
        f"to be filled is. It sent {came.words}."
    )


class _Reader:
    """What has been read of one peer's post: heads, words and contents in turn."""

    def __init__(self, peer: int, post: socket.socket) -> None:
        self.peer, self.post = peer, post
        self.goodbye = False
        self.delivery: Delivery | None = None  # a message of which not all has come
        self._begin()

    def _begin(self) -> None:
        self._head = bytearray(FRAME.size)
        self._left = memoryview(self._head)
        self._stage = 0

    def read_on(self, post: Post) -> None:
        """Read what is there. Raises: ConnectionError at the end of the stream."""
        while True:
            while self._left:
                try:
                    got = self.post.recv_into(self._left)
                except BlockingIOError:
                    return
                if got == 0:
                    raise ConnectionResetError
                self._left = self._left[got:]
            self._next(post)

    def _next(self, post: Post) -> None:
        """One part is complete; on to the following."""
        if self._stage == 0:
            self._kind, length, self._tag, self._nbytes = FRAME.unpack(self._head)
            self._words = bytearray(length)
            self._left, self._stage = memoryview(self._words), 1
        elif self._stage == 1:
            words = self._words.decode(errors="replace")
            if self._kind == MESSAGE:
                self.delivery = post.place_for(self.peer, self._tag, words, self._nbytes)
                self._left, self._stage = self.delivery.content, 2
            else:
                self.goodbye |= self._kind == GOODBYE
                post.hear(self._kind, words, bool(self._tag))
                self._begin()
        elif self.delivery is not None:
            self.delivery.arrived.set()
            self.delivery = None
            self._begin()


def _send_all(post: socket.socket, data: Any, timeout: float) -> None:
    """Send on a socket that does not block. Raises: TimeoutError, OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[post.send(view) :]
        except BlockingIOError:
            waiting = select.poll()
            waiting.register(post, select.POLLOUT)
            if not waiting.poll(timeout * 1000):
                raise TimeoutError("a post that takes no more") from None
