"""The threads of fused loops: a pool in machine code that costs microseconds to wake.

The work `f(words, 0, n)` is cut into chunks, always at the same places, so that sums don't depend
on the number of threads; whoever is free takes the next one. The pool is for one call at a time: a
second thread of Python that comes meanwhile does its work alone. Before a fork the threads end, and
parent and child start new ones when they need them; a child would inherit none.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
from typing import Any

from . import machine, thread_limit

SPINS = 4_000
"""How often a thread looks for new work before it sleeps: about 20 us, the time between two
operations of a program, and too short to be in the way of others."""

# Places in the pool's memory, in words of 8 bytes. What several threads write lies 64 bytes apart.
CODE, WORDS, SIZE, CHUNK, CHUNKS, NEXT, FINISHED, INSIDE, GENERATION, STOP = (
    0, 1, 2, 3, 4, 8, 16, 24, 32, 33,
)  # fmt: skip
MUTEX, CONDITION, LENGTH = 40, 48, 64

# `next` counts the chunks taken. Between calls it is CLOSED, so that a thread that wakes late finds
# nothing to do; `inside` counts the threads that might look, and `run` returns when there are none.
SOURCE = """
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(ptr, ptr)
declare i32 @sched_yield()

define void @prepare(ptr %pool) {{
  %next = getelementptr i64, ptr %pool, i64 {NEXT}
  store i64 {CLOSED}, ptr %next
  %mutex = getelementptr i64, ptr %pool, i64 {MUTEX}
  %condition = getelementptr i64, ptr %pool, i64 {CONDITION}
  call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  call i32 @pthread_cond_init(ptr %condition, ptr null)
  ret void
}}

define i32 @start(ptr %pool, ptr %thread) {{
  %error = call i32 @pthread_create(ptr %thread, ptr null, ptr @worker, ptr %pool)
  ret i32 %error
}}

define void @join(ptr %thread) {{
  call i32 @pthread_join(ptr %thread, ptr null)
  ret void
}}

define void @wake(ptr %pool) {{
  %mutex = getelementptr i64, ptr %pool, i64 {MUTEX}
  %condition = getelementptr i64, ptr %pool, i64 {CONDITION}
  %generation = getelementptr i64, ptr %pool, i64 {GENERATION}
  call i32 @pthread_mutex_lock(ptr %mutex)
  atomicrmw add ptr %generation, i64 1 seq_cst
  call i32 @pthread_cond_broadcast(ptr %condition)
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}}

define void @stop(ptr %pool) {{
  %stop = getelementptr i64, ptr %pool, i64 {STOP}
  store atomic i64 1, ptr %stop seq_cst, align 8
  call void @wake(ptr %pool)
  ret void
}}

define void @work(ptr %pool) {{
entry:
  %next = getelementptr i64, ptr %pool, i64 {NEXT}
  %chunks_ = getelementptr i64, ptr %pool, i64 {CHUNKS}
  %finished = getelementptr i64, ptr %pool, i64 {FINISHED}
  %words_ = getelementptr i64, ptr %pool, i64 {WORDS}
  %size_ = getelementptr i64, ptr %pool, i64 {SIZE}
  %chunk_ = getelementptr i64, ptr %pool, i64 {CHUNK}
  br label %take
take:
  %mine = atomicrmw add ptr %next, i64 1 seq_cst
  %chunks = load i64, ptr %chunks_
  %exists = icmp slt i64 %mine, %chunks
  br i1 %exists, label %do, label %done
do:
  %code = load ptr, ptr %pool
  %words = load ptr, ptr %words_
  %size = load i64, ptr %size_
  %chunk = load i64, ptr %chunk_
  %begin = mul i64 %mine, %chunk
  %after = add i64 %begin, %chunk
  %end = call i64 @llvm.smin.i64(i64 %after, i64 %size)
  call void %code(ptr %words, i64 %begin, i64 %end)
  atomicrmw add ptr %finished, i64 1 seq_cst
  br label %take
done:
  ret void
}}

define ptr @worker(ptr %pool) {{
entry:
  %generation = getelementptr i64, ptr %pool, i64 {GENERATION}
  %stop = getelementptr i64, ptr %pool, i64 {STOP}
  %inside = getelementptr i64, ptr %pool, i64 {INSIDE}
  %mutex = getelementptr i64, ptr %pool, i64 {MUTEX}
  %condition = getelementptr i64, ptr %pool, i64 {CONDITION}
  br label %idle
idle:
  %seen = phi i64 [ 0, %entry ], [ %found, %busy ]
  br label %spin
spin:
  %spins = phi i64 [ {SPINS}, %idle ], [ %fewer, %again ]
  %now = load atomic i64, ptr %generation seq_cst, align 8
  %is_new = icmp ne i64 %now, %seen
  br i1 %is_new, label %go, label %again
again:
  {PAUSE}
  %fewer = sub i64 %spins, 1
  %is_tired = icmp eq i64 %fewer, 0
  br i1 %is_tired, label %sleep, label %spin
sleep:
  call i32 @pthread_mutex_lock(ptr %mutex)
  br label %look
look:
  %later = load atomic i64, ptr %generation seq_cst, align 8
  %is_woken = icmp ne i64 %later, %seen
  br i1 %is_woken, label %awake, label %wait
wait:
  call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %look
awake:
  call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %go
go:
  %found = load atomic i64, ptr %generation seq_cst, align 8
  %stopped = load atomic i64, ptr %stop seq_cst, align 8
  %is_over = icmp ne i64 %stopped, 0
  br i1 %is_over, label %leave, label %busy
busy:
  atomicrmw add ptr %inside, i64 1 seq_cst
  call void @work(ptr %pool)
  atomicrmw sub ptr %inside, i64 1 seq_cst
  br label %idle
leave:
  ret ptr null
}}

