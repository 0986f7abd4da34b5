"""Versions: of this package, of the API it offers, and of what it was built for."""

from __future__ import annotations

import re
from typing import Any

release = "0.1.0"
"""The version of this package."""

api = "2.13.0"
"""The version of PyTorch whose API this is; programs ask for it to know what they may use."""


class TorchVersion(str):
    """A version that compares by its numbers, with text and with tuples.

    >>> TorchVersion("2.13.0+flambeau.0.1.0") >= "2.4", TorchVersion("2.13.0") < (3,)
    (True, True)
    """

    __slots__ = ()

    def _numbers(self, other: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Those of both, made equally long."""
        own, its = _release_numbers(self), _release_numbers(other)
        length = max(len(own), len(its))
        return own + (0,) * (length - len(own)), its + (0,) * (length - len(its))

    def __lt__(self, other: Any) -> bool:
        own, its = self._numbers(other)
        return own < its

    def __le__(self, other: Any) -> bool:
        own, its = self._numbers(other)
        return own <= its

    def __gt__(self, other: Any) -> bool:
        own, its = self._numbers(other)
        return own > its

    def __ge__(self, other: Any) -> bool:
        own, its = self._numbers(other)
        return own >= its


def _release_numbers(version: Any) -> tuple[int, ...]:
    """The numbers at the beginning of a version, up to what is no number. Raises: TypeError for
    what is neither text nor a tuple."""
    if isinstance(version, tuple):
        version = ".".join(map(str, version))
    if not isinstance(version, str):
        raise TypeError(f"Expected a version to compare with. Got {type(version).__name__}.")
    found = re.match(r"v?(\d+(?:\.\d+)*)", str(version))
    return tuple(int(part) for part in found[1].split(".")) if found else ()


__version__ = TorchVersion(f"{api}+flambeau.{release}")
git_version = None
hip = None
debug = False


def __getattr__(name: str) -> Any:
    """`cuda`: the version of CUDA that CuPy works with, None without one."""
    if name != "cuda":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .backends import cuda as backend

    if not backend.device_count():
        return None
    import cupy

    number = cupy.cuda.runtime.runtimeGetVersion()
    return f"{number // 1000}.{number % 1000 // 10}"
