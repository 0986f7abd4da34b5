"""Every row of the tables of calls: values, types, layouts, gradients, `out=`, methods."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flambeau as torch
from flambeau.core.tensor import Tensor

from ..samples.kit import leaves_of
from . import reduction_rows
from .calls import Drawn, Row, drawn_call, laid_out, result_types
from .drawing import (
    assert_gradients_equal_differences,
    examples,
    in_real_numbers,
    real_leaf,
    tolerance,
)

ROWS: list[Row] = [*reduction_rows.ROWS]

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
@examples(20)
def test_values_types_and_layouts(row: Row, data: Any) -> None:
    types = result_types(row)
    dtype = data.draw(st.sampled_from(list(types)))
    drawn = drawn_call(data.draw, row, dtype)
    tensors = [laid_out(data.draw, a) for a in drawn.arrays]
    found = leaves_of(drawn.call(torch, tensors))
    expected = types[dtype] * (len(found) if len(types[dtype]) == 1 else 1)
    assert [t.dtype for t in found] == expected
    assert_right(drawn, found)
    for t, array in zip(tensors, drawn.arrays, strict=True):
        np.testing.assert_array_equal(t.numpy(), array)  # inputs are read alone
    if row.on_meta:
        meta = leaves_of(drawn.call(torch, [t.to("meta") for t in tensors]))
        assert [(t.shape, t.dtype) for t in meta] == [(t.shape, t.dtype) for t in found]


def one_result(drawn: Drawn, tensors: Any) -> Tensor:
    """The differentiable results in one vector."""
    outs = leaves_of(drawn.call(torch, tensors))
    smooth = [t for t in outs if t.is_floating_point() or t.is_complex()]
    return torch.cat([t.reshape(-1) for t in smooth])


def small(drawn: Drawn) -> bool:
    return sum(a.size for a in drawn.arrays) <= 24 and bool(drawn.floating)


@every_row
@given(data=st.data())
@examples(8)
def test_gradients_equal_differences(row: Row, data: Any) -> None:
    if not row.gradient or torch.float64 not in result_types(row):
        return
    drawn = drawn_call(data.draw, row, torch.float64)
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
    if not row.gradient or torch.complex128 not in result_types(row):
        return
    drawn = drawn_call(data.draw, row, torch.complex128)
    if not small(drawn):
        return
    leaves = [
        real_leaf(a) if k in drawn.floating else torch.from_numpy(a)
        for k, a in enumerate(drawn.arrays)
    ]
    function = in_real_numbers(lambda *tensors: one_result(drawn, tensors))
    if not function(*leaves).is_floating_point():
        return
    assert torch.autograd.gradcheck(function, leaves)
    if row.second:
        assert torch.autograd.gradgradcheck(function, leaves)
