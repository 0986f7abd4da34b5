"""Copies among GPUs, and modules that run on several: results and gradients are those of one."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.cuda import comm
from flambeau.errors import DeviceError
from flambeau.nn.parallel import data_parallel, parallel_apply, replicate
from flambeau.nn.parallel.scatter_gather import gather, scatter, scatter_kwargs

from .test_cuda_devices import index_of, several

pytestmark = [pytest.mark.usefixtures("several"), pytest.mark.cuda]
__all__ = ["several"]

Pair = namedtuple("Pair", "x y")


def test_tensors_are_copied_cut_joined_and_added_up() -> None:
    x = torch.arange(6.0, device="cuda:1").reshape(3, 2)
    near, far = comm.broadcast(x, [0, 1])
    assert (index_of(near), far is x, near.tolist()) == (0, True, x.tolist())
    parts = comm.scatter(x, [0, 1])
    assert [(index_of(p), p.shape[0]) for p in parts] == [(0, 2), (1, 1)]
    parts = comm.scatter(x, ["cuda:1", "cuda:0"], [1, 2])
    assert [(index_of(p), p.shape[0]) for p in parts] == [(1, 1), (0, 2)]
    assert comm.gather(parts, 0, 0).tolist() == x.tolist()
    assert comm.gather(parts, 0, -1).device.type == "cpu"
    total = comm.reduce_add([near, far], 1)
    assert (index_of(total), total.tolist()) == (1, (x * 2).tolist())
    out = torch.empty(3, 2, device="cuda:0")
    assert comm.broadcast(x, out=[out])[0] is out
    assert out.tolist() == x.tolist()
    (sums,) = comm.reduce_add_coalesced([[near], [far]])
    assert index_of(sums) == 0


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda x: comm.broadcast(x), "either devices or out"),
        (lambda x: comm.scatter(x, [0, 1], [1, 1]), r"add up to 3.*\[1, 1\]"),
        (lambda x: comm.reduce_add([x, x[0]]), "one shape"),
        (lambda x: comm.gather([x, x], out=x), "out of shape"),
    ],
)
def test_parts_that_do_not_fit_are_refused(call: Any, told: str) -> None:
    with pytest.raises(RuntimeError, match=told):
        call(torch.ones(3, 2, device="cuda"))


def test_structures_are_cut_and_joined_element_by_element() -> None:
    x = torch.arange(4.0)
    given = ({"a": x, "b": [x, 7]}, Pair(x, "word"))
    first, second = scatter(given, [0, 1])
    assert first[0]["b"][1] == second[0]["b"][1] == 7
    assert isinstance(first[1], Pair)
    assert (index_of(first[1].x), index_of(second[1].x)) == (0, 1)
    joined = gather([{"a": p[0]["a"], "pair": Pair(p[1].x, None)} for p in (first, second)], "cpu")
    assert joined["a"].tolist() == joined["pair"].x.tolist() == x.tolist()
    args, named = scatter_kwargs((x,), {"scale": 2}, [0, 1])
    assert [len(a) for a in args] == [1, 1]
    assert named == ({"scale": 2}, {"scale": 2})


class Net(nn.Module):
    """Layers of every kind of state."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh())
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Any, factor: float = 1.0) -> Any:
        return self.body(x) * self.scale * factor, x.sum()


def test_data_parallel_computes_and_differentiates_as_one_gpu_does() -> None:
    torch.manual_seed(0)
    net = Net().to("cuda:0").eval()
    wide = nn.DataParallel(net)
    assert wide.device_ids == [*range(torch.cuda.device_count())]
    x = torch.randn(5, 3)
    out, sums = wide(x, factor=3.0)
    wanted, _ = net(x.to("cuda:0"), 3.0)
    assert index_of(out) == 0
    assert sums.shape == (2,)
    torch.testing.assert_close(out, wanted)
    out.square().sum().backward()
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    wanted.square().sum().backward()
    for g, p in zip(found, net.parameters(), strict=True):
        torch.testing.assert_close(g, p.grad)
    assert {k.split(".")[0] for k in wide.state_dict()} == {"module"}
    assert data_parallel(net, x, [1, 0][::-1], output_device=1)[0].device.index == 1


def test_the_first_replica_keeps_the_modules_running_statistics() -> None:
    net = Net().to("cuda:0")
    before = net.body[1].running_mean.clone()
    nn.DataParallel(net)(torch.randn(6, 3) + 5)
    assert not torch.equal(net.body[1].running_mean, before)


def test_a_replica_that_fails_says_where_and_a_module_elsewhere_is_refused() -> None:
    net = nn.Linear(3, 2).to("cuda:0")
    copies = replicate(net, [0, 1])
    with pytest.raises(RuntimeError) as told:
        parallel_apply(copies, [torch.ones(1, 3).cuda(0), torch.ones(1, 3).cuda(0)], None, [0, 1])
    assert told.value.__notes__ == ["This was replica 1, on cuda:1."]
    with pytest.raises(DeviceError, match=r"on cuda:0, the first of device_ids\. Got one on cpu"):
        nn.DataParallel(nn.Linear(3, 2))(torch.ones(2, 3))
