"""Launches counted and not run, at any size: arrays have shapes and addresses, in memory that
nobody touches.

    with counting() as ledger:
        step()
    ledger.launches

Each launch has the bytes of its arrays, every one read or written once (elements that
broadcasting repeats count once), and the operations of products. What CuPy itself does to arrays of
up to `SMALL` bytes is really done, on zeros, so that any function may be met there.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import re
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from flambeau.backends.cuda import launch
from flambeau.backends.cuda.launch import Kernel
from flambeau.backends.cuda.tables import HEAD
from flambeau.core.dispatch import forget_kernels

from . import arrays, memory, streams

SMALL = 1 << 22
NO_RESERVE = 0x4000 if sys.platform == "linux" else 0
"""MAP_NORESERVE, which Python's `mmap` names from 3.13 on."""
VIEWS = """
_item reshape transpose swapaxes squeeze view ravel broadcast_to moveaxis expand_dims as_strided
diagonal ascontiguousarray astype broadcast_arrays flip
""".split()
"""Functions whose results may share memory; then nothing is launched."""
NOTHING = "empty empty_like".split()


class Launch(NamedTuple):
    """One kernel: its name, bytes read and written, and operations on numbers where they count."""

    name: str
    bytes: int
    operations: int = 0
    is_captured: bool = False


def _distinct(shape: Any, strides: Any, itemsize: int) -> int:
    count = itemsize
    for size, stride in zip(shape, strides, strict=True):
        count *= size if stride else min(size, 1)
    return count


def distinct(array: Any) -> int:
    """Bytes of the elements of a NumPy array, those at one place counted once."""
    return _distinct(array.shape, array.strides, array.itemsize)


class Ledger:
    """What was launched, in order. It stands in the driver's place."""

    def __init__(self, multiprocessors: int = 132) -> None:
        self.launches: list[Launch] = []
        self.sizes: dict[int, int] = {}  # of the arrays whose addresses were asked for last
        self.count = multiprocessors

    def add(self, name: str, size: int, operations: int = 0) -> None:
        """Note a launch."""
        is_captured = streams.capturing() is not None
        self.launches.append(Launch(name, size, operations, is_captured))

    def noted(self, place: int, shape: Any, strides: Any, itemsize: int) -> None:
        """An array's address was asked for."""
        self.sizes[place] = _distinct(shape, strides, itemsize)

    # -- own kernels: the driver's interface -------------------------------------------------------

    def is_available(self) -> bool:
        """Yes."""
        return True

    def device(self) -> int:
        """The current one."""
        return int(streams.current.device)

    def multiprocessors(self) -> int:
        """An H100's or H200's."""
        return self.count

    def capability(self) -> int:
        """An H100's or H200's."""
        return 90

    def resident_threads(self) -> int:
        """Of a multiprocessor."""
        return 2048

    def load(self, kernel: Kernel) -> int:
        """Nothing to load."""
        return 0

    def launch(
        self, function: int, grid: tuple[int, ...], threads: int, shared: int, kernel: Kernel,
        words: tuple[Any, ...],
    ) -> None:  # fmt: skip
        """Note a launch of our own."""
        kernel.packing.pack(kernel.size, *words)  # which refuses what a launch would
        letters = _letters(kernel.words)
        places = {w for w, letter in zip(words, letters, strict=True) if letter == "P" and w}
        name = kernel.expression.partition("<")[0]
        if name == "steps":
            name = kernel.source.label.removesuffix(".cu")
        size = sum(self.sizes.get(place, 0) for place in places)
        for table in [w for w, letter in zip(words, letters, strict=True) if letter == "s"]:
            size += self._in_table(kernel, table)
        rule = RULES.get(name)
        self.add(name, *((size, 0) if rule is None else rule(self, grid, words, size)))

    def _in_table(self, kernel: Kernel, table: bytes) -> int:
        """The bytes that the arrays of a table are read and written with."""
        each = re.findall(r"DO\(\d+, (\w+), (\w+)\)", kernel.source.text)
        passes = [0] * HEAD + [1 + (written == "true") for _, written in each]  # of steps
        words = struct.unpack(f"={len(table) // 8}Q", table)
        times = itertools.cycle(passes if each else [1])
        return sum(self.sizes.get(word, 0) * n for word, n in zip(words, times, strict=False))

    # -- CuPy's own --------------------------------------------------------------------------------

    def run(self, function: Any, args: tuple[Any, ...], options: Any, changed: Any) -> Any:
        """What `arrays.run` does, in shapes."""
        name = function.__name__
        given = [arrays.host(a) for a in args]
        options = {k: arrays.host(v) for k, v in options.items()}
        if changed is not None:
            given = [a for a in _written(name, given) if isinstance(a, np.ndarray)]
            self.add(f"cupy.{name}", sum(map(distinct, given)))
            return changed
        if name in VIEWS and (made := _view(function, given, options)) is not None:
            return arrays.guest(made)
        made = self._made(name, function, given, options)
        if name not in NOTHING:
            flat = [a for value in given for a in arrays._listed(value)]
            read = [a for a in flat if isinstance(a, np.ndarray)]
            new = [a._host for a in arrays._listed(made) if isinstance(a, arrays.ndarray)]
            rest = read[1:] + new if name == "take" else []  # which reads what it writes
            self.add(f"cupy.{name}", sum(map(distinct, [*(rest or read), *new])))
        return made

    def _made(self, name: str, function: Any, given: list[Any], options: Any) -> Any:
        shape = SHAPES.get(name)
        if shape is not None:
            return _new(*shape(*given, **options))
        if hasattr(function, "results"):
            whole = np.broadcast_shapes(*[np.shape(a) for a in given])
            like = next((a for a in given if getattr(a, "shape", None) == whole), None)
            found = [_new(whole, dtype, like) for dtype in function.results]
            return found[0] if len(found) == 1 else tuple(found)
        if sum(a.nbytes for v in given for a in arrays._listed(v) if hasattr(a, "nbytes")) > SMALL:
            raise NotImplementedError(f"No shape is known of cupy.{name} of large arrays.")
        return arrays.guest(function(*given, **options))

    def product(self, sizes: tuple[int, int, int, int], places: Any, is_added: bool) -> None:
        """Note matrix products (b, m, n, k), of which `places` are the operands, the result, which
        is read too if they are added to it, and what else is read or written."""
        b, m, n, k = sizes
        size = sum(self.sizes.get(p, 0) for p in places) + is_added * self.sizes[places[2]]
        self.add("cublas", size, 2 * b * m * n * k)


