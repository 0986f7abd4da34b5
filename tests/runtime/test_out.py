"""`out=`: results written into tensors given."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

import flambeau as torch
from flambeau.core.tensor import Tensor
from flambeau.errors import DTypeError, GradientError
from flambeau.ops.out import CREATION, FUNCTIONS

from .op_samples import SAMPLES
from .test_operations import call, function_of, outputs_of

LISTED = {
    id(inspect.unwrap(getattr(module, name)))
    for module, names in {**FUNCTIONS, **CREATION}.items()
    for name in names.split()
}
CASES = [
    pytest.param(name, sample, id=f"{name}-{k}")
    for name, samples in SAMPLES.items()
    for k, sample in enumerate(samples)
    if id(inspect.unwrap(function_of(name))) in LISTED
]


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_the_result_is_written_into_out(name: str, sample: Any) -> None:
    expected = call(name, sample.tensors(), sample)
    several = not isinstance(expected, Tensor)
    outs = tuple(torch.empty_like(t) for t in outputs_of(expected))
    options = {**sample.kwargs, "out": outs if several else outs[0]}
    sample = dataclasses.replace(sample, kwargs=options)
    found = call(name, sample.tensors(), sample)
    for given, got, wanted in zip(outs, outputs_of(found), outputs_of(expected), strict=True):
        assert got is given
        assert torch.equal(given.nan_to_num(), wanted.nan_to_num())
    assert type(found) is type(expected)


def test_all_that_are_listed_show_out_in_their_signature() -> None:
    for module, names in {**FUNCTIONS, **CREATION}.items():
        for name in names.split():
            assert "out" in inspect.signature(getattr(module, name)).parameters, name


def test_out_is_resized_with_a_warning_unless_empty() -> None:
    x = torch.ones(2, 3)
    empty = torch.empty(0)
    assert torch.add(x, 1, out=empty) is empty
    assert empty.tolist() == [[2.0] * 3] * 2
    with pytest.warns(
        UserWarning, match=r"shape \(5,\) was resized to the result's shape \(2, 3\)"
    ):
        torch.sort(x, out=(torch.empty(5), torch.empty(0, dtype=torch.int64)))


def test_out_may_be_an_operand_or_a_view() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    torch.mul(x, x, out=x)
    assert x.tolist() == [[0, 1, 4], [9, 16, 25]]
    torch.neg(x[:, 0], out=x[:, 2])
    assert x.tolist() == [[0, 1, 0], [9, 16, -9]]
    assert x._version == 2


def test_out_of_another_dtype_holds_what_fits() -> None:
    assert torch.eq(torch.ones(2), 1, out=torch.empty(2)).tolist() == [1.0, 1.0]
    with pytest.raises(DTypeError, match=r"holds torch\.float32\. Got one of torch\.int64"):
        torch.exp(torch.ones(2), out=torch.empty(2, dtype=torch.int64))
    with pytest.raises(
        DTypeError, match=r"Expected out of torch\.float32\. Got one of torch\.float64"
    ):
        torch.matmul(torch.ones(2, 2), torch.ones(2, 2), out=torch.empty(2, 2, dtype=torch.float64))


def test_out_records_no_gradient() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(GradientError, match="an input requires one"):
        torch.exp(x, out=torch.empty(2))
    with pytest.raises(GradientError, match="but out requires one"):
        torch.exp(torch.ones(2), out=x)
    with torch.no_grad():
        assert not torch.exp(x, out=torch.empty(2)).requires_grad


def test_creation_takes_dtype_from_out() -> None:
    out = torch.empty(3, dtype=torch.int32)
    assert torch.arange(3, out=out) is out
    assert out.tolist() == [0, 1, 2]
    assert torch.fft.fftfreq(2, out=torch.empty(2, dtype=torch.float64)).tolist() == [0.0, -0.5]
    torch.manual_seed(0)
    expected = torch.rand(2, dtype=torch.float64)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(2, out=torch.empty(2, dtype=torch.float64)), expected)


def test_wrong_outs_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Expected a tensor as out\. Got int"):
        torch.add(torch.ones(1), 1, out=3)
    with pytest.raises(TypeError, match=r"Expected 2 tensors as out\. Got 1"):
        torch.sort(torch.ones(2), out=[torch.empty(0)])


def test_out_that_overlaps_what_is_read_is_refused() -> None:
    x = torch.arange(6.0)
    index = torch.tensor([1, 2, 3])
    for call_ in (
        lambda: torch.gather(x, 0, index, out=x[:3]),
        lambda: torch.index_select(x, 0, index, out=x[2:5]),
        lambda: torch.cat([x[:3], x[3:]], out=x),
        lambda: torch.kthvalue(x, 2, out=(x, torch.tensor(0))),
    ):
        with pytest.raises(RuntimeError, match="apart from the tensors that are read"):
            call_()
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_expanded_out_is_refused() -> None:
    with pytest.raises(RuntimeError, match="memory of their own"):
        torch.add(torch.ones(3), 1, out=torch.zeros(1).expand(3))
