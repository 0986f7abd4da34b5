"""Rows of the tables of calls: an operation, how arguments are drawn, the reference in NumPy."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

import flambeau as torch

from .drawing import COMPLEX, EVERY_DTYPE, LAYOUTS, seeds, values

REAL = tuple(d for d in EVERY_DTYPE if d not in COMPLEX)

RECORDED = Path(__file__).parents[1] / "recorded" / "call_dtypes.json"

NUMBERS = EVERY_DTYPE[1:]


@dataclass(frozen=True)
class In:
    """A tensor of a call: numbers between two bounds, of which `made` makes what is asked for.

    `dtype` is given where it does not follow the type that is drawn for the call; a `constant` one
    has no gradient.
    """

    shape: tuple[int, ...]
    low: float = -3.0
    high: float = 3.0
    made: Callable[[Any], Any] | None = None
    dtype: Any = None
    constant: bool = False


@dataclass(frozen=True)
class Type:
    """An element type by its name, the same in every library."""

    name: str


Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Row:
    """Calls of the function `name`: `arguments` draws them, `reference` takes arrays for tensors.

    A reference may give, in place of a result, a function of all results that tells whether it is
    right. `terms` is the number of roundings in a result. `only` leaves out element types that
    PyTorch refuses but for tensors of one element or none. `gauged` results are free in a complex
    phase, and have no gradient by themselves. Gradients go `through` a function of the last tensor.
    """

    name: str
    arguments: Callable[[Any], Arguments]
    reference: Callable[..., Any]
    label: str = ""
    terms: int = 16
    gradient: bool = True
    second: bool = True
    gauged: bool = False
    through: Callable[[Any], Any] | None = None
    on_meta: bool = True
    only: tuple[Any, ...] = EVERY_DTYPE

    @property
    def identity(self) -> str:
        return f"{self.name} {self.label}".strip()


def public(library: Any, name: str) -> Any:
    """The function of `library` with a dotted name; F stands for nn.functional."""
    return functools.reduce(getattr, name.replace("F.", "nn.functional.").split("."), library)


def filled(template: Any, function: Callable[[In], Any]) -> Any:
    """`template` with the values of `function` in the places of tensors."""
    if isinstance(template, In):
        return function(template)
    if isinstance(template, list | tuple):
        return type(template)(filled(t, function) for t in template)
    if isinstance(template, dict):
        return {k: filled(v, function) for k, v in template.items()}
    return template


def inputs_of(template: Any) -> list[In]:
    """The tensors that `template` asks for, in order."""
    found: list[In] = []
    filled(template, found.append)
    return found


@dataclass
class Drawn:
    """A call that has been drawn: its arguments with arrays, which a library makes tensors of."""

    row: Row
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arrays: list[Any]
    floating: list[int]
    """Which arrays are of the drawn type and have a gradient."""

    def arguments(self, library: Any, tensors: Any) -> Arguments:
        waiting = iter(tensors)

        def named(value: Any) -> Any:
            return getattr(library, value.name) if isinstance(value, Type) else value

        args = filled(self.args, lambda _: next(waiting))
        kwargs = filled(self.kwargs, lambda _: next(waiting))
        return tuple(map(named, args)), {k: named(v) for k, v in kwargs.items()}

    def call(self, library: Any, tensors: Any, **more: Any) -> Any:
        args, kwargs = self.arguments(library, tensors)
        return public(library, self.row.name)(*args, **kwargs, **more)

    def expected(self) -> list[Any]:
        """The reference's results for the numbers as rounded, computed in the widest types."""
        args, kwargs = self.arguments(np, [widened(a) for a in self.arrays])
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of empty slices
            found = self.row.reference(*args, **kwargs)
        return list(found) if isinstance(found, tuple | list) else [found]


def widened(array: Any) -> Any:
    """`array` in the widest type of its kind: bool, int64, float64 or complex128."""
    kinds = {"b": np.bool_, "i": np.int64, "u": np.int64, "c": np.complex128}
    return array.astype(kinds.get(array.dtype.kind, np.float64))


def drawn_call(draw: Any, row: Row, dtype: Any, ties: bool = True) -> Drawn:
    """A call of `row` with tensors of `dtype`, perhaps with equal elements."""
    args, kwargs = row.arguments(draw)
    asked = inputs_of((args, kwargs))
    arrays = [_array(draw, one, one.dtype or dtype, ties) for one in asked]
    return Drawn(
        row,
        args,
        kwargs,
        arrays,
        [k for k, one in enumerate(asked) if not (one.dtype or one.constant)],
    )


def _array(draw: Any, asked: In, dtype: Any, ties: bool) -> Any:
    array = values(asked.shape, dtype, draw(seeds), asked.low, asked.high)
    axes = [k for k, n in enumerate(asked.shape) if n > 1]
    if ties and axes and draw(st.integers(0, 7)) == 0:  # equal rows
        array = np.array(np.broadcast_to(array.take([0], axes[0]), asked.shape))
    if not ties and array.dtype.kind in "fc":  # numbers on a grid: move each by another part of it
        steps = np.random.RandomState(0).permutation(array.size).reshape(array.shape)
        array = np.asarray(array + 1e-3 * steps)
    if asked.made is not None:
        array = np.asarray(asked.made(widened(array))).astype(dtype.numpy)
    return array


def laid_out(draw: Any, array: Any) -> Any:
    """A tensor of these values in some layout of memory."""
    return draw(st.sampled_from(list(LAYOUTS.values())))(array)


@functools.cache
def recorded() -> Any:
    return json.loads(RECORDED.read_text())


def result_types(row: Row) -> dict[Any, list[Any]]:
    """PyTorch's types of the results by the type of the tensors that it takes."""
    found = zip(EVERY_DTYPE, recorded()[row.identity].split(), strict=True)
    return {
        d: [getattr(torch, n) for n in s.split("+")] for d, s in found if s != "-" and d in row.only
    }


# -- what rows draw --------------------------------------------------------------------------------


def axis(draw: Any, ndim: int) -> int:
    """A dimension counted from the front or from the back; of 0-d tensors 0 or -1."""
    return draw(st.integers(-max(ndim, 1), max(ndim, 1) - 1))


def axes(draw: Any, ndim: int) -> tuple[int, ...]:
    """Different dimensions in any order, some counted from the back."""
    found = draw(st.lists(st.integers(0, ndim - 1), unique=True, min_size=1)) if ndim else [0]
    return tuple(d - max(ndim, 1) if draw(st.booleans()) else d for d in found)


def scan(function: Callable[..., Any]) -> Callable[..., Any]:
    """A cumulative function of NumPy, for 0-d arrays too."""

    def reference(x: Any, dim: int, dtype: Any = None) -> Any:
        wide = np.atleast_1d(x if dtype is None else x.real)  # PyTorch drops imaginary parts
        return function(wide, axis=dim).reshape(x.shape)

    return reference


def of_scalars_too(reference: Callable[..., Any]) -> Callable[..., Any]:
    """`reference` that NumPy only has for arrays with dimensions, for 0-d arrays too."""

    def wrapped(x: Any, *args: Any, **kwargs: Any) -> Any:
        if x.ndim:
            return reference(x, *args, **kwargs)
        if "keepdim" in kwargs:
            kwargs["keepdim"] = False
        return reference(x.reshape(1), *args, **kwargs)

    return wrapped
