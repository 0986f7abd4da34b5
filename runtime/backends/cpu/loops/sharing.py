"""The machine code by which threads share the chunks of one call.

Each thread has a range of chunks of its own, always the same part of the work, so that what it left
in its cache serves its next call; who is done helps the others. The threads are a team of OpenMP's,
or, where there is none, workers that wait here.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from . import machine

SPINS = 4_000
"""How often a worker looks for new work before it sleeps: about 20 us, the time between two
operations of a program, and too short to be in the way of others."""

CLOSED = 1 << 62
"""Between calls each range begins here, so that a worker that wakes late finds nothing to do."""

# Places in the pool's memory, in words of 8 bytes. What several threads write lies 128 bytes apart:
# processors fetch cache lines in pairs.
CODE, WORDS, SIZE, CHUNK, TEAM, FORK, NUMBER, STOP = range(8)
FINISHED, INSIDE, GENERATION, ARRIVED, MUTEX, CONDITION = 16, 32, 48, 64, 80, 96
RANGES, RANGE_WORDS = 112, 16
FIELDS = {
    name.lower(): place
    for name, place in globals().items()
    if name.isupper() and isinstance(place, int) and place < CLOSED and name != "SPINS"
}

ALONE = """
define void @pool_alone(ptr %code, ptr %words, i64 %size, i64 %chunk) {
entry:
  br label %do
do:
  %begin = phi i64 [ 0, %entry ], [ %after, %do ]
  %after = add i64 %begin, %chunk
  %end = call i64 @llvm.smin.i64(i64 %after, i64 %size)
  call void %code(ptr %words, i64 %begin, i64 %end)
  %is_more = icmp slt i64 %after, %size
  br i1 %is_more, label %do, label %done
done:
  ret void
}

