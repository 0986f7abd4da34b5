"""%mem: every block of memory has its holders, with the way to it."""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.magics.memory import MemoryReport, Root, census, session_census
from flambeau.magics.memory.report import advice, hint
from tests.kernel.conftest import LiveKernel

Run = Callable[[str], str]


def ways(value: Any, name: str = "it") -> set[tuple[int, str, str]]:
    """Bytes, role and path of all blocks that `value` leads to."""
    found = census([Root(name, value)])
    return {(b.nbytes, *b.holders[name]) for b in found.blocks.values() if name in b.holders}


def test_containers_attributes_and_closures_are_walked() -> None:
    class Thing:
        __slots__ = ("slot",)

    thing: Any = Thing()
    thing.slot = torch.ones(3)
    kept = torch.ones(5)

    def closure() -> Any:
        return kept

    def generator() -> Iterator[Any]:
        local = torch.ones(7)
        yield
        del local

    suspended = generator()
    next(suspended)
    value = {"list": [torch.ones(1), (torch.ones(2),)], "thing": thing, "f": closure,
             "g": suspended}  # fmt: skip
    assert ways(value) == {
        (4, "value", "it['list'][0]"),
        (8, "value", "it['list'][1][0]"),
        (12, "value", "it['thing'].slot"),
        (20, "value", "it['f'], closure over kept"),
        (28, "value", "it['g'], local in generator"),
    }


def test_objects_that_raise_when_looked_at_are_passed_over() -> None:
    class Rude:
        def __getattr__(self, name: str) -> Any:
            raise KeyError(name)

    class Ruder:
        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise OSError

    kept = torch.ones(3)
    assert ways([Rude(), Ruder(), kept]) == {(12, "value", "it[2]")}


def test_modules_gradients_and_optimizers_have_roles() -> None:
    net = nn.Sequential(nn.Linear(10, 10, bias=False), nn.BatchNorm1d(10, affine=False))
    adam = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 10)).sum().backward()
    adam.step()
    assert (400, "parameters", "net.0.weight") in ways(net, "net")
    assert (400, "gradients", "net.0.weight.grad") in ways(net, "net")
    assert (40, "buffers", "net.1.running_mean") in ways(net, "net")
    assert (400, "optimizer state", "adam.state[#0]['exp_avg']") in ways(adam, "adam")
    assert (400, "parameters", "adam.param_groups[0]['params'][0]") in ways(adam, "adam")


def test_the_graph_of_a_loss_holds_what_its_operations_saved() -> None:
    x = torch.ones(100, requires_grad=True)
    loss = x.exp().sum()
    assert (400, "graph", "graph of loss, saved by exp") in ways(loss, "loss")
    loss.backward()
    assert {role for _, role, _ in ways(loss, "loss")} == {"value"}


def test_what_several_hold_comes_back_only_with_the_last() -> None:
    shared, own = torch.ones(1000), torch.ones(10)
    found = census([Root("a", [shared, own]), Root("b", shared[:10]), Root("c", 3)])
    assert found.only_held_by(["a"]) == 40
    assert found.only_held_by(["b"]) == 0
    assert found.only_held_by(["a", "b"]) == 4040


def test_deep_graphs_and_long_lists_are_no_limit() -> None:
    x = torch.ones(1, requires_grad=True)
    for _ in range(5000):
        x = x * 1.0
    nested: Any = torch.ones(9)
    for _ in range(5000):
        nested = [nested]
    found = census([Root("deep", x), Root("nested", nested)])
    assert len(found.held_by("nested")) == 1


def test_the_report_names_cells_roles_and_pins(run: Run) -> None:
    run("big = torch.ones(1000, 1000)")
    run("torch.ones(500, 1000)")
    text = run("%mem")
    assert re.search(r"4\.0 MB +4\.0 MB +big +1000×1000 float32 cpu +\[\d+\]", text)
    assert re.search(r"2\.0 MB +2\.0 MB +Out\[\d+\] +500×1000 float32 cpu", text)
    assert "2.0 MB only the session holds: %free" in text
    run("%free big")
    assert "Out[" not in run("%mem")


