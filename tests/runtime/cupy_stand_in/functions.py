"""Functions of CuPy: ufuncs by its table of loops, others with its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from . import streams
from .arrays import guest, host, ndarray, run
from .interface import BFLOAT16, checked, checked_methods, loop_for, loops

REDUCED = ("add", "multiply")
"""Ufuncs that reduce."""
SCATTERED = ("add", "maximum", "minimum")
"""Ufuncs with an `at`."""


def function(name: str, numpys: Callable[..., Any]) -> Callable[..., Any]:
    """CuPy's function `name`, which NumPy's computes."""

    def call(*args: Any, **kwargs: Any) -> Any:
        out = kwargs.get("out")
        return run(numpys, *args, changed=out, **kwargs)

    return checked(name, call)


def _operand(value: Any) -> Any:
    """What a ufunc's loop is chosen by: a dtype, or the type of a Python number."""
    if isinstance(value, ndarray | np.generic):
        return value.dtype
    return type(value)


class Ufunc:
    """A ufunc with CuPy's loops, and the methods that CuPy has."""

    def __init__(self, name: str, numpys: Any) -> None:
        self._full, self._ufunc = name, numpys
        self.__name__ = name.rpartition(".")[2]

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None) -> Any:
        count = len(loops(self._full)[0][0])
        if len(args) > count:
            *args, out = args  # type: ignore[assignment]
        for value in args:
            if isinstance(value, np.ndarray):
                raise TypeError(f"Unsupported type {type(value)}")
        taken, made = loop_for(self._full, tuple(map(_operand, args)), dtype)
        outs = tuple(o for o in (out if isinstance(out, tuple) else (out,)) if o is not None)
        for given, found in zip(outs, made, strict=False):
            if not np.can_cast(found, given.dtype, "same_kind"):
                raise TypeError(f"{self._full}: output of {found} cannot be cast to {given.dtype}")

        def compute(*arrays: Any) -> Any:
            return self._computed(arrays[: len(arrays) - len(outs)], taken, made)

        compute.__name__, compute.results = self.__name__, made  # type: ignore[attr-defined]
        if not outs:
            return run(compute, *args)

        def into(*arrays: Any) -> None:
            results = compute(*arrays)
            results = results if isinstance(results, tuple) else (results,)
            for target, result in zip(arrays[len(arrays) - len(outs) :], results, strict=True):
                target[...] = result

        into.__name__ = self.__name__
        run(into, *args, *outs, changed=outs)
        return out

    def _computed(self, arrays: tuple[Any, ...], taken: Any, made: Any) -> Any:
        """NumPy's results in the loop's dtypes."""
        cast = [np.asarray(a).astype(t, copy=False) for a, t in zip(arrays, taken, strict=True)]
        if any(t == BFLOAT16 for t in taken):
            cast = [a.astype(np.float32) if a.dtype == BFLOAT16 else a for a in cast]
        with np.errstate(all="ignore"):
            found = self._ufunc(*cast)
        if isinstance(found, tuple):
            pairs = zip(found, made, strict=True)
            return tuple(np.asarray(f).astype(m, copy=False) for f, m in pairs)
        return np.asarray(found).astype(made[0], copy=False)

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None,
               keepdims: bool = False) -> Any:  # fmt: skip
        """Sums and products only."""
        if self.__name__ not in REDUCED:
            raise NotImplementedError(f"{self._full}.reduce")
        return run(self._ufunc.reduce, array, axis, dtype, out, keepdims, changed=out)

    def at(self, a: Any, indices: Any, b: Any = None) -> None:
        """Sums and extremes only, of types that have atomic operations."""
        if self.__name__ not in SCATTERED:
            raise NotImplementedError(f"{self._full}.at")
        run(self._ufunc.at, a, indices, b, changed=a)


def asarray(value: Any, dtype: Any = None, order: Any = None, **options: Any) -> Any:
    """`value` as an array on the current device."""
    if isinstance(value, ndarray):
        same = dtype is None or value.dtype == np.dtype(dtype)
        if value.data.device_id == streams.current.device or not value.nbytes:
            return value if same else value.astype(dtype)
        return guest(np.array(value._host, dtype))
    if hasattr(value, "__cuda_array_interface__"):
        return _foreign(value)
    streams.refuse_transfer("synchronous API calls")  # its source would be gone at a replay
    order = order or ("F" if getattr(value, "flags", None) and value.flags.fnc else "C")
    return guest(np.array(value, dtype, order=order))  # type: ignore[call-overload]


