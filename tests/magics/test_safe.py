"""`%%safe` and transactions: a cell that fails leaves everything as it was."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn, optim
from flambeau.magics.transactions import Transaction, Undone

from .conftest import Run


def undone(namespace: dict[str, Any], change: str) -> Undone:
    """Run `change` in the namespace and roll it back."""
    transaction = Transaction(namespace, list(namespace))
    exec(change, {"torch": torch}, namespace)
    return transaction.rollback(list(namespace))


def trained() -> dict[str, Any]:
    """A model half way through its training, with momentum, a schedule and running statistics."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    adam = optim.Adam(net.parameters(), lr=0.1)
    names = {"net": net, "adam": adam, "plan": optim.lr_scheduler.StepLR(adam, 1), "losses": []}
    exec(STEP, {"torch": torch}, names)
    return names


STEP = """
adam.zero_grad()
loss = net(torch.randn(5, 3)).square().mean()
loss.backward()
adam.step()
plan.step()
losses.append(loss.item())
"""


def state(names: dict[str, Any]) -> list[Any]:
    parts = [names["net"].state_dict(), names["adam"].state_dict(), names["plan"].state_dict()]
    grads = [p.grad for p in names["net"].parameters()]
    return [flat(part) for part in (*parts, grads, names["losses"], torch.get_rng_state())]