define void @run(ptr %pool, ptr %code, ptr %words, i64 %size, i64 %chunk) {{
entry:
  %next = getelementptr i64, ptr %pool, i64 {NEXT}
  %finished = getelementptr i64, ptr %pool, i64 {FINISHED}
  %inside = getelementptr i64, ptr %pool, i64 {INSIDE}
  %words_ = getelementptr i64, ptr %pool, i64 {WORDS}
  %size_ = getelementptr i64, ptr %pool, i64 {SIZE}
  %chunk_ = getelementptr i64, ptr %pool, i64 {CHUNK}
  %chunks_ = getelementptr i64, ptr %pool, i64 {CHUNKS}
  %over = add i64 %size, %chunk
  %most = sub i64 %over, 1
  %chunks = sdiv i64 %most, %chunk
  store ptr %code, ptr %pool
  store ptr %words, ptr %words_
  store i64 %size, ptr %size_
  store i64 %chunk, ptr %chunk_
  store i64 %chunks, ptr %chunks_
  store atomic i64 0, ptr %finished seq_cst, align 8
  store atomic i64 0, ptr %next seq_cst, align 8
  call void @wake(ptr %pool)
  call void @work(ptr %pool)
  br label %others
others:
  %spins = phi i64 [ 0, %entry ], [ %more, %patience ], [ 0, %yield ]
  %done = load atomic i64, ptr %finished seq_cst, align 8
  %is_done = icmp eq i64 %done, %chunks
  br i1 %is_done, label %close, label %patience
patience:
  {PAUSE}
  %more = add i64 %spins, 1
  %is_long = icmp sgt i64 %more, {SPINS}
  br i1 %is_long, label %yield, label %others
yield:
  call i32 @sched_yield()
  br label %others
close:
  store atomic i64 {CLOSED}, ptr %next seq_cst, align 8
  br label %leaving
leaving:
  %still = load atomic i64, ptr %inside seq_cst, align 8
  %is_empty = icmp eq i64 %still, 0
  br i1 %is_empty, label %end, label %leaving
end:
  ret void
}}

declare i64 @llvm.smin.i64(i64, i64)
"""


def _cores() -> int:
    """How many processors this process may use, and OpenMP's settings let it."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


class Pool:
    """Threads that share the chunks of one call."""

    def __init__(self) -> None:
        self.limit = thread_limit or _cores()
        self._lock = threading.Lock()
        self._memory = (ctypes.c_int64 * LENGTH)()
        self._threads: list[Any] = []
        self._calls: dict[str, Any] = {}

    def run(self, code: Any, words: bytes, size: int, chunk: int) -> None:
        """`code(words, begin, end)` for all chunks of `size` items; returns when all are done."""
        if size <= chunk or self.limit == 1 or not self._lock.acquire(blocking=False):
            for begin in range(0, size, chunk):
                code.call(words, begin, min(begin + chunk, size))
            return
        try:
            if not self._threads:
                self._start()
            self._calls["run"](self._memory, code.address, words, size, chunk)
        finally:
            self._lock.release()

    def _start(self) -> None:
        if not self._calls:
            self._compile()
        ctypes.memset(self._memory, 0, ctypes.sizeof(self._memory))
        self._calls["prepare"](self._memory)
        for _ in range(self.limit - 1):
            thread = ctypes.c_void_p()
            if self._calls["start"](self._memory, ctypes.byref(thread)) == 0:
                self._threads.append(thread)

    def _compile(self) -> None:
        pause = "call void @llvm.x86.sse2.pause()" if machine.is_x86() else ""
        places = {k: v for k, v in globals().items() if k.isupper() and isinstance(v, int)}
        source = SOURCE.format(PAUSE=pause, CLOSED=1 << 62, **places)
        if pause:
            source += "declare void @llvm.x86.sse2.pause()\n"
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        machine.add(source, machine.identity(source))
        for name, result, arguments in (
            ("prepare", None, [pointer]),
            ("start", ctypes.c_int, [pointer, pointer]),
            ("join", None, [pointer]),
            ("stop", None, [pointer]),
            ("run", None, [pointer, pointer, ctypes.c_char_p, number, number]),
        ):
            self._calls[name] = ctypes.CFUNCTYPE(result, *arguments)(machine.address(name))

    def stop(self) -> None:
        """End the threads; the next call starts new ones."""
        if self._threads:
            self._calls["stop"](self._memory)
            for thread in self._threads:
                self._calls["join"](thread)
            self._threads.clear()

    def set_limit(self, threads: int) -> None:
        """Use at most `threads`, that of the caller among them."""
        with self._lock:
            self.stop()
            self.limit = threads

    def before_fork(self) -> None:
        """Wait for the call and the compilation that are running, and end the threads."""
        self._lock.acquire()
        machine.lock.acquire()
        self.stop()

    def after_fork(self) -> None:
        """Go on, in the parent and in the child."""
        machine.lock.release()
        self._lock.release()


pool = Pool()
atexit.register(pool.stop)  # their code is unmapped when LLVM's engine goes
if sys.platform == "win32":  # no POSIX threads
    pool.limit = 1
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=pool.before_fork, after_in_parent=pool.after_fork, after_in_child=pool.after_fork
    )
