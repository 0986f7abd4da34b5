"""`torch.profiler.profile` and its companions, over the runtime's own events."""

from __future__ import annotations

import functools
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, Self

from ..core import observers
from .averages import EventList, averages
from .chrome import write_chrome_trace, write_stacks
from .nvtx_ranges import RANGE as NVTX_RANGE
from .nvtx_ranges import emitters
from .recording import RANGE, Event, Recorder
from .schedule import ProfilerAction, ProfilerActivity, always

active: list[Recorder] = []
"""Recorders that named ranges go to."""

RECORDING = (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)


def kineto_available() -> bool:
    """Whether `profile` takes schedules and activities: yes."""
    return True


def supported_activities() -> set[ProfilerActivity]:
    """The activities that can be measured here."""
    from .. import cuda

    found = {ProfilerActivity.CPU}
    return found | {ProfilerActivity.CUDA} if cuda.is_available() else found


class record_function:
    """A named range, as a `with` block or a decorator; it costs nothing while nobody records.

    Example:
        >>> with torch.profiler.record_function("forward"):
        ...     out = model(x)
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name

    def __enter__(self) -> Self:
        self._start = perf_counter()
        for emitter in emitters:
            emitter.begin(NVTX_RANGE, self.name)
        return self

    def __exit__(self, *exception: object) -> None:
        for emitter in emitters:
            emitter.end()
        if active:
            seconds = perf_counter() - self._start
            for recorder in active:
                recorder.add_range(self.name, self._start, seconds)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def ranged(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return ranged


class profile:
    """Measures the operations of a `with` block, forward and backward.

    With a `schedule`, call `step()` after each step of the program; `on_trace_ready(profile)` is
    called after each cycle (without a schedule at the end). `record_shapes`, `profile_memory`,
    `with_flops` add columns to the table, `with_stack` and `with_modules` facts to the events.

    Example:
        >>> with torch.profiler.profile(record_shapes=True) as prof:
        ...     model(x).sum().backward()
        >>> print(prof.key_averages().table(sort_by="cpu_time_total", row_limit=10))
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        experimental_config: Any = None,
        execution_trace_observer: Any = None,
        acc_events: bool = False,
        use_cuda: bool | None = None,
        custom_trace_id_callback: Any = None,
    ) -> None:
        self.activities = set(activities) if activities is not None else supported_activities()
        self.on_trace_ready = on_trace_ready
        self.record_shapes = record_shapes
        self.profile_memory = profile_memory
        self.with_stack = with_stack
        self.with_flops = with_flops
        self.with_modules = with_modules
        self.acc_events = acc_events
        self.step_num = 0
        self._schedule = schedule or always
        self._has_schedule = schedule is not None
        self._metadata: dict[str, Any] = {}
        self._recorder: Recorder | None = None
        self._finished: list[Event] = []
        self._step_started = 0.0
        self.current_action = self._schedule(0)

    # -- running ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin with the action of step 0."""
        self._switch(ProfilerAction.NONE, self.current_action)
        self._step_started = perf_counter()

    def stop(self) -> None:
        """End; what is under way is saved."""
        self._end_of_step()
        if self._recorder is not None:
            saves = self.current_action in RECORDING
            self._finish()
            if saves and self.on_trace_ready is not None:
                self.on_trace_ready(self)
        self.current_action = ProfilerAction.NONE

    def step(self) -> None:
        """The next step of the program begins."""
        self._end_of_step()
        before = self.current_action
        self.step_num += 1
        self.current_action = self._schedule(self.step_num)
        if before == ProfilerAction.RECORD_AND_SAVE:
            self._finish()
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)
            before = ProfilerAction.NONE
        self._switch(before, self.current_action)
        self._step_started = perf_counter()

    def _end_of_step(self) -> None:
        if self._has_schedule and self._recorder is not None:
            seconds = perf_counter() - self._step_started
            name = f"ProfilerStep#{self.step_num}"
            self._recorder.add_range(name, self._step_started, seconds)

    def _switch(self, before: ProfilerAction, now: ProfilerAction) -> None:
        if now == ProfilerAction.NONE:
            self._discard()
        elif self._recorder is None:
            self._record()
        elif before == ProfilerAction.WARMUP and now in RECORDING:
            self._recorder.events.clear()

    def _record(self) -> None:
        self._recorder = Recorder(self.with_stack)
        observers.subscribe(self._recorder)
        active.append(self._recorder)

    def _discard(self) -> list[Event]:
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return []
        observers.unsubscribe(recorder)
        active.remove(recorder)
        recorder.close()
        return recorder.events

    def _finish(self) -> None:
        events = self._discard()
        self._finished = [*self._finished, *events] if self.acc_events else events

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # -- results ---------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """The events of the last finished cycle, in the order in which they ended."""
        return list(self._finished)

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0
    ) -> EventList:
        """Events added up by name, and by the shapes of their inputs if asked."""
        if not self._finished and self._recorder is not None:
            warnings.warn("key_averages: the profile still runs; leave it first.", stacklevel=2)
        found = averages(self._finished, group_by_input_shape)
        found.has_memory = self.profile_memory
        found.has_shapes = group_by_input_shape
        found.has_flops = self.with_flops
        return found

    def export_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events for chrome://tracing, Perfetto or TensorBoard."""
        write_chrome_trace(path, self._finished, self._metadata)

    def export_stacks(
        self, path: str | os.PathLike[str], metric: str = "self_cpu_time_total"
    ) -> None:
        """Write stacks and microseconds for a flame graph; needs `with_stack=True`.

        Raises: ValueError for a metric that is not measured.
        """
        if metric not in ("self_cpu_time_total", "self_cuda_time_total"):
            raise ValueError(
                "export_stacks: expected self_cpu_time_total or self_cuda_time_total. Got "
                f"{metric!r}."
            )
        write_stacks(path, [event for event in self._finished if event.kind != RANGE])

    def add_metadata(self, key: str, value: str) -> None:
        """Put a string into the exported trace."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Put JSON text into the exported trace."""
        import json

        self._metadata[key] = json.loads(value)

    def preset_metadata_json(self, key: str, value: str) -> None:
        """As `add_metadata_json`, before the profile begins."""
        self.add_metadata_json(key, value)


def tensorboard_trace_handler(
    dir_name: str, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """An `on_trace_ready` that writes each cycle to `dir_name`, where TensorBoard looks for it.

    Raises: RuntimeError if the folder cannot be made.
    """
    worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"

    def handler(prof: profile) -> None:
        try:
            os.makedirs(dir_name, exist_ok=True)
        except OSError as error:
            raise RuntimeError(f"Can't create directory: {dir_name}") from error
        name = f"{worker}.{time.time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(os.path.join(dir_name, name))

    return handler
