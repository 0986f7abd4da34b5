"""Formulas as CUDA kernels: all of them compile, and compute what the array code does."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cuda import formulas, launch, nvrtc, pointwise
from flambeau.backends.cuda.launch import Kernel, Source
from flambeau.core.dispatch import key_of, operations

from .kit import DTYPES, assert_launched, assert_near, double, drawn
from .shim import HostDriver
from .test_compilation import ARCHITECTURES, QUICK, needs_nvrtc

TAILS = [0.0, -0.0, 1.0, -1.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4, np.inf, -np.inf, np.nan]
SIZE = 1031
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
"""Some gradients are differences of large terms, for outputs that no input has."""
OPEN = ("bessel", "_i0_", "_i1_", "igammac")
"""Functions that have limits at infinity where SciPy says NaN, or the other way round."""
PRELUDE = '#include "pointwise.cuh"\n'


def gradients(operation: Any) -> list[Any]:
    """The operations that an operation's gradients are."""
    rule = operation.vjp_rule
    if rule is not None:
        rule.prepare()
    if operation.vjp_rule is None:
        return []
    statics = {n: operation.defaults[n] for n in operation.statics}
    names = [p.name for p in operation.arrays if p.role != "free"]
    made = [rule.operation_for(name, statics) for name in names]
    return [m[0] for m in made if m is not None and m[0] is not None]


def all_formulas(dtype: str) -> Iterator[tuple[Any, pointwise.Formula]]:
    """Each operation with a formula that there is a kernel of, and its gradients."""
    for operation in [o for o in operations.values() if o.formula and not o.derived]:
        found = [operation]
        if dtype in formulas.FLOATS and set(operation.statics) <= set(operation.defaults):
            found += gradients(operation)
        for each in found:
            expression = each.expression({})
            if formulas.is_supported(expression, dtype):
                yield each, pointwise.formula_of(each, expression, dtype)


def text_of(made: list[pointwise.Formula], layout: Any) -> tuple[str, list[str]]:
    """One source with a kernel for each formula; `layout(formula)` says for which operands."""
    names = [f"{f.name}_{k}" for k, f in enumerate(made)]
    codes = [f.code(layout(f), name) for f, name in zip(made, names, strict=True)]
    return PRELUDE + "".join(codes), names


@needs_nvrtc
@pytest.mark.parametrize(
    ("architecture", "dtype", "width", "dimensions", "with_gradients"),
    [
        *[(a, "float32", 4, 1, a == "sm_90") for a in ARCHITECTURES],
        *[(a, "int64", 2, 2, False) for a in ARCHITECTURES],
        ("sm_90", "bfloat16", 1, 3, False),
    ],
)
def test_every_formula_compiles(
    architecture: str, dtype: str, width: int, dimensions: int, with_gradients: bool
) -> None:
    def layout(f: pointwise.Formula) -> formulas.Layout:
        count = len(f.inputs)
        kinds = tuple("same" if k == 1 else "vector" for k in range(count))
        return formulas.Layout((dtype,) * count, kinds, width, dimensions)

    made = [f for o, f in all_formulas(dtype) if with_gradients or not o.derived]
    text, names = text_of(made, layout)
    nvrtc.compiled(text, "formulas.cu", names, launch.options(architecture) + QUICK)


def operands(operation: Any) -> list[Any]:
    """Operands in random pairs, each with tails among ordinary numbers; truth values for masks."""
    rng = np.random.default_rng(0)
    arrays = []
    for p in operation.arrays:
        values = np.where(rng.random(SIZE) < 0.3, rng.choice(TAILS, SIZE), rng.normal(size=SIZE))
        arrays.append(values > 0 if p.role == "free" else values.astype(np.float32))
    return arrays


def numbers(operation: Any) -> dict[str, float]:
    return {
        n: 0.3 if operation.defaults.get(n) is None else operation.defaults[n]
        for n in operation.parameter_names
    }


def test_every_formula_computes_what_numpy_does(host: HostDriver) -> None:
    cupy, key = sys.modules["cupy"], key_of(torch.device("cpu"), torch.float32)
    pairs = list(all_formulas("float32"))
    given = [[cupy.asarray(a) for a in operands(o)] for o, _ in pairs]
    layouts = {}
    for (_, f), arrays in zip(pairs, given, strict=True):
        f._plan(arrays, True)
        layouts[f] = next(iter(f.kernels))
    text, names = text_of([f for _, f in pairs], layouts.__getitem__)
    host.build(text, names)
    wrong = []
    for (operation, f), arrays, name in zip(pairs, given, names, strict=True):
        f.kernels[layouts[f]] = Kernel(Source("formulas.cu", text), name, f.words(layouts[f]))
        found = f(*arrays, **numbers(operation)).get()
        with np.errstate(all="ignore"):
            wanted = getattr(key, operation.name)(*operands(operation), **numbers(operation))
        told = np.isfinite(wanted) if any(n in name for n in OPEN) else ...
        near = np.isclose(found[told], wanted[told], **TOLERANCE, equal_nan=True)
        if found.dtype != wanted.dtype or not near.all():
            k = np.flatnonzero(~near)[:4]
            cases = [a[told][k] for a in operands(operation)]
            wrong.append((name, cases, found[told][k], wanted[told][k]))
    assert wrong == []


