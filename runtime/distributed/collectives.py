"""What the processes of a group do together with tensors.

Every process calls the same collectives in the same order, with the same shapes and dtypes; where
they differ, all of them get an error that says how. With `async_op=True` a call returns a Work at
once, and the tensors are to be left alone until its `wait()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.tensor import Tensor
from ..errors import ShapeError
from . import schedules
from .group import is_member, world
from .memory import Held, described, require_dense
from .process_group import ProcessGroup
from .reductions import ReduceOp, finish, function_of
from .schedules import bytes_of
from .work import Work


def _source(
    name: str, group: ProcessGroup, rank: int | None, place: int | None, default: int | None = 0
) -> int:
    """The place in the group of the one process that sends or gets: by its rank among all, or by
    its place."""
    if place is not None and rank not in (None, default):
        raise ValueError(f"{name}: expected either a rank or a rank of the group. Got both.")
    if place is None:
        return group.place_of(0 if rank is None else rank, name)
    if not 0 <= place < group.size():
        raise ValueError(f"{name}: expected a place from 0 to {group.size() - 1}. Got {place}.")
    return place


def _require_count(name: str, what: str, tensors: Sequence[Any] | None, group: ProcessGroup) -> Any:
    if tensors is None or len(tensors) != group.size():
        raise ValueError(
            f"{name}: expected a list of {_counted(group.size())} as {what}, one for each process. "
            f"Got {'none' if tensors is None else len(tensors)}."
        )
    return tensors


def _counted(count: int) -> str:
    return "one" if count == 1 else str(count)


def _require_size(name: str, what: str, tensor: Tensor, count: int) -> None:
    if tensor.numel() != count:
        raise ShapeError(
            f"{name}: expected {count} elements in {what}. Got {tensor.numel()}, in shape "
            f"{tuple(tensor.shape)}."
        )


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait until every process is here."""
    if not is_member(group):
        return None
    return world(group).run(
        "barrier", lambda lanes: schedules.gather_small(lanes, memoryview(b"")), None, async_op
    )


