"""Every pointwise operation with its reference in NumPy, read from the table of samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special as sp

import flambeau as torch
from flambeau.core.dispatch import operations

from ..op_samples import POINTWISE, PREDICATES, SAMPLES
from ..samples import core_samples
from ..samples.kit import Sample
from ..test_operations import function_of

PLACES = (torch, torch.special, torch.nn.functional, torch.Tensor)


@dataclass(frozen=True)
class Operand:
    """What stands in one place of a call: numbers of a kind (f, i or b) between two bounds."""

    kind: str
    low: float
    high: float


@dataclass(frozen=True)
class Case:
    """A call of `name`: operands, with fixed numbers among them, and keyword arguments."""

    name: str
    places: tuple[Any, ...]
    kwargs: dict[str, Any]
    reference: Callable[..., Any]
    gradient: bool

    @property
    def operands(self) -> list[Operand]:
        return [p for p in self.places if isinstance(p, Operand)]

    @property
    def identity(self) -> str:
        """The name with the numbers, attributes and kinds of operands that set it apart."""
        numbers = [str(p) for p in self.places if isinstance(p, int | float)]
        truths = ["bool"] if {o.kind for o in self.operands} == {"b"} else []
        return "-".join([self.name, *truths, *numbers, *map("{0[0]}={0[1]}".format,
                                                            self.kwargs.items())])  # fmt: skip

    def filled(self, arrays: Any) -> list[Any]:
        """The positional arguments with `arrays` in the places of the operands."""
        waiting = iter(arrays)
        return [next(waiting) if isinstance(p, Operand) else p for p in self.places]

    def call(self, *tensors: Any) -> Any:
        return public(self.name)(*self.filled(tensors), **self.kwargs)

    def expected(self, *arrays: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(self.reference(*self.filled(arrays), **self.kwargs))


def public(name: str) -> Any:
    """The function that users call; the formula where none has its name."""
    if "." not in name:
        for place in PLACES:
            if hasattr(place, name):
                return getattr(place, name)
    return function_of(name)


def _operand(name: str, place: int, array: Any) -> Operand:
    kind = array.dtype.kind
    if kind == "b":
        return Operand(kind, 0, 1)
    seen = [
        s.args[place]
        for s in SAMPLES[name]
        if place < len(s.args) and isinstance(s.args[place], np.ndarray) and s.args[place].size
    ]
    finite = np.concatenate([np.asarray(a, np.float64).reshape(-1) for a in seen])
    finite = finite[np.isfinite(finite)]
    return Operand(kind, float(finite.min()), float(finite.max()))


def _case(name: str, sample: Sample) -> Case:
    places = tuple(
        _operand(name, k, a) if isinstance(a, np.ndarray) else a for k, a in enumerate(sample.args)
    )
    assert sample.reference is not None
    return Case(name, places, sample.kwargs, sample.reference, sample.gradient)


def _distinct(name: str) -> list[Case]:
    """One case of each form of call in the samples."""
    forms: dict[Any, Case] = {}
    for sample in SAMPLES[name]:
        if sample.reference is None:
            continue
        case = _case(name, sample)
        fixed = [p.kind if isinstance(p, Operand) else p for p in case.places]
        forms.setdefault((str(fixed), str(case.kwargs)), case)
    return list(forms.values())


POSITIVE, ANY = Operand("f", 0.2, 3.0), Operand("f", -3.0, 3.0)
INSIDE = Operand("f", 0.1, 0.9)


def _huber(x: Any, y: Any, delta: float) -> Any:
    d = np.abs(x - y)
    return np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta))


EXTRA = [
    Case("huber", (ANY, ANY), {"delta": 0.8}, _huber, True),
    Case("addcmul", (ANY, ANY, ANY), {"value": 2}, lambda x, a, b, value: x + value * a * b, True),
    Case("addcdiv", (ANY, ANY, POSITIVE), {"value": -2}, lambda x, a, b, value: x + value * a / b,
         True),
    Case("deviation", (POSITIVE,), {}, np.sqrt, True),
    Case("squared_difference", (ANY, ANY), {}, lambda x, y: (x - y) ** 2, True),
    Case("absolute_difference", (ANY, ANY), {}, lambda x, y: np.abs(x - y), True),
    Case("binary_entropy", (INSIDE, INSIDE), {},
         lambda p, t: -(t * np.log(p) + (1 - t) * np.log1p(-p)), True),
    Case("logit_entropy", (ANY, INSIDE), {}, lambda x, t: (1 - t) * x + np.logaddexp(0, -x), True),
    Case("weighted_logit_entropy", (ANY, INSIDE, POSITIVE), {},
         lambda x, t, w: (1 - t) * x + (1 + (w - 1) * t) * np.logaddexp(0, -x), True),
    Case("divergence", (ANY, POSITIVE), {}, lambda x, t: sp.xlogy(t, t) - t * x, True),
    Case("log_divergence", (ANY, ANY), {}, lambda x, t: np.exp(t) * (t - x), True),
    Case("relative_entropy", (ANY, ANY), {},
         lambda p, q: np.where(np.exp(p) == 0, 0.0, np.exp(p) * (p - q)), True),
    Case("spherical_bessel_j0", (POSITIVE,), {}, lambda x: sp.spherical_jn(0, x), False),
    Case("scale_shift", (ANY, ANY, ANY), {}, lambda x, w, b: x * w + b, True),
    Case("celu", (ANY,), {"alpha": 0.7},
         lambda x, alpha: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha)), True),
    Case("selu", (ANY,), {}, lambda x: 1.0507009873554805 * np.where(
        x > 0, x, 1.6732632423543772 * np.expm1(x)), True),
    Case("logit_within", (INSIDE,), {"eps": 0.2}, lambda x, eps: sp.logit(np.clip(x, eps, 1 - eps)),
         True),
    Case("trunc_divide", (Operand("i", 1, 9), Operand("i", 1, 4)), {},
         lambda x, y: np.asarray(np.trunc(x / y), np.int64), False),
]  # fmt: skip

NOT_POINTWISE = {"polygamma_of", "mvlgamma", "zeros_as", "fake_quantize"}
"""With an order, not elements, as another argument, a constant, and steps without differences;
their samples test them."""

CASES: list[Case] = [
    case
    for name in {**POINTWISE, **PREDICATES, **core_samples.SPECIAL}
    if name not in NOT_POINTWISE
    for case in _distinct(name)
] + EXTRA

REACHED_BY = {
    "plus": "add", "minus": "sub", "divide": "div", "power": "pow", "power_number": "pow",
    "clamp_numbers": "clamp", "add_product": "addcmul", "add_quotient": "addcdiv",
    "sign_of_number": "sign", "rint": "round", "abs_of_number": "abs", "lerp_shaped": "lerp",
    "lerp_number": "lerp", "lerp_back": "lerp", "at_least": "clamp", "at_most": "clamp",
}  # fmt: skip
"""Formulas behind a function of another name."""


def pointwise_operations() -> set[str]:
    """The names of all declared formulas."""
    return {n for n, o in operations.items() if o.formula is not None and not o.derived}
