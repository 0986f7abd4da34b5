"""Numbers in even steps, recorded from PyTorch."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch

i64 = torch.int64


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (torch.arange(0.0, -8.000001, -4.0, dtype=i64), [0, -4]),
        (torch.arange(1.5, 5, 1.5, dtype=torch.int32), [1, 2, 3]),
        (torch.arange(end=3), [0, 1, 2]),
        (torch.range(1, 4), [1.0, 2.0, 3.0, 4.0]),
        (torch.range(0, 1, 0.25, dtype=torch.float64), [0.0, 0.25, 0.5, 0.75, 1.0]),
        (torch.linspace(4.3, -3, 5, dtype=i64), [4, 2, 0, -1, -3]),
        (torch.linspace(10, 0, 4, dtype=torch.int32), [10, 6, 3, 0]),
        (torch.linspace(1, 5, 1, dtype=i64), [1]),
        (torch.linspace(1j, 5, 3), [1j, 2.5 + 0.5j, 5]),
        (torch.logspace(0.7, 3, 5, dtype=i64), [1, 5, 31, 177, 1000]),
        (torch.logspace(0, 3, 4, -1), [1.0, -1.0, 1.0, -1.0]),
    ],
)
def test_numbers_as_recorded(found: Any, expected: Any) -> None:
    assert found.tolist() == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.arange(0, 5, 0.5, dtype=i64),
        lambda: torch.arange(5, 1),
        lambda: torch.arange(1, 5, float("nan")),
        lambda: torch.arange(3, dtype=torch.bool),
        lambda: torch.range(4, 1),
        lambda: torch.linspace(0, 1, -1),
        lambda: torch.linspace(0, 1, 3, dtype=torch.bool),
        lambda: torch.eye(2, -1),
        lambda: torch.empty_strided((2,), (1, 2)),
        lambda: torch.empty_strided((2,), (-1,)),
    ],
)
def test_what_makes_no_range_is_refused(call: Any) -> None:
    with pytest.raises(RuntimeError, match="expected"):
        call()


def test_asarray_shares_memory_unless_told_otherwise() -> None:
    x = torch.ones(3)
    assert torch.asarray(x).data_ptr() == x.data_ptr()
    assert torch.asarray(x, copy=True).data_ptr() != x.data_ptr()
    assert torch.asarray([1, 2], requires_grad=False).tolist() == [1, 2]
    with pytest.raises(ValueError, match="can share"):
        torch.asarray(x, dtype=torch.float64, copy=False)
