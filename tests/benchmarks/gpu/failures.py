"""A plugin of pytest, `-p tests.benchmarks.gpu.failures`: what fails is written to the file
FAILURES at once, a process whose GPU does not get over an error makes room for a new one (of
xdist's), and runs with the same FLAMBEAU_CACHE share what they compile."""

from __future__ import annotations

import os
from typing import Any

import pytest

LASTING = ("illegal memory access", "unspecified launch failure", "misaligned address",
           "illegal instruction", "invalid program counter", "global/shared address space",
           "hardware stack error", "device-side assert")  # fmt: skip
"""In the words of errors after which every call to the driver fails."""

_is_lost = False
_cache = os.environ.get("FLAMBEAU_CACHE")


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Undo that tests have a cache for each run, which would have each compile all kernels."""
    if _cache:
        os.environ["FLAMBEAU_CACHE"] = _cache


def pytest_runtest_logreport(report: Any) -> None:
    """Note a failure, while the run goes on."""
    if report.failed and not os.environ.get("PYTEST_XDIST_WORKER"):
        with open(os.environ.get("FAILURES", os.devnull), "a", encoding="utf-8") as file:
            file.write(f"== {report.nodeid} ({report.when})\n{report.longreprtext[-4000:]}\n\n")


def pytest_runtest_makereport(item: Any, call: Any) -> None:
    """See whether the GPU is lost."""
    global _is_lost
    words = "" if call.excinfo is None else str(call.excinfo.value)
    _is_lost = _is_lost or any(word in words for word in LASTING)


def pytest_runtest_setup(item: Any) -> None:
    """End a process that has lost the GPU; xdist tells that it crashed, and starts another."""
    if _is_lost and os.environ.get("PYTEST_XDIST_WORKER"):
        os._exit(3)