def flat(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {key: flat(v) for key, v in value.items()}
    return [flat(v) for v in value] if isinstance(value, list | tuple) else value


def test_a_training_step_is_undone_to_the_last_bit() -> None:
    names = trained()
    before = state(names)
    found = undone(names, STEP + "net.eval(); extra = 1")
    assert state(names) == before
    assert names["net"].training
    assert found.names == ["extra", "loss"]
    assert found.tensors >= 6  # parameters, running statistics
    exec(STEP, {"torch": torch}, names)  # and it goes on as if nothing had been
    after = state(names)
    again = trained()
    exec(STEP, {"torch": torch}, again)
    assert after == state(again)


@pytest.mark.parametrize(
    "change",
    [
        "x.add_(1)", "x[0] = 9", "v.zero_()", "x.data = torch.zeros(7)", "x.requires_grad_()",
        "x = 5", "del x", "d['k'][1].mul_(3)", "d['k'].append(4); d['new'] = 1", "s.add(3)",
        "a[:] = 7", "sp.mul_(2)", "o.n.add_(1); o.name = 'b'", "x.grad = x.clone()",
    ],
)  # fmt: skip
def test_every_kind_of_change_is_undone(change: str) -> None:
    class Owner:
        __module__ = "__main__"

    owner = Owner()
    owner.n, owner.name = torch.ones(2), "a"  # type: ignore[attr-defined]
    x = torch.arange(6.0)
    names: dict[str, Any] = {
        "x": x, "v": x[2:4], "d": {"k": [1, torch.ones(2)]}, "s": {1, 2}, "a": np.arange(6.0),
        "sp": torch.eye(2).to_sparse(), "o": owner,
    }  # fmt: skip
    undone(names, change)
    assert names["x"] is x
    assert (x.tolist(), x.requires_grad, x.grad) == ([0, 1, 2, 3, 4, 5], False, None)
    assert names["v"].tolist() == [2, 3]
    assert flat(names["d"]) == {"k": [1, [1, 1]]}
    assert names["s"] == {1, 2}
    assert names["a"].tolist() == [0, 1, 2, 3, 4, 5]
    assert names["sp"].to_dense().tolist() == [[1, 0], [0, 1]]
    assert (owner.n.tolist(), owner.name) == ([1, 1], "a")  # type: ignore[attr-defined]


def test_a_graph_can_run_backward_after_a_failed_cell_has() -> None:
    w = torch.ones(2, requires_grad=True)
    names = {"w": w, "loss": (w.exp() * w).sum()}
    undone(names, "loss.backward(); w.data.mul_(5)")
    assert w.grad is None
    names["loss"].backward()
    assert w.grad.tolist() == pytest.approx([2 * np.e] * 2)


def test_a_write_that_was_undone_does_not_count_as_a_change_of_a_saved_value() -> None:
    w = torch.ones(2, requires_grad=True)
    y = w.exp()
    names = {"y": y, "loss": y.sum()}
    undone(names, "with torch.no_grad(): y.add_(1)")
    names["loss"].backward()
    assert w.grad.tolist() == pytest.approx([np.e] * 2)


def test_all_random_streams_and_modes_are_put_back() -> None:
    generator = torch.Generator().manual_seed(1)
    own = np.random.default_rng(0)
    draws = "torch.rand(1, generator=g), torch.rand(1), own.random(), np.random.rand(), r.random()"
    names = {"g": generator, "own": own, "np": np, "r": random}
    change = f"d = {draws}; torch.set_grad_enabled(False); torch.set_default_dtype(torch.float64)"
    transaction = Transaction(names, ["g", "own"])
    exec(change, {"torch": torch}, names)
    first = names["d"]
    transaction.rollback(["g", "own", "d"])
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() is torch.float32
    second = eval(draws, {"torch": torch}, names)
    assert [float(v) for v in first] == [float(v) for v in second]


def test_a_transaction_pins_nothing_of_other_libraries_and_survives_cycles() -> None:
    loop: list[Any] = [torch.ones(2)]
    loop.append(loop)
    names = {"loop": loop, "it": iter([1, 2]), "file": open(__file__)}  # noqa: SIM115
    undone(names, "next(it); file.readline(); loop[0].zero_()")
    assert loop[0].tolist() == [1, 1]
    assert next(names["it"]) == 2  # iterators go on
    names["file"].close()


def test_what_cannot_be_put_back_is_told_and_stops_nothing() -> None:
    names = {"x": torch.ones(2), "a": np.arange(6.0), "y": torch.ones(2)}
    found = undone(names, "x.zero_(); a.resize(2, refcheck=False); y.zero_()")
    assert len(found.failures) == 1
    assert names["x"].tolist() == names["y"].tolist() == [1, 1]  # type: ignore[attr-defined]


def test_lazy_layers_slots_and_ordered_dicts_are_put_back() -> None:
    class Slotted:
        __slots__ = ("given", "later")
        __module__ = "__main__"

    slotted, lazy = Slotted(), nn.LazyLinear(4)
    slotted.given = torch.ones(2)
    ordered = OrderedDict(a=1)
    names = {"slotted": slotted, "lazy": lazy, "ordered": ordered, "count": Counter("ab")}
    for _ in range(2):
        found = undone(
            names,
            "slotted.given.zero_(); slotted.later = 1; lazy(torch.ones(1, 5)); ordered['b'] = 2\n"
            "count['a'] += 4",
        )
        assert found.failures == []
        assert slotted.given.tolist() == [1, 1]
        assert not hasattr(slotted, "later")
        assert type(lazy) is nn.LazyLinear
        assert list(ordered) == ["a"]
        assert names["count"] == Counter("ab")
    assert lazy(torch.ones(1, 3)).shape == (1, 4)


def test_a_shared_memory_is_copied_once() -> None:
    x = torch.ones(1000)
    transaction = Transaction({"x": x, "again": x, "same": x.detach()}, ["x", "again", "same"])
    assert transaction.nbytes == x.nbytes


def test_a_failed_cell_is_undone_and_says_so(run: Run) -> None:
    run("w = torch.ones(3); kept = [1]")
    text = run("%%safe\nw.add_(1); kept.append(2); made = 5\nraise RuntimeError('stop')")
    assert "RuntimeError: stop" in text
    assert "Undone: names made and writes to 1 tensor. Safety cost" in text
    assert run("print(w.tolist(), kept, 'made' in globals())") == "[1.0, 1.0, 1.0] [1] False\n"


def test_a_cell_that_succeeds_keeps_what_it_did(run: Run) -> None:
    run("w = torch.ones(3)")
    assert "12 B for 1 tensor" in run("%%safe\nw.add_(1)")
    assert run("print(w.tolist())") == "[2.0, 2.0, 2.0]\n"


def test_an_interrupted_cell_is_undone(run: Run) -> None:
    run("w = torch.ones(3)")
    assert "Undone" in run("%%safe\nw.add_(1)\nraise KeyboardInterrupt")
    assert run("print(w.tolist())") == "[1.0, 1.0, 1.0]\n"
