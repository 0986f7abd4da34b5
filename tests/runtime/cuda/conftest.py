"""What tests of GPU code share: the stand-in for CuPy, and the host shim in the driver's place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flambeau as torch
from flambeau.backends.cuda import launch
from flambeau.core.dispatch import forget_kernels

from .. import cupy_stand_in
from . import shim


@pytest.fixture(scope="module", autouse=True)
def _stand_in() -> Iterator[None]:
    with cupy_stand_in.installed():
        torch.cuda.memory_allocated()  # whose first call has the backend take its memory from there
        yield


@pytest.fixture
def host() -> Iterator[shim.HostDriver]:
    """Kernels run on the processor, which checks what they do with memory."""
    if shim.compiler() is None:
        pytest.skip("There is no C++ compiler, with which kernels run on the processor.")
    before = launch.driver
    launch.driver = driver = shim.HostDriver()
    forget_kernels()  # which the driver decides on, and which keep its functions
    yield driver
    launch.driver = before
    for template in launch.templates:
        template.clear()
    forget_kernels()
