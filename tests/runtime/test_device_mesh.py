"""Grids of processes, and the groups along their dimensions."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
import flambeau.distributed as dist
from flambeau.distributed.device_mesh import DeviceMesh, init_device_mesh

from .ranks import in_ranks


def in_a_grid(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicas", "layers"))
    sums = []
    for name in ("replicas", "layers"):
        x = torch.tensor([float(rank)])
        dist.all_reduce(x, group=mesh.get_group(name))
        dist.all_reduce(x, group=mesh[name].get_group())  # the same group
        sums.append(x.item())
    flat = mesh["replicas", "layers"]._flatten("all")
    dist.all_reduce(x := torch.tensor([float(rank)]), group=flat.get_group())
    across = DeviceMesh("cpu", [[0, 2], [1, 3]])
    pair = DeviceMesh("cpu", [1, 3], mesh_dim_names=("pair",))
    return (
        sums,
        x.item(),
        mesh.get_coordinate(),
        mesh.get_local_rank("layers"),
        mesh["replicas"].mesh.tolist(),
        [dist.get_process_group_ranks(g) for g in across.get_all_groups()],
        pair.get_coordinate(),
        mesh["all"].shape,
    )


def test_each_dimension_has_the_group_of_those_that_differ_in_it_alone() -> None:
    # Recorded from PyTorch 2.13 on gloo, but for the sums: twice those of the group's ranks.
    assert in_ranks(4, in_a_grid) == [
        ([4, 2], 6, (0, 0), 0, [0, 2], [[0, 1], [0, 2]], None, (4,)),
        ([8, 2], 6, (0, 1), 1, [1, 3], [[0, 1], [1, 3]], (0,), (4,)),
        ([4, 10], 6, (1, 0), 0, [0, 2], [[2, 3], [0, 2]], None, (4,)),
        ([8, 10], 6, (1, 1), 1, [1, 3], [[2, 3], [1, 3]], (1,), (4,)),
    ]


def blocks(rank: int) -> Any:
    mesh = init_device_mesh("cpu", (2, 1, 2), mesh_dim_names=("a", "b", "c"))
    flat = mesh["a", "b"]._flatten("ab")
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1), device_mesh=mesh["a"])
    model(torch.full((1, 1), float(rank))).sum().backward()
    return flat.mesh.tolist(), mesh["ab"].get_local_rank(), model.module.weight.grad.item()


def test_gradients_are_averaged_along_one_dimension() -> None:
    assert in_ranks(4, blocks) == [
        ([0, 2], 0, 1),
        ([1, 3], 0, 2),
        ([0, 2], 1, 1),
        ([1, 3], 1, 2),
    ]


def test_a_mesh_of_one_process_needs_no_other() -> None:
    mesh = init_device_mesh("cpu", (1, 1), mesh_dim_names=("a", "b"))
    try:
        assert dist.is_initialized()
        assert str(mesh) == "DeviceMesh((a=1, b=1), 'cpu', stride=(1, 1))"
        assert mesh == DeviceMesh("cpu", torch.tensor([[0]]), mesh_dim_names=("a", "b"))
        assert mesh["b"].get_group().size() == mesh.size(1) == mesh["b"].get_rank() + 1
        wrong: list[tuple[type[Exception], str, Any]] = [
            (KeyError, "expected a name of", lambda: mesh["c"]),
            (KeyError, "in the order of", lambda: mesh["b", "a"]),
            (RuntimeError, "expected a dimension, as", mesh.get_group),
            (IndexError, "expected a dimension of", lambda: mesh.get_local_rank(2)),
            (RuntimeError, "ranks from 0 to 0", lambda: init_device_mesh("cpu", (2,))),
            (RuntimeError, "different names", lambda: DeviceMesh("cpu", [0], mesh_dim_names="ab")),
            (RuntimeError, "without a number", lambda: DeviceMesh("cuda:0", [0])),
        ]
        for kind, words, call in wrong:
            with pytest.raises(kind, match=words):
                call()
    finally:
        dist.destroy_process_group()
