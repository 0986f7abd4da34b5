"""Averages gradients over the processes of a group while the backward pass computes the next ones.

Parameters are gathered in buckets in the order in which their gradients come: at first the reverse
of their order in the module, after the first pass the one that was seen. A full bucket goes out at
once, behind those before it, so that all processes send alike.
Source: Li et al., PyTorch Distributed: Experiences on Accelerating Data Parallel Training,
arXiv:2006.15704, sections 3.2 and 4.2.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import completion
from ..core import dtypes
from ..core.creation import tensor as make_tensor
from ..core.tensor import Tensor
from ..futures import Future
from .buckets import MIB, Bucket, assigned
from .collectives import all_reduce
from .objects import broadcast_object_list
from .process_group import ProcessGroup

FIRST_BUCKET = 1 * MIB
"""Bytes of the first bucket, PyTorch's: small, so that something goes out early."""


class GradBucket:
    """What a communication hook gets: the gradients of a bucket, flat, before they are averaged."""

    def __init__(self, bucket: Bucket, index: int, is_last: bool) -> None:
        self._bucket, self._index, self._is_last = bucket, index, is_last

    def index(self) -> int:
        """The bucket's number, in the order in which they go out."""
        return self._index

    def buffer(self) -> Tensor:
        """All gradients of the bucket behind each other, of shape (elements,)."""
        return self._bucket.memory()

    def set_buffer(self, tensor: Tensor) -> None:
        """Replace the values of the buffer."""
        self._bucket.memory().copy_(tensor)

    def gradients(self) -> list[Tensor]:
        """Views of the buffer, in the shapes of the parameters."""
        flat = self.buffer()
        pairs = zip(self._bucket.slices, self._bucket.parameters, strict=True)
        return [flat[s].view(p.shape) for s, p in pairs]

    def parameters(self) -> list[Tensor]:
        """The parameters that they are of."""
        return list(self._bucket.parameters)

    def is_last(self) -> bool:
        """Whether no other bucket follows in this pass."""
        return self._is_last


Hook = Callable[[Any, GradBucket], Future[Any]]


