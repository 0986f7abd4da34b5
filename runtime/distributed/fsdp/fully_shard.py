"""Modules whose parameters are whole only while they are used.

Each process keeps a part of each parameter, of its gradient and of the optimizer's state. Before a
module's forward pass the parts are gathered; after its backward pass the gradients are averaged
over the processes, and each keeps its part of them. Sources: arXiv:1910.02054, arXiv:2304.11277.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ...autograd.function import Function
from ...autograd.grad_mode import no_grad
from ...core.creation import empty, zeros
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...nn.modules.module import Module
from ...nn.parameter import Parameter
from ...ops.joins import cat
from ...utils._pytree import tree_map_only
from ..collectives import all_gather_into_tensor, broadcast, reduce_scatter_tensor
from ..device_mesh import DeviceMesh
from ..group import get_global_rank, world
from ..process_group import ProcessGroup
from ..reductions import ReduceOp
from ..tensor.placement_types import Shard
from .policies import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy

__all__ = ["FSDPModule", "ShardedParameter", "fully_shard"]


class ShardedParameter(Parameter):
    """This process's rows of a parameter of shape `whole_shape`, cut along its first dimension as
    `torch.chunk` cuts it; `shard_group` has the other rows."""

    whole_shape: tuple[int, ...]
    shard_group: ProcessGroup

    def gathered(self) -> Tensor:
        """The whole parameter, recorded nowhere; all processes of the group call this."""
        with no_grad():
            return _Flat([self], self.dtype, self.device).gathered([self])[0]

    def like(self, rows: Tensor) -> ShardedParameter:
        """`rows`, in their memory, as the part that this is of another tensor."""
        part: Any = ShardedParameter(rows, requires_grad=False)
        part.whole_shape, part.shard_group = self.whole_shape, self.shard_group
        return part

    def rows_of(self, whole: Tensor) -> Tensor:
        """What this process keeps of `whole`, which has the shape of the whole parameter.

        Raises: ShapeError for another shape.
        """
        if tuple(whole.shape) != self.whole_shape:
            raise ShapeError(
                f"Expected a tensor of the whole parameter's shape {self.whole_shape}. Got "
                f"{tuple(whole.shape)}."
            )
        return _rows(whole, self.shard_group)


class _Flat:
    """Parameters of one dtype behind each other: in `row` those of one process, padded to equal
    lengths, in `process * row` those of all."""

    def __init__(self, parameters: list[ShardedParameter], dtype: Any, device: Any) -> None:
        self.parameters, self.dtype, self.device = parameters, dtype, device
        self.group = parameters[0].shard_group
        self.count = self.group.size()
        self.lengths = [_padded(p.whole_shape, self.count) for p in parameters]
        self.row = sum(self.lengths)

    def _behind(self, parts: Iterable[Tensor]) -> Tensor:
        """One row of `parts`, which may be shorter than the place they have."""
        row = zeros(self.row, dtype=self.dtype, device=self.device)
        start = 0
        for part, length in zip(parts, self.lengths, strict=True):
            row[start : start + part.numel()] = part.reshape(-1)
            start += length
        return row

    def gathered(self, parts: Iterable[Tensor]) -> list[Tensor]:
        """The whole parameters, from this process's `parts` and those of the others."""
        rows = empty((self.count, self.row), dtype=self.dtype, device=self.device)
        all_gather_into_tensor(rows, self._behind(parts), group=self.group)
        columns = rows.split(self.lengths, 1)
        return [
            column.reshape(-1)[: math.prod(p.whole_shape)].reshape(p.whole_shape)
            for p, column in zip(self.parameters, columns, strict=True)
        ]

    def scattered(self, gradients: Iterable[Tensor], reduce_dtype: Any) -> list[Tensor]:
        """This process's parts of the means of all processes' `gradients`."""
        columns = []
        for gradient, length in zip(gradients, self.lengths, strict=True):
            column = zeros(self.count * length, dtype=reduce_dtype, device=self.device)
            column[: gradient.numel()] = gradient.reshape(-1)
            columns.append(column.reshape(self.count, length))
        own = empty(self.row, dtype=reduce_dtype, device=self.device)
        reduce_scatter_tensor(own, cat(columns, 1), ReduceOp.AVG, group=self.group)
        return [
            piece[: p.numel()].reshape(p.shape).to(device=p.device, dtype=p.dtype)
            for p, piece in zip(self.parameters, own.split(self.lengths), strict=True)
        ]


