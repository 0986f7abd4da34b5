"""What tests of GPU code share: the stand-in for CuPy, and the host shim in the driver's place.

Where there is a GPU, the same tests run on it; those of the shim itself are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch
from flambeau.backends.cuda import launch
from flambeau.core.dispatch import forget_kernels

from .. import cupy_stand_in
from . import shim

IS_ON_GPU = torch.cuda.is_available()
OF_THE_SHIM = ["test_shim.py", "test_checker.py", "test_fragments.py", "test_mutants.py"]
collect_ignore = OF_THE_SHIM if IS_ON_GPU else []


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
        self.built: dict[tuple[str, str], int] = {}

    def multiprocessors(self) -> int:
        """As the shim."""
        return shim.HostDriver().multiprocessors()

    def resident_threads(self) -> int:
        """As the shim."""
        return shim.HostDriver().resident_threads()

    def build(self, text: str, expressions: list[str]) -> None:
        """Compile several kernels of a source at once: plain ones are compiled with each other
        anyway, so that to load them one by one would compile each as many times as there are."""
        source = launch.Source("built.cu", text)
        architecture = f"sm_{self.capability()}"
        code, symbols = launch.machine_code(source, tuple(expressions), architecture)
        module = self._cuda().function.Module()
        module.load(code)
        for expression, symbol in zip(expressions, symbols, strict=True):
            function = module.get_function(symbol)
            self._modules.append((module, function))
            self.built[text, expression] = int(function.ptr)

    def load(self, kernel: launch.Kernel) -> int:
        """What was built, or compile it."""
        built = self.built.get((kernel.source.text, kernel.expression))
        return super().load(kernel) if built is None else built

    def launch(self, *how: Any) -> None:
        """Launch it, and note the kernel."""
        self.launched.append(how[4].expression)
        super().launch(*how)


@pytest.fixture(scope="module", autouse=True)
def _stand_in() -> Iterator[None]:
    with nullcontext() if IS_ON_GPU else cupy_stand_in.installed():
        torch.cuda.memory_allocated()  # whose first call has the backend take its memory from there
        yield


def build_at_once(file: str, dtypes: Collection[str] = ()) -> None:
    """Compile a file's kernels (of such dtypes) for the processor in one go of the compiler, which
    takes less time."""
    if IS_ON_GPU or shim.compiler() is None:
        return
    names = [t.expression(values) for t in launch.templates if t.file == file
             for values in t.combinations() if not dtypes or values[0] in dtypes]  # fmt: skip
    shim.HostDriver().build(launch.source(file).text, names)


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
