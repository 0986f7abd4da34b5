"""Averages of gradients, whole or in half the bytes. `state` of each hook is the process group, or
None for that of all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....core import dtypes
from ....core.tensor import Tensor
from ....futures import Future
from ...collectives import all_reduce
from ...group import world
from ...reducer import GradBucket

__all__ = [
    "allreduce_hook",
    "bf16_compress_hook",
    "bf16_compress_wrapper",
    "fp16_compress_hook",
    "fp16_compress_wrapper",
]

Hook = Callable[[Any, GradBucket], Future[Tensor]]


def allreduce_hook(process_group: Any, bucket: GradBucket) -> Future[Tensor]:
    """The average, as DistributedDataParallel makes it without a hook."""
    flat = bucket.buffer().div_(world(process_group).size())
    return _reduced(process_group, flat)


def _reduced(process_group: Any, flat: Tensor) -> Future[Tensor]:
    work = all_reduce(flat, group=process_group, async_op=True)
    assert work is not None
    return work.get_future().then(lambda future: future.value()[0])


def fp16_compress_hook(process_group: Any, bucket: GradBucket) -> Future[Tensor]:
    """The average, of gradients that are sent as float16: half the bytes, 11 bits, and infinite
    above 65504."""
    return _compressed(dtypes.float16, process_group, bucket)


def bf16_compress_hook(process_group: Any, bucket: GradBucket) -> Future[Tensor]:
    """The average, of gradients that are sent as bfloat16: half the bytes, 8 bits, the range of
    float32."""
    return _compressed(dtypes.bfloat16, process_group, bucket)


def _compressed(dtype: dtypes.dtype, process_group: Any, bucket: GradBucket) -> Future[Tensor]:
    flat = bucket.buffer()
    small = flat.to(dtype).div_(world(process_group).size())
    return _reduced(process_group, small).then(lambda future: flat.copy_(future.value()))


def fp16_compress_wrapper(hook: Hook) -> Hook:
    """`hook` on gradients in float16, whose result is brought back."""
    return _wrapper(dtypes.float16, hook)


def bf16_compress_wrapper(hook: Hook) -> Hook:
    """`hook` on gradients in bfloat16, whose result is brought back."""
    return _wrapper(dtypes.bfloat16, hook)


def _wrapper(dtype: dtypes.dtype, hook: Hook) -> Hook:
    def wrapped(state: Any, bucket: GradBucket) -> Future[Tensor]:
        flat = bucket.buffer()
        bucket.set_buffer(flat.to(dtype))
        return hook(state, bucket).then(lambda future: flat.copy_(_tensor(future.value())))

    return wrapped


def _tensor(value: Any) -> Tensor:
    return value[0] if isinstance(value, list | tuple) else value