class Reducer(completion.Watcher):
    """The buckets of a module's `parameters`, whose `names` stand in errors."""

    def __init__(
        self,
        parameters: Sequence[Tensor],
        names: Sequence[str],
        group: ProcessGroup,
        cap: int,
        find_unused: bool,
        static_graph: bool,
        as_views: bool,
    ) -> None:
        self.parameters, self.names, self.group = list(parameters), list(names), group
        self.cap, self.find_unused, self.static_graph = cap, find_unused, static_graph
        self.as_views = as_views
        self.hook: tuple[Any, Hook] | None = None
        self.leaves = frozenset(p._edge for p in self.parameters)
        self._places = {p._edge: k for k, p in enumerate(self.parameters)}
        order = reversed(range(len(self.parameters)))
        self._fill(assigned(self.parameters, order, min(FIRST_BUCKET, cap), cap))
        self._seen: list[int] | None = []  # the order of the first pass, until buckets follow it
        self.is_expected = self._has_passed = False
        me = weakref.ref(self)
        for k, p in enumerate(self.parameters):
            p.register_post_accumulate_grad_hook(_Ready(me, k))

    def _fill(self, places: list[list[int]]) -> None:
        self.buckets = [Bucket(p, self.parameters) for p in places]
        self._where = {
            k: (bucket, index) for bucket in self.buckets for index, k in enumerate(bucket.places)
        }
        self._begin()

    def _begin(self) -> None:
        self._next = 0  # the bucket to go out
        self._ready: set[int] = set()
        self._unused: set[int] = set()
        self._fresh: set[int] = set()  # whose gradient nobody held before the pass
        for bucket in self.buckets:
            bucket.missing, bucket.future = len(bucket.parameters), None

    # -- around a pass ---------------------------------------------------------------------------

    def prepare(self) -> None:
        """Average the gradients of the next backward pass. Raises: RuntimeError if the last one did
        not reach all parameters."""
        if self.is_expected and self._has_passed and len(self._ready) < len(self.parameters):
            raise self._unreached()
        for bucket in self.buckets[: self._next] if self.is_expected else ():
            if bucket.future is not None:
                bucket.future.wait()  # of a pass that failed
        self.is_expected, self._has_passed = True, False
        self._begin()
        completion.watch(self)

    def _unreached(self) -> RuntimeError:
        names = [n for k, n in enumerate(self.names) if k not in self._ready]
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        return RuntimeError(
            "DistributedDataParallel: expected the last backward pass to reach all parameters, so "
            f"that their gradients are averaged. Rank {self.group.rank()} had no gradient for "
            f"{shown}. Pass find_unused_parameters=True if the module does not use all of them "
            "every time, let all outputs of forward enter the loss, or use no_sync() where nothing "
            "is to be averaged."
        )

    def pass_started(self, reached: set[Any]) -> None:
        if not self.is_expected:
            return
        self._fresh |= {self._places[e] for e in reached if e.variable._grad is None}
        if self.find_unused or (self.static_graph and self._seen is None):
            for k in range(len(self.parameters)):
                if self.parameters[k]._edge not in reached and k not in self._ready:
                    self._unused.add(k)
                    self.mark(k)

    def mark(self, place: int) -> None:
        """The gradient of a parameter is complete, or known to be none."""
        if not self.is_expected:
            return
        if place in self._ready:
            raise RuntimeError(
                f"DistributedDataParallel: expected one gradient for {self.names[place]} in each "
                "step. It got a second one, after the first was sent. Run one backward pass for "
                "each forward pass; accumulate the others within no_sync()."
            )
        self._ready.add(place)
        if self._seen is not None:
            self._seen.append(place)
        bucket, index = self._where[place]
        bucket.take(index, 1 / self.group.size() if self.hook is None else None)
        bucket.missing -= 1
        while self._next < len(self.buckets) and not self.buckets[self._next].missing:
            self._send(self._next)
            self._next += 1

    def _send(self, index: int) -> None:
        bucket = self.buckets[index]
        if self.hook is not None:
            state, hook = self.hook
            given = GradBucket(bucket, index, index == len(self.buckets) - 1)
            bucket.future = hook(state, given)
            return
        work = all_reduce(bucket.memory(), group=self.group, async_op=True)
        assert work is not None
        bucket.future = work.get_future()

    def pass_ended(self) -> None:
        self._has_passed = True
        if self.is_expected and self._next == len(self.buckets):
            self._finish()

    def _finish(self) -> None:
        """Wait for all buckets, and hand the gradients out."""
        completion.unwatch(self)
        self.is_expected = False
        nowhere = self._used_nowhere() if self._counts_uses() else set()
        for bucket in self.buckets:
            assert bucket.future is not None
            self._settle(bucket, bucket.future.wait())
            for index, place in enumerate(bucket.places):
                if place not in nowhere:
                    into_old = not self.as_views and place not in self._fresh
                    bucket.give(index, into_old)
            if not self.as_views:
                bucket.let_go()
        self._follow_order()

    def _settle(self, bucket: Bucket, result: Any) -> None:
        """Bring what a hook's future gave into the buffer, if it is not there already."""
        found = result[0] if isinstance(result, list | tuple) else result
        if found is not bucket.buffer:
            bucket.memory().copy_(found)

    def _counts_uses(self) -> bool:
        return self.find_unused and not self.static_graph

    def _used_nowhere(self) -> set[int]:
        """Parameters that no process used: their gradient stays as it is."""
        used = [int(k not in self._unused) for k in range(len(self.parameters))]
        counts = make_tensor(used, dtype=dtypes.int32)
        all_reduce(counts, group=self.group)
        return {k for k, count in enumerate(counts.tolist()) if count == 0}

    def _follow_order(self) -> None:
        """After the first pass: let buckets fill in the order that process 0 saw."""
        if self._seen is None or self.find_unused:
            return
        order = [self._seen if len(self._seen) == len(self.parameters) else None]
        self._seen = None
        if self.group.size() > 1:
            broadcast_object_list(order, group=self.group, group_src=0)
        if order[0] is not None and not self.as_views:
            self._fill(assigned(self.parameters, order[0], min(FIRST_BUCKET, self.cap), self.cap))


class _Ready:
    """The hook of a leaf that tells the reducer, as long as there is one."""

    def __init__(self, reducer: weakref.ref[Reducer], place: int) -> None:
        self._reducer, self._place = reducer, place

    def __call__(self, parameter: Tensor) -> None:
        reducer = self._reducer()
        if reducer is not None:
            reducer.mark(self._place)