def _letters(words: str) -> str:
    """A letter for each word of a kernel."""
    return "".join(
        letter if letter == "s" else letter * int(count or 1)
        for count, letter in re.findall(r"(\d*)([A-Za-z])", words)
    )


def _written(name: str, given: list[Any]) -> list[Any]:
    """What a function that changes an array reads and writes, of its arguments."""
    if name != "_set_item":
        return given  # of a ufunc, with the result
    target, index, value = given
    return [target[index] if _is_basic(index) else target, value]


def _is_basic(index: Any) -> bool:
    places = index if isinstance(index, tuple) else (index,)
    return not any(isinstance(p, np.ndarray) for p in places)


def _view(function: Any, given: list[Any], options: Any) -> Any:
    """The result, if it shares memory with the first operand; computed on one of no memory."""
    array = given[0]
    if function.__name__ == "_item" and not _is_basic(given[1]):
        return None
    if function.__name__ == "astype":
        return array if not options.get("copy", True) and array.dtype == given[1] else None
    if function.__name__ == "ascontiguousarray":
        return array if array.flags.c_contiguous and array.ndim else None
    if function.__name__ in ("reshape", "ravel"):
        shape = given[1:] if function.__name__ == "reshape" else (-1,)
        shape = shape[0] if len(shape) == 1 else shape
        try:
            return np.reshape(array, shape, copy=False)
        except ValueError:
            return None
    return function(*given, **options)


def _new(shape: Any, dtype: Any, like: Any = None) -> Any:
    """An array in memory of its own, laid out as `like` if there is one."""
    strides = None
    if like is not None and not like.flags.c_contiguous:
        strides = np.empty_like(like, dtype=dtype).strides
    made = arrays.ndarray(shape, dtype)
    return made if strides is None else arrays.ndarray(shape, dtype, made.data, strides)


def _filled(shape: Any, dtype: Any = float, *rest: Any, **options: Any) -> Any:
    return shape, dtype


def _reduced(array: Any, axis: Any = None, dtype: Any = None, out: Any = None,
             keepdims: bool = False) -> Any:  # fmt: skip
    axes = range(array.ndim) if axis is None else np.atleast_1d(axis) % array.ndim
    kept = [1 if k in axes else n for k, n in enumerate(array.shape)]
    shape = kept if keepdims else [n for k, n in enumerate(kept) if k not in axes]
    return tuple(shape), dtype or array.dtype


