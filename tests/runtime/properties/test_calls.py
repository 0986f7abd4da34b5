"""Every row of the tables of calls: values, types, layouts, gradients, `out=`, methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flambeau as torch
from flambeau.core.tensor import Tensor
from flambeau.ops.out import FUNCTIONS

from ..samples.kit import leaves_of
from . import (
    element_rows,
    fourier_rows,
    layer_rows,
    linalg_rows,
    loss_rows,
    movement_rows,
    order_rows,
    product_rows,
    reduction_rows,
)
from .calls import Drawn, Row, drawn_call, laid_out, result_types, widened
from .drawing import (
    assert_gradients_equal_differences,
    examples,
    in_real_numbers,
    real_leaf,
    seeds,
    special_values,
    tolerance,
)

TABLES = (
    reduction_rows,
    order_rows,
    product_rows,
    movement_rows,
    fourier_rows,
    linalg_rows,
    element_rows,
    layer_rows,
    loss_rows,
)
ROWS: list[Row] = [row for table in TABLES for row in table.ROWS]

every_row = pytest.mark.parametrize("row", ROWS, ids=[r.identity.replace(" ", "-") for r in ROWS])


def assert_right(drawn: Drawn, found: list[Tensor]) -> None:
    wanted = drawn.expected()
    arrays = [t.numpy() for t in found]
    assert len(found) == len(wanted)
    for t, array, right in zip(found, arrays, wanted, strict=True):
        if callable(right):
            assert right(arrays)
            continue
        assert tuple(t.shape) == np.shape(right)
        wide = np.asarray(right)
        bound = tolerance(t.dtype, drawn.row.terms)
        if not bound["rtol"]:
            np.testing.assert_array_equal(array, wide.astype(t.dtype.numpy))
        else:
            kind = np.complex128 if t.is_complex() else np.float64
            np.testing.assert_allclose(array.astype(kind), wide, **bound)


@every_row
@given(data=st.data())
@examples(4)
def test_values_types_and_layouts(row: Row, data: Any) -> None:
    for dtype, types in result_types(row).items():
        drawn = drawn_call(data.draw, row, dtype)
        tensors = [laid_out(data.draw, a) for a in drawn.arrays]
        found = leaves_of(drawn.call(torch, tensors))
        expected = types if len(types) > 1 else types * len(found)
        assert [t.dtype for t in found] == expected[: len(found)]
        assert_right(drawn, found)
        for t, array in zip(tensors, drawn.arrays, strict=True):
            np.testing.assert_array_equal(t.numpy(), array)  # inputs are read alone
        if row.on_meta:
            meta = leaves_of(drawn.call(torch, [t.to("meta") for t in tensors]))
            assert [(t.shape, t.dtype) for t in meta] == [(t.shape, t.dtype) for t in found]


def one_result(drawn: Drawn, tensors: Any) -> Tensor:
    """The differentiable results in one vector; the first if there are none."""
    if drawn.row.through is not None:
        tensors = [*tensors[:-1], drawn.row.through(tensors[-1])]
    outs = leaves_of(drawn.call(torch, tensors))
    smooth = [t for t in outs if t.is_floating_point() or t.is_complex()]
    return torch.cat([t.reshape(-1) for t in smooth]) if smooth else outs[0]


def small(drawn: Drawn) -> bool:
    return sum(a.size for a in drawn.arrays) <= 24 and bool(drawn.floating)


@every_row
@given(data=st.data())
@examples(8)
def test_gradients_equal_differences(row: Row, data: Any) -> None:
    if not row.gradient or torch.float64 not in result_types(row):
        return
    drawn = drawn_call(data.draw, row, torch.float64, ties=False)
    tensors = [laid_out(data.draw, a) for a in drawn.arrays]
    if not small(drawn):
        return

    def function(*some: Any) -> Tensor:
        whole = list(tensors)
        for k, t in zip(drawn.floating, some, strict=True):
            whole[k] = t
        return one_result(drawn, whole)

    if not function(*[tensors[k] for k in drawn.floating]).is_floating_point():
        return
    assert_gradients_equal_differences(
        function, [drawn.arrays[k] for k in drawn.floating], [tensors[k] for k in drawn.floating]
    )


@every_row
@given(data=st.data())
@examples(2)
def test_gradients_by_complex_numbers_equal_differences(row: Row, data: Any) -> None:
    if not row.gradient or row.gauged or torch.complex128 not in result_types(row):
        return
    drawn = drawn_call(data.draw, row, torch.complex128, ties=False)
    if not small(drawn):
        return
    leaves = [
        real_leaf(a) if k in drawn.floating else torch.from_numpy(a)
        for k, a in enumerate(drawn.arrays)
    ]
    function = in_real_numbers(lambda *tensors: one_result(drawn, tensors))
    out = function(*leaves)
    if not (out.requires_grad and torch.isfinite(out).all()):
        return
    assert torch.autograd.gradcheck(function, leaves)
    if row.second:
        assert torch.autograd.gradgradcheck(function, leaves)


TAKE_OUT = {name for names in FUNCTIONS.values() for name in names.split()}
RESHAPING = {"t", "transpose", "squeeze", "unsqueeze"}


def same(found: Any, wanted: Any) -> None:
    for a, b in zip(leaves_of(found), leaves_of(wanted), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(widened(a.numpy()), widened(b.numpy()))


@every_row
@given(data=st.data())
@examples(5)
def test_out_methods_and_in_place_forms_give_the_same(row: Row, data: Any) -> None:
    dtype = data.draw(st.sampled_from(list(result_types(row))))
    drawn = drawn_call(data.draw, row, dtype)
    tensors = [laid_out(data.draw, a) for a in drawn.arrays]
    wanted = drawn.call(torch, tensors)
    name = row.name.split(".")[-1]
    if name in TAKE_OUT and not (name == "sum" and isinstance(wanted, tuple)):
        outs = tuple(_somewhere(t) for t in leaves_of(wanted))
        given_out = outs[0] if isinstance(wanted, Tensor) else outs
        found = drawn.call(torch, tensors, out=given_out)
        assert all(a is b for a, b in zip(leaves_of(found), outs, strict=True))
        same(found, wanted)
    (first, *others), kwargs = drawn.arguments(torch, tensors)
    if (
        "." in row.name
        or not isinstance(first, Tensor)
        or not callable(getattr(Tensor, name, None))
    ):
        return
    same(getattr(first, name)(*others, **kwargs), wanted)
    in_place = getattr(first, f"{name}_", None)
    if in_place is None or name in RESHAPING or not isinstance(wanted, Tensor):
        return
    if (wanted.shape, wanted.dtype) == (first.shape, first.dtype):
        assert in_place(*others, **kwargs) is first
        same(first, wanted)


def _somewhere(result: Tensor) -> Tensor:
    """Memory for `result` that is not contiguous, filled with other numbers."""
    memory = np.full([2 * n for n in result.shape], 7, result.dtype.numpy)
    return torch.from_numpy(memory)[(slice(None, None, 2),) * result.ndim]


IN_PLACE = [
    r
    for r in ROWS
    if hasattr(Tensor, f"{r.name}_") and r.name not in RESHAPING and r.gradient
    if torch.float64 in r.only and "dtype" not in r.label
]


@pytest.mark.parametrize("row", IN_PLACE, ids=[r.identity for r in IN_PLACE])
@given(data=st.data())
@examples(6)
def test_in_place_forms_give_the_same_gradients(row: Row, data: Any) -> None:
    drawn = drawn_call(data.draw, row, torch.float64, ties=False)
    leaves = [laid_out(data.draw, a) for a in drawn.arrays]
    for k in drawn.floating:
        leaves[k] = leaves[k].detach().requires_grad_()
    wanted = drawn.call(torch, leaves)
    (first, *others), kwargs = drawn.arguments(torch, leaves)
    if first is not leaves[0] or not wanted.requires_grad or wanted.shape != first.shape:
        return
    base = first.clone()
    written = getattr(base, f"{row.name}_")(*others, **kwargs)
    same(written.detach(), wanted.detach())
    inputs = [leaves[k] for k in drawn.floating]
    weights = torch.from_numpy(np.asarray(np.random.RandomState(0).uniform(1, 2, first.shape)))
    found, right = (
        torch.autograd.grad(out, inputs, weights, allow_unused=True) for out in (written, wanted)
    )
    for a, b, leaf in zip(found, right, inputs, strict=True):
        nothing = np.zeros(tuple(leaf.shape))
        pair = [nothing if g is None else g.numpy() for g in (a, b)]
        np.testing.assert_allclose(*pair, rtol=1e-12, atol=1e-12)


SPECIAL = """
sum nansum nanmean prod amax amin aminmax max min argmax argmin all any count_nonzero median
nanmedian cumsum cumprod cummax cummin sort argsort msort topk kthvalue softmax nonzero
isin diff F.threshold clamp_min clamp_max nan_to_num isclose maximum F.relu renorm searchsorted
"""


ON_SPECIAL = [r for r in ROWS if r.name in SPECIAL.split() and torch.float64 in r.only]


@pytest.mark.parametrize("row", ON_SPECIAL, ids=[r.identity for r in ON_SPECIAL])
@given(data=st.data())
@examples(10)
def test_nan_infinities_and_zeros(row: Row, data: Any) -> None:
    drawn = drawn_call(data.draw, row, torch.float64)
    for k, array in enumerate(drawn.arrays):
        if row.name != "searchsorted" or k == 0:
            drawn.arrays[k] = special_values(array.shape, torch.float64, data.draw(seeds))
    if row.name == "searchsorted":
        drawn.arrays[0] = np.sort(drawn.arrays[0], -1)
    assert_right(drawn, leaves_of(drawn.call(torch, map(torch.from_numpy, drawn.arrays))))
