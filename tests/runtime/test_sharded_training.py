"""Parameters, gradients and optimizer states cut over processes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.distributed.checkpoint as dcp
from flambeau import nn
from flambeau.distributed import init_device_mesh
from flambeau.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from flambeau.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_model_state_dict,
    set_state_dict,
)
from flambeau.distributed.fsdp import (
    FullyShardedDataParallel,
    MixedPrecisionPolicy,
    ShardedParameter,
    ShardingStrategy,
    fully_shard,
)
from flambeau.distributed.fsdp.wrap import ModuleWrapPolicy
from flambeau.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from flambeau.errors import CheckpointError, ShapeError

from .ranks import in_ranks

INPUTS, TARGETS = torch.linspace(-1, 1, 60).reshape(12, 5).sin(), torch.linspace(0, 1, 12)


class Net(nn.Module):
    """Tied weights, a block of its own, a bias of few rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(5, 5)
        self.block = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.LayerNorm(7))
        self.last = nn.Linear(7, 1)
        self.again = nn.Linear(5, 5)
        self.again.weight = self.first.weight
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.block(self.again(self.first(x)))).squeeze(-1) * self.scale


def steps(net: Any, rank: int, count: int, number: int = 5) -> list[float]:
    """The norms of the gradients in some steps on this process's share of the data."""
    adam = torch.optim.Adam(net.parameters(), lr=0.05)
    norms = []
    for _ in range(number):
        adam.zero_grad()
        x, y = INPUTS[rank::count], TARGETS[rank::count]
        ((net(x) - y) ** 2).mean().backward()
        norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), 0.1)))
        adam.step()
    return norms


def shard(net: Net) -> Net:
    fully_shard(net.block)
    fully_shard(net)
    return net


def parameters(net: Any) -> list[Any]:
    return [
        (p.gathered() if isinstance(p, ShardedParameter) else p).detach().numpy()
        for p in net.parameters()
    ]


def close(found: list[Any], expected: list[Any], within: float = 2e-5) -> bool:
    return all(np.allclose(a, b, atol=within) for a, b in zip(found, expected, strict=True))


def results(outcomes: list[Any]) -> list[Any]:
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes


def train_sharded(rank: int, count: int) -> Any:
    net = Net()
    if rank:  # the values of the first process count
        for p in net.parameters():
            p.data.zero_()
    norms = steps(shard(net), rank, count)
    sizes = sum(p.numel() for p in net.parameters())
    return norms, parameters(net), sizes


@pytest.mark.parametrize("count", [2, 3])
def test_training_gives_what_one_process_gives(count: int) -> None:
    net = Net()
    whole = sum(p.numel() for p in net.parameters())
    norms = steps(net, 0, 1)
    outcomes = results(in_ranks(count, train_sharded, count))
    for found, trained, _ in outcomes:
        assert np.allclose(found, norms, rtol=1e-3)
        assert close(trained, parameters(net))
    sizes = [size for _, _, size in outcomes]
    assert sum(sizes) == whole  # each element has one owner
    assert max(sizes) < 0.8 * whole


def work_in_halves(rank: int) -> Any:
    net = Net()
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, output_dtype=torch.float32)
    fully_shard(net, mp_policy=policy)
    out = net(INPUTS[rank::2])
    ((out - TARGETS[rank::2]) ** 2).mean().backward()
    kinds = {p.grad.dtype for p in net.parameters()}
    first: Any = net.first.weight
    return out.dtype, kinds, first.grad.numpy()


def test_a_policy_computes_in_halves_and_keeps_parts_as_they_were() -> None:
    net = Net()
    ((net(INPUTS) - TARGETS) ** 2).mean().backward()
    outcomes = results(in_ranks(2, work_in_halves))
    assert all(o[:2] == (torch.float32, {torch.float32}) for o in outcomes)
    assert net.first.weight.grad is not None
    expected = net.first.weight.grad.numpy()
    assert np.allclose(np.concatenate([o[2] for o in outcomes]), expected, atol=0.02)


def wrap_and_exchange(rank: int) -> Any:
    net = FullyShardedDataParallel(Net(), auto_wrap_policy=ModuleWrapPolicy({nn.LayerNorm}))
    norms = steps(net, rank, 2)
    whole = net.state_dict()
    other = FullyShardedDataParallel(Net())
    report = other.load_state_dict(whole)
    with FullyShardedDataParallel.summon_full_params(other):
        shape = tuple(other.module.first.weight.shape)
    with pytest.raises(ValueError, match="FULL_SHARD or SHARD_GRAD_OP"):
        FullyShardedDataParallel(Net(), sharding_strategy=ShardingStrategy.NO_SHARD)
    with pytest.raises(ShapeError, match=r"\(7, 5\).*Got \(2, 2\)"):
        other.load_state_dict({**whole, "block.0.weight": torch.ones(2, 2)})
    return norms, parameters(other), shape, list(report.missing_keys), sorted(whole)


