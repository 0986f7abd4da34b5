"""What CuPy's functions and ufuncs take, from the record of its interface."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

RECORD = json.loads(
    (Path(__file__).parents[1] / "recorded" / "cupy_interface.json").read_text(encoding="utf-8")
)
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
KINDS = "biufc"
"""Kinds of numbers, each of which holds those before it."""
DEFAULTS = {bool: np.bool_, int: np.int64, float: np.float64, complex: np.complex128}
"""What Python numbers are among arrays of a lesser kind (NEP 50)."""


def exists(name: str) -> bool:
    """Whether CuPy has `name`, such as "cupy.cuda.Stream.record"."""
    parts = RECORD["parameters"], RECORD["ufuncs"], RECORD["names"]
    return any(name in part for part in parts)


@cache
def _signature(name: str) -> inspect.Signature:
    """The parameters of CuPy's function `name`. Raises: AttributeError if it has none."""
    text = RECORD["parameters"].get(name)
    if text is None:
        raise AttributeError(f"{name} is no function of CuPy {RECORD['version']}")
    return inspect.signature(eval(f"lambda {text}: None"))


def checked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which refuses arguments that CuPy's `name` does not take."""
    signature = _signature(name)

    def call(*args: Any, **options: Any) -> Any:
        try:
            signature.bind(*args, **options)
        except TypeError as error:
            raise TypeError(f"{name}({RECORD['parameters'][name]}): {error}") from None
        return function(*args, **options)

    call.__name__ = name
    return call


def checked_methods(name: str) -> Callable[[type], type]:
    """A decorator of the class that stands for CuPy's `name`: public methods refuse arguments that
    CuPy's do not take, and names that CuPy has not are refused at once."""

    def decorate(kind: type) -> type:
        for attribute, value in list(vars(kind).items()):
            if attribute[0] == "_":
                continue
            full = f"{name}.{attribute}"
            if not exists(full):
                raise AttributeError(f"CuPy has no {full}")
            if inspect.isfunction(value):
                setattr(kind, attribute, _method(full, value))
        return kind

    return decorate


def _method(name: str, function: Any) -> Any:
    call = checked(name, lambda *args, **options: None)

    def method(self: Any, *args: Any, **options: Any) -> Any:
        call(*args, **options)
        return function(self, *args, **options)

    method.__doc__ = function.__doc__
    return method


def _dtype(letter: str) -> np.dtype[Any]:
    return BFLOAT16 if letter == "E" else np.dtype(letter)


Loop = tuple[tuple[np.dtype[Any], ...], tuple[np.dtype[Any], ...]]
"""Dtypes of the operands and of the results."""


@cache
def loops(name: str) -> tuple[Loop, ...]:
    """The loops of CuPy's ufunc, in the order in which they are tried."""
    found = (text.split("->") for text in RECORD["ufuncs"][name])
    return tuple((tuple(map(_dtype, i)), tuple(map(_dtype, o))) for i, o in found)


def loop_for(name: str, operands: tuple[Any, ...], result: Any = None) -> Loop:
    """The first loop that takes the operands (dtypes, or the types of Python numbers), or whose
    result is of dtype `result`. Raises: TypeError, as CuPy does, if there is none."""
    highest = max((_rank(o) for o in operands if not isinstance(o, type)), default=-1)
    for taken, made in loops(name):
        if result is not None:
            if made[0] == np.dtype(result):
                return taken, made
        elif all(_fits(o, t, highest) for o, t in zip(operands, taken, strict=True)):
            return taken, made
    raise TypeError(f"Wrong type ({operands}) of arguments for {name}")


def _rank(operand: Any) -> int:
    kind = "f" if operand == BFLOAT16 else np.dtype(operand).kind
    return KINDS.index("i" if kind == "u" else kind)


def _fits(operand: Any, taken: np.dtype[Any], highest: int) -> bool:
    """Whether an operand is taken as `taken`; Python numbers bend to arrays of their kind or a
    greater one, `highest` being the arrays' greatest."""
    if not isinstance(operand, type):
        return bool(np.can_cast(operand, taken))
    own = _rank(DEFAULTS[operand])
    return _rank(taken) >= own if own <= highest else bool(np.can_cast(DEFAULTS[operand], taken))