declare i64 @llvm.smin.i64(i64, i64)
"""

# `inside` counts the workers that might look at the ranges; `run` returns when there are none.
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
declare i64 @llvm.smin.i64(i64, i64)

define i64 @pool_share(ptr %pool, i64 %self) {{
entry:
  {places}
  %team = load i64, ptr %team_
  br label %turn
turn:
  %turns = phi i64 [ 0, %entry ], [ %further, %empty ]
  %before = phi i64 [ 0, %entry ], [ %done, %empty ]
  %sum = add i64 %self, %turns
  %whose = urem i64 %sum, %team
  %offset = mul i64 %whose, {range_words}
  %next = getelementptr i64, ptr %ranges_, i64 %offset
  %last_ = getelementptr i64, ptr %next, i64 1
  br label %take
take:
  %done = phi i64 [ %before, %turn ], [ %more, %do ]
  %mine = atomicrmw add ptr %next, i64 1 seq_cst
  %last = load atomic i64, ptr %last_ seq_cst, align 8
  %exists = icmp slt i64 %mine, %last
  br i1 %exists, label %do, label %empty
do:
  %code = load ptr, ptr %code_
  %words = load ptr, ptr %words_
  %size = load i64, ptr %size_
  %chunk = load i64, ptr %chunk_
  %begin = mul i64 %mine, %chunk
  %after = add i64 %begin, %chunk
  %end = call i64 @llvm.smin.i64(i64 %after, i64 %size)
  call void %code(ptr %words, i64 %begin, i64 %end)
  %more = add i64 %done, 1
  br label %take
empty:
  %further = add i64 %turns, 1
  %is_left = icmp slt i64 %further, %team
  br i1 %is_left, label %turn, label %leave
leave:
  ret i64 %done
}}

define void @pool_run(ptr %pool, ptr %code, ptr %words, i64 %size, i64 %chunk) {{
entry:
  {places}
  %over = add i64 %size, %chunk
  %most = sub i64 %over, 1
  %chunks = udiv i64 %most, %chunk
  %team = load i64, ptr %team_
  store ptr %code, ptr %code_
  store ptr %words, ptr %words_
  store i64 %size, ptr %size_
  store i64 %chunk, ptr %chunk_
  store atomic i64 0, ptr %finished_ seq_cst, align 8
  br label %open
open:
  %opened = phi i64 [ 0, %entry ], [ %following, %open ]
  %first = phi i64 [ 0, %entry ], [ %last, %open ]
  %following = add i64 %opened, 1
  %portion = mul i64 %following, %chunks
  %last = udiv i64 %portion, %team
  %offset = mul i64 %opened, {range_words}
  %next = getelementptr i64, ptr %ranges_, i64 %offset
  %last_ = getelementptr i64, ptr %next, i64 1
  store atomic i64 %last, ptr %last_ seq_cst, align 8
  store atomic i64 %first, ptr %next seq_cst, align 8
  %is_more = icmp slt i64 %following, %team
  br i1 %is_more, label %open, label %begin
begin:
  %fork = load ptr, ptr %fork_
  %has_openmp = icmp ne ptr %fork, null
  br i1 %has_openmp, label %openmp, label %own
openmp:
  %threads = trunc i64 %team to i32
  call void %fork(ptr @pool_member, ptr %pool, i32 %threads, i32 0)
  ret void
own:
  call void @pool_wake(ptr %pool)
  %mine = call i64 @pool_share(ptr %pool, i64 0)
  atomicrmw add ptr %finished_, i64 %mine seq_cst
  br label %others
others:
  %spins = phi i64 [ 0, %own ], [ %more, %patience ], [ 0, %yield ]
  %done = load atomic i64, ptr %finished_ seq_cst, align 8
  %is_done = icmp eq i64 %done, %chunks
  br i1 %is_done, label %finish, label %patience
patience:
  {pause}
  %more = add i64 %spins, 1
  %is_long = icmp sgt i64 %more, {spins}
  br i1 %is_long, label %yield, label %others
yield:
  call i32 @sched_yield()
  br label %others
finish:
  call void @pool_close(ptr %pool)
  br label %leaving
leaving:
  %still = load atomic i64, ptr %inside_ seq_cst, align 8
  %is_empty = icmp eq i64 %still, 0
  br i1 %is_empty, label %end, label %leaving
end:
  ret void
}}

define void @pool_member(ptr %pool) {{
  {places}
  %number = load ptr, ptr %number_
  %self = call i32 %number()
  %wide = zext i32 %self to i64
  call i64 @pool_share(ptr %pool, i64 %wide)
  ret void
}}

define void @pool_close(ptr %pool) {{
entry:
  {places}
  %team = load i64, ptr %team_
  br label %close
close:
  %closed = phi i64 [ 0, %entry ], [ %following, %close ]
  %following = add i64 %closed, 1
  %offset = mul i64 %closed, {range_words}
  %next = getelementptr i64, ptr %ranges_, i64 %offset
  store atomic i64 {closed}, ptr %next seq_cst, align 8
  %is_more = icmp slt i64 %following, %team
  br i1 %is_more, label %close, label %end
end:
  ret void
}}

define void @pool_prepare(ptr %pool) {{
  {places}
  call void @pool_close(ptr %pool)
  call i32 @pthread_mutex_init(ptr %mutex_, ptr null)
  call i32 @pthread_cond_init(ptr %condition_, ptr null)
  ret void
}}

define i32 @pool_start(ptr %pool, ptr %thread) {{
  %error = call i32 @pthread_create(ptr %thread, ptr null, ptr @pool_worker, ptr %pool)
  ret i32 %error
}}

define void @pool_join(ptr %thread) {{
  call i32 @pthread_join(ptr %thread, ptr null)
  ret void
}}

define void @pool_wake(ptr %pool) {{
  {places}
  call i32 @pthread_mutex_lock(ptr %mutex_)
  atomicrmw add ptr %generation_, i64 1 seq_cst
  call i32 @pthread_cond_broadcast(ptr %condition_)
  call i32 @pthread_mutex_unlock(ptr %mutex_)
  ret void
}}

define void @pool_stop(ptr %pool) {{
  {places}
  store atomic i64 1, ptr %stop_ seq_cst, align 8
  call void @pool_wake(ptr %pool)
  ret void
}}

define ptr @pool_worker(ptr %pool) {{
entry:
  {places}
  %earlier = atomicrmw add ptr %arrived_, i64 1 seq_cst
  %self = add i64 %earlier, 1
  br label %idle
idle:
  %seen = phi i64 [ 0, %entry ], [ %found, %busy ]
  br label %spin
spin:
  %spins = phi i64 [ {spins}, %idle ], [ %fewer, %again ]
  %now = load atomic i64, ptr %generation_ seq_cst, align 8
  %is_new = icmp ne i64 %now, %seen
  br i1 %is_new, label %go, label %again
again:
  {pause}
  %fewer = sub i64 %spins, 1
  %is_tired = icmp eq i64 %fewer, 0
  br i1 %is_tired, label %sleep, label %spin
sleep:
  call i32 @pthread_mutex_lock(ptr %mutex_)
  br label %look
look:
  %later = load atomic i64, ptr %generation_ seq_cst, align 8
  %is_woken = icmp ne i64 %later, %seen
  br i1 %is_woken, label %awake, label %wait
wait:
  call i32 @pthread_cond_wait(ptr %condition_, ptr %mutex_)
  br label %look
awake:
  call i32 @pthread_mutex_unlock(ptr %mutex_)
  br label %go
go:
  %found = load atomic i64, ptr %generation_ seq_cst, align 8
  %stopped = load atomic i64, ptr %stop_ seq_cst, align 8
  %is_over = icmp ne i64 %stopped, 0
  br i1 %is_over, label %leave, label %busy
busy:
  atomicrmw add ptr %inside_, i64 1 seq_cst
  %done = call i64 @pool_share(ptr %pool, i64 %self)
  atomicrmw add ptr %finished_, i64 %done seq_cst
  atomicrmw sub ptr %inside_, i64 1 seq_cst
  br label %idle
leave:
  ret ptr null
}}
"""

