"""CuPy's interface over NumPy, for machines without a GPU: it computes on the CPU and refuses what
CuPy refuses.

Facts it follows (CuPy 14.2): arrays do not mix with NumPy arrays, not even 0-d ones; nothing turns
into a NumPy array by itself; reductions and elements are 0-d arrays; of a ufunc's methods only
`add.reduce`, `multiply.reduce` and a few `at` are there. A name that is not listed here is missing;
before adding one, see that CuPy has it. `test_cuda` compares the lists with CuPy where it is
installed.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import operator
import sys
import types
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import scipy.sparse
import scipy.special

UFUNCS = """
add subtract multiply true_divide divide negative power absolute sign floor ceil trunc rint exp
exp2 expm1 log log2 log10 log1p sqrt square reciprocal sin cos tan arcsin arccos arctan sinh cosh
tanh arcsinh arccosh arctanh arctan2 fmod remainder floor_divide maximum minimum logaddexp hypot
copysign less less_equal greater greater_equal equal not_equal logical_and logical_or logical_not
logical_xor isnan isinf isfinite signbit bitwise_and bitwise_or bitwise_xor invert fmax fmin
logaddexp2 nextafter gcd lcm left_shift right_shift conj
""".split()
FUNCTIONS = """
all any arange argmax argmin argsort array array_equal asarray ascontiguousarray broadcast_arrays
broadcast_to clip
concatenate copyto cumprod cumsum empty empty_like expand_dims flip full full_like isclose matmul
atleast_1d bincount broadcast_shapes eye full_like histogram isin lexsort max min moveaxis
nonzero ones ones_like prod put_along_axis roll sort stack sum take take_along_axis tril triu
einsum flatnonzero repeat searchsorted tile unique unravel_index where zeros zeros_like
""".split()
METHODS = """
all any argmax argmin argsort astype clip copy cumprod cumsum diagonal dot fill flatten max mean min
nonzero prod ravel repeat reshape round sort squeeze std sum swapaxes take trace transpose var view
""".split()
ATTRIBUTES = """
T base dtype flags imag itemsize mT nbytes ndim real shape size strides
""".split()
LINALG = """
cholesky det eigh eigvalsh inv qr slogdet solve svd
""".split()
SPECIAL = """
betainc digamma erf erfc erfcx erfinv expit gammainc gammaincc gammaln i0 i0e i1 i1e j0 j1 k0 k0e k1
k1e
log_ndtr ndtri y0 y1 zeta
""".split()
DTYPES = """
bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128
""".split()


class ndarray:
    """An array "on the GPU"."""

    __array_priority__ = 100

    def __init__(self, host: Any) -> None:
        self._host = host

    @property
    def data(self) -> Any:
        """The memory, which has an address."""
        return types.SimpleNamespace(ptr=self._host.ctypes.data)

    def get(self) -> Any:
        """A copy as a NumPy array."""
        return self._host.copy()

    def item(self, *index: Any) -> Any:
        """The element as a Python number."""
        return self._host.item(*index)

    def tolist(self) -> Any:
        """The elements as nested lists."""
        return self._host.tolist()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use .get().")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or ufunc.__name__ not in UFUNCS:
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return getattr(sys.modules["cupy"], ufunc.__name__)(*inputs, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ATTRIBUTES:
            return guest(getattr(self._host, name))
        if name in METHODS:
            return _on_host(getattr(self._host, name))
        raise AttributeError(f"cupy.ndarray has no {name!r} in this stand-in")

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "_host":
            raise AttributeError(f"cupy.ndarray.{name} is not set here")
        object.__setattr__(self, name, value)

    def __getitem__(self, index: Any) -> ndarray:
        return guest(self._host[host(index)])  # type: ignore[no-any-return]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._host[host(index)] = host(value)

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return map(guest, self._host)

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    def __index__(self) -> int:
        return operator.index(self._host)

    def __float__(self) -> float:
        return float(self._host)


def _operator(name: str) -> Any:
    function = getattr(operator, name)
    in_place = name.startswith("__i") and name != "__invert__"

    def method(self: ndarray, *others: Any) -> Any:
        if any(isinstance(o, np.ndarray) for o in others):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        result = function(self._host, *map(host, others))
        return self if in_place else guest(result)

    return method


def _reflected(name: str) -> Any:
    function = getattr(operator, f"__{name}__")

    def method(self: ndarray, other: Any) -> Any:
        return guest(function(host(other), self._host))

    return method


BINARY = "add sub mul truediv floordiv mod pow matmul and or xor".split()
for _name in BINARY:
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(ndarray, f"__i{_name}__", _operator(f"__i{_name}__"))
    setattr(ndarray, f"__r{_name}__", _reflected(_name))
for _name in "lt le gt ge eq ne neg pos abs invert".split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
ndarray.__hash__ = None  # type: ignore[assignment]


def host(value: Any) -> Any:
    """`value` for NumPy. Raises: TypeError for a NumPy array, as CuPy does."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, tuple | list):
        return type(value)(map(host, value))
    return value