def _foreign(value: Any) -> ndarray:
    """An array of another library, in its own memory."""
    from .memory import MemoryPointer, UnownedMemory

    said = value.__cuda_array_interface__
    dtype = np.dtype(said["typestr"])
    shape, strides = said["shape"], said.get("strides")
    size = int(np.prod(shape)) * dtype.itemsize
    pointer = MemoryPointer(UnownedMemory(said["data"][0], size, value), 0)
    return ndarray(shape, dtype, pointer, strides)


def array(obj: Any, dtype: Any = None, copy: bool = True, **options: Any) -> Any:
    """A copy of `obj` on the current device."""
    found = asarray(obj, dtype)
    return found.copy() if copy and found is obj else found


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *,
            blocking: bool = True) -> Any:  # fmt: skip
    """The values for the CPU."""
    if isinstance(a, ndarray):
        return a.get(stream, order, out, blocking)
    return np.asarray(a)


def copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = None) -> None:
    """Write into an array."""
    options = {} if where is None else {"where": where}
    run(np.copyto, dst, src, changed=dst, casting=casting, **options)


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> Any:
    """A new array of one number, which None is not."""
    if fill_value is None:
        raise TypeError("fill_value: None is no number")
    return run(np.full, shape, fill_value, dtype, order)


def take(a: Any, indices: Any, axis: Any = None, out: Any = None) -> Any:
    """Elements at places, counted around the ends."""

    def wrapped(a: Any, indices: Any, axis: Any) -> Any:
        n = np.size(a, axis)  # NumPy's own wrapping goes round as often as an index is far
        return np.take(a, np.remainder(indices, n) if n else indices, axis)

    wrapped.__name__ = "take"
    return run(wrapped, a, indices, axis)


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """A choice, by the loops of CuPy's ufunc."""
    if x is None:
        raise ValueError("Must provide both 'x' and 'y' or neither.")
    operands = (np.dtype(bool), *map(_operand, (x, y)))
    _, made = loop_for("cupy.where", operands)

    def choose(condition: Any, x: Any, y: Any) -> Any:
        x, y = (np.asarray(v).astype(made[0]) for v in (x, y))
        return np.where(condition, x, y)

    choose.__name__, choose.results = "where", made  # type: ignore[attr-defined]
    return run(choose, condition, x, y)


@checked_methods("cupy.random.Generator")
class Generator:
    """Random arrays with the signatures of CuPy's generator."""

    def __init__(self, bit_generator: Any) -> None:
        self._stream = np.random.Generator(bit_generator)

    def _drawn(self, draw: Any, *args: Any) -> Any:
        return run(lambda: draw(*args))

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Uniform in [0, 1)."""
        return self._drawn(self._stream.random, size, dtype)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Standard normal."""
        return self._drawn(self._stream.standard_normal, size, dtype)

    def integers(
        self, low: int, high: Any = None, size: Any = None, dtype: Any = np.int64,
        endpoint: bool = False,
    ) -> Any:  # fmt: skip
        """Integers in [low, high)."""
        return self._drawn(self._stream.integers, low, high, size, dtype)

    def standard_exponential(self, size: Any = None, dtype: Any = np.float64,
                             method: str = "inv", out: Any = None) -> Any:  # fmt: skip
        """Exponential of rate 1."""
        return self._drawn(self._stream.standard_exponential, size, dtype)

    def poisson(self, lam: Any = 1.0, size: Any = None) -> Any:
        """Poisson, of the given rates."""
        return self._drawn(self._stream.poisson, host(lam), size)

    def binomial(self, n: Any, p: Any, size: Any = None) -> Any:
        """Binomial."""
        return self._drawn(self._stream.binomial, host(n), host(p), size)

    def standard_gamma(self, shape: Any, size: Any = None, dtype: Any = np.float64,
                       out: Any = None) -> Any:  # fmt: skip
        """Gamma of the given shapes and scale 1."""
        return self._drawn(self._stream.standard_gamma, host(shape), size)


class OpenGrid:
    """`ogrid[slices]`."""

    def __getitem__(self, slices: Any) -> Any:
        return guest(np.ogrid[slices])


class CompressedRows:
    """`cupyx.scipy.sparse.csr_matrix` of values at places, for its product with a dense matrix."""

    def __init__(self, parts: Any, shape: tuple[int, int]) -> None:
        if host(parts)[0].dtype.kind not in "fc" or host(parts)[0].dtype.itemsize < 4:
            raise ValueError("Only bool, float32, float64, complex64 and complex128 are supported")
        self._host = scipy.sparse.csr_matrix(host(parts), shape=shape)

    def __matmul__(self, other: Any) -> Any:
        return guest(self._host @ host(other))
