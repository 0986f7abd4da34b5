"""`%%parallel`: a cell in several processes, and what it leaves in the session."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn, optim
from flambeau.magics.parallel import ParallelError, parallel

BEGIN = """
import flambeau.distributed as dist
r, n = dist.get_rank(), dist.get_world_size()
"""


def test_processes_train_the_modules_of_the_session() -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    alone = nn.Linear(3, 1)
    alone.load_state_dict(net.state_dict())
    x = torch.randn(8, 3)
    y = x.sum(1, keepdim=True)
    names: dict[str, Any] = {"torch": torch, "net": net, "x": x, "y": y, "history": [0.0]}
    names["adam"] = optim.Adam(net.parameters(), lr=0.1)
    weight, history, output = net.weight, names["history"], []
    outcome = parallel(
        BEGIN + "model = torch.nn.parallel.DistributedDataParallel(net)\n"
        "for step in range(5):\n"
        "    adam.zero_grad()\n"
        "    loss = ((model(x[r::n]) - y[r::n])**2).mean()\n"
        "    loss.backward()\n"
        "    adam.step()\n"
        "    history.append(step)\n"
        "print('done', r)\n"
        "def twice(x): return 2 * x\n"
        "r",
        names,
        2,
        gather=["loss"],
        show=lambda rank, line: output.append((rank, line)),
    )
    adam = optim.Adam(alone.parameters(), lr=0.1)
    for _ in range(5):
        adam.zero_grad()
        ((alone(x) - y) ** 2).mean().backward()
        adam.step()
    assert net.weight is weight
    assert torch.allclose(net.weight, alone.weight, atol=1e-6)
    assert names["model"] is net  # what it wraps
    assert names["history"] is history
    assert history == [0, 0, 1, 2, 3, 4]
    assert [type(t) for t in names["loss"]] == [torch.Tensor] * 2
    assert names["loss"][0] != names["loss"][1]
    assert names["twice"](2) == 4
    assert names["adam"].state_dict()["state"][0]["step"] == 5
    assert sorted(output) == [(0, "0\n"), (0, "done 0\n"), (1, "1\n"), (1, "done 1\n")]
    assert outcome.tensors == 2
    assert "loss" in outcome.names


def test_the_process_that_failed_first_is_told_with_its_line() -> None:
    names: dict[str, Any] = {"torch": torch, "w": torch.zeros(2)}
    source = BEGIN + "w += 1\nif r == 1:\n    raise ValueError('no luck')\ndist.barrier()"
    with pytest.raises(ParallelError, match="rank 1 raised ValueError: no luck") as caught:
        parallel(source, names, 3, show=lambda rank, line: None)
    assert caught.value.told.startswith("Traceback")
    assert "line 6, in <module>" in caught.value.told
    assert names["w"].tolist() == [0, 0]
    assert names.keys() == {"torch", "w"}


def test_a_process_that_dies_is_told() -> None:
    source = BEGIN + "import os\nif r == 0: os._exit(7)\ndist.barrier()"
    with pytest.raises(ParallelError, match="rank 0 ended with exit code 7"):
        parallel(source, {}, 2)


def test_what_cannot_come_back_is_named_and_the_rest_comes() -> None:
    names: dict[str, Any] = {}
    outcome = parallel("import threading\nlock = threading.Lock()\nvalue = 5", names, 1)
    assert names["value"] == 5
    assert "lock" in outcome.not_back
    assert "lock: TypeError" in str(outcome)


class Trainer:
    """What a user keeps a training in."""

    def __init__(self) -> None:
        self.net = nn.Linear(2, 1)
        self.steps, self.log = 0, [{"loss": [1.0]}]


Trainer.__module__ = "__main__"  # as if it had been typed


def test_objects_that_containers_and_objects_hold_stay_the_same_objects() -> None:
    layers = [nn.Linear(2, 2), {"head": nn.Linear(2, 1)}]
    trainer, seen = Trainer(), np.zeros(3)
    sgd = optim.SGD(layers[0].parameters(), lr=0.1)
    plan = optim.lr_scheduler.StepLR(sgd, 1, gamma=0.5)
    result = torch.ones(2, requires_grad=True) * 2
    names: dict[str, Any] = {"torch": torch, "layers": layers, "trainer": trainer, "plan": plan}
    names |= {"sgd": sgd, "kept": [result], "seen": seen, "untouched": [[1], {"a": 2}]}
    before, log, net = layers[0], trainer.log, trainer.net
    outcome = parallel(
        "with torch.no_grad():\n"
        "    layers[0].weight.fill_(3)\n"
        "    layers[1]['head'].weight.fill_(4)\n"
        "    trainer.net.weight.fill_(5)\n"
        "sgd.step()\n"
        "plan.step()\n"
        "trainer.steps += 1\n"
        "trainer.log[0]['loss'].append(2.0)\n"
        "seen[1] = 7",
        names,
        1,
    )
    assert layers[0] is before
    assert layers[0].weight.tolist() == [[3, 3], [3, 3]]
    assert layers[1]["head"].weight.tolist() == [[4, 4]]
    assert trainer.net is net
    assert net.weight.tolist() == [[5, 5]]
    assert trainer.log is log
    assert (trainer.steps, log) == (1, [{"loss": [1.0, 2.0]}])
    assert plan.last_epoch == 1
    assert sgd.param_groups[0]["lr"] == 0.05
    assert names["kept"][0] is result
    assert result.grad_fn is not None
    assert seen.tolist() == [0, 7, 0]
    assert set(outcome.names) == {"trainer"}
    assert outcome.tensors == 4


def test_gathered_values_are_those_of_each_process() -> None:
    names: dict[str, Any] = {"torch": torch, "w": torch.zeros(1), "log": []}
    source = BEGIN + "w += r + 1\nlog.append(r)"
    parallel(source, names, 2, gather=["w", "log"])
    assert [w.tolist() for w in names["w"]] == [[1], [2]]
    assert names["log"] == [[0], [1]]


def test_processes_may_have_workers_that_load_their_data() -> None:
    names: dict[str, Any] = {"torch": torch, "rows": torch.arange(6.0)}
    parallel(
        BEGIN + "from flambeau.utils.data import DataLoader, DistributedSampler\n"
        "sampler = DistributedSampler(rows, shuffle=False)\n"
        "found = [b.tolist() for b in DataLoader(rows, 3, sampler=sampler, num_workers=1)]",
        names,
        2,
        gather=["found"],
    )
    assert names["found"] == [[[0, 2, 4]], [[1, 3, 5]]]
