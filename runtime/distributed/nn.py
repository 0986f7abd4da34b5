"""Collectives that gradients pass: each one's gradient is a collective too, which all processes
take part in during their backward passes."""

from __future__ import annotations

from typing import Any

from ..autograd.function import Function
from ..core.creation import empty_like, zeros_like
from ..core.tensor import Tensor
from . import collectives
from .collectives import ReduceOp
from .group import get_process_group_ranks, world

__all__ = ["all_gather", "all_reduce", "all_to_all", "broadcast", "gather", "reduce",
           "reduce_scatter", "scatter"]  # fmt: skip


class _AllReduce(Function):
    @staticmethod
    def forward(ctx: Any, op: Any, group: Any, tensor: Tensor) -> Tensor:
        ctx.op, ctx.group = op, group
        total = tensor.clone()
        collectives.all_reduce(total, op, group)
        return total

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        return None, None, _AllReduce.apply(ctx.op, ctx.group, g.contiguous())


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The combined values of all processes: of a sum, or an average, the gradient is the same of
    the gradients. Raises: ValueError for other operations, whose gradient is not one."""
    if op not in (ReduceOp.SUM, ReduceOp.AVG):
        raise ValueError(f"all_reduce: expected SUM or AVG, for gradients to pass. Got {op}.")
    return _AllReduce.apply(op, world(group), tensor)


class _AllGather(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        ctx.group = group
        found = [empty_like(tensor) for _ in range(group.size())]
        collectives.all_gather(found, tensor.contiguous(), group)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> tuple[Any, ...]:
        return None, reduce_scatter(
            zeros_like(gs[0]), [g.contiguous() for g in gs], group=ctx.group
        )


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all processes, by rank."""
    return _AllGather.apply(world(group), tensor)  # type: ignore[no-any-return]


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx: Any, op: Any, group: Any, output: Tensor, *inputs: Tensor) -> Tensor:
        ctx.group = group
        found = empty_like(output)
        collectives.reduce_scatter(found, [t.contiguous() for t in inputs], op, group)
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        return None, None, None, *all_gather(g.contiguous(), ctx.group)


def reduce_scatter(
    output: Tensor, input_list: list[Tensor], op: Any = ReduceOp.SUM, group: Any = None
) -> Tensor:
    """This process's place of the sum of all lists, in the shape of `output`."""
    if op is not ReduceOp.SUM:
        raise ValueError(f"reduce_scatter: expected SUM, for gradients to pass. Got {op}.")
    return _ReduceScatter.apply(op, world(group), output, *input_list)


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: Any, tensor: Tensor) -> Tensor:
        ctx.src, ctx.group = src, group
        found = tensor.clone()
        collectives.broadcast(found, src, group)
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        total = reduce(g.contiguous(), ctx.src, ReduceOp.SUM, ctx.group)
        return None, None, total if _is_root(ctx) else zeros_like(total)


def _is_root(ctx: Any) -> bool:
    return bool(get_process_group_ranks(ctx.group)[ctx.group.rank()] == ctx.src)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """The tensor of process `src`, to which the sum of all gradients goes."""
    return _Broadcast.apply(src, world(group), tensor)


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, dst: int, op: Any, group: Any, tensor: Tensor) -> Tensor:
        ctx.src, ctx.group = dst, group
        found = tensor.clone()
        collectives.reduce(found, dst, op, group)
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        return None, None, None, broadcast(g.contiguous(), ctx.src, ctx.group)


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The sum over all processes, in process `dst`, whose gradient goes to all."""
    return _Reduce.apply(dst, op, world(group), tensor)


class _AllToAll(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.group = group
        ctx.like = [empty_like(t) for t in tensors[count:]]
        found = [empty_like(t) for t in tensors[:count]]
        collectives.all_to_all(found, [t.contiguous() for t in tensors[count:]], group)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> tuple[Any, ...]:
        back = all_to_all(ctx.like, [g.contiguous() for g in gs], ctx.group)
        return None, None, *[None] * len(gs), *back


def all_to_all(
    output_tensor_list: list[Tensor], input_tensor_list: list[Tensor], group: Any = None
) -> tuple[Tensor, ...]:
    """What each process has for this one, in the shapes of the output list."""
    return _AllToAll.apply(  # type: ignore[no-any-return]
        world(group), len(output_tensor_list), *output_tensor_list, *input_tensor_list
    )


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, dst: int, group: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        ctx.src, ctx.group = dst, group
        found = [zeros_like(tensor) for _ in range(group.size())]
        is_root = _is_root(ctx)
        collectives.gather(tensor.contiguous(), found if is_root else None, dst, group)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *gs: Tensor) -> tuple[Any, ...]:
        given = [g.contiguous() for g in gs]
        found = empty_like(given[0])
        collectives.scatter(found, given if _is_root(ctx) else None, ctx.src, ctx.group)
        return None, None, found


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all processes, in process `dst`; zeros elsewhere."""
    return _Gather.apply(dst, world(group), tensor)  # type: ignore[no-any-return]


class _Scatter(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: Any, *tensors: Tensor) -> Tensor:
        ctx.src, ctx.group = src, group
        found = empty_like(tensors[0])
        given = [t.contiguous() for t in tensors]
        collectives.scatter(found, given if _is_root(ctx) else None, src, group)
        return found

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        return None, None, *gather(g.contiguous(), ctx.src, ctx.group)


def scatter(tensors: list[Tensor], src: int = 0, group: Any = None) -> Tensor:
    """This process's tensor of the list of process `src`; the others give tensors of its shape."""
    return _Scatter.apply(src, world(group), *tensors)
