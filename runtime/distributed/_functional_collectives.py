"""Collectives that give new tensors, as libraries that shard models call them. They are done when
they return, so there is nothing for `wait_tensor` to wait for. Gradients go through
`distributed.nn` instead."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..core.creation import empty
from ..core.tensor import Tensor
from ..ops.joins import cat
from . import collectives
from .group import get_world_size
from .reductions import ReduceOp

__all__ = [
    "all_gather_tensor", "all_reduce", "all_to_all_single", "all_to_all_single_autograd",
    "broadcast", "reduce_scatter_tensor", "wait_tensor",
]  # fmt: skip


def wait_tensor(tensor: Tensor) -> Tensor:
    """`tensor`, whose values are there."""
    return tensor


def _op(name: str) -> ReduceOp:
    return ReduceOp["AVG" if name.lower() == "avg" else name.upper()]


def all_reduce(self: Tensor, reduceOp: str, group: Any = None, tag: str = "") -> Tensor:
    """The tensors of all processes reduced by "sum", "avg", "min", "max" or "product"."""
    out = self.detach().clone()
    collectives.all_reduce(out, _op(reduceOp), group=group)
    return out


def broadcast(self: Tensor, src: int, group: Any = None, tag: str = "") -> Tensor:
    """The tensor of rank `src`."""
    out = self.detach().clone()
    collectives.broadcast(out, src, group=group)
    return out


def all_gather_tensor(self: Tensor, gather_dim: int, group: Any = None, tag: str = "") -> Tensor:
    """The tensors of all processes, of one shape, joined along `gather_dim`."""
    own = self.detach().contiguous()
    pieces = [
        empty(own.shape, dtype=own.dtype, device=own.device) for _ in range(get_world_size(group))
    ]
    collectives.all_gather(pieces, own, group=group)
    return cat(pieces, gather_dim)


def reduce_scatter_tensor(
    self: Tensor, reduceOp: str, scatter_dim: int, group: Any = None, tag: str = ""
) -> Tensor:
    """This process's piece, along `scatter_dim`, of the tensors of all reduced."""
    pieces = [p.contiguous() for p in self.detach().chunk(get_world_size(group), scatter_dim)]
    out = empty(pieces[0].shape, dtype=self.dtype, device=self.device)
    collectives.reduce_scatter(out, pieces, _op(reduceOp), group=group)
    return out


def all_to_all_single(
    self: Tensor,
    output_split_sizes: list[int] | None,
    input_split_sizes: list[int] | None,
    group: Any = None,
    tag: str = "",
) -> Tensor:
    """Rows from each process, in the order of ranks."""
    rows = self.shape[0] if output_split_sizes is None else sum(output_split_sizes)
    out = empty((rows, *self.shape[1:]), dtype=self.dtype, device=self.device)
    own = self.detach().contiguous()
    collectives.all_to_all_single(out, own, output_split_sizes, input_split_sizes, group=group)
    return out


class _AllToAll(Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, coming: Any, going: Any, group: Any) -> Tensor:
        ctx.coming, ctx.going, ctx.group = coming, going, group
        return all_to_all_single(tensor, coming, going, group)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        return all_to_all_single(g, ctx.going, ctx.coming, ctx.group), None, None, None


def all_to_all_single_autograd(
    self: Tensor,
    output_split_sizes: list[int] | None,
    input_split_sizes: list[int] | None,
    group: Any = None,
    tag: str = "",
) -> Tensor:
    """`all_to_all_single` whose gradient takes the way back."""
    return _AllToAll.apply(self, output_split_sizes, input_split_sizes, group)
