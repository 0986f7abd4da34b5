"""%free: what the session pins comes back, what the user holds stays."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from flambeau.magics.memory import bytes_text, tensor_bytes

Run = Callable[[str], str]

MEGABYTES = re.compile(r"([\d.]+) MB of tensors and graphs came back")


def freed(text: str) -> float:
    found = MEGABYTES.search(text)
    return float(found.group(1)) if found else 0.0


def alive(shell: Any, expression: str) -> Any:
    """A weak reference to a value of the session that the test itself does not hold."""
    return weakref.ref(eval(expression, shell.user_ns))


def test_displayed_results_are_let_go(run: Run, shell: Any) -> None:
    run("torch.ones(1_000_000)")
    run("torch.ones(1_000_000) * 2")
    first = alive(shell, "_oh[max(_oh)]")
    text = run("%free")
    assert "results" in text
    assert freed(text) == pytest.approx(8.0, abs=0.1)
    assert first() is None
    assert shell.user_ns["Out"] == {}


def test_underscores_work_again_after_it(run: Run) -> None:
    run("%free")
    run("41 + 1")
    assert run("_ + 1").strip().endswith("43")


def test_the_last_traceback_is_let_go(run: Run, shell: Any) -> None:
    run("import weakref; keep = []")
    run(
        "def fail():\n    big = torch.ones(1_000_000)\n    keep.append(weakref.ref(big))\n    1 / 0"
    )
    run("fail()")
    assert shell.user_ns["keep"][0]() is not None
    text = run("%free")
    assert "the last traceback" in text
    assert shell.user_ns["keep"][0]() is None
    assert freed(text) == pytest.approx(4.0, abs=0.1)


def test_variables_stay(run: Run) -> None:
    run("mine = torch.ones(1000)")
    run("mine")
    run("%free")
    assert run("mine.sum().item()").strip().endswith("1000.0")


def test_graphs_that_only_a_cycle_holds_are_collected(run: Run) -> None:
    gc.collect()
    run("x = torch.ones(1_000_000, requires_grad=True)")
    run("y = x.exp(); y.itself = y; del y")
    assert freed(run("%free")) == pytest.approx(4.0, abs=0.1)


def test_nothing_to_free_is_said(run: Run) -> None:
    run("%free")
    assert "Nothing was pinned" in run("%free")


def test_what_is_no_variable_is_refused(run: Run) -> None:
    assert "expected variables of the session. Got everything." in run("%free everything")
    assert "expected a variable of the session, or Out[n]. Got 'nothing'" in run("%mem nothing")
    assert "unrecognized arguments" in run("%free --all")


def test_named_variables_go_with_the_rest(run: Run, shell: Any) -> None:
    run("mine = torch.ones(1_000_000); other = torch.ones(3)")
    text = run("%free mine")
    assert "mine" in text
    assert freed(text) == pytest.approx(4.0, abs=0.1)
    assert "mine" not in shell.user_ns
    assert "other" in shell.user_ns


def test_views_are_counted_once(run: Run, shell: Any) -> None:
    before = tensor_bytes()
    run("big = torch.ones(1000, 1000); parts = [big[k] for k in range(10)]")
    assert tensor_bytes() - before == pytest.approx(4_000_000, abs=1000)


def test_parameters_without_a_shape_take_none(run: Run, shell: Any) -> None:
    before = tensor_bytes()
    run("lazy = torch.nn.LazyLinear(1000)")
    assert tensor_bytes() == before
    assert "Nothing was pinned" in run("%free")


def test_sizes_read_well() -> None:
    assert [bytes_text(n) for n in (0, 999, 1500, 2_500_000, 7_000_000_000_000)] == [
        "0 B", "999 B", "1.5 kB", "2.5 MB", "7000.0 GB",
    ]  # fmt: skip


def test_sparse_tensors_count_with_their_parts_once(run: Run) -> None:
    before = tensor_bytes()
    run("s = torch.sparse_coo_tensor(torch.arange(1000).repeat(2, 1), torch.ones(1000))")
    run("values, indices = s._values(), s._indices()")
    assert tensor_bytes() - before == pytest.approx(20_000, abs=1000)