def guest(value: Any) -> Any:
    """NumPy's result as CuPy gives it: elements are 0-d arrays."""
    if isinstance(value, np.ndarray | np.generic):
        return ndarray(np.asarray(value))
    if isinstance(value, tuple | list) and any(isinstance(v, np.ndarray) for v in value):
        return [*map(guest, value)] if isinstance(value, list) else tuple(map(guest, value))
    return value


def _on_host(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        given = {k: host(v) for k, v in kwargs.items()}
        result = function(*map(host, args), **given)
        out = kwargs.get("out")
        return guest(result) if out is None else out

    return call


class Ufunc:
    """A ufunc with the methods that CuPy has."""

    def __init__(self, name: str) -> None:
        self._ufunc = getattr(np, name)
        self.__name__ = name

    def __call__(self, *args: Any, out: Any = None, dtype: Any = None) -> Any:
        count = self._ufunc.nin
        if len(args) > count:
            *args, out = args  # type: ignore[assignment]
        options = {} if dtype is None else {"dtype": dtype}
        if out is None:
            return guest(self._ufunc(*map(host, args), **options))
        self._ufunc(*map(host, args), out=host(out), **options)
        return out

    def reduce(self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None,
               keepdims: bool = False) -> Any:  # fmt: skip
        """Sums and products only."""
        if self.__name__ not in ("add", "multiply"):
            raise NotImplementedError(f"cupy.{self.__name__}.reduce")
        return guest(self._ufunc.reduce(host(array), axis, dtype, host(out), keepdims))

    def at(self, array: Any, indices: Any, values: Any) -> None:
        """Sums and extremes only."""
        if self.__name__ not in ("add", "maximum", "minimum"):
            raise NotImplementedError(f"cupy.{self.__name__}.at")
        self._ufunc.at(host(array), host(indices), host(values))


class Device:
    """The one device, number 0."""

    def __init__(self, index: int | None = None) -> None:
        if index not in (None, 0):
            raise RuntimeError(f"cudaErrorInvalidDevice: {index}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def use(self) -> None:
        """Make it current."""

    def synchronize(self) -> None:
        """Nothing is ever pending."""


class MemoryPool:
    """A pool that holds nothing."""

    def free_all_blocks(self) -> None:
        """Nothing to free."""

    def used_bytes(self) -> int:
        """0 bytes."""
        return 0

    total_bytes = used_bytes


class Generator:
    """Random arrays with the signatures of CuPy's generator."""

    def __init__(self, bits: Any) -> None:
        self._stream = np.random.Generator(bits)

    def random(self, size: Any = None, dtype: Any = np.float64) -> Any:
        """Uniform in [0, 1)."""
        return guest(self._stream.random(size, dtype))

    def standard_normal(self, size: Any = None, dtype: Any = np.float64) -> Any:
        """Standard normal."""
        return guest(self._stream.standard_normal(size, dtype))

    def integers(self, low: int, high: Any = None, size: Any = None, dtype: Any = np.int64) -> Any:
        """Integers in [low, high)."""
        return guest(self._stream.integers(low, high, size, dtype))

    def standard_exponential(self, size: Any = None, dtype: Any = np.float64) -> Any:
        """Exponential of rate 1."""
        return guest(self._stream.standard_exponential(size, dtype))


class OpenGrid:
    """`ogrid[slices]`."""

    def __getitem__(self, slices: Any) -> Any:
        return guest(np.ogrid[slices])


def _ascupy(value: Any, dtype: Any = None, **options: Any) -> Any:
    if isinstance(value, ndarray):
        value = value._host
    return guest(np.asarray(value, dtype, **options))


class CompressedRows:
    """`cupyx.scipy.sparse.csr_matrix` of values at places, for its product with a dense matrix."""

    def __init__(self, parts: Any, shape: tuple[int, int]) -> None:
        if host(parts)[0].dtype.kind not in "fc" or host(parts)[0].dtype.itemsize < 4:
            raise ValueError("Only bool, float32, float64, complex64 and complex128 are supported")
        self._host = scipy.sparse.csr_matrix(host(parts), shape=shape)

    def __matmul__(self, other: Any) -> Any:
        return guest(self._host @ host(other))


def modules() -> dict[str, types.ModuleType]:
    """`cupy` and the submodules in use, for `sys.modules`."""
    cupy, cupyx = types.ModuleType("cupy"), types.ModuleType("cupyx")
    scipy_, special = types.ModuleType("cupyx.scipy"), types.ModuleType("cupyx.scipy.special")
    for name in UFUNCS:
        setattr(cupy, name, Ufunc(name))
    for name in FUNCTIONS:
        setattr(cupy, name, _on_host(getattr(np, name)))
    for name in DTYPES:
        setattr(cupy, name, getattr(np, name))
    linalg = types.SimpleNamespace(**{n: _on_host(getattr(np.linalg, n)) for n in LINALG})
    cupyx.errstate = lambda linalg: contextlib.nullcontext()  # type: ignore[attr-defined]
    for name in SPECIAL:
        setattr(special, name, _on_host(getattr(scipy.special, name)))
    strides = types.SimpleNamespace(as_strided=_on_host(np.lib.stride_tricks.as_strided))
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        getDeviceProperties=lambda index: {"name": b"stand-in"},
        memGetInfo=lambda: (2**30, 2**30),
        CUDARuntimeError=RuntimeError,
    )
    random = types.SimpleNamespace(Generator=Generator, Philox4x3210=np.random.Philox)
    vars(cupy).update(
        ndarray=ndarray,
        array=_ascupy,
        asarray=_ascupy,
        asnumpy=lambda a: a.get() if isinstance(a, ndarray) else np.asarray(a),
        inf=np.inf,
        nan=np.nan,
        linalg=linalg,
        ogrid=OpenGrid(),
        lib=types.SimpleNamespace(stride_tricks=strides),
        cuda=types.SimpleNamespace(Device=Device, runtime=runtime),
        random=random,
        get_default_memory_pool=MemoryPool,
        get_default_pinned_memory_pool=MemoryPool,
    )
    sparse = types.ModuleType("cupyx.scipy.sparse")
    vars(sparse)["csr_matrix"] = CompressedRows
    found = {m.__name__: m for m in (cupy, cupyx, scipy_, special, sparse)}
    vars(cupyx)["scipy"] = scipy_
    vars(scipy_).update(special=special, sparse=sparse)
    for name, module in found.items():
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    return found


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """The stand-in where `import cupy` finds it, and nothing left of it afterwards."""
    from flambeau.backends import batched, sparse
    from flambeau.core import dispatch

    found = modules()
    before = {name: sys.modules.get(name) for name in found}
    sys.modules.update(found)
    yield
    for name, module in before.items():
        if module is None:
            del sys.modules[name]
        else:
            sys.modules[name] = module
    keys: list[tuple[dict[Any, Any], int]] = [(dispatch._keys, 0), (sparse._keys, 0)]
    for table, place in [*keys, (batched._keys, 1)]:
        for identity in [i for i in table if i[place].type == "cuda"]:
            del table[identity]
    sparse._backends.clear()
