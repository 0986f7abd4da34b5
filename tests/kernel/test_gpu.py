"""A session whose tensors are on a GPU: faults, waits and receipts of its cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from flambeau import cuda
from flambeau.errors import OutOfBoundsError
from flambeau.kernel import Session, receipts

from ..runtime.conftest import gpu

__all__ = ["gpu"]

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


@pytest.fixture(scope="module")
def session(gpu: None) -> Iterator[Session]:
    receipts.has_gpu.cache_clear()
    made = Session()
    yield made
    made.close()
    receipts.has_gpu.cache_clear()


def test_a_fault_that_the_gpu_finds_later_is_told_at_its_cell(
    session: Session, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    plain = cuda.synchronize

    def find(*args: Any) -> None:
        plain()
        raise OutOfBoundsError("gather: expected numbers from 0 to 4. Got 7")

    session.execute("x = torch.ones(3, device='cuda')")
    monkeypatch.setattr(cuda, "synchronize", find)
    found = session.execute("y = x * 2")
    assert isinstance(found.error, IndexError)
    assert not found.success
    assert "Got 7" in capsys.readouterr().out
    broken = session.execute("1 / 0")
    assert isinstance(broken.error, ZeroDivisionError)  # which tells more
    monkeypatch.undo()
    assert session.execute("y.tolist()").value == [2, 2, 2]


def test_receipts_have_the_most_bytes_that_tensors_held(session: Session) -> None:
    session.execute("kept = torch.empty(1 << 20, dtype=torch.uint8, device='cuda')")
    before, peak = cuda.memory_allocated(), cuda.max_memory_allocated()
    made = session.execute("z = torch.empty(3 << 20, dtype=torch.uint8, device='cuda'); del z;")
    receipt = made.receipt
    assert receipt is not None
    assert receipt.gpu_peak == before + (3 << 20)
    assert receipt.gpu_net == 0
    idle = session.execute("1 + 1").receipt
    assert idle is not None
    assert idle.gpu_peak == before
    assert cuda.max_memory_allocated() == max(peak, before + (3 << 20))  # the program's own


FAIL = "def fail(*args, **options): raise ValueError('library')"


def test_frames_of_libraries_below_the_runtime_are_not_shown(session: Session, capsys: Any) -> None:
    names = {"__name__": "cupy._core"}
    exec(compile(FAIL, "cupy_core.py", "exec"), names)
    session.namespace["fail"] = names["fail"]
    session.execute("fail()")
    assert "cupy_core.py" in capsys.readouterr().out  # the user's own call
    session.execute("torch.func.vmap(fail)(torch.ones(3))")
    told = capsys.readouterr().out
    assert "ValueError: library" in told
    assert "cupy_core.py" not in told
