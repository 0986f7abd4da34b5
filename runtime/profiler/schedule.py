"""Which steps of a program a profile looks at."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class ProfilerActivity(Enum):
    """What is measured. A GPU's operations are waited for, and counted where they were called."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(Enum):
    """What a profile does in one step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(
    *,
    wait: int,
    warmup: int,
    active: int,
    repeat: int = 0,
    skip_first: int = 0,
    skip_first_wait: int = 0,
) -> Callable[[int], ProfilerAction]:
    """What to do in each step: after `skip_first` steps, cycles of `wait` steps in which nothing is
    done, `warmup` steps whose record is thrown away, and `active` ones; `repeat` cycles (0: for
    ever). `skip_first_wait` spares the first cycle its wait.

    Raises: ValueError for a negative count, or if no step is active.
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active < 1:
        raise ValueError(
            "schedule: expected counts from 0 up and at least one active step. Got "
            f"wait={wait}, warmup={warmup}, active={active}, repeat={repeat}, "
            f"skip_first={skip_first}."
        )

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step >= 0 and skip_first_wait:
            step += wait
        if step < 0:
            return ProfilerAction.NONE
        cycle = wait + warmup + active
        if repeat and step // cycle >= repeat:
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if place == cycle - 1 else ProfilerAction.RECORD

    return action


def always(step: int) -> ProfilerAction:
    """Record every step: what a profile does without a schedule."""
    return ProfilerAction.RECORD
