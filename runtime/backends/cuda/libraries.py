"""NVIDIA's libraries, opened through ctypes wherever they are: in this process already, in the
wheels below the package `nvidia`, or where the system looks."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PRESENT = getattr(os, "RTLD_NOLOAD", None)
"""The mode of `dlopen` that finds only what the process has; None where there is none."""


def opened(names: Sequence[str], folders: Sequence[str]) -> Any:
    """The first library of `names` that opens, from `folders` of the wheels before the system's;
    None if none does."""
    if PRESENT is not None:
        for name in names:
            found = _opened(name, PRESENT)
            if found is not None:
                return found
    for place in _places(names, folders):
        found = _opened(place, ctypes.DEFAULT_MODE)
        if found is not None:
            return found
    return None


def _opened(place: str, mode: int) -> Any:
    try:
        return ctypes.CDLL(place, mode)
    except OSError:
        return None


def _places(names: Sequence[str], folders: Sequence[str]) -> Iterator[str]:
    wheels = importlib.util.find_spec("nvidia")
    for base in [] if wheels is None else wheels.submodule_search_locations or []:
        for folder in folders:
            yield from (str(Path(base) / folder / name) for name in names)
    yield from names
    yield from (f"/usr/local/cuda/lib64/{name}" for name in names)
