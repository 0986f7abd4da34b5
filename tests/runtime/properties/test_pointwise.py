"""Every pointwise operation on shapes that broadcast, layouts and element types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flambeau as torch

from .drawing import (
    COMPLEX,
    EVERY_DTYPE,
    FLOATS,
    INTEGERS,
    LAYOUTS,
    assert_gradients_equal_differences,
    broadcastable,
    examples,
    in_real_numbers,
    operands,
    real_leaf,
    seeds,
    special_values,
    tolerance,
    values,
)
from .pointwise_table import (
    CASES,
    NOT_POINTWISE,
    REACHED_BY,
    Case,
    pointwise_operations,
    public,
)

RECORDED = json.loads(
    (Path(__file__).parents[1] / "recorded" / "pointwise_dtypes.json").read_text()
)


REAL = (torch.bool, *INTEGERS, *FLOATS)
every_case = pytest.mark.parametrize("case", CASES, ids=[c.identity for c in CASES])


def test_no_pointwise_operation_is_left_out() -> None:
    tested = {c.name for c in CASES} | NOT_POINTWISE
    assert {n for n in pointwise_operations() if REACHED_BY.get(n, n) not in tested} == set()


def results_of(case: Case) -> dict[Any, str]:
    """The recorded type of the result by that of the operands; - where PyTorch refuses."""
    return dict(zip(EVERY_DTYPE, RECORDED["dtypes"].get(case.identity, "").split(), strict=False))


def kind_of(operand: Any) -> Any:
    return {"f": torch.float64, "i": torch.int64, "b": torch.bool}[operand.kind]


@st.composite
def inputs(draw: Any, case: Case, max_dims: int = 4) -> Any:
    """(tensors, arrays, common shape) for the operands of `case`, within its bounds."""
    found, common = draw(broadcastable(len(case.operands), max_dims))
    drawn = [
        draw(operands(s, kind_of(o), low=o.low, high=o.high))
        for s, o in zip(found, case.operands, strict=True)
    ]
    return [t for t, _ in drawn], [a for _, a in drawn], common


@every_case
@given(data=st.data())
@examples(12)
def test_values_shapes_and_broadcasting(case: Case, data: Any) -> None:
    tensors, arrays, common = data.draw(inputs(case))
    found, wanted = case.call(*tensors), case.expected(*arrays)
    assert tuple(found.shape) == common
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-11, atol=1e-12)


DIFFERENT = {
    "nextafter", "zeta", "igamma", "igammac", "heaviside", "binary_entropy", "hardswish", "sign",
    "lerp", "lgamma",
}  # fmt: skip
"""Where SciPy or NumPy give other values than PyTorch for NaN, infinities and large numbers."""

NOT_COMPLEX = {"sigmoid", "logaddexp", "silu"}
"""SciPy and NumPy have them for real numbers only; `test_complex` tests them."""


@every_case
@given(seed=seeds)
@examples(6)
def test_infinities_nan_and_zeros_of_both_signs(case: Case, seed: int) -> None:
    if case.name in DIFFERENT or any(o.kind != "f" for o in case.operands):
        return
    arrays = [special_values((24,), torch.float64, seed ^ k) for k in range(len(case.operands))]
    found, wanted = case.call(*map(torch.from_numpy, arrays)), case.expected(*arrays)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9, atol=1e-12)


@every_case
@given(data=st.data())
@examples(5)
def test_gradients_equal_differences(case: Case, data: Any) -> None:
    if not case.gradient or all(o.kind != "f" for o in case.operands):
        return
    tensors, arrays, _ = data.draw(inputs(case, max_dims=2))
    floating = [k for k, o in enumerate(case.operands) if o.kind == "f"]

    def function(*some: Any) -> Any:
        whole = list(tensors)
        for k, t in zip(floating, some, strict=True):
            whole[k] = t
        return case.call(*whole)

    assert_gradients_equal_differences(
        function, [arrays[k] for k in floating], [tensors[k] for k in floating]
    )


@every_case
@given(seed=seeds, layout=st.sampled_from(sorted(LAYOUTS)))
@examples(3)
def test_element_types_are_pytorchs_and_values_rounded_once(
    case: Case, seed: int, layout: str
) -> None:
    results = results_of(case)
    taken = [d for d in REAL if results.get(d, "-") != "-"]
    if case.kwargs.get("value") == 0.5:  # of integers a part, which the reference knows nothing of
        taken = list(FLOATS)
    for k, dtype in enumerate(taken):
        arrays = numbers_of(case, dtype, np.random.RandomState(seed ^ k))
        tensors = [LAYOUTS[layout](a) for a in arrays]
        found = case.call(*tensors)
        assert str(found.dtype) == f"torch.{results[dtype]}"
        wanted = case.expected(*widened(case, dtype, arrays))
        if not found.dtype.is_floating_point:
            wanted = wanted.astype(found.dtype.numpy)
        bound = tolerance(found.dtype)
        np.testing.assert_allclose(
            found.numpy().astype(np.float64), wanted.astype(np.float64),
            rtol=2 * bound["rtol"], atol=2 * bound["atol"],
        )  # fmt: skip
        meta = case.call(*[t.to("meta") for t in tensors])
        assert (meta.shape, meta.dtype) == (found.shape, found.dtype)


def numbers_of(case: Case, dtype: Any, stream: Any) -> list[Any]:
    """Arrays of `dtype` within the bounds of the operands."""
    arrays = []
    for o in case.operands:
        array = stream.uniform(o.low, o.high, (2, 3))
        if o.kind == "b":
            arrays.append(array > 0.5)
        elif dtype.is_floating_point:
            arrays.append(array.astype(dtype.numpy))
        else:
            floor = max(np.ceil(o.low), 0 if dtype in (torch.uint8, torch.bool) else -9)
            arrays.append(np.clip(np.round(array), floor, None).astype(dtype.numpy))
    return arrays


def widened(case: Case, dtype: Any, arrays: list[Any]) -> list[Any]:
    """The same numbers in the widest types: as floating-point ones but for what is of integers."""
    kinds = [o.kind for o in case.operands]
    if not dtype.is_floating_point and set(kinds) == {"i"}:
        return [a if a.dtype == bool else a.astype(np.int64) for a in arrays]
    return [
        a if kind == "b" else a.astype(np.float64) for a, kind in zip(arrays, kinds, strict=True)
    ]


@given(data=st.data())
@examples(150)
def test_mixed_element_types_give_pytorchs_result_type(data: Any) -> None:
    a, b = data.draw(st.sampled_from(EVERY_DTYPE)), data.draw(st.sampled_from(EVERY_DTYPE))
    form = data.draw(st.sampled_from(sorted(RECORDED["promotion"])))
    x = torch.ones(() if form == "0-d and number" else (2,), dtype=a)
    columns: list[Any] = list(EVERY_DTYPE)
    if form.endswith("number"):
        columns = [True, 3, 1.5, 2j]
        y = column = data.draw(st.sampled_from(columns))
    else:
        y, column = torch.ones((3, 1) if form == "tensors" else (), dtype=b), b
    wanted = RECORDED["promotion"][form][a.name].split()[columns.index(column)]
    if wanted == "complex32":  # no element type here, nor one that PyTorch computes with
        return
    assert torch.add(x, y).dtype is getattr(torch, wanted)
    assert torch.mul(y, x).dtype is getattr(torch, wanted)
    assert torch.result_type(x, y) is getattr(torch, wanted)


@every_case
@given(data=st.data(), layout=st.sampled_from(sorted(LAYOUTS)))
@examples(6)
def test_complex_values_types_and_layouts(case: Case, data: Any, layout: str) -> None:
    taken = [d for d in COMPLEX if results_of(case).get(d, "-") != "-"]
    if not taken or case.name in NOT_COMPLEX:
        return
    dtype = data.draw(st.sampled_from(taken))
    seed = data.draw(seeds)
    arrays = [
        values((2, 3), torch.bool if o.kind == "b" else dtype, seed ^ k, o.low, o.high)
        for k, o in enumerate(case.operands)
    ]
    found = case.call(*[LAYOUTS[layout](a) for a in arrays])
    assert str(found.dtype) == f"torch.{results_of(case)[dtype]}"
    wide = [a if a.dtype == bool else a.astype(np.complex128) for a in arrays]
    wanted = case.expected(*wide)
    bound = tolerance(found.dtype)
    np.testing.assert_allclose(
        found.numpy(), wanted, rtol=4 * bound["rtol"], atol=4 * bound["atol"]
    )


@every_case
@given(seed=seeds)
@examples(3)
def test_gradients_by_complex_numbers_equal_differences(case: Case, seed: int) -> None:
    result = results_of(case).get(torch.complex128, "-")
    if not case.gradient or case.name in NOT_COMPLEX or result == "-":
        return
    arrays = [
        values((3,), torch.bool if o.kind == "b" else torch.complex128, seed ^ k, o.low, o.high)
        for k, o in enumerate(case.operands)
    ]
    function = in_real_numbers(case.call)
    leaves = [torch.from_numpy(a) if a.dtype == bool else real_leaf(a) for a in arrays]
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


ORDERED = """
clamp fmax fmin ge gt hardshrink hardsigmoid hardtanh heaviside isneginf isposinf le leaky_relu lt
maximum minimum relu round sign gelu mish logsigmoid
"""
FRACTIONAL = "gelu hardshrink hardsigmoid leaky_relu logsigmoid mish silu"


REFUSING = [c for c in CASES if c.name in (ORDERED + FRACTIONAL).split() and c.name != "clamp"]


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("case", REFUSING, ids=[c.identity for c in REFUSING])
def test_element_types_without_a_meaning_are_refused(case: Case, device: str) -> None:
    dtypes = COMPLEX if case.name in ORDERED.split() else ()
    for dtype in (*dtypes, *(INTEGERS if case.name in FRACTIONAL.split() else ())):
        assert results_of(case)[dtype] == "-"
        with pytest.raises(RuntimeError, match="expected another"):
            case.call(*[torch.ones(2, dtype=dtype, device=device) for _ in case.operands])


ALIASES = {
    "absolute": "abs", "negative": "neg", "fix": "trunc", "clip": "clamp", "subtract": "sub",
    "multiply": "mul", "divide": "div", "true_divide": "div", "greater": "gt", "less": "lt",
    "greater_equal": "ge", "less_equal": "le", "not_equal": "ne", "arccos": "acos",
    "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan", "arctan2": "atan2",
    "arctanh": "atanh", "special.expit": "sigmoid", "special.gammaln": "lgamma",
    "special.gammainc": "igamma", "special.gammaincc": "igammac", "special.psi": "digamma",
    "special.exp2": "exp2", "special.expm1": "expm1", "special.log1p": "log1p",
    "special.erf": "erf", "special.erfc": "erfc", "special.erfinv": "erfinv",
    "special.sinc": "sinc", "special.round": "round", "special.xlogy": "xlogy",
}  # fmt: skip


@pytest.mark.parametrize("name", ALIASES)
@given(data=st.data())
@examples(4)
def test_other_names_do_the_same(name: str, data: Any) -> None:
    cases = [c for c in CASES if c.name == ALIASES[name]]
    case = data.draw(st.sampled_from(cases))
    tensors, _, _ = data.draw(inputs(case))
    args, wanted = case.filled(tensors), case.call(*tensors)
    function = public(name)
    np.testing.assert_array_equal(function(*args, **case.kwargs).numpy(), wanted.numpy())
    if hasattr(torch.Tensor, name) and isinstance(args[0], torch.Tensor):
        found = getattr(args[0], name)(*args[1:], **case.kwargs)
        np.testing.assert_array_equal(found.numpy(), wanted.numpy())
    if hasattr(torch.Tensor, f"{name}_") and tuple(args[0].shape) == tuple(wanted.shape):
        target = args[0].clone()
        assert getattr(target, f"{name}_")(*args[1:], **case.kwargs) is target
        np.testing.assert_array_equal(target.numpy(), wanted.to(target.dtype).numpy())
