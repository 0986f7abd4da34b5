"""Random tensors: `rand`, `randn`, `randint` and their kin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends.batched import key_at
from ..backends.cuda import launch
from ..backends.cuda import random as launches
from ..core import dtypes
from ..core.batched import BatchedArray, Level, anywhere, level_of, refuse_randomness, running
from ..core.box_muller import fused
from ..core.creation import _place, key_for, order_like, sizes
from ..core.devices import device as Device
from ..core.dispatch import DispatchKey, key_of
from ..core.spec import Spec as _Spec
from ..core.tensor import Tensor, wrap
from ..errors import DTypeError, ShapeError
from ..random import Generator, generator_for
from .slicewise import drawn_slicewise

__all__ = [
    "bernoulli",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
]

# -- drawing arrays --------------------------------------------------------------------------------


def drawn(name: str, key: DispatchKey, shape: tuple[int, ...], generator: Any, *args: Any) -> Any:
    """An array of `shape` where `key` says, of the distribution `name` with parameters `args`.

    Complex numbers have independent parts; normal ones share the variance between them.
    """
    levels = running()
    if levels:
        return _drawn_in_batches(levels, name, key, shape, generator, args)
    if key.dtype.is_complex and key.device.type != "meta":
        parts = key_of(key.device, dtypes.float32 if key.dtype.itemsize == 8 else dtypes.float64)
        if name == "normal":
            mean, std = args
            args = mean, std / math.sqrt(2.0)
        return drawn(name, parts, (*shape, 2), generator, *args).view(key.dtype.numpy)[..., 0]
    if key.device.type == "meta":
        return _Spec(shape, key.dtype)
    stream = generator_for(key.device, generator)
    count = math.prod(shape)
    if key.device.type == "cpu":
        values = CPU[name](stream, count, key.dtype.numpy, *args)
        return np.asarray(values).astype(key.dtype.numpy, copy=False).reshape(shape)
    with key.guard:
        if name in launches.DRAWN and launch.driver.is_available():
            return launches.drawn(name, stream.philox, shape, key.dtype.numpy, *args)
        values = GPU[name](stream.library_generator(key.backend.xp), shape, *args)
        return key.backend.xp.asarray(values).astype(key.dtype.numpy)


def is_launched(key: DispatchKey) -> bool:
    """Whether a kernel of ours draws for `key`, in its own type."""
    return (
        key.device.type == "cuda"
        and not key.level
        and not key.dtype.is_complex
        and launch.driver.is_available()
    )


def _drawn_in_batches(
    levels: list[Level], name: str, key: DispatchKey, shape: Any, generator: Any, args: Any
) -> Any:
    """`drawn` inside vmaps: numbers for each slice of those whose randomness is "different".

    Raises: RuntimeError where one's randomness is "error".
    """
    for level in levels:
        refuse_randomness(level)
    own = [level for level in levels if level.randomness == "different"]
    before = list(levels)
    levels.clear()
    try:
        wide = (*[level.length for level in own], *shape)
        array = drawn(name, key_of(key.device, key.dtype), wide, generator, *args)
    finally:
        levels.extend(before)
    for level in own:
        array = BatchedArray(array, level.depth, True)
    return array


def placed(array: Any, key: DispatchKey) -> Tensor:
    """A tensor of an array that `drawn` gave for `key`."""
    return wrap(array, key_at(level_of(array), key.device, key.dtype))


def _standard_exponential(stream: Generator, count: int, dtype: Any, rate: float) -> Any:
    return -np.log1p(-stream.uniform(count, np.float64)) / rate


def _stretched(u: Any, low: float, high: float) -> Any:
    """u * (high - low) + low with one rounding, as processors multiply and add at once."""
    if low == 0.0 and high == 1.0:
        return u
    if u.dtype != np.float32:
        return u * (high - low) + low
    return fused(u, np.float32(high) - np.float32(low), low)


def _shifted(z: Any, mean: float, std: float) -> Any:
    """z * std + mean, likewise."""
    if z.dtype == np.float32 and not (mean == 0.0 and std == 1.0):
        return fused(z, std, mean)
    return z * std + mean


CPU: dict[str, Any] = {
    "uniform": lambda g, n, dtype, low, high: _stretched(g.uniform(n, dtype), low, high),
    "normal": lambda g, n, dtype, mean, std: _shifted(g.normal(n, dtype), mean, std),
    "singly_normal": lambda g, n, dtype, mean, std: g.normals_singly(n) * std + mean,
    "kept": lambda g, n, dtype, probability, value: g.kept(n, probability, value),
    "integers": lambda g, n, dtype, low, high: g.integers(low, high, n),
    "permutation": lambda g, n, dtype: g.permutation(n),
    "exponential": _standard_exponential,
}
GPU: dict[str, Any] = {
    "uniform": lambda g, shape, low, high: g.random(shape) * (high - low) + low,
    "normal": lambda g, shape, mean, std: g.standard_normal(shape) * std + mean,
    "singly_normal": lambda g, shape, mean, std: g.standard_normal(shape) * std + mean,
    "integers": lambda g, shape, low, high: g.integers(low, high, shape),
    "permutation": lambda g, shape: g.random(shape).argsort(),
    "exponential": lambda g, shape, rate: g.standard_exponential(shape) / rate,
}


def require_floating(operation: str, key: DispatchKey) -> None:
    if key.dtype.category < dtypes.FLOAT:
        raise DTypeError(f"{operation}: expected a floating-point dtype. Got {key.dtype}.")


def _sampler(name: str, distribution: str, parameters: tuple[float, ...], doc: str) -> Any:
    def sample(
        *shape: Any,
        size: Any = None,
        generator: Generator | None = None,
        dtype: dtypes.dtype | None = None,
        device: Any = None,
        requires_grad: bool = False,
        layout: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:
        key = key_for(dtype, device)
        require_floating(name, key)
        shape = sizes(shape if size is None else (size,))
        out = placed(drawn(distribution, key, shape, generator, *parameters), key)
        out.requires_grad = requires_grad
        return out

    def sample_like(
        input: Tensor, *, dtype: Any = None, device: Any = None, requires_grad: bool = False,
        generator: Generator | None = None, layout: Any = None, memory_format: Any = None,
        pin_memory: bool = False,
    ) -> Tensor:  # fmt: skip
        place = input.device if device is None else device
        options: dict[str, Any] = {
            "dtype": dtype or input.dtype,
            "device": place,
            "generator": generator,
        }
        order = order_like(input, memory_format)
        if order is None or input.is_meta:
            return sample(tuple(input.shape), requires_grad=requires_grad, **options)
        # Drawn in the order of memory, and normal numbers one by one, as PyTorch does then.
        key = key_for(options["dtype"], place)
        shape = tuple([input.shape[d] for d in order])
        kind = "singly_normal" if distribution == "normal" else distribution
        values = drawn(kind, key, shape, generator, *parameters)
        inverse = [order.index(d) for d in range(len(order))]
        with key.guard:
            return wrap(values.transpose(inverse), key).requires_grad_(requires_grad)

    sample.__name__ = sample.__qualname__ = name
    sample_like.__name__ = sample_like.__qualname__ = f"{name}_like"
    sample.__doc__ = f"A tensor of the given sizes of {doc}."
    sample_like.__doc__ = f"A tensor of {doc}, with the shape, dtype and device of input."
    return sample, sample_like


rand, rand_like = _sampler("rand", "uniform", (0.0, 1.0), "uniform numbers in [0, 1)")
randn, randn_like = _sampler("randn", "normal", (0.0, 1.0), "standard normal numbers")


def randint(
    low: Any = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of `size` of integers from `low` to `high` - 1: `randint(high, size)` begins at 0.

    Raises: RuntimeError if there is no integer in the range.
    """
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if high is None or size is None:
        raise TypeError(f"randint: expected high and size. Got high {high}, size {size}.")
    if high <= low:
        raise RuntimeError(f"randint: expected low below high. Got low {low}, high {high}.")
    key = key_for(dtype or dtypes.int64, device)
    out = placed(drawn("integers", key, sizes((size,)), generator, int(low), int(high)), key)
    out.requires_grad = requires_grad
    return out


