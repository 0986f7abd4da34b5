"""Tensors print as PyTorch 2.13 prints them; the expected texts were recorded from it."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch

RECORDED = [
    (np.array(1.5, np.float32), "tensor(1.5000)"),
    (np.array(2), "tensor(2)"),
    (np.zeros((0, 3), np.float32), "tensor([], size=(0, 3))"),
    (np.zeros(0, np.int64), "tensor([], dtype=torch.int64)"),
    (np.array([1e-5, 1.0], np.float32), "tensor([1.0000e-05, 1.0000e+00])"),
    (np.array([1.0, 2.0, 3e6], np.float32), "tensor([1.0000e+00, 2.0000e+00, 3.0000e+06])"),
    (np.array([np.nan, 1, np.inf], np.float32), "tensor([nan, 1., inf])"),
    (np.array([np.nan, 1.5, -np.inf], np.float32), "tensor([   nan, 1.5000,   -inf])"),
    (np.array([True, False]), "tensor([ True, False])"),
    (np.array([[1.0]]), "tensor([[1.]], dtype=torch.float64)"),
    (np.array([1 + 2j, 3.5 - 1j]), "tensor([1.0000+2.j, 3.5000-1.j], dtype=torch.complex128)"),
    (np.array([0.1, 1000.0], np.float32), "tensor([1.0000e-01, 1.0000e+03])"),
    (np.array([0.1, 100.0], np.float32), "tensor([  0.1000, 100.0000])"),
    (np.array([-1, 200], np.int32), "tensor([ -1, 200], dtype=torch.int32)"),
    (np.arange(1001), "tensor([   0,    1,    2,  ...,  998,  999, 1000])"),
]


@pytest.mark.parametrize(("values", "text"), RECORDED, ids=lambda v: str(v)[:20])
def test_values_print_as_in_pytorch(values: np.ndarray, text: str) -> None:
    assert repr(torch.from_numpy(values)) == text


def test_matrices_align_and_long_ones_are_summarized() -> None:
    assert repr(torch.tensor([[1.0, -2.5], [30.0, 4.0]])) == (
        "tensor([[ 1.0000, -2.5000],\n        [30.0000,  4.0000]])"
    )
    lines = repr(torch.zeros(100, 50)).splitlines()
    assert len(lines) == 7
    assert lines[3] == "        ...,"


def test_history_and_device_are_shown() -> None:
    x = torch.ones(2, requires_grad=True)
    assert repr(x) == "tensor([1., 1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 2.], grad_fn=<MulBackward0>)"
    assert repr(torch.ones(2, device="meta")) == "tensor(..., device='meta', size=(2,))"


def test_a_million_elements_print_without_reading_them_all() -> None:
    x = torch.from_numpy(np.broadcast_to(np.float32(1), (10**6, 10**6)))
    assert repr(x).count("1.") == 36


def test_zero_dim_tensors_format_as_numbers() -> None:
    assert f"{torch.tensor(3.14159):.2f}" == "3.14"
    assert f"{torch.tensor(7):3d}" == "  7"


def test_printoptions_change_the_digits() -> None:
    torch.set_printoptions(precision=2)
    try:
        assert repr(torch.tensor(1.5)) == "tensor(1.50)"
    finally:
        torch.set_printoptions(profile="default")


def test_complex_numbers_of_the_default_precision_show_no_dtype() -> None:
    assert repr(torch.tensor([1 + 2j])) == "tensor([1.+2.j])"
    wide = torch.tensor([1 + 2j], dtype=torch.complex128)
    assert repr(wide) == "tensor([1.+2.j], dtype=torch.complex128)"
