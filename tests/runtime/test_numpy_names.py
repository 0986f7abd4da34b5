"""NumPy's names of arguments, as PyTorch takes them: axis and keepdims."""

from __future__ import annotations

import inspect
import operator

import pytest

import flambeau as torch

X = torch.tensor([[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]])
REDUCTIONS = """
sum mean prod amax amin max min argmax argmin var std all any median nanmedian mode logsumexp
nansum nanmean aminmax
""".split()
ALONG = """
cumsum cumprod cummax cummin logcumsumexp softmax log_softmax sort argsort unsqueeze unbind diff
""".split()


def equal(a: object, b: object) -> bool:
    if isinstance(a, tuple):
        return all(equal(x, y) for x, y in zip(a, b, strict=True))
    return torch.equal(a, b)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_take_axis_and_keepdims(name: str) -> None:
    expected = getattr(X, name)(dim=1, keepdim=True)
    assert equal(getattr(X, name)(axis=1, keepdims=True), expected)
    assert equal(getattr(torch, name)(X, axis=1, keepdims=True), expected)


@pytest.mark.parametrize("name", ALONG)
def test_functions_along_a_dimension_take_axis(name: str) -> None:
    assert equal(getattr(X, name)(axis=0), getattr(X, name)(dim=0))
    assert equal(getattr(torch, name)(X, axis=0), getattr(torch, name)(X, dim=0))


def test_arguments_behind_a_renamed_one_go_by_name() -> None:
    index = torch.tensor([[1, 0, 1]])
    assert torch.equal(torch.gather(X, axis=0, index=index), torch.gather(X, 0, index))
    assert torch.equal(X.index_select(axis=1, index=index[0]), X.index_select(1, index[0]))
    assert torch.equal(torch.cat([X, X], axis=1), torch.cat([X, X], 1))
    assert torch.equal(torch.linalg.norm(X, axis=1), torch.linalg.norm(X, dim=1))
    assert torch.equal(torch.fft.fft(X, axis=0), torch.fft.fft(X, dim=0))


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(TypeError, match=r"sum: expected dim or axis. Got both."):
        X.sum(0, axis=0)
    with pytest.raises(TypeError, match="expected keepdim or keepdims"):
        X.sum(0, keepdim=True, keepdims=True)


def test_a_missing_dimension_is_named() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'dim'"):
        X.softmax()
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'index'"):
        X.gather(0)


def test_signatures_show_pytorchs_names_only() -> None:
    for function in (torch.sum, torch.sort, torch.fft.fft):
        assert not {"axis", "keepdims"} & set(inspect.signature(function).parameters)


def test_parts_of_shapes_are_shapes() -> None:
    shape = torch.zeros(2, 3, 4).shape
    sums = operator.add(shape, (1,)), operator.add((1,), shape)
    for part in (*sums, shape[1:], shape * 2, shape[::-1]):
        assert isinstance(part, torch.Size)
    assert shape[1:].numel() == 12
    assert repr(shape[1:]) == "torch.Size([3, 4])"
    assert shape[0] == 2
    with pytest.raises(TypeError):
        operator.add(shape, [1])
