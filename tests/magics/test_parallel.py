"""`%%parallel`: a cell in several processes, and what it leaves in the session."""

from __future__ import annotations

from typing import Any

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