def randint_like(input: Tensor, low: int, high: Any = None, **options: Any) -> Tensor:
    """Like `randint`, with the shape, dtype and device of input."""
    options = {"dtype": input.dtype, "device": input.device, **options}
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, tuple(input.shape), **options)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """The integers below `n` in random order; int64."""
    if n < 0:
        raise RuntimeError(f"randperm: expected a number n not below 0. Got {n}.")
    key = key_for(dtype or dtypes.int64, device)
    out = placed(drawn("permutation", key, (n,), generator), key)
    return out.requires_grad_(requires_grad) if requires_grad else out


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtypes.dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers with `mean` and `std`, which are numbers (then `size` is needed) or
    tensors. Raises: RuntimeError for a negative std."""
    if isinstance(std, Tensor):
        fits = std.is_meta or not anywhere(std < 0)
    else:
        fits = std >= 0
    if not fits:
        raise RuntimeError("normal: expected a standard deviation not below 0.")
    tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
    if not tensors:
        if size is None:
            raise TypeError("normal: expected size, as mean and std are numbers. Got none.")
        key = key_for(dtype, device)
        out = placed(drawn("normal", key, sizes((size,)), generator, float(mean), float(std)), key)
        return out.requires_grad_(requires_grad)
    shape = tuple((mean + std).shape)
    noise = randn(shape, generator=generator, dtype=tensors[0].dtype, device=tensors[0].device)
    out = noise * (std.detach() if isinstance(std, Tensor) else std)
    out = out + (mean.detach() if isinstance(mean, Tensor) else mean)
    if any(t.requires_grad for t in tensors):
        out = out + (mean + std) * 0  # what was drawn does not move with its parameters
    return out


def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None
) -> Tensor:
    """1 with the probability that each element of input (or `p`) gives, else 0; input's dtype and
    shape.

    Raises: RuntimeError for elements outside [0, 1].
    """
    if p is not None:
        return input.detach().clone().bernoulli_(p, generator=generator)
    require_floating("bernoulli", input._key)
    if is_launched(input._key) and not running():
        return wrap(coins(input, generator), input._key)
    if not input.is_meta and input.numel() and anywhere((input < 0) | (input > 1) | input.isnan()):
        raise RuntimeError("bernoulli: expected probabilities from 0 to 1. Got others.")
    draws = drawn("uniform", input._key, tuple(input.shape), generator, 0.0, 1.0)
    return (placed(draws, input._key) < input.detach()).to(input.dtype)


def coins(probabilities: Tensor, generator: Generator | None) -> Any:
    """An array of ones with these probabilities and zeros, drawn on their GPU."""
    with probabilities._key.guard:
        stream = generator_for(probabilities.device, generator).philox
        return launches.coins(stream, probabilities._array)


@drawn_slicewise
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn with probability proportional to the rows of input: (..., n) -> (..., samples).

    Raises: RuntimeError for negative or non-finite weights, rows of zeros, or more samples than
    nonzero weights without replacement.
    """
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: expected at least one sample. Got {num_samples}.")
    if input.ndim not in (1, 2) or not input.is_floating_point():
        raise ShapeError(
            "multinomial: expected one or two dimensions of floating-point weights. Got shape "
            f"{tuple(input.shape)}, {input.dtype}."
        )
    if input.is_meta:
        return input.new_empty((*input.shape[:-1], num_samples), dtype=dtypes.int64)
    if is_launched(input._key) and input.numel():
        return _launched_multinomial(input, num_samples, replacement, generator)
    weights = input.detach().numpy_values().astype(np.float64).reshape(-1, input.shape[-1])
    if not np.isfinite(weights).all() or (weights < 0).any() or (weights.sum(1) <= 0).any():
        raise RuntimeError("multinomial: expected finite weights, none negative, some positive.")
    if not replacement and ((weights > 0).sum(1) < num_samples).any():
        raise RuntimeError(
            f"multinomial: expected at most as many samples as nonzero weights. Got {num_samples}."
        )
    stream = generator_for(Device("cpu"), generator)
    if replacement and num_samples > 1:  # one is drawn as without, which decides the stream
        edges = np.cumsum(weights / weights.sum(1, keepdims=True), 1)
        draws = stream.uniform(weights.shape[0] * num_samples, np.float64)
        draws = draws.reshape(weights.shape[0], num_samples)
        picks = np.stack(
            [np.searchsorted(e, d, "right") for e, d in zip(edges, draws, strict=True)]
        )
        picks = np.minimum(picks, weights.shape[1] - 1)
    else:
        # The smallest of exponential clocks running at the weights' rates ring in this order.
        clocks = -np.log1p(-stream.uniform(weights.size, np.float64)).reshape(weights.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            rings = np.where(weights > 0, clocks / weights, np.inf)
        picks = np.argsort(rings, 1)[:, :num_samples]
    shape = (*input.shape[:-1], num_samples)
    return _place(picks.astype(np.int64).reshape(shape), key_of(input.device, dtypes.int64))


def _launched_multinomial(
    input: Tensor, num_samples: int, replacement: bool, generator: Generator | None
) -> Tensor:
    """`multinomial` on the GPU, which notes wrong weights instead of being waited for."""
    n = input.shape[-1]
    if not replacement and num_samples > n:
        raise RuntimeError(
            f"multinomial: expected at most {n} samples without replacement. Got {num_samples}."
        )
    with input._key.guard:
        stream = generator_for(input.device, generator).philox
        picks = launches.choices(stream, input._array.reshape(-1, n), num_samples, replacement)
    key = key_of(input.device, dtypes.int64)
    return wrap(picks.reshape(*input.shape[:-1], num_samples), key)


for _function in (bernoulli, multinomial):
    setattr(Tensor, _function.__name__, _function)