def test_the_wrapper_gives_and_takes_whole_state_dicts() -> None:
    net = Net()
    norms = steps(net, 0, 1)
    for found, trained, shape, missing, names in results(in_ranks(2, wrap_and_exchange)):
        assert np.allclose(found, norms, rtol=1e-3)
        assert close(trained, parameters(net))
        assert shape == (5, 5)
        assert missing == []
        assert names == sorted(net.state_dict())


def save_parts(rank: int, folder: str) -> Any:
    net = shard(Net())
    adam = torch.optim.Adam(net.parameters(), lr=0.05)
    for epoch in range(2):  # the second takes the place of the first
        step(net, adam)
        model, optimizer = get_state_dict(net, adam)
        dcp.save({"model": model, "optim": optimizer, "epoch": epoch}, checkpoint_id=folder)
    dcp.save(
        get_model_state_dict(net), storage_writer=HuggingFaceStorageWriter(Path(folder) / "hf")
    )
    step(net, adam)
    full = get_model_state_dict(
        net, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    return parameters(net), len(full)


def step(net: Any, optimizer: Any) -> None:
    optimizer.zero_grad()
    ((net(INPUTS) - TARGETS) ** 2).mean().backward()
    optimizer.step()


def load_parts(rank: int, folder: str) -> Any:
    net = shard(Net())
    adam = torch.optim.Adam(net.parameters(), lr=0.05)
    step(net, adam)
    model, optimizer = get_state_dict(net, adam)
    state = {"model": model, "optim": optimizer, "epoch": None}
    dcp.load(state, checkpoint_id=folder)
    set_state_dict(net, adam, model_state_dict=state["model"], optim_state_dict=state["optim"])
    loaded = parameters(net)
    step(net, adam)
    twin = shard(Net())
    held = get_model_state_dict(twin)
    dcp.load(held, storage_reader=HuggingFaceStorageReader(Path(folder) / "hf"))
    set_model_state_dict(twin, held)
    with pytest.raises(CheckpointError, match=r"has no model\.nowhere"):
        dcp.load({"model": {"nowhere": torch.ones(1)}}, checkpoint_id=folder)
    return parameters(net), state["epoch"], close(parameters(twin), loaded, 0)


def test_checkpoints_are_read_by_other_numbers_of_processes() -> None:
    with tempfile.TemporaryDirectory() as folder:
        saved = results(in_ranks(2, save_parts, folder))
        assert [n for _, n in saved] == [len(Net().state_dict()), 0]
        files = sorted(p.suffix for p in Path(folder).iterdir() if p.is_file())
        assert files == [".bin", ".bin", ".json", ".safetensors"]
        for count in (1, 3):
            for found, epoch, is_same in results(in_ranks(count, load_parts, folder)):
                assert close(found, saved[0][0], 1e-6)
                assert (epoch, is_same) == (1, True)


def fail_to_save(rank: int, folder: str) -> Any:
    x = torch.full((2,), float(rank))
    dcp.save({"x": torch.ones(2)}, checkpoint_id=folder)
    path = Path(folder) / "file" if rank == 0 else Path(folder)
    if rank == 0:
        path.write_text("")
    try:
        dcp.save({"x": x}, checkpoint_id=Path(folder) / "file" / "below")
    except (CheckpointError, OSError) as error:
        refusal = str(error)
    held = {"x": torch.zeros(2)}
    dcp.load(held, checkpoint_id=folder)
    return refusal, held["x"].tolist()


def test_a_checkpoint_that_cannot_be_written_fails_everywhere_and_keeps_the_old_one() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for refusal, held in results(in_ranks(2, fail_to_save, folder)):
            assert "could not be written" in refusal
            assert held == [1, 1]


def move(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("a", "b"))
    whole = torch.arange(15.0).reshape(5, 3)
    cut = distribute_tensor(whole * (1 if rank == 0 else 0), mesh, [Shard(0), Shard(1)])
    rows = cut.redistribute(placements=[Replicate(), Shard(0)])
    summed = DTensor.from_local(torch.ones(2), mesh, [Partial(), Partial("avg")])
    with pytest.raises(ValueError, match="2 placements"):
        cut.redistribute(placements=[Shard(0)])
    with pytest.raises(ValueError, match="dimension of 2"):
        distribute_tensor(whole, mesh, [Shard(2), Replicate()])
    return (
        tuple(cut.to_local().shape), cut.full_tensor().tolist(), rows.full_tensor().tolist(),
        tuple(rows.to_local().shape), summed.full_tensor().tolist(), tuple(cut.shape),
    )  # fmt: skip


def test_distributed_tensors_are_cut_gathered_and_added() -> None:
    whole = torch.arange(15.0).reshape(5, 3).tolist()
    outcomes = results(in_ranks(4, move))
    assert [o[0] for o in outcomes] == [(3, 2), (3, 1), (2, 2), (2, 1)]
    for rank, (_, gathered, again, rows, summed, shape) in enumerate(outcomes):
        assert gathered == again == whole
        assert rows == ((3, 3) if rank % 2 == 0 else (2, 3))
        assert summed == [2, 2]
        assert shape == (5, 3)
