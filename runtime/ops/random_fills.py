"""Random numbers written in place: `normal_`, `uniform_` and their kin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core import dtypes
from ..core.batched import running
from ..core.dispatch import key_of
from ..core.tensor import Tensor
from ..random import Generator
from .inplace import check_writable, write
from .sampling import coins, drawn, is_launched, placed, require_floating


def _fill(self: Tensor, name: str, distribution: str, generator: Any, *args: Any) -> Tensor:
    check_writable(self, name)
    write(self, drawn(distribution, self._key, tuple(self.shape), generator, *args), name)
    return self


def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Write uniform numbers in [from, to)."""
    if to < from_:
        raise RuntimeError(f"uniform_: expected from not above to. Got {from_} and {to}.")
    return _fill(self, "uniform_", "uniform", generator, from_, to)


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Write normal numbers with `mean` and `std`."""
    if std < 0:
        raise RuntimeError(f"normal_: expected a standard deviation not below 0. Got {std}.")
    return _fill(self, "normal_", "normal", generator, mean, std)


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Write exponential numbers with rate `lambd`. Raises: RuntimeError unless it is above 0."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_: expected lambd above 0. Got {lambd}.")
    return _fill(self, "exponential_", "exponential", generator, lambd)


def random_(
    self: Tensor, from_: Any = 0, to: Any = None, *, generator: Generator | None = None
) -> Tensor:
    """Write integers from `from_` (0 if only one bound is given) to `to` - 1; without bounds, all
    from 0 on that the dtype holds exactly."""
    if to is None:
        from_, to = 0, from_ or _exact_integers(self.dtype)
    return _fill(self, "random_", "integers", generator, int(from_), int(to))


def _exact_integers(dtype: dtypes.dtype) -> int:
    """How many integers from 0 on `dtype` holds without a gap."""
    if dtype.is_floating_point:
        return 2 ** (np.finfo(dtype.numpy).nmant + 1) + 1
    return 2 if dtype is dtypes.bool_ else int(np.iinfo(dtype.numpy).max) + 1


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Write 1 with probability `p` (a number or tensor), else 0."""
    check_writable(self, "bernoulli_")
    if is_launched(self._key) and not isinstance(p, Tensor):
        key = self._key if self._key.is_float else key_of(self.device, dtypes.float32)
        array = drawn("bernoulli", key, tuple(self.shape), generator, float(p), 1.0)
        write(self, array, "bernoulli_")
        return self
    if is_launched(self._key) and not running():
        probabilities = p.detach().to(self.device, dtypes.float32).expand(self.shape)
        write(self, coins(probabilities, generator), "bernoulli_")
        return self
    key = key_of(self.device, dtypes.float64)
    draws = drawn("uniform", key, tuple(self.shape), generator, 0.0, 1.0)
    if not self.is_meta:
        limit = p.detach().to(dtypes.float64) if isinstance(p, Tensor) else p
        write(self, (placed(draws, key) < limit)._array, "bernoulli_")
    return self


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with Cauchy variables of that median and scale."""
    check_writable(self, "cauchy_")
    if sigma <= 0:
        raise RuntimeError(f"cauchy_: expected sigma above 0. Got {sigma}.")
    require_floating("cauchy_", self._key)
    if is_launched(self._key):
        return _fill(self, "cauchy_", "cauchy", generator, median, sigma)
    key = key_of(self.device, dtypes.float64)
    angle = placed(drawn("uniform", key, tuple(self.shape), generator, 0.0, 1.0), key)
    write(self, ((angle - 0.5) * math.pi).tan().mul(sigma).add(median).to(self.dtype)._array, "")
    return self


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the numbers of trials up to the first success of probability p."""
    check_writable(self, "geometric_")
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: expected p between 0 and 1. Got {p}.")
    if is_launched(self._key):
        key = self._key if self._key.is_float else key_of(self.device, dtypes.float32)
        array = drawn("geometric", key, tuple(self.shape), generator, p, 0.0)
        write(self, array, "geometric_")
        return self
    key = key_of(self.device, dtypes.float64)
    draw = placed(drawn("uniform", key, tuple(self.shape), generator, 0.0, 1.0), key)
    write(self, (draw.log() / math.log1p(-p)).ceil().to(self.dtype)._array, "geometric_")
    return self


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with exp of normal variables, drawn one by one as PyTorch does here."""
    if std <= 0:
        raise RuntimeError(f"log_normal_: expected std above 0. Got {std}.")
    check_writable(self, "log_normal_")
    if is_launched(self._key):
        return _fill(self, "log_normal_", "log_normal", generator, mean, std)
    wide = key_of(self.device, dtypes.float64)
    values = drawn("singly_normal", wide, tuple(self.shape), generator, mean, std)
    write(self, placed(values, wide).exp().to(self.dtype)._array, "log_normal_")
    return self


for _function in (
    uniform_, normal_, exponential_, random_, bernoulli_, cauchy_, geometric_, log_normal_,
):  # fmt: skip
    setattr(Tensor, _function.__name__, _function)