def _reshaped(array: Any, *shape: Any) -> Any:
    sizes = [*(shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)]
    if -1 in sizes:
        known = -int(np.prod(sizes, dtype=np.int64))
        sizes[sizes.index(-1)] = array.size // known
    return tuple(sizes), array.dtype


def _multiplied(a: Any, b: Any, *rest: Any) -> Any:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return (*batch, a.shape[-2], b.shape[-1]), np.result_type(a, b)


def _joined(parts: Any, axis: int = 0, **options: Any) -> Any:
    shape = [*parts[0].shape]
    shape[axis] = sum(p.shape[axis] for p in parts)
    return tuple(shape), np.result_type(*parts)


def _taken(a: Any, indices: Any, axis: int, *rest: Any) -> Any:
    return (*a.shape[:axis], *np.shape(indices), *a.shape[axis:][1:]), a.dtype


SHAPES: dict[str, Callable[..., Any]] = {
    "empty": _filled,
    "zeros": _filled,
    "ones": _filled,
    "full": lambda shape, value, dtype=None, *rest, **options: (shape, dtype or type(value)),
    "empty_like": lambda a, dtype=None, **options: (a.shape, dtype or a.dtype, a),
    "zeros_like": lambda a, dtype=None, **options: (a.shape, dtype or a.dtype, a),
    "ones_like": lambda a, dtype=None, **options: (a.shape, dtype or a.dtype, a),
    "copy": lambda a, order="C", **options: (a.shape, a.dtype, a if order == "K" else None),
    "ascontiguousarray": lambda a, *rest: (a.shape, a.dtype),
    "astype": lambda a, dtype, order="K", **options: (a.shape, dtype, a if order == "K" else None),
    "sum": _reduced,
    "reduce": _reduced,
    "reshape": _reshaped,
    "matmul": _multiplied,
    "concatenate": _joined,
    "take": _taken,
    "ravel": lambda a: ((a.size,), a.dtype),
}
"""Shape, dtype and an array whose layout is kept, of functions that large arrays go to."""

Rule = Callable[[Ledger, tuple[int, ...], tuple[Any, ...], int], tuple[int, int]]


def _attended(products: float) -> Rule:
    """Bytes and operations of an attention kernel of so many products of queries x keys."""

    def rule(ledger: Ledger, grid: Any, words: Any, size: int) -> tuple[int, int]:
        heads, _, queries, keys, width, _, is_causal = words[39:46]
        pairs = grid[2] * heads * queries * keys * (0.5 if is_causal else 1)
        return size, int(2 * products * pairs * width)

    return rule


def _sparse(ledger: Ledger, grid: Any, words: Any, size: int) -> tuple[int, int]:
    """Of the rows that are added to, and the partial sums."""
    rows = ledger.sizes[words[1]]
    return 3 * rows, 0


RULES: dict[str, Rule] = {
    "add_segments": _sparse,
    "attention": _attended(2),
    "attention_by_queries": _attended(3),
    "attention_by_keys": _attended(4),
    "convolve": lambda ledger, grid, words, size: (
        size, 2 * words[-3] * words[-2] * words[-1] * grid[2]
    ),
    "correlate": lambda ledger, grid, words, size: (
        size, 2 * words[-5] * words[-3] * words[-2] * words[-1]
    ),
}  # fmt: skip
"""Of kernels that read or write less than their arrays, or whose operations count."""


def _reserved(size: int) -> int:
    """The address of `size` new bytes on the current device, of which pages come when something is
    written there."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE
    held = np.frombuffer(mmap.mmap(-1, size, flags=flags), np.uint8)
    place = held.ctypes.data
    memory.segments[place] = size, held, memory.current.device
    memory.reserved.add(place)
    return place


@contextlib.contextmanager
def counting() -> Iterator[Ledger]:
    """Within `installed()`: launches are noted instead of run."""
    ledger = Ledger()
    before = launch.driver, streams.runtime.malloc
    launch.driver = memory.ledger = ledger
    streams.runtime.malloc = _reserved
    forget_kernels()
    try:
        yield ledger
    finally:
        launch.driver, streams.runtime.malloc = before
        memory.ledger = None
        forget_kernels()