_PAUSE = "call void @llvm.x86.sse2.pause()"
_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_int64
_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "run": (None, [_POINTER, _POINTER, ctypes.c_char_p, _NUMBER, _NUMBER]),
    "prepare": (None, [_POINTER]),
    "start": (ctypes.c_int, [_POINTER, _POINTER]),
    "stop": (None, [_POINTER]),
    "join": (None, [_POINTER]),
}


def _compiled(text: str, signatures: dict[str, tuple[Any, list[Any]]]) -> dict[str, Any]:
    """The functions of `text`, by their names without `pool_`. Calling them releases Python's
    lock."""
    machine.add(text, machine.identity(text))
    return {
        name: ctypes.CFUNCTYPE(result, *arguments)(machine.address(f"pool_{name}"))
        for name, (result, arguments) in signatures.items()
    }


@cache
def alone() -> Any:
    """`f(code, words, size, chunk)`, which does all chunks in the thread that calls it."""
    return _compiled(ALONE, {"alone": (None, [_POINTER, ctypes.c_char_p, _NUMBER, _NUMBER])})[
        "alone"
    ]


@cache
def functions() -> dict[str, Any]:
    """What a pool calls, see SOURCE."""
    places = "\n  ".join([
        f"%{name}_ = getelementptr i64, ptr %pool, i64 {place}" for name, place in FIELDS.items()
    ])  # fmt: skip
    pause = _PAUSE if machine.is_x86() else ""
    text = SOURCE.format(
        places=places, pause=pause, spins=SPINS, closed=CLOSED, range_words=RANGE_WORDS
    )
    if pause:
        text += _PAUSE.replace("call", "declare")
    return _compiled(text, _SIGNATURES)


def memory(team: int) -> Any:
    """What the threads of a team share, all zero."""
    return (ctypes.c_int64 * (RANGES + RANGE_WORDS * team))()
