"""The stand-in for CuPy: it has what CuPy has, and refuses what CuPy refuses."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from . import cupy_stand_in
from .recorded import cupy_interface

HAS_CUPY = importlib.util.find_spec("cupy") is not None


@pytest.fixture
def cupy() -> Iterator[Any]:
    """The stand-in."""
    with cupy_stand_in.installed():
        import cupy

        yield cupy


@pytest.mark.skipif(not HAS_CUPY, reason="CuPy is not installed")
def test_the_record_of_cupys_interface_is_that_of_the_cupy_installed() -> None:
    import cupy

    recorded = cupy_stand_in.interface.RECORD
    if cupy.__version__ != recorded["version"]:
        pytest.skip(f"CuPy is {cupy.__version__}, the record of {recorded['version']}")
    assert cupy_interface.described() == recorded


def test_arguments_that_cupy_does_not_take_are_refused(cupy: Any) -> None:
    x = cupy.asarray(np.ones(3, np.float32))
    with pytest.raises(TypeError, match=r"cupy\.sort\(a, axis=None, kind=None\)"):
        cupy.sort(x, stable=True)
    with pytest.raises(TypeError, match=r"cupy\.ndarray\.sum"):
        x.sum(where=x > 0)
    with pytest.raises(TypeError, match="Unsupported type"):
        x + np.ones(3)


def test_dtypes_come_from_cupys_loops(cupy: Any) -> None:
    import cupyx.scipy.special

    half = cupy.ones(1, np.float16)
    with pytest.raises(TypeError, match="Wrong type"):
        cupy.bitwise_and(half, half)
    assert cupyx.scipy.special.erf(half).dtype == np.float64
    assert (half * 2.0).dtype == np.float16
    assert cupy.where(half > 0, 1.0, 0.0).dtype == np.float64
    assert cupy.power(half > 0, half > 0).dtype == np.int8


def test_arrays_of_another_device_are_refused(cupy: Any) -> None:
    x = cupy.ones(3)
    with pytest.raises(ValueError, match="array device = 0 while current = 1"), cupy.cuda.Device(1):
        x + 1


def test_copies_to_pinned_memory_arrive_when_the_stream_is_waited_for(cupy: Any) -> None:
    memory = cupy.cuda.alloc_pinned_memory(12)
    out = np.asarray(memory)[:12].view(np.float32)
    cupy.ones(3, np.float32).get(out=out, blocking=False)
    assert out.tolist() != [1, 1, 1]
    cupy.cuda.get_current_stream().synchronize()
    assert out.tolist() == [1, 1, 1]


def test_a_captured_stream_computes_only_when_the_graph_is_launched(cupy: Any) -> None:
    x, stream = cupy.ones(3), cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        y = x * 2
        x += 1
        with pytest.raises(RuntimeError, match="is capturing, so D2H transfers are disallowed"):
            x.item(0)
        graph = stream.end_capture()
    assert x.tolist() == [1, 1, 1]
    graph.launch()
    graph.launch()
    assert (x.tolist(), y.tolist()) == ([3, 3, 3], [4, 4, 4])