def all_reduce(
    tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Give every process's tensor the combined values of all, in place: the same bits everywhere.

    Raises: DistBackendError for other shapes, dtypes or calls at another process.
    """
    if not is_member(group):
        return None
    here = world(group)
    require_dense("all_reduce", [], [tensor])
    combine = function_of(op, tensor.dtype)
    held = Held(tensor)

    def put() -> None:
        finish(op, held.array, here.size())
        held.put_back("all_reduce")

    words = f"all_reduce({op.name}) of {described(tensor)}"
    return here.run(
        words,
        lambda lanes: schedules.all_reduce(lanes, held.array, combine),
        put,
        async_op,
        [tensor],
    )


def all_reduce_coalesced(
    tensors: Sequence[Tensor], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """`all_reduce` of several tensors, one after another."""
    works = [all_reduce(t, op, group, async_op) for t in tensors]
    return works[-1] if works else None


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: Any = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Give the tensor of process `dst` the combined values of all, in place; those of the others
    stay."""
    if not is_member(group):
        return None
    here = world(group)
    root = _source("reduce", here, dst, group_dst, None)
    require_dense("reduce", [], [tensor])
    combine = function_of(op, tensor.dtype)
    held = Held(tensor)

    def put() -> None:
        if here.rank() == root:
            finish(op, held.array, here.size())
            held.put_back("reduce")

    words = f"reduce({op.name}) to {root} of {described(tensor)}"
    return here.run(
        words,
        lambda lanes: schedules.reduce(lanes, held.array, combine, root),
        put,
        async_op,
        [tensor],
    )


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Give every process's tensor the values that it has in process `src`."""
    if not is_member(group):
        return None
    here = world(group)
    root = _source("broadcast", here, src, group_src, None)
    require_dense("broadcast", [], [tensor])
    held = Held(tensor)

    def put() -> None:
        if here.rank() != root:
            held.put_back("broadcast")

    words = f"broadcast from {root} of {described(tensor)}"
    return here.run(
        words,
        lambda lanes: schedules.broadcast(lanes, bytes_of(held.array), root),
        put,
        async_op,
        [tensor],
    )


def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Put the tensor of each process into `tensor_list`, by ranks."""
    if not is_member(group):
        return None
    here = world(group)
    _require_count("all_gather", "tensor_list", tensor_list, here)
    require_dense("all_gather", [tensor], tensor_list)
    for k, target in enumerate(tensor_list):
        _require_size("all_gather", f"output {k}, as the input has", target, tensor.numel())
    held = [Held(t) for t in tensor_list]
    held[here.rank()].array[:] = Held(tensor).array

    def put() -> None:
        for h in held:
            h.put_back("all_gather")

    return here.run(
        f"all_gather of {described(tensor)}",
        lambda lanes: schedules.all_gather(lanes, [bytes_of(h.array) for h in held]),
        put,
        async_op,
        tensor_list,
    )


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Put the tensors of all processes behind each other into `output_tensor`, of shape
    (processes * n, ...) or (processes, n, ...)."""
    if not is_member(group):
        return None
    here = world(group)
    require_dense("all_gather_into_tensor", [input_tensor], [output_tensor])
    count = input_tensor.numel()
    _require_size("all_gather_into_tensor", "the output", output_tensor, count * here.size())
    held = Held(output_tensor)
    pieces = [held.array[k * count : (k + 1) * count] for k in range(here.size())]
    pieces[here.rank()][:] = Held(input_tensor).array
    return here.run(
        f"all_gather_into_tensor of {described(input_tensor)}",
        lambda lanes: schedules.all_gather(lanes, [bytes_of(p) for p in pieces]),
        lambda: held.put_back("all_gather_into_tensor"),
        async_op,
        [output_tensor],
    )


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Put the tensor of each process into the `gather_list` of process `dst`."""
    if not is_member(group):
        return None
    here = world(group)
    root = _source("gather", here, dst, group_dst, None)
    targets: list[Tensor] = []
    if here.rank() == root:
        targets = _require_count("gather", "gather_list", gather_list, here)
    elif gather_list:
        raise ValueError(f"gather: expected a gather_list at rank {dst} alone. Got one elsewhere.")
    require_dense("gather", [tensor], targets)
    for k, target in enumerate(targets):
        _require_size("gather", f"output {k}, as the input has", target, tensor.numel())
    held, own = [Held(t) for t in targets], Held(tensor)
    if held:
        held[root].array[:] = own.array

    def put() -> None:
        for h in held:
            h.put_back("gather")

    return here.run(
        f"gather to {root} of {described(tensor)}",
        lambda lanes: schedules.gather(
            lanes, bytes_of(own.array), [bytes_of(h.array) for h in held], root
        ),
        put,
        async_op,
        targets,
    )


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Give each process its tensor out of the list of process `src`."""
    if not is_member(group):
        return None
    here = world(group)
    root = _source("scatter", here, src, group_src, None)
    given: list[Tensor] = []
    if here.rank() == root:
        given = _require_count("scatter", "scatter_list", scatter_list, here)
    elif scatter_list:
        raise ValueError(
            f"scatter: expected a scatter_list at rank {src} alone. Got one elsewhere."
        )
    require_dense("scatter", given, [tensor])
    for k, t in enumerate(given):
        _require_size("scatter", f"input {k}, as the output has", t, tensor.numel())
    held, sent = Held(tensor), [Held(t).array for t in given]
    if sent:
        held.array[:] = sent[root]
    return here.run(
        f"scatter from {root} of {described(tensor)}",
        lambda lanes: schedules.scatter(
            lanes, [bytes_of(a) for a in sent], bytes_of(held.array), root
        ),
        lambda: held.put_back("scatter"),
        async_op,
        [tensor],
    )


def reduce_scatter(
    output: Tensor,
    input_list: list[Tensor],
    op: Any = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Combine the lists of all processes, and give each process its place of the result."""
    if not is_member(group):
        return None
    here = world(group)
    _require_count("reduce_scatter", "input_list", input_list, here)
    require_dense("reduce_scatter", input_list, [output])
    _require_size("reduce_scatter", "the output", output, input_list[here.rank()].numel())
    arrays = [Held(t).array for t in input_list]
    return _reduce_scatter("reduce_scatter", output, arrays, op, here, async_op)


def reduce_scatter_tensor(
    output: Tensor, input: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Combine the tensors of all processes, and give each process its part of the result."""
    if not is_member(group):
        return None
    here = world(group)
    require_dense("reduce_scatter_tensor", [input], [output])
    count = output.numel()
    if input.numel() != count * here.size():
        raise ShapeError(
            f"reduce_scatter_tensor: expected {input.numel()} elements in the output times "
            f"{here.size()} processes. Got {count}."
            if here.size() > 1
            else f"reduce_scatter_tensor: expected {input.numel()} elements in the output. Got "
            f"{count}."
        )
    array = Held(input).array
    arrays = [array[k * count : (k + 1) * count] for k in range(here.size())]
    return _reduce_scatter("reduce_scatter_tensor", output, arrays, op, here, async_op)


def _reduce_scatter(
    name: str, output: Tensor, arrays: list[Any], op: Any, here: ProcessGroup, async_op: bool
) -> Work | None:
    combine = function_of(op, output.dtype)
    held = Held(output)
    held.array[:] = arrays[here.rank()]
    pieces = [*arrays[: here.rank()], held.array, *arrays[here.rank() + 1 :]]

    def put() -> None:
        finish(op, held.array, here.size())
        held.put_back(name)

    sizes = [a.size for a in arrays]
    return here.run(
        f"{name}({op.name}) of {output.dtype.name} {sizes}",
        lambda lanes: schedules.reduce_scatter(lanes, pieces, combine),
        put,
        async_op,
        [output],
    )


def all_to_all(
    output_tensor_list: list[Tensor],
    input_tensor_list: list[Tensor],
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Each process sends tensor k of its list to process k, and gets one from each. Sizes may
    differ from pair to pair."""
    if not is_member(group):
        return None
    here = world(group)
    _require_count("all_to_all", "input_tensor_list", input_tensor_list, here)
    _require_count("all_to_all", "output_tensor_list", output_tensor_list, here)
    require_dense("all_to_all", input_tensor_list, output_tensor_list)
    own = here.rank()
    _require_size(
        "all_to_all", f"output {own}", output_tensor_list[own], input_tensor_list[own].numel()
    )
    sent = [Held(t).array for t in input_tensor_list]
    held = [Held(t) for t in output_tensor_list]

    def put() -> None:
        for h in held:
            h.put_back("all_to_all")

    return here.run(
        f"all_to_all of {input_tensor_list[0].dtype.name}",
        lambda lanes: schedules.all_to_all(
            lanes, [bytes_of(a) for a in sent], [bytes_of(h.array) for h in held]
        ),
        put,
        async_op,
        output_tensor_list,
    )


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Each process sends a part of its tensor, along dimension 0, to each other one: of the split
    sizes, or equal ones."""
    if not is_member(group):
        return None
    here = world(group)
    require_dense("all_to_all_single", [input], [output])
    held = Held(output)
    pieces = _split(input, Held(input).array, input_split_sizes, here, "input")
    into = _split(output, held.array, output_split_sizes, here, "output")
    _require_own(pieces[here.rank()].size, into[here.rank()].size)
    return here.run(
        f"all_to_all_single of {input.dtype.name}",
        lambda lanes: schedules.all_to_all(
            lanes, [bytes_of(p) for p in pieces], [bytes_of(p) for p in into]
        ),
        lambda: held.put_back("all_to_all_single"),
        async_op,
        [output],
    )


def _require_own(sent: int, got: int) -> None:
    if sent != got:
        raise ShapeError(
            f"all_to_all_single: expected {sent} elements in the part of the output for this "
            f"process, which is what it sends itself. Got {got}."
        )


def _split(
    tensor: Tensor, array: Any, sizes: Sequence[int] | None, here: ProcessGroup, what: str
) -> list[Any]:
    rows = tensor.shape[0] if tensor.ndim else 1
    if sizes is None or not len(sizes):
        if rows % here.size():
            raise ShapeError(
                f"all_to_all_single: expected a multiple of {here.size()} rows in the {what}, or "
                f"{what}_split_sizes. Got {rows} rows."
            )
        sizes = [rows // here.size()] * here.size()
    if len(sizes) != here.size() or sum(sizes) != rows:
        raise ShapeError(
            f"all_to_all_single: expected {here.size()} {what}_split_sizes whose sum is {rows}. "
            f"Got {list(sizes)}."
        )
    width = array.size // rows if rows else 0
    found, start = [], 0
    for size in sizes:
        found.append(array[start * width : (start + size) * width])
        start += size
    return found
