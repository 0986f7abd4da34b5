"""CuPy's interface over NumPy, for machines without a GPU: it computes on the CPU and refuses what
CuPy refuses.

What CuPy has and takes stands in `recorded/cupy_interface.json`; a name that is not listed here is
missing. Arrays lie in memory of the allocator that is set, on one of two devices. They do not mix
with NumPy arrays, not even 0-d ones, nor with arrays of another device; nothing turns into a NumPy
array by itself; reductions and elements are 0-d arrays; of a ufunc's methods only `add.reduce`,
`multiply.reduce` and a few `at` are there. While a graph is captured nothing may be waited for.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.special

from . import arrays, blas, blas_lt, functions, memory, streams
from .interface import RECORD, checked, exists

UFUNCS = """
add subtract multiply true_divide divide negative power absolute sign floor ceil trunc rint exp
exp2 expm1 log log2 log10 log1p sqrt square reciprocal sin cos tan arcsin arccos arctan sinh cosh
tanh arcsinh arccosh arctanh arctan2 fmod remainder floor_divide maximum minimum logaddexp hypot
copysign less less_equal greater greater_equal equal not_equal logical_and logical_or logical_not
logical_xor isnan isinf isfinite signbit bitwise_and bitwise_or bitwise_xor invert fmax fmin
logaddexp2 nextafter gcd lcm left_shift right_shift conj frexp ldexp
""".split()
FUNCTIONS = """
all any arange argmax argmin argsort array_equal ascontiguousarray broadcast_arrays broadcast_to
clip concatenate cumprod cumsum empty empty_like expand_dims flip full_like isclose matmul
atleast_1d bincount eye histogram isin lexsort max min moveaxis nonzero ones ones_like prod
put_along_axis roll sort stack sum take_along_axis tril triu einsum flatnonzero repeat
searchsorted tile unique unravel_index zeros zeros_like isneginf
""".split()
LINALG = "cholesky det eig eigh eigvals eigvalsh inv qr slogdet solve svd".split()
FFT = "fft fftn ifft ifftn irfft irfftn rfft rfftn".split()
SPECIAL = """
betainc digamma erf erfc erfcx erfinv expit gammainc gammaincc gammaln i0 i0e i1 i1e j0 j1 k0 k0e k1
k1e log_ndtr ndtri y0 y1 zeta
""".split()
DTYPES = """
bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128
""".split()
WRITTEN = "put_along_axis".split()
"""Functions that change their first argument."""


def modules() -> dict[str, types.ModuleType]:
    """`cupy` and the submodules in use, for `sys.modules`."""
    names = (
        "cupy", "cupy.cuda", "cupy.cuda.memory", "cupyx", "cupyx.scipy", "cupyx.scipy.special",
        "cupyx.scipy.sparse",
    )  # fmt: skip
    found = {name: types.ModuleType(name) for name in names}
    vars(found["cupy"]).update(_cupy())
    vars(found["cupy.cuda"]).update(_cuda())
    vars(found["cupy.cuda.memory"])["OutOfMemoryError"] = memory.OutOfMemoryError
    special = "cupyx.scipy.special"
    vars(found[special]).update({n: _special(n) for n in SPECIAL})
    vars(found["cupyx.scipy.sparse"])["csr_matrix"] = functions.CompressedRows
    vars(found["cupyx"])["errstate"] = lambda linalg: contextlib.nullcontext()
    for name, module in found.items():
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        owner, _, last = name.rpartition(".")
        if owner:
            setattr(found[owner], last, module)
    return found


def _cupy() -> dict[str, Any]:
    made: dict[str, Any] = {n: functions.Ufunc(f"cupy.{n}", getattr(np, n)) for n in UFUNCS}
    made |= {n: functions.function(f"cupy.{n}", getattr(np, n)) for n in FUNCTIONS}
    made |= {n: _writing(n) for n in WRITTEN}
    made |= {n: getattr(np, n) for n in DTYPES}
    for name in ("array", "asarray", "asnumpy", "copyto", "full", "take", "where"):
        made[name] = checked(f"cupy.{name}", getattr(functions, name))
    linalg = {n: functions.function(f"cupy.linalg.{n}", getattr(np.linalg, n)) for n in LINALG}
    fft = {n: functions.function(f"cupy.fft.{n}", getattr(np.fft, n)) for n in FFT}
    strided = functions.function(
        "cupy.lib.stride_tricks.as_strided", np.lib.stride_tricks.as_strided
    )
    tricks = types.SimpleNamespace(as_strided=strided)
    random = types.SimpleNamespace(Generator=functions.Generator, Philox4x3210=np.random.Philox)
    return made | {
        "__version__": "14.2.0",
        "ndarray": arrays.ndarray,
        "broadcast_shapes": np.broadcast_shapes,
        "inf": np.inf,
        "nan": np.nan,
        "from_dlpack": checked("cupy.from_dlpack", arrays.from_dlpack),
        "fft": types.SimpleNamespace(**fft),
        "linalg": types.SimpleNamespace(**linalg),
        "lib": types.SimpleNamespace(stride_tricks=tricks),
        "ogrid": functions.OpenGrid(),
        "random": random,
        "get_default_memory_pool": memory.MemoryPool,
        "get_default_pinned_memory_pool": memory.MemoryPool,
    }


def _writing(name: str) -> Any:
    plain = getattr(np, name)
    return checked(
        f"cupy.{name}",
        lambda a, *args, **options: arrays.run(plain, a, *args, changed=a, **options),
    )


def _special(name: str) -> Any:
    full = f"cupyx.scipy.special.{name}"
    plain = getattr(scipy.special, name)
    if exists(full) and full in RECORD["ufuncs"]:
        return functions.Ufunc(full, plain)
    return functions.function(full, plain)


def _cuda() -> dict[str, Any]:
    made = {
        n: getattr(memory, n)
        for n in (
            "BaseMemory", "Memory", "MemoryPointer", "PinnedMemory", "UnownedMemory", "alloc",
            "alloc_pinned_memory", "get_allocator", "set_allocator", "using_allocator",
        )
    }  # fmt: skip
    made |= {
        n: getattr(streams, n)
        for n in ("Device", "Event", "Graph", "Stream", "get_current_stream", "get_elapsed_time")
    }
    for name in made:
        if not exists(f"cupy.cuda.{name}"):
            raise AttributeError(f"CuPy has no cupy.cuda.{name}")
    runtime = vars(streams.runtime)
    for name, function in runtime.items():
        full = f"cupy.cuda.runtime.{name}"
        if callable(function) and not isinstance(function, type):
            runtime[name] = function if name == "getDevice" else checked(full, function)
    device = types.SimpleNamespace(get_cublas_handle=lambda: 1)
    return made | {"runtime": streams.runtime, "cublas": blas.module(), "device": device}


@contextlib.contextmanager
def installed(devices: int = 2) -> Iterator[None]:
    """The stand-in where `import cupy` finds it, with so many devices, and nothing left of it
    afterwards."""
    from flambeau.autograd import placement
    from flambeau.backends import batched, routed
    from flambeau.backends.cuda import cublaslt, ways
    from flambeau.core import dispatch

    memory.devices, memory.current.device = devices, 0
    found = modules()
    before = {name: sys.modules.get(name) for name in found}
    sys.modules.update(found)
    ways.forget()
    cublaslt.functions = blas_lt.library()
    yield
    ways.forget()
    for name, module in before.items():
        if module is None:
            del sys.modules[name]
        else:
            sys.modules[name] = module
    keys: list[tuple[dict[Any, Any], int]] = [(dispatch._keys, 0), (routed._keys, 0)]
    for table, place in [*keys, (batched._keys, 1)]:
        for identity in [i for i in table if i[place].type == "cuda"]:
            del table[identity]
    routed._backends.clear()
    dispatch.backends["cuda"].has_choice = False  # type: ignore[attr-defined]
    placement._switches.of.clear()
