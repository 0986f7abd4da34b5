"""The GPU for tests: the real one where there is one, else the stand-in for CuPy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flambeau as torch

from . import cupy_stand_in


@pytest.fixture(scope="module")
def gpu() -> Iterator[None]:
    """Lets the tests of a module use the device "cuda", with our own kernels alone."""
    if torch.cuda.is_available():
        with torch.backends.cudnn.flags(enabled=False):
            yield
    else:
        with cupy_stand_in.installed():
            yield
