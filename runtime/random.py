"""Random number generators. On the CPU they give PyTorch's own streams, on GPUs those of Philox in
PyTorch's order (see `backends.cuda.random`).

PyTorch's CPU generator is the Mersenne Twister MT19937 with its standard initialization (Matsumoto
and Nishimura, ACM TOMACS 8(1), 1998), read as 32-bit words in order. How the words become numbers
was found by comparing streams.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .backends.cpu import loops
from .backends.cuda.generator import STATE as PHILOX
from .backends.cuda.generator import PhiloxState
from .core.box_muller import normal_float32
from .core.devices import device as Device

__all__ = [
    "Generator", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed",
    "seed", "set_rng_state",
]  # fmt: skip

DEFAULT_SEED = 67280421310721
"""What PyTorch's generators are seeded with before anyone seeds them."""

LARGE = 32_768
"""Numbers from which on they are made in a fused loop, to the same bits."""

PIECE = 1 << 18
"""Numbers whose words (2 MiB) are still in the cache when they are read."""

STATE_WORDS = 624
"""Words of the Mersenne Twister's state."""

STATE = np.dtype([
    ("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("next", "<u8"),
    ("words", "<u8", STATE_WORDS), ("spare", "<f8", 3), ("has_spare", "<i8"), ("unused", "<u8"),
])  # fmt: skip
"""The bytes of a state, laid out as PyTorch 2.13 does on the CPU, so that a checkpoint's state goes
on in either."""


class Generator:
    """A stream of random words on `device`, seeded by `manual_seed`.

    Raises: DeviceError for a device that is not there.
    """

    def __init__(self, device: Any = "cpu") -> None:
        from .core.creation import place_of

        self.device = place_of(device) if str(device) != "cpu" else Device("cpu")
        self._lock = threading.Lock()
        self._bits = np.random.MT19937()
        self.manual_seed(DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed`, any integer of up to 64 bits, and return the generator."""
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise RuntimeError(f"manual_seed: expected an integer of up to 64 bits. Got {seed}.")
        self._seed = seed % 2**64
        self._bits._legacy_seeding(self._seed % 2**32)
        self._spare_normal: float | None = None
        self._library_generator: Any = None
        self.philox = PhiloxState(self._seed)
        return self

    def seed(self) -> int:
        """Seed from the operating system's entropy and return that seed."""
        fresh = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(fresh)
        return fresh

    def initial_seed(self) -> int:
        """The seed that the stream began with."""
        return self._seed

    # -- words -----------------------------------------------------------------------------------

    def words(self, count: int) -> np.ndarray[Any, Any]:
        """The next `count` 32-bit words, as uint64."""
        with self._lock:
            if count == 0:
                return np.empty(0, np.uint64)
            found: np.ndarray[Any, Any] = self._bits.random_raw(count)
            return found

    def _narrow_words(self, count: int) -> np.ndarray[Any, Any]:
        """The next `count` words, many, as uint32."""
        from .backends.cpu.loops import twister

        with self._lock:
            found: np.ndarray[Any, Any] = twister.words(self._bits, count)
            return found

    def long_words(self, count: int) -> np.ndarray[Any, Any]:
        """The next `count` 64-bit words, each of two, the first the higher."""
        pairs = self.words(2 * count).reshape(count, 2)
        return (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]

    def uniform(self, count: int, dtype: Any) -> np.ndarray[Any, Any]:
        """`count` numbers in [0, 1): multiples of 2**-53 as float64, of 2**-24 in smaller types."""
        if np.dtype(dtype) == np.float64:
            if count >= LARGE and loops.is_available():
                from .backends.cpu.loops import normals

                return normals.uniform_double(self._narrow_words(2 * count))
            return (self.long_words(count) & np.uint64(2**53 - 1)) / 2.0**53
        if count >= LARGE and loops.is_available():
            from .backends.cpu.loops import normals

            return normals.uniform(self._narrow_words(count))
        return (self.words(count) & np.uint64(2**24 - 1)).astype(np.float32) * np.float32(2**-24)

    def kept(self, count: int, probability: float, value: float) -> np.ndarray[Any, Any]:
        """`value` with a probability, else 0, as float32: where float64 numbers lie below it."""
        if count < LARGE or not loops.is_available():
            is_kept = self.uniform(count, np.float64) < probability
            return is_kept.astype(np.float32) * np.float32(value)
        from .backends.cpu.loops import normals

        out = np.empty(count, np.float32)
        for start in range(0, count, PIECE):
            part = out[start : start + PIECE]
            normals.write_kept(self._narrow_words(2 * len(part)), part, probability, value)
        return out

    def normal(self, count: int, dtype: Any) -> np.ndarray[Any, Any]:
        """`count` standard normal numbers by the Box-Muller transform (1958), in PyTorch's
        order."""
        if count < 16:
            return self.normals_singly(count)
        u = self.uniform(count, dtype)
        whole = count - count % 16
        out = np.empty(count, u.dtype)
        out[:whole] = _box_muller(u[:whole])
        if whole != count:  # the last 16 are drawn anew as one block
            out[-16:] = _box_muller(self.uniform(16, dtype))
        return out

    def normals_singly(self, count: int) -> np.ndarray[Any, Any]:
        """The same one after the other, in pairs of which the second waits its turn."""
        return np.array([self._one_normal() for _ in range(count)], np.float64)

    def _one_normal(self) -> float:
        if self._spare_normal is not None:
            spare, self._spare_normal = self._spare_normal, None
            return spare
        u, v = self.uniform(2, np.float64).tolist()
        radius = math.sqrt(-2.0 * math.log1p(-v))
        self._spare_normal = radius * math.sin(2.0 * math.pi * u)
        return radius * math.cos(2.0 * math.pi * u)

    def integers(self, low: int, high: int, count: int) -> np.ndarray[Any, Any]:
        """`count` int64 numbers from `low` to `high` - 1, by remainder."""
        span = high - low  # 2**63 at most, which uint64 holds
        words = self.long_words(count) if span >= 2**32 else self.words(count)
        return (words % np.uint64(span)).astype(np.int64) + low

    def permutation(self, count: int) -> np.ndarray[Any, Any]:
        """The numbers below `count` in random order, by Fisher and Yates' shuffle from the
        front."""
        order = list(range(count))
        words = self.words(max(count - 1, 0)).tolist()
        for k, word in enumerate(words):
            other = k + word % (count - k)
            order[k], order[other] = order[other], order[k]
        return np.array(order, np.int64)

    # -- state -----------------------------------------------------------------------------------

    def get_state(self) -> Any:
        """The state as a uint8 tensor, for `set_state`."""
        from .core.creation import from_numpy

        if self.device.type == "cuda":
            return from_numpy(self.philox.packed())
        inner: Any = self._bits.state["state"]
        packed = np.zeros(1, STATE)
        taken = inner["pos"] % STATE_WORDS  # 624 words taken, or none yet: new ones come first
        packed["seed"], packed["seeded"], packed["words"] = self._seed, 1, inner["key"]
        packed["next"], packed["left"] = taken, STATE_WORDS - taken + 1 if taken else 1
        if self._spare_normal is not None:
            packed["spare"][0, 1], packed["has_spare"] = self._spare_normal, 1
        return from_numpy(packed.view(np.uint8))

    def set_state(self, state: Any) -> Generator:
        """Continue from a `state` that `get_state` gave, here or in PyTorch. Raises: RuntimeError
        for anything else."""
        packed = state.numpy_values()
        expected = PHILOX if self.device.type == "cuda" else STATE
        if packed.dtype != np.uint8 or packed.size != expected.itemsize:
            raise RuntimeError(
                f"set_state: expected a uint8 tensor of {expected.itemsize} elements, from "
                f"get_state() of a generator on {self.device.type!r}. Got {state.dtype}, shape "
                f"{tuple(state.shape)}."
            )
        if expected is PHILOX:
            self.philox.unpack(packed)
            self._seed = self.philox.seed
            return self
        found = packed.reshape(-1).copy().view(STATE)[0]
        self._seed = int(found["seed"])
        taken = int(found["next"]) if found["left"] > 1 else STATE_WORDS
        self._bits.state = {
            "bit_generator": "MT19937",
            "state": {"key": found["words"].astype(np.uint32), "pos": taken},
        }
        self._spare_normal = float(found["spare"][1]) if found["has_spare"] else None
        return self

    def library_generator(self, xp: Any) -> Any:
        """The GPU library's own generator of this seed, for the distributions that have no kernel;
        made at its first use."""
        if self._library_generator is None:
            bits = xp.random.Philox4x3210(self._seed)
            self._library_generator = xp.random.Generator(bits)
        return self._library_generator


def _box_muller(u: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Blocks of 16 uniform numbers as 16 normal ones: the first 8 give radii, the others angles."""
    if u.dtype == np.float32:
        if len(u) >= LARGE and loops.is_fusing():
            from .backends.cpu.loops import normals

            return normals.normal(u)
        return normal_float32(u)
    blocks = u.reshape(-1, 2, 8)
    one = u.dtype.type(1)
    radius = np.sqrt(u.dtype.type(-2) * np.log(one - blocks[:, 0]))
    angle = u.dtype.type(2 * math.pi) * blocks[:, 1]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)


default_generator = Generator()
"""The CPU's generator, used wherever none is given."""


def _unlock() -> None:
    """Give the generator locks of its own in a forked process: the one that NumPy holds inside is
    replaced with the words it guards."""
    words = default_generator._bits.state
    default_generator._lock = threading.Lock()
    default_generator._bits = np.random.MT19937(0)
    default_generator._bits.state = words


if hasattr(os, "register_at_fork"):
    # Another thread may be drawing just when a data loader's worker is forked.
    os.register_at_fork(after_in_child=_unlock)

_by_device: dict[Device, Generator] = {Device("cpu"): default_generator}


def generator_for(place: Device, given: Generator | None = None) -> Generator:
    """The generator to draw from on `place`: the one given, or the device's own.

    Raises: RuntimeError if the one given belongs to another device.
    """
    if given is not None:
        if given.device != place and place.type != "meta":
            raise RuntimeError(
                f"Expected a generator on {place}. Got one on {given.device}. Make one with "
                f"torch.Generator({str(place)!r})."
            )
        return given
    if place.type == "meta":
        return default_generator
    found = _by_device.get(place)
    if found is None:
        found = _by_device[place] = Generator(place).manual_seed(default_generator.initial_seed())
    return found


def generators() -> list[Generator]:
    """The generators of all devices that were drawn from, the CPU's first."""
    return list(_by_device.values())


def manual_seed(seed: int) -> Generator:
    """Seed the generators of all devices; returns the CPU's.

    Example:
        >>> torch.manual_seed(0)
        >>> torch.rand(2)
        tensor([0.4963, 0.7682])
    """
    for generator in _by_device.values():
        generator.manual_seed(seed)
    return default_generator


def seed() -> int:
    """Seed all devices from the operating system's entropy and return that seed."""
    fresh = default_generator.seed()
    manual_seed(fresh)
    return fresh


def initial_seed() -> int:
    """The seed that the CPU's stream began with."""
    return default_generator.initial_seed()


def get_rng_state() -> Any:
    """The state of the CPU's generator, a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: Any) -> None:
    """Continue the CPU's stream from `new_state`."""
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Draws inside the block leave the streams outside, of all devices, as they were."""
    before = [(g, g.get_state()) for g in generators()] if enabled else []
    try:
        yield
    finally:
        for generator, state in before:
            generator.set_state(state)