class _Gather(Function):
    """Whole parameters from parts; their gradients are averaged, and each process keeps its own."""

    @staticmethod
    def forward(ctx: Any, flat: _Flat, reduce_dtype: Any, *parts: Tensor) -> tuple[Tensor, ...]:
        ctx.flat, ctx.reduce_dtype = flat, reduce_dtype
        return tuple(flat.gathered(parts))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        return None, None, *ctx.flat.scattered(gradients, ctx.reduce_dtype)


class _Unit:
    """The parameters of one sharded module, but for those of sharded modules below it."""

    def __init__(self, module: Module, device: Any, policy: MixedPrecisionPolicy) -> None:
        self.module, self.device, self.policy = module, device, policy
        self.places: list[tuple[Module, str, ShardedParameter]] = []
        self._flats: list[tuple[list[int], _Flat]] | None = None
        module.register_forward_pre_hook(self._before, prepend=True, with_kwargs=True)
        module.register_forward_hook(self._after, always_call=True)

    def flats(self) -> list[tuple[list[int], _Flat]]:
        """The parameters by dtype: their places in `own`, and how they are gathered."""
        if self._flats is None:
            kinds: dict[Any, list[int]] = {}
            for k, parameter in enumerate(self.own()):
                kinds.setdefault(self.policy.param_dtype or parameter.dtype, []).append(k)
            own = self.own()
            self._flats = [
                (at, _Flat([own[k] for k in at], dtype, self.device)) for dtype, at in kinds.items()
            ]
        return self._flats

    def own(self) -> list[ShardedParameter]:
        """The parameters, one that several modules share once."""
        return list({id(p): p for _, _, p in self.places}.values())

    def unshard(self) -> None:
        """Put whole parameters in the places of the parts."""
        whole: dict[int, Tensor] = {}
        own = self.own()
        for at, flat in self.flats():
            parts = [own[k] for k in at]
            reduce_dtype = self.policy.reduce_dtype or flat.dtype
            found = _Gather.apply(flat, reduce_dtype, *parts)
            whole |= {id(p): w for p, w in zip(parts, found, strict=True)}
        for module, name, part in self.places:
            module._parameters[name] = whole[id(part)]  # type: ignore[assignment]

    def reshard(self) -> None:
        """Put the parts back."""
        for module, name, part in self.places:
            module._parameters[name] = part

    def _before(self, module: Module, args: Any, kwargs: Any) -> Any:
        self.unshard()
        dtype = self.policy.param_dtype
        if dtype is None or not self.policy.cast_forward_inputs:
            return None
        return _converted((args, kwargs), dtype)

    def _after(self, module: Module, args: Any, output: Any) -> Any:
        self.reshard()
        return (
            None
            if self.policy.output_dtype is None
            else _converted(output, self.policy.output_dtype)
        )


class FSDPModule:
    """What a module becomes beside its own class when it is sharded."""

    _unit: _Unit

    def unshard(self, async_op: bool = False) -> None:
        """Make the parameters whole now, to call other methods than `forward`; `reshard` ends it.
        All processes call this."""
        self._unit.unshard()

    def reshard(self) -> None:
        """Keep this process's parts alone."""
        self._unit.reshard()


