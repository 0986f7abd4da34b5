"""Freed memory serves the next arrays, and goes back to the system when asked."""

from __future__ import annotations

import os
import platform
import sys

import pytest

from flambeau.backends.cpu import buffers

from ..programs import printed

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

PAGES_OF_ROUNDS = """
import resource, sys
import flambeau as torch
from flambeau.backends.cpu import buffers

if len(sys.argv) > 1:
    buffers.keep_freed(int(sys.argv[1]))
x = torch.ones(1024, 1024)

def work():
    y = x + 1
    z = y * y
    return (z - y).sum()

work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

RELEASED = """
import resource
import flambeau as torch
from flambeau.backends.cpu import buffers

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

xs = [torch.ones(1024, 1024) for _ in range(16)]
pin = [torch.ones(1000)]  # at the heap's end
del xs
kept = resident()
buffers.release()
print(kept - resident())
"""


def run(code: str, *arguments: str, **variables: str) -> int:
    environment = {k: v for k, v in os.environ.items() if k not in buffers._OWN_SETTINGS}
    return int(printed(sys.executable, "-c", code, *arguments, env=environment | variables))


@glibc
def test_large_temporaries_are_not_paged_in_again() -> None:
    # 20 rounds of three arrays of 4 MiB: 61,440 pages of 4 KiB, or 120 of 2 MiB.
    assert run(PAGES_OF_ROUNDS) < 20


@glibc
def test_keeping_can_be_switched_off() -> None:
    assert run(PAGES_OF_ROUNDS, "0") >= 60


@glibc
def test_limits_set_in_the_environment_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not buffers.keep_freed()


@glibc
def test_release_gives_the_memory_back() -> None:
    assert run(RELEASED) > 0.9 * 16 * 4 * 2**20


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "_libc", lambda function: None)
    assert not buffers.keep_freed()
    buffers.release()
