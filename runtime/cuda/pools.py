"""Memory of the GPU by hand: bare blocks, pools of one's own, and who allocates."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from ..backends import cuda as _backend
from .devices import _gpu, current_device
from .streams import Stream, StreamContext

__all__ = [
    "CUDAPluggableAllocator", "MemPool", "caching_allocator_alloc", "caching_allocator_delete",
    "caching_allocator_enable", "change_current_allocator", "get_allocator_backend", "use_mem_pool",
]  # fmt: skip

pool_numbers = itertools.count(1)
"""Numbers of pools, those of graphs among them."""

_blocks: dict[int, Any] = {}
"""By address, what `caching_allocator_alloc` gave out."""


def caching_allocator_alloc(
    size: int, device: Any = None, stream: Stream | int | None = None
) -> int:
    """The address of `size` bytes on a GPU, for work on `stream` (the current one; also its
    address), until `caching_allocator_delete`. Raises: DeviceError without a GPU."""
    if isinstance(stream, int):
        from .streams import get_stream_from_external

        stream = get_stream_from_external(stream, device)
    with _gpu(device), StreamContext(stream):
        block = _backend.allocator.malloc(size)
    _blocks[block.ptr] = block
    return int(block.ptr)


def caching_allocator_delete(mem_ptr: int) -> None:
    """Take back what `caching_allocator_alloc` gave. Raises: ValueError for another address."""
    if _blocks.pop(mem_ptr, None) is None:
        raise ValueError(
            f"caching_allocator_delete: expected an address that caching_allocator_alloc gave and "
            f"that is in use. Got {mem_ptr:#x}."
        )


def caching_allocator_enable(value: bool = True) -> None:
    """Nothing for True. Raises: NotImplementedError for False, as freed memory is always kept."""
    if not value:
        raise NotImplementedError(
            "caching_allocator_enable: expected True. Got False: freed memory is kept for reuse. "
            "torch.cuda.empty_cache() gives it back."
        )


def get_allocator_backend() -> str:
    """ "native", PyTorch's word for an allocator that keeps and cuts segments, as this one does."""
    return "native"


class MemPool:
    """A pool of memory: what is allocated inside `use_mem_pool(pool)` comes from segments of its
    own, which go back to the driver when the pool and its tensors are gone. Its `id` also serves
    graphs. Raises: NotImplementedError for another allocator, DeviceError without a GPU."""

    def __init__(
        self, allocator: Any = None, use_on_oom: bool = False, no_split: bool = False
    ) -> None:
        if allocator is not None:
            _refuse("MemPool")
        current_device()
        self.id = (0, next(pool_numbers))
        self.allocator = None
        release = weakref.finalize(self, _backend.allocator.drop, self.id[1])
        release.atexit = False  # the driver frees everything then

    def use_count(self) -> int:
        """How many `use_mem_pool` blocks are within it now, and the pool itself."""
        return 1 + _entered.count(self.id[1])

    def snapshot(self) -> list[dict[str, Any]]:
        """Its segments, as `memory_snapshot` has them."""
        return [s for s in _backend.allocator.segments() if s["segment_pool_id"] == self.id]


_entered: list[int] = []


@contextmanager
def use_mem_pool(pool: MemPool, device: Any = None) -> Iterator[None]:
    """A `with` block in which this thread's memory on GPUs comes from `pool`."""
    before = _backend.allocator.allocate_from(pool.id[1])
    _entered.append(pool.id[1])
    try:
        yield
    finally:
        _entered.remove(pool.id[1])
        _backend.allocator.allocate_from(before)


class CUDAPluggableAllocator:
    """PyTorch's allocator of functions in a shared library. Raises: NotImplementedError."""

    def __init__(self, path_to_so_file: str, alloc_fn_name: str, free_fn_name: str) -> None:
        _refuse("CUDAPluggableAllocator")


def change_current_allocator(allocator: Any) -> None:
    """Let another allocator serve tensors. Raises: NotImplementedError."""
    _refuse("change_current_allocator")


def _refuse(name: str) -> NoReturn:
    raise NotImplementedError(
        f"{name}: expected the runtime's own allocator, which counts and reuses memory. Another "
        "cannot be put in its place; for memory of other libraries use torch.from_dlpack or "
        "__cuda_array_interface__."
    )
