"""The functions of fused loops against float64, over all of float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

from flambeau.backends.cpu.loops import maths

from .kit import mapped, run, words

ULPS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "exp": (np.exp, 1.1),
    "exp2": (np.exp2, 1.1),
    "expm1": (np.expm1, 1.6),
    "log": (np.log, 1.0),
    "log2": (np.log2, 2.0),
    "log10": (np.log10, 2.0),
    "log1p": (np.log1p, 1.5),
    "tanh": (np.tanh, 1.5),
    "sigmoid": (scipy.special.expit, 2.5),
    "softplus": (lambda x: np.logaddexp(x, 0), 2.0),
    "erf": (scipy.special.erf, 2.5),
}
"""What each function is, and how many units in the last place it may be off."""

SPECIAL = np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0])
PRIME = 4099
"""Each so many-th of the 2**32 bit patterns is tried: signs, exponents, denormals, NaN."""


@pytest.mark.parametrize("name", ULPS)
def test_a_function_is_right_to_the_last_digits_everywhere(name: str) -> None:
    x = np.concatenate([np.arange(0, 1 << 32, PRIME, np.uint32).view(np.float32), SPECIAL])
    reference, ulps = ULPS[name]
    with np.errstate(all="ignore"):
        wanted = reference(x.astype(np.float64))
        rounded = wanted.astype(np.float32)
    found = run(mapped(lambda m, x: getattr(m, name)(x)), x)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(rounded))
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(found[~finite], rounded[~finite])
    spacing = np.spacing(np.abs(rounded[finite])).astype(np.float64)
    assert np.max(np.abs(found[finite] - wanted[finite]) / spacing) <= ulps
    zeros = x == 0
    np.testing.assert_array_equal(np.signbit(found[zeros]), np.signbit(rounded[zeros]))


@pytest.mark.parametrize("name", ["exp", "exp2"])
def test_processors_without_scaling_instructions_get_the_same_bits(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.concatenate([np.linspace(-160, 140, 99_999, dtype=np.float32), SPECIAL])
    found = run(mapped(lambda m, x: getattr(m, name)(x)), x)
    monkeypatch.setattr(maths, "scales", lambda: False)
    np.testing.assert_array_equal(run(mapped(lambda m, x: getattr(m, name)(x)), x), found)


EXACT: dict[str, Callable[..., Any]] = {
    "abs": np.abs, "sqrt": np.sqrt, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc,
    "round": np.rint, "square": np.square, "reciprocal": np.reciprocal, "neg": np.negative,
    "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)),
}  # fmt: skip


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("name", EXACT)
def test_exact_functions_give_numpys_bits(name: str, real: str) -> None:
    x = np.concatenate([np.random.default_rng(0).standard_normal(999) * 9, SPECIAL]).astype(real)
    x[:9] = np.linspace(-2, 2, 9)  # halves
    with np.errstate(all="ignore"):
        wanted = EXACT[name](x).astype(real)
    found = run(mapped(lambda m, x: getattr(m, name)(x), real), x)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_extremes_treat_nan_as_numpy_does(name: str) -> None:
    x = np.repeat(SPECIAL[2:], 5)
    for y in (2.0, -np.inf, np.nan):
        found = run(mapped(lambda m, x, y=y: getattr(m, name)(x, y)), x)
        np.testing.assert_array_equal(found, getattr(np, name)(x, np.float32(y)))
        found = run(mapped(lambda m, x, y=y: getattr(m, name)(m.neg(m.neg(x)) * 0 + y, x)), x)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(found, getattr(np, name)(x * 0 + np.float32(y), x))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 63, 64, 65])
def test_a_row_of_any_length_is_computed_to_its_end_and_no_further(size: int) -> None:
    x = np.arange(80, dtype=np.float32)
    out = np.full(80, -1, np.float32)
    mapped(lambda m, x: x + 1).call(words(x, out), 0, size)
    np.testing.assert_array_equal(out, np.where(np.arange(80) < size, x + 1, -1))
