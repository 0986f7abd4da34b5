"""The GPU: CuPy arrays, and our own kernels where array calls do badly.

CuPy is imported when a GPU is first asked for, our kernels when an operation first looks for one.

To add a kernel:

1. `kernels/name.cu` has it as a C++ template, over the headers beside it: `types.cuh` (dtypes by
   name, `widen`, `narrow`, `Compute`), `memory.cuh` (16-byte vectors), `block.cuh` (reductions over
   warps and blocks), `rows.cuh` (rows in registers), `words.cuh` (elements that are only moved),
   `bounds.cuh` (notes of places that are not there). Every parameter is a pointer, an `int64`, a
   `double`, or a struct of them. Shared memory is declared by `SHARED_ARRAY` or `DYNAMIC_SHARED`.
2. `name.py` here declares it, `Template("name", "function", "PPq", T=FLOATS, ...)`, and has its
   launcher under `@kernel("operation")`, which gives None for what it leaves to the array kernel.
   Add the module to `registry.FAMILIES`.
3. That is all for the compiler: `tests/runtime/cuda/test_compilation.py` compiles each combination
   of template parameters for every architecture.
4. `tests/runtime/cuda/test_name.py` runs it through the fixture `host`, on the processor, and
   compares it with the array kernel: ragged and empty shapes, halves, views. Every access to memory
   is checked meanwhile: races, also between blocks, bounds, what nobody has written. Where threads
   may write to one place on purpose, they do so by `put_any` or atomic functions.
5. If it has barriers, a use of it goes to `STEPS` of `test_mutants.py`, which takes out each one.
   By hand, `mutate.py` there also breaks comparisons and conditions one at a time and tells which
   faults no test sees, and `banks.py` counts conflicts between banks of shared memory.

On a GPU the same tests run it there.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ...core import dtypes
from ...core.devices import device
from ...core.dispatch import NO_CHOICE, DispatchKey
from ...errors import DeviceError
from ..array import ArrayBackend
from . import bounds, copies, cudnn, launch, memory, presence, products, registry, waits
from .memory import CachingAllocator
from .precision import rounding
from .sdp import AttentionSwitches

if TYPE_CHECKING:
    from ...ops.operation import Operation


class CUDABackend(AttentionSwitches, ArrayBackend):
    """Computes with CuPy and cupyx.scipy.special on the current device of the array."""

    type = "cuda"
    matmul = rounding  # switches, under PyTorch's name for them

    has_choice = False  # of GPUs or streams, so that backward passes must find theirs
    preferred_blas_library = staticmethod(rounding.preferred_library)
    together = frozenset(products.TOGETHER)  # composites that gradients ask for as one operation
    is_recording = 0  # how many graphs are recorded now
    recorded_numbers: ClassVar[list[Any]] = []  # that they read, and keep
    _library: Any = None
    _side_streams: dict[int, Any]

    @property
    def xp(self) -> Any:
        """The module `cupy`, whose memory comes from `allocator` from the first time on."""
        cupy = sys.modules.get("cupy")
        if cupy is None or cupy is not self._library:
            import cupy

            self._library, memory.current = cupy, CachingAllocator(cupy)
            self._side_streams = {}
            cupy.cuda.set_allocator(memory.current.malloc)
        return cupy

    @property
    def kernel_library(self) -> Any:
        """`cupy` for array kernels."""
        return products.CuPyWithProducts(self.xp)

    @property
    def allocator(self) -> CachingAllocator:
        """Where the memory of arrays comes from."""
        _ = self.xp
        return memory.current

    @property
    def array_class(self) -> Any:
        """`cupy.ndarray`."""
        return self.xp.ndarray

    @property
    def is_in_use(self) -> bool:
        """Whether something has been asked of CuPy's arrays yet."""
        return self._library is not None and self._library is sys.modules.get("cupy")

    def is_built(self) -> bool:
        """Whether there is code for GPUs: yes."""
        return True

    def kernel(self, operation: Operation, key: DispatchKey) -> Callable[..., Any]:
        if operation.name in self.together:
            return partial(products.TOGETHER[operation.name], self.xp, key)
        plain = super().kernel(operation, key)
        own = registry.own_kernel(operation, key) if launch.driver.is_available() else None
        if own is None and operation.name in products.KERNELS and products.is_available(self.xp):
            own = partial(products.KERNELS[operation.name], self.xp)
        kernel = plain if own is None else registry.or_plain(own, plain)
        library = cudnn.kernel(operation.name, key.dtype.name)
        return kernel if library is None else registry.or_plain(library, kernel)

    def put_rows(self, array: Any, index: Any, values: Any) -> bool:
        """array[index] = values by a kernel of ours; False for what it does not take."""
        if not launch.driver.is_available():
            return False
        from . import gathers

        return gathers.write(array, index, values)

    def paired(
        self, operations: Sequence[Operation], places: Sequence[tuple[int, ...]], key: DispatchKey
    ) -> Callable[..., Any] | None:
        """A function that computes two formulas in one launch: of their operands, of which `places`
        says which each takes. None where there is no such."""
        if not launch.driver.is_available():
            return None
        from . import pairs

        found = pairs.pair(operations, places, key)
        return None if found is None else self.placed(found.call, key.device.index or 0)

    def special(self) -> Any:
        import cupyx.scipy.special

        return cupyx.scipy.special

    def constant(self, value: float, key: DispatchKey) -> Any:
        # Of a choice between two Python numbers CuPy makes float64, whatever the formula is of.
        return (np.float32 if key.is_half else key.dtype.numpy.type)(value)

    def placed(self, kernel: Callable[..., Any], index: int) -> Callable[..., Any]:
        """`kernel` on the GPU `index`, which is made current meanwhile if there are others."""
        if self.device_count() == 1:
            return kernel
        self.has_choice = True

        def on_its_device(*args: Any, **attributes: Any) -> Any:
            if self.current_device() == index:
                return kernel(*args, **attributes)
            with self.xp.cuda.Device(index):
                return kernel(*args, **attributes)

        into = getattr(kernel, "into", None)
        on_its_device.into = None if into is None else self.placed(into, index)  # type: ignore[attr-defined]
        return on_its_device

    def guard(self, index: int) -> contextlib.AbstractContextManager[Any]:
        """A `with` block in which the GPU `index` is current; it does nothing if it is alone."""
        if self.device_count() == 1:
            return NO_CHOICE
        self.has_choice = True
        return self.xp.cuda.Device(index)  # type: ignore[no-any-return]

    def array_dtype(self, dtype: dtypes.dtype) -> Any:
        return dtype.numpy

    def as_array(
        self,
        value: Any,
        dtype: dtypes.dtype | None,
        index: int | None,
        non_blocking: bool = False,
    ) -> Any:
        xp, index = self.xp, index or 0
        if isinstance(value, xp.ndarray):
            if value.nbytes and value.data.device_id != index:
                value = copies.to_other_gpu(xp, value, index)
        else:
            if self.is_recording:
                return self._beside_recording(value, dtype, index)
            if isinstance(value, np.ndarray):
                value = copies.to_gpu(xp, value, index, non_blocking)
        with xp.cuda.Device(index):
            return xp.asarray(value, None if dtype is None else dtype.numpy)

    def _beside_recording(self, value: Any, dtype: dtypes.dtype | None, index: int) -> Any:
        """A number in memory at once, on a stream that is not recorded: a graph only reads it.

        Raises: DeviceError for an array of the CPU's, of which a replay would read what is left.
        """
        if np.ndim(value):
            copies.refuse_in_recording(value)
        with self.beside_recording(index):
            found = self.xp.asarray(value, None if dtype is None else dtype.numpy)
        self.recorded_numbers.append(found)
        return found

    @contextlib.contextmanager
    def beside_recording(self, index: int) -> Iterator[None]:
        """A `with` block whose work on the GPU `index` is done at its end, and not recorded."""
        before = self.allocator.allocate_from(0)
        try:
            with self.xp.cuda.Device(index):
                if index not in self._side_streams:
                    self._side_streams[index] = self.xp.cuda.Stream(non_blocking=True)
                with self._side_streams[index] as stream:
                    yield
                    stream.synchronize()
        finally:
            self.allocator.allocate_from(before)

    def to_numpy(self, array: Any, non_blocking: bool = False) -> Any:
        found = copies.to_cpu(self.xp, array, non_blocking)
        bounds.raise_noted()
        return found

    def device_count(self) -> int:
        """Number of GPUs that CuPy can use; 0 without CuPy, a driver or a card."""
        return presence.look().count

    def note_wait(self, what: str) -> None:
        """`what` is about to wait for the GPU, see `waits`."""
        waits.note(what)

    def current_device(self) -> int:
        """Index of the GPU that `cuda` without an index means."""
        return int(self.xp.cuda.runtime.getDevice())

    def check(self, place: device) -> device:
        count, why_none = presence.look()
        if count == 0 or presence.after_fork():
            raise DeviceError(
                f"Expected a CUDA device for {str(place)!r}. None is usable: "
                f"{why_none or presence.after_fork()} Use device='cpu', or ask "
                "torch.cuda.is_available() first."
            )
        index = self.current_device() if place.index is None else place.index
        if index >= count:
            shown = os.environ.get("CUDA_VISIBLE_DEVICES")
            raise DeviceError(
                f"Expected a CUDA device below {count}. Got {str(place)!r}. Use 'cuda:0'"
                + (f" to 'cuda:{count - 1}'" if count > 1 else "")
                + ("." if shown is None else f": those of CUDA_VISIBLE_DEVICES={shown}.")
            )
        return device("cuda", index)
