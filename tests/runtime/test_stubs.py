"""The stub that editors read is the one that the runtime would write."""

from __future__ import annotations

from pathlib import Path

from flambeau.ops import stubs

COMMITTED = Path(__file__).parent.parent.parent / "runtime" / "core" / "tensor.pyi"


def test_the_committed_stub_is_up_to_date() -> None:
    assert COMMITTED.read_text() == stubs.text(), (
        "python -m flambeau.ops.stubs > runtime/core/tensor.pyi"
    )
