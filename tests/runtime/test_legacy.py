"""Older names, memory by hand, settings, NumPy and DLPack, assertions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.testing import assert_close


def test_tensor_types_make_and_recognize_tensors() -> None:
    assert torch.LongTensor([1, 2]).dtype is torch.int64
    assert torch.FloatTensor(2, 3).shape == (2, 3)
    assert torch.BoolTensor([True]).tolist() == [True]
    assert isinstance(torch.ones(1), torch.FloatTensor)
    assert not isinstance(torch.ones(1), torch.DoubleTensor)
    x = torch.ones(2, dtype=torch.float64)
    assert (x.new(3).shape, x.new([1, 2]).dtype) == ((3,), torch.float64)
    torch.set_default_tensor_type(torch.DoubleTensor)
    try:
        assert torch.ones(1).dtype is torch.float64
    finally:
        torch.set_default_tensor_type("torch.FloatTensor")


def test_resizing_keeps_what_is_there() -> None:
    x = torch.arange(6.0)
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.resize_(6).tolist() == [0, 1, 2, 3, 4, 5]
    assert x.resize_(8)[:6].tolist() == [0, 1, 2, 3, 4, 5]
    assert torch.ones(1).resize_as_(torch.ones(2, 3)).shape == (2, 3)
    with pytest.raises(RuntimeError, match="requires no gradient"):
        torch.ones(1, requires_grad=True).resize_(2)


def test_storages_are_shared_by_views() -> None:
    x = torch.arange(4.0)
    assert x.storage().tolist() == x[1:].storage().tolist() == [0, 1, 2, 3]
    assert x.untyped_storage() == x.reshape(2, 2).untyped_storage()
    assert (len(x.storage()), x.untyped_storage().nbytes()) == (4, 16)
    assert x[2:].storage_offset() == 2
    assert x.as_strided((2, 2), (1, 1)).tolist() == [[0, 1], [1, 2]]
    with pytest.raises(RuntimeError, match="storage of 4 elements"):
        x.as_strided((3,), (2,))


def test_strides_by_hand() -> None:
    assert torch.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
    assert torch.empty_permuted((2, 3, 4), (0, 2, 1)).stride() == (12, 1, 3)
    assert torch.ones(1).new_empty_strided((2,), (3,)).stride() == (3,)


def test_diagonals_are_filled() -> None:
    assert torch.zeros(2, 3).fill_diagonal_(5).tolist() == [[5, 0, 0], [0, 5, 0]]
    tall = torch.zeros(5, 2).fill_diagonal_(1, wrap=True)
    assert tall.tolist() == [[1, 0], [0, 1], [0, 0], [1, 0], [0, 1]]
    assert torch.zeros(2, 2, 2).fill_diagonal_(3).sum().item() == 6


def test_numpy_arrays_and_functions_meet_tensors() -> None:
    x = torch.ones(2)
    for result in (x * np.array([1.0, 2.0]), np.array([1.0, 2.0]) * x):
        assert isinstance(result, torch.Tensor)
        assert (result.tolist(), result.dtype) == ([1, 2], torch.float64)
    assert isinstance(np.add(x, 1), torch.Tensor)
    assert np.exp(torch.zeros(2)).tolist() == [1, 1]


def test_memory_passes_by_dlpack_without_a_copy() -> None:
    x = torch.arange(3.0)
    there = np.from_dlpack(x)
    x[0] = 7
    assert there.tolist() == [7, 1, 2]
    back = torch.from_dlpack(np.arange(3.0))
    assert back.dtype is torch.float64
    with pytest.raises(BufferError, match="detach"):
        np.from_dlpack(torch.ones(1, requires_grad=True))
    assert torch.frombuffer(bytearray(b"\x01\x02\x03"), dtype=torch.uint8, offset=1).tolist() == [
        2,
        3,
    ]


def test_mantissas_and_exponents() -> None:
    mantissa, exponent = torch.frexp(torch.tensor([8.0, -3.0]))
    assert (mantissa.tolist(), exponent.tolist()) == ([0.5, -0.75], [4, 2])


def test_random_fillers() -> None:
    torch.manual_seed(0)
    x = torch.empty(20_000)
    assert x.geometric_(0.25).mean().item() == pytest.approx(4, rel=0.03)
    assert x.log_normal_(0.0, 0.5).log().std().item() == pytest.approx(0.5, rel=0.03)
    assert x.cauchy_(3.0, 1.0).median().item() == pytest.approx(3, rel=0.03)


def test_settings() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(True)
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("high")
    assert torch.get_float32_matmul_precision() == "high"
    torch.set_float32_matmul_precision("highest")
    with pytest.raises(ValueError, match="Got 'low'"):
        torch.set_float32_matmul_precision("low")


def test_limits_of_dtypes() -> None:
    assert torch.finfo(torch.float32).max == np.finfo(np.float32).max
    assert torch.finfo(torch.bfloat16).bits == 16
    assert torch.finfo().dtype == "float32"
    assert (torch.iinfo(torch.int8).min, torch.iinfo(torch.uint8).max) == (-128, 255)
    with pytest.raises(TypeError, match="iinfo"):
        torch.finfo(torch.int64)


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (torch.ones(2), torch.tensor([1.0, 2.0]), r"1 of 2 elements differ .50.0%.*at \(1,\)"),
        (torch.ones(2), torch.ones(3), "values of shape differ"),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), "values of dtype differ"),
        ([torch.ones(1), 2], [torch.ones(1), 3], r"close\[1\]"),
        ({"a": 1}, {"b": 1}, "keys differ"),
        ([1], [1, 2], "lengths differ"),
        (torch.tensor([np.nan]), torch.tensor([np.nan]), "not close"),
    ],
)
def test_what_differs_is_told(actual: Any, expected: Any, words: str) -> None:
    assert_close(actual, actual, equal_nan=True)
    with pytest.raises(AssertionError, match=words):
        assert_close(actual, expected)


def test_close_is_close() -> None:
    assert_close(torch.ones(2), torch.ones(2) + 1e-7)
    assert_close(1.0, 1.0 + 1e-9)
    assert_close(torch.ones(1), torch.ones(1) * 2, rtol=0, atol=1)
    with pytest.raises(AssertionError, match="mine"):
        assert_close(1.0, 2.0, msg=lambda found: f"mine: {found}")
    with pytest.raises(ValueError, match="both rtol and atol"):
        assert_close(1.0, 1.0, rtol=1.0)


def test_numbers_are_refused_where_pytorch_wants_tensors() -> None:
    x = torch.ones(2)
    with pytest.raises(TypeError, match=r"maximum: expected a tensor as other. Got the number 2"):
        torch.maximum(x, 2)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"eq: expected a tensor as input"):
        torch.eq(2, x)  # type: ignore[arg-type]
    assert (x == 1).all()
    assert x.clamp(min=torch.zeros(2), max=0.5).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # recorded from PyTorch 2.13
        ("float8_e4m3fn", [1.25, -384, 448, 0.009765625, 0, 16, 448, 288]),
        ("float8_e5m2", [1.25, -384, 512, 0.009765625, 0, 16, float("inf"), 320]),
    ],
)
def test_types_of_eight_bits_keep_values(name: str, expected: list[float]) -> None:
    dtype = getattr(torch, name)
    x = torch.tensor([1.3, -400.0, 500.0, 0.01, 1e-9, 17.0, float("inf"), 300.0])
    kept = x.to(dtype)
    assert kept.dtype is dtype
    assert kept.element_size() == 1
    assert kept.float().tolist() == expected
    assert torch.cat([kept, kept])[8:].float().tolist() == expected
    assert torch.finfo(dtype).bits == 8
    assert torch.finfo(dtype).resolution == 1
    with pytest.raises(RuntimeError, match="Convert the values first"):
        _ = kept + x
