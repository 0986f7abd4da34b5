"""Saving and loading of nested dicts by all processes together."""

from __future__ import annotations

import os
from typing import Any

from ...autograd.grad_mode import no_grad
from ...core.tensor import Tensor
from ...errors import CheckpointError, ShapeError
from ..tensor.dtensor import DTensor
from .filesystem import FileSystemReader, FileSystemWriter
from .hf_storage import whole
from .parts import leaves, part_of

__all__ = ["load", "save"]

Path = str | os.PathLike[str]


@no_grad()
def save(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: Path | None = None,
    storage_writer: Any = None,
    planner: Any = None,
    process_group: Any = None,
    **options: Any,
) -> None:
    """Write nested dicts and lists of tensors and plain values into the folder `checkpoint_id`, or
    by `storage_writer`. All processes call this with the same names.

    Of parameters that `fully_shard` cut, and of DTensors, each process writes its part; of other
    tensors, and of plain values, the first process writes its own. States of optimizers know that
    they are parts if they come from `checkpoint.state_dict.get_optimizer_state_dict`.
    Raises: CheckpointError everywhere if one process cannot write; what was there before stays.
    """
    writer = storage_writer if storage_writer is not None else _at(FileSystemWriter, checkpoint_id)
    parts, values = {}, {}
    for path, _, _, value in leaves(state_dict):
        if isinstance(value, Tensor | DTensor):
            is_whole = getattr(writer, "wants_whole", False)
            parts[path] = part_of(whole(value) if is_whole else value, process_group)
        else:
            values[path] = value
    writer.write(parts, values, process_group)


@no_grad()
def load(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: Path | None = None,
    storage_reader: Any = None,
    planner: Any = None,
    process_group: Any = None,
    **options: Any,
) -> None:
    """Fill the tensors of `state_dict` in place, and replace its plain values, from what `save`
    wrote: each process reads its parts, however they were cut when they were written.

    Raises: CheckpointError for a folder that holds none, or names that are not there; ShapeError
    for other shapes. Nothing is changed then.
    """
    reader = storage_reader if storage_reader is not None else _at(FileSystemReader, checkpoint_id)
    reader.open()
    wanted = list(leaves(state_dict))
    tensors = {path: value for path, _, _, value in wanted if isinstance(value, Tensor | DTensor)}
    if not getattr(planner, "allow_partial_load", False) and (
        missing := sorted(tensors.keys() - reader.names())
    ):
        raise CheckpointError(
            f"checkpoint: {reader.path} has no {', '.join(missing[:5])}"
            + (f" and {len(missing) - 5} more." if len(missing) > 5 else ".")
        )
    found = {path: part_of(v) for path, v in tensors.items() if path in reader.names()}
    for path, part in found.items():
        if reader.shape(path) != part.shape:
            raise ShapeError(
                f"checkpoint: expected {path} of shape {part.shape}. The checkpoint has "
                f"{reader.shape(path)}."
            )
    for path, part in found.items():
        if not part.tensor.numel():
            continue
        for where, piece in reader.pieces(path, part):
            if piece.numel():
                part.tensor[where] = piece.to(part.tensor.device)
    for path, container, key, _ in wanted:
        if path in reader.values:
            container[key] = reader.values[path]


def _at(kind: Any, checkpoint_id: Path | None) -> Any:
    if checkpoint_id is None:
        raise ValueError("checkpoint: expected checkpoint_id, a folder. Got None.")
    return kind(checkpoint_id)
