"""Instruments meet tensors of every kind: quantized, sparse, narrow, without values or a shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.kernel.display import tensor_html
from flambeau.kernel.inspection import describe
from flambeau.kernel.snapshot import facts_of
from flambeau.magics.memory.holders import Root, census
from flambeau.magics.statistics import values_of
from flambeau.magics.transactions import Transaction


def per_channel() -> Any:
    scales, zeros = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 1, 2])
    return torch.quantize_per_channel(torch.randn(3, 4), scales, zeros, 0, torch.qint8)


KINDS: dict[str, Callable[[], Any]] = {
    "quantized": lambda: torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 3, torch.quint8),
    "quantized per channel": per_channel,
    "sparse": lambda: torch.eye(4).to_sparse(),
    "complex": lambda: torch.randn(3, 4, dtype=torch.complex64),
    "bfloat16": lambda: torch.randn(3, 4).bfloat16(),
    "float8": lambda: torch.randn(3, 4).to(torch.float8_e4m3fn),
    "bool": lambda: torch.randn(3, 4) > 0,
    "meta": lambda: torch.ones(3, 4, device="meta"),
    "empty": lambda: torch.ones(0, 4),
    "lazy": lambda: nn.LazyLinear(3).weight,
    "result": lambda: torch.randn(3, 4, requires_grad=True) * 2,
}


@pytest.fixture(params=KINDS, ids=str)
def tensor(request: Any) -> Any:
    return KINDS[request.param]()


def test_every_kind_shows_in_a_notebook_and_in_a_hover(tensor: Any) -> None:
    assert str(tensor.dtype) in tensor_html(tensor)
    assert describe(tensor, facts_of("x", tensor)).startswith(f"x: {type(tensor).__name__}")


def test_the_bytes_of_every_kind_are_found(tensor: Any) -> None:
    has_bytes = not (tensor.is_meta or nn.parameter.is_lazy(tensor) or tensor.numel() == 0)
    assert bool(census([Root("x", tensor)]).held_by("x")) == has_bytes


@pytest.mark.parametrize("kind", ["quantized", "quantized per channel"])
def test_the_values_of_quantized_tensors_are_those_of_dequantize(kind: str) -> None:
    tensor = KINDS[kind]()
    expected = tensor.dequantize().numpy()
    assert np.array_equal(values_of(tensor), expected)
    assert np.array_equal(values_of(tensor._array), expected)  # as graphs keep it


def test_a_transaction_puts_back_the_codes_of_quantized_tensors() -> None:
    tensor = KINDS["quantized"]()
    before = tensor.int_repr().numpy().copy()
    names = {"q": tensor}
    transaction = Transaction(names, list(names))
    tensor._array.codes[:] = 0
    transaction.rollback(list(names))
    assert (tensor.int_repr().numpy() == before).all()