PLACES: dict[str, Any] = {
    "whole": lambda a, b: (a, b),
    "ragged": lambda a, b: (a.reshape(-1)[:1023].clone(), b.reshape(-1)[:1023].clone()),
    "unaligned": lambda a, b: (a.reshape(-1)[1:], b.reshape(-1)[1:]),
    "number": lambda a, b: (a, b[0, 0, 0]),
    "row": lambda a, b: (a, b[0, 0]),
    "column": lambda a, b: (a, b[:, :, :1]),
    "outer": lambda a, b: (a[0, :, None], b[1, None]),
    "channels": lambda a, b: (a, b[0, :, :1]),
    "ragged rows": lambda a, b: (a[:, :, :7], b[:, :, 1:8]),
    "transposed": lambda a, b: (a.transpose(0, 2), b.transpose(0, 2)),
    "transposed one": lambda a, b: (a.transpose(0, 2), b.transpose(0, 2).contiguous()),
    "steps": lambda a, b: (a[:, ::2, ::3], b[:, ::2, ::3]),
    "steps in one dimension": lambda a, b: (a[0, 0, ::2], b[:, 0, 0].repeat(2)[:8]),
    "columns": lambda a, b: (a[0, :, 3:4], b[0, :, 4:5]),
    "expanded": lambda a, b: (a[:, :1].expand(6, 10, 16), b),
    "one": lambda a, b: (a[0, 0, :1], b[0, 0, :1]),
    "empty": lambda a, b: (a[:, :0], b[:, :0]),
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_operands_lie_anyhow(host: HostDriver, dtype: str) -> None:
    a, b = drawn((6, 10, 16), dtype), drawn((6, 10, 16), dtype, 1)
    for name, place in PLACES.items():
        x, y = place(a, b)
        host.launched.clear()
        found = torch.atan2(x, y)
        wanted = torch.atan2(double(x), double(y))
        assert_near(found, wanted)
        if name.startswith("transposed"):  # the result lies as the first operand does
            assert found.stride() == x.stride()
        if name != "empty":
            assert_launched(host, "pointwise_atan2")


def test_integers_stay_integers_and_truth_values_do(host: HostDriver) -> None:
    a, b = (torch.tensor(v, dtype=torch.int8) for v in ([-128, -3, 100, 7, 5], [-1, 3, 100, 2, 5]))
    x, y = a.cuda(), b.cuda()
    for found, wanted in [
        (x + y, a + b),  # wraps around
        (x * y - x, a * b - a),
        (torch.where(x > y, x, y), torch.where(a > b, a, b)),
        (torch.maximum(x, y), torch.maximum(a, b)),
        (x == y, a == b),
        (torch.abs(x), torch.abs(a)),
        (x / y, a / b),
    ]:
        assert (found.dtype, found.cpu().tolist()) == (wanted.dtype, wanted.tolist())
    assert {"pointwise_plus", "pointwise_where", "pointwise_eq"} <= {*host.launched}


def test_gradients_of_halves_are_computed_in_float32_and_rounded_once(host: HostDriver) -> None:
    x, g = drawn((5, 33), "bfloat16").requires_grad_(), drawn((5, 33), "bfloat16", 1)
    torch.nn.functional.gelu(x).backward(g)
    wanted = double(x)
    torch.nn.functional.gelu(wanted).backward(double(g))
    assert host.launched == ["pointwise_gelu", "pointwise_gelu_input_gradient"]
    assert_near(x.grad, wanted.grad, 2)


def test_numbers_among_the_operands_are_parameters_of_the_kernel(host: HostDriver) -> None:
    key = key_of(torch.device("cuda", 0), torch.float32)
    x = drawn((3, 17), "float32")
    found = key.mul(key.where((x > 0)._array, x._array, -1.5), 2.5)
    assert host.launched[-2:] == ["pointwise_where_of_other", "pointwise_mul_of_other"]
    a = x.cpu().numpy()
    np.testing.assert_array_equal(found.get(), np.where(a > 0, a, np.float32(-1.5)) * 2.5)
    integers = key_of(torch.device("cuda", 0), torch.int64)  # which a double may not hold
    assert integers.mul(torch.arange(3).cuda()._array, 2**53 + 1).tolist()[1] == 2**53 + 1


def test_a_plan_is_made_once_for_a_shape_and_forgotten_with_thousands(
    host: HostDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointwise, "MOST_PLANS", 3)
    operation = operations["relu"]
    formula = pointwise.formula_of(operation, operation.expression({}), "float32")
    cupy = sys.modules["cupy"]
    for columns in (1, 2, 3, 4, 4):
        x = cupy.asarray(np.full(columns, -1, np.float32))
        assert formula(x).tolist() == [0] * columns
    assert len(formula.plans) == 1


def test_results_lie_as_the_first_operand_that_is_not_expanded(host: HostDriver) -> None:
    x = drawn((2, 3, 4, 5), "float32").to(memory_format=torch.channels_last)
    g = drawn((2, 3, 1, 1), "float32", 1)
    found = g.expand(2, 3, 4, 5) * x
    assert_launched(host, "pointwise_mul")
    assert found.stride() == x.stride()
    assert_near(found, double(g) * double(x), 2)


@pytest.mark.parametrize("name", ["var", "norm", "std"])
def test_gradients_that_take_numbers_are_one_launch_each(host: HostDriver, name: str) -> None:
    x = drawn((5, 7), "float32").requires_grad_()
    getattr(x, name)().backward()
    wanted = double(x)
    getattr(wanted, name)().backward()
    assert_near(x.grad, wanted.grad)
    assert_launched(host, "pointwise_")