def fully_shard(
    module: Any,
    *,
    mesh: DeviceMesh | None = None,
    reshard_after_forward: bool | int | None = None,
    shard_placement_fn: Callable[[Parameter], Any] | None = None,
    mp_policy: MixedPrecisionPolicy | None = None,
    offload_policy: OffloadPolicy | None = None,
    ignored_params: set[Parameter] | None = None,
) -> Any:
    """Cut the parameters of `module` (or of each module of a list) over the processes of `mesh`, of
    one dimension, by default all: each keeps its rows, as `ShardedParameter`s, of those values that
    the first process has. Gives `module` back.

    Shard blocks first and the model around them last: each call takes the parameters that no call
    took before, and what one call took is gathered at once. Make the optimizer afterwards; the
    parameters it sees are parts. A block's whole parameters live from its forward pass until its
    backward pass has used them: `reshard_after_forward` changes nothing, unlike in PyTorch, where
    it gathers them a second time instead.

    Raises: ValueError for a mesh of several dimensions, or for `shard_placement_fn`.
    """
    if shard_placement_fn is not None:
        raise ValueError("fully_shard: expected no shard_placement_fn. Rows are what is cut here.")
    if mesh is not None and mesh.ndim != 1:
        raise ValueError(f"fully_shard: expected a mesh of one dimension. Got {mesh}.")
    for one in module if isinstance(module, list | tuple) else [module]:
        group = None if mesh is None else mesh.get_group()
        shard(one, group, mp_policy, offload_policy, ignored_params)
    return module


def shard(
    module: Module,
    group: ProcessGroup | None,
    policy: MixedPrecisionPolicy | None,
    offload: OffloadPolicy | None,
    ignored: Iterable[Parameter] | None,
) -> None:
    """Cut the parameters of `module` over `group`, None for all processes: see `fully_shard`."""
    left_alone = {id(p) for p in ignored or ()}
    found = [at for at in _places(module) if id(at[2]) not in left_alone]
    device = found[0][2].device if found else None
    unit = _Unit(module, device, policy or MixedPrecisionPolicy())
    parts: dict[int, ShardedParameter] = {}
    for owner, name, parameter in found:
        if id(parameter) not in parts:
            on_cpu = isinstance(offload, CPUOffloadPolicy)
            parts[id(parameter)] = _part(parameter, world(group), on_cpu)
        owner._parameters[name] = parts[id(parameter)]
        unit.places.append((owner, name, parts[id(parameter)]))
    kind: Any = type(module)
    module.__class__ = type(f"FSDP{kind.__name__}", (FSDPModule, kind), {"__module__": __name__})
    module._unit = unit


def _places(module: Module) -> Iterator[tuple[Module, str, Parameter]]:
    """Where `module` and those below it have parameters that are not sharded yet."""
    for below in module.modules():
        for name, parameter in below._parameters.items():
            if parameter is not None and not isinstance(parameter, ShardedParameter):
                yield below, name, parameter


def _part(parameter: Parameter, group: ProcessGroup, on_cpu: bool) -> ShardedParameter:
    """This process's rows of what the first process has in `parameter`."""
    whole = parameter.detach().clone()
    broadcast(whole, src=get_global_rank(group, 0), group=group)
    rows = _rows(whole, group)
    part: Any = ShardedParameter(rows.cpu() if on_cpu else rows, parameter.requires_grad)
    part.whole_shape, part.shard_group = tuple(parameter.shape), group
    return part


def _rows(whole: Tensor, group: ProcessGroup) -> Tensor:
    """The rows of `whole` that this process keeps, in memory of their own."""
    rows = whole.detach() if whole.ndim else whole.detach().reshape(1)
    size, start = Shard.local_shard_size_and_offset(len(rows), group.size(), group.rank())
    return rows[start : start + size].clone()


def _padded(shape: tuple[int, ...], count: int) -> int:
    """Elements of the longest part of a parameter."""
    rows, row = (shape[0], math.prod(shape[1:])) if shape else (1, 1)
    return -(-rows // count) * row


def _converted(tree: Any, dtype: Any) -> Any:
    """`tree` with its floating-point tensors in `dtype`."""
    return tree_map_only(Tensor, lambda t: t.to(dtype) if t.is_floating_point() else t, tree)
