"""What tests of GPU code share: the stand-in for CuPy, and the host shim in the driver's place.

Where there is a GPU, the same tests run on it; those of the shim itself are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
from flambeau.backends.cuda import launch
from flambeau.core.dispatch import forget_kernels

from .. import cupy_stand_in
from . import shim

IS_ON_GPU = torch.cuda.is_available()
collect_ignore = ["test_shim.py", "test_checker.py", "test_fragments.py"] if IS_ON_GPU else []


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """What runs kernels is marked as a test for a GPU."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "host" in item.fixturenames:
            item.add_marker(pytest.mark.cuda)


class RecordingDriver(launch.CUDADriver):
    """CUDA's driver, which notes what is launched; of the geometry that the shim has, so that small
    arrays are cut as large ones are."""

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[str] = []

    def multiprocessors(self) -> int:
        """As the shim."""
        return shim.HostDriver().multiprocessors()

    def resident_threads(self) -> int:
        """As the shim."""
        return shim.HostDriver().resident_threads()

    def build(self, text: str, expressions: list[str]) -> None:
        """Nothing: each is compiled when it is launched."""

    def launch(self, *how: Any) -> None:
        """Launch it, and note the kernel."""
        self.launched.append(how[4].expression)
        super().launch(*how)


@pytest.fixture(scope="module", autouse=True)
def _stand_in() -> Iterator[None]:
    if IS_ON_GPU:
        yield
        return
    with cupy_stand_in.installed():
        torch.cuda.memory_allocated()  # whose first call has the backend take its memory from there
        yield


@pytest.fixture
def host() -> Iterator[Any]:
    """Kernels run on the processor, which checks what they do with memory; or on the GPU."""
    if not IS_ON_GPU and shim.compiler() is None:
        pytest.skip("There is no C++ compiler, with which kernels run on the processor.")
    before = launch.driver
    launch.driver = driver = RecordingDriver() if IS_ON_GPU else shim.HostDriver()
    forget_kernels()  # which the driver decides on, and which keep its functions
    yield driver
    launch.driver = before
    for template in launch.templates:
        template.clear()
    forget_kernels()