def test_the_local_variables_of_a_failed_call_are_found(run: Run) -> None:
    run("def fail():\n    local = torch.ones(1_000_000)\n    1 / 0")
    run("fail()")
    assert re.search(r"4\.0 MB +the last error +1000000 float32 cpu line 3 of fail: local",
                     run("%mem"))  # fmt: skip
    run("%free")
    assert "the last error" not in run("%mem")


def test_a_list_of_losses_is_told_to_keep_numbers(run: Run, shell: Any) -> None:
    run("x = torch.ones(1000, requires_grad=True); losses = [(x * k).exp().sum() for k in (1, 2)]")
    assert "losses keeps 2 graphs alive (" in run("%mem losses")
    assert hint(session_census(shell), "x") == ""


def test_one_holder_is_shown_block_by_block(run: Run) -> None:
    run("parts = [torch.ones(2, 5), torch.ones(3, dtype=torch.int64)]; same = parts[0]")
    lines = run("%mem parts").splitlines()
    assert lines[1].split() == ["40", "B", "2×5", "float32", "cpu", "parts[0]", "same"]
    assert lines[2].split() == ["24", "B", "3", "int64", "cpu", "parts[1]"]
    assert "... and 1 block more" in run("%mem parts -n 1")


def test_globals_of_other_modules_are_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    monkeypatch.setattr(json, "cache", [torch.ones(3_000_000)], raising=False)
    assert "a global of module json" in run("%mem")


def test_local_variables_of_a_running_function_are_held_by_it(shell: Any, run: Run) -> None:
    seen: list[str] = []

    def train() -> None:
        batch = torch.ones(1_000_000)
        look = threading.Thread(
            target=lambda: seen.append(str(MemoryReport(session_census(shell))))
        )
        look.start()
        look.join(60)
        assert batch.numel()

    train()
    assert re.search(r"4\.0 MB +4\.0 MB +train\(\), which runs +1000000 float32 cpu batch in train",
                     seen[0])  # fmt: skip


def test_looking_leaves_no_holder_behind(run: Run, shell: Any) -> None:
    import weakref

    run("x = torch.ones(10, requires_grad=True); y = x.exp()")
    known = weakref.ref(shell.user_ns["y"])
    run("%mem y")
    run("%mem")
    run("del y")
    gc.collect()
    assert known() is None


def test_advice_names_what_is_worth_dropping_first(run: Run, shell: Any) -> None:
    run("%free")  # an error of another test may still be held
    run("torch.ones(500_000)")
    run("small = torch.ones(10); hoard = [torch.ones(1_000_000)]")
    lines = advice(session_census(shell)).splitlines()
    assert lines[1].split()[:3] == ["2.0", "MB", "%free"]
    assert lines[2].split()[:4] == ["4.0", "MB", "%free", "hoard"]
    run("%free hoard")


@pytest.fixture
def small_kernel() -> Iterator[LiveKernel]:
    kernel = LiveKernel()
    yield kernel
    kernel.close()


def test_memory_is_filled_the_error_advises_and_one_command_lets_training_go_on(
    small_kernel: LiveKernel,
) -> None:
    run = small_kernel.run
    run(
        "import resource\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 900_000_000,) * 2)\n"
        "net = nn.Linear(1000, 1000); sgd = optim.SGD(net.parameters(), lr=0.1)\n"
        "def train(rows):\n"
        "    kept = []\n"
        "    for _ in range(100):\n"
        "        x = torch.ones(rows, 1000)\n"
        "        sgd.zero_grad(); out = net(x); kept.append(out)\n"
        "        (out**2).mean().backward(); sgd.step()\n"
        "    return float(out.mean())"
    )
    run("torch.ones(10_000_000)")
    failed = run("train(10_000)", stop_on_error=False)
    assert failed.error is not None
    assert failed.error["ename"].endswith("MemoryError")
    assert "%free" in failed.traceback
    assert "what the session itself holds, most by the last error" in failed.traceback
    assert "the last error" in run("%mem").text
    assert run("torch.ones(250_000_000)", stop_on_error=False).error is not None
    assert "MB of tensors and graphs came back" in run("%free").stdout
    assert run("train(100)").error is None
    # Threads and kernels of oneDNN keep address space for good, so not all of it is there again.
    assert run("torch.ones(50_000_000).sum().item()").text == "50000000.0"
