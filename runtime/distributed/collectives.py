"""What the processes of a group do together. In a world of one, what was sent is what arrives."""

from __future__ import annotations

import enum
from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from .group import world


class ReduceOp(enum.Enum):
    """How values of several processes become one."""

    SUM = enum.auto()
    AVG = enum.auto()
    PRODUCT = enum.auto()
    MIN = enum.auto()
    MAX = enum.auto()
    BAND = enum.auto()
    BOR = enum.auto()
    BXOR = enum.auto()


class Work:
    """A collective under way; here it is done."""

    def wait(self, timeout: Any = None) -> bool:
        """Wait for the end."""
        return True

    def is_completed(self) -> bool:
        """Whether it is done."""
        return True

    def is_success(self) -> bool:
        """Whether it is done and well."""
        return True


def _done(async_op: bool) -> Work | None:
    return Work() if async_op else None


def _check_one(name: str, values: Any) -> None:
    if len(values) != 1:
        raise ValueError(
            f"{name}: expected a list of one, as there is one process. Got {len(values)}."
        )


def _move(name: str, target: Tensor, source: Tensor) -> None:
    if target.numel() != source.numel():
        raise ShapeError(
            f"{name}: expected {source.numel()} elements in the output. Got {target.numel()}."
        )
    target.detach().view(source.shape).copy_(source)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait until every process is here."""
    world(group)
    return _done(async_op)


def all_reduce(
    tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Give every process's tensor the combined values of all, in place."""
    world(group)
    return _done(async_op)


def reduce(
    tensor: Tensor, dst: int = 0, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Give the tensor of process `dst` the combined values of all, in place."""
    world(group)
    return _done(async_op)


def broadcast(
    tensor: Tensor, src: int = 0, group: Any = None, async_op: bool = False
) -> Work | None:
    """Give every process's tensor the values that it has in process `src`."""
    world(group)
    return _done(async_op)


def broadcast_object_list(
    object_list: list[Any], src: int = 0, group: Any = None, device: Any = None
) -> None:
    """Give every process the objects that process `src` has."""
    world(group)


def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Put the tensor of each process into `tensor_list`."""
    world(group)
    _check_one("all_gather", tensor_list)
    _move("all_gather", tensor_list[0], tensor)
    return _done(async_op)


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Put the tensors of all processes behind each other into `output_tensor`."""
    world(group)
    _move("all_gather_into_tensor", output_tensor, input_tensor)
    return _done(async_op)


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """Put the object of each process into `object_list`."""
    world(group)
    _check_one("all_gather_object", object_list)
    object_list[0] = obj


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int = 0,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Put the tensor of each process into the `gather_list` of process `dst`."""
    world(group)
    _check_one("gather", gather_list or [])
    _move("gather", (gather_list or [])[0], tensor)
    return _done(async_op)


def gather_object(
    obj: Any, object_gather_list: list[Any] | None = None, dst: int = 0, group: Any = None
) -> None:
    """Put the object of each process into the list of process `dst`."""
    all_gather_object(object_gather_list or [], obj, group)


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int = 0,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Give each process its tensor out of the list of process `src`."""
    world(group)
    _check_one("scatter", scatter_list or [])
    _move("scatter", tensor, (scatter_list or [])[0])
    return _done(async_op)


def scatter_object_list(
    scatter_object_output_list: list[Any],
    scatter_object_input_list: list[Any] | None = None,
    src: int = 0,
    group: Any = None,
) -> None:
    """Give each process its object out of the list of process `src`."""
    world(group)
    _check_one("scatter_object_list", scatter_object_input_list or [])
    scatter_object_output_list[0] = (scatter_object_input_list or [])[0]


def reduce_scatter(
    output: Tensor,
    input_list: list[Tensor],
    op: Any = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Combine the lists of all processes, and give each process its place of the result."""
    world(group)
    _check_one("reduce_scatter", input_list)
    _move("reduce_scatter", output, input_list[0])
    return _done(async_op)


def reduce_scatter_tensor(
    output: Tensor, input: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Combine the tensors of all processes, and give each process its part of the result."""
    world(group)
    _move("reduce_scatter_tensor", output, input)
    return _done(async_op)


def all_to_all(
    output_tensor_list: list[Tensor],
    input_tensor_list: list[Tensor],
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Each process sends a tensor to each other one."""
    world(group)
    _check_one("all_to_all", input_tensor_list)
    _check_one("all_to_all", output_tensor_list)
    _move("all_to_all", output_tensor_list[0], input_tensor_list[0])
    return _done(async_op)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Any = None,
    input_split_sizes: Any = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Each process sends a part of its tensor to each other one."""
    world(group)
    _move("all_to_all_single", output, input)
    return _done(async_op)
