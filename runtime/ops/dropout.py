"""Dropout: elements that are left out at random, and the draws that decide it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backends import philox
from ..backends.cuda import random as launches
from ..core import dtypes
from ..core.creation import order_like
from ..core.devices import device as Device
from ..core.dispatch import key_of
from ..core.layouts import is_laid_out, preserve_format
from ..core.spec import Spec as _Spec
from ..core.tensor import Tensor, wrap
from ..random import generator_for
from .declare import Spec, composite, primitive
from .sampling import drawn, is_launched, placed

__all__ = ["dropout"]


@composite
def dropout(
    F: Any, input: Spec, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Spec:
    """Elements set to 0 with probability `p`, the others scaled by 1 / (1 - p); input in
    evaluation.

    Source: arXiv:1207.0580. Raises: ValueError for p outside [0, 1].
    """
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout: expected a probability from 0 to 1. Got {p}.")
    if not training or p == 0.0:
        return input
    if isinstance(input, Tensor) and is_launched(input._key) and input._key.is_float and p < 1.0:
        part = launches.dropout_part(generator_for(input.device).philox, input.numel())
        return F.philox_dropout(input, probability=1.0 - p, value=1.0 / (1.0 - p), **part)
    return F.mul(input, dropout_mask(input, p))


@primitive(node_name="NativeDropout")
def philox_dropout(
    input: Spec,
    *,
    probability: float,
    value: float,
    seed: int,
    offset: int,
    held: int,
    threads: int,
) -> Spec:
    """input times `value` with a probability, else 0, as a grid of so many threads draws from
    `offset` on in the stream of `seed`; in CUDA graphs from what device memory at `held` says.

    Nothing is saved for the gradient, which draws the same numbers again.
    """
    return Spec(input.shape, input.dtype)


@philox_dropout.array
def philox_dropout_array(
    xp: Any,
    input: Any,
    probability: float,
    value: float,
    seed: int,
    offset: int,
    held: int,
    threads: int,
) -> Any:
    """The words by array code."""
    kept = philox.is_kept(xp, input.size, seed, offset, threads, probability)
    return input * (kept.reshape(input.shape) * input.dtype.type(value))


@philox_dropout.vjp()
def philox_dropout_vjp(
    F: Any,
    g: Any,
    needs: Any,
    input: Any,
    probability: Any,
    value: Any,
    seed: Any,
    offset: Any,
    held: Any,
    threads: Any,
) -> Any:
    """The same map of g."""
    return F.philox_dropout(
        g, probability=probability, value=value, seed=seed, offset=offset, held=held,
        threads=threads,
    )  # fmt: skip


def uniform_numbers(place: Device, shape: tuple[int, ...], generator: Any = None) -> Any:
    """A bare float64 array of numbers in [0, 1), as PyTorch draws to decide by probability."""
    return drawn("uniform", key_of(place, dtypes.float64), shape, generator, 0.0, 1.0)


def uniform_numbers_like(input: Tensor, draw: Callable[..., Any] = uniform_numbers) -> Any:
    """The same of the input's shape, drawn in the order in which its elements lie in memory."""
    shape, order = tuple(input.shape), order_like(input)
    if order is None or not is_laid_out(preserve_format, shape, input.stride()):
        return draw(input.device, shape)  # with gaps or overlaps: row-major
    draws = draw(input.device, tuple([shape[d] for d in order]))
    with input._key.guard:
        return draws.transpose([order.index(d) for d in range(len(shape))])


def dropout_mask(input: Tensor, p: float, shape: Any = None) -> Tensor:
    """1 / (1 - p) with probability 1 - p, else 0, in the input's dtype and shape (or `shape`)."""
    key = input._key
    wanted = tuple(input.shape) if shape is None else shape
    if key.device.type == "meta":
        return wrap(_Spec(wanted, key.dtype), key)
    scale = 1.0 / (1.0 - p) if p < 1.0 else 0.0
    is_looped = key.dtype is dtypes.float32 and key.array_class is np.ndarray
    if shape is None and (is_looped or is_launched(key)):

        def kept(place: Device, wanted: tuple[int, ...]) -> Any:
            return drawn("kept", key, wanted, None, 1.0 - p, scale)

        return wrap(uniform_numbers_like(input, kept), key)
    precise = key_of(key.device, dtypes.float64)
    draws = uniform_numbers(key.device, wanted) if shape else uniform_numbers_like(input)
    if key.level:
        return (placed(draws, precise) < 1.0 - p).to(key.dtype) * scale
    with key.guard:
        return wrap((draws < 1.0 - p).astype(key.dtype.numpy) * key.dtype.numpy.type(scale), key)
