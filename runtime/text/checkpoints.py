"""The weights of a model's folder: one file or many, safetensors or PyTorch's, or one GGUF file."""

from __future__ import annotations

import os
from pathlib import Path

from ..core.tensor import Tensor
from ..errors import CheckpointError
from ..serialization import load
from ..serialization.replacing import replace_file
from .configuration import read_json, write_json

SINGLE = ("model.safetensors", "pytorch_model.bin")
"""Files that hold all weights, the better one first; `.index.json` behind the name: of many."""


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors by name. Raises: CheckpointError without any, or if some are missing."""
    for name in SINGLE:
        if (folder / name).is_file():
            return _one_file(folder / name)
        index = folder / f"{name}.index.json"
        if index.is_file():
            return _shards(folder, index)
    raise CheckpointError(
        f"from_pretrained: expected {' or '.join(SINGLE)} in {folder}, or their index. Got neither."
    )


def _one_file(path: Path) -> dict[str, Tensor]:
    found = load(path, map_location="cpu")
    if not isinstance(found, dict):
        raise CheckpointError(
            f"from_pretrained: expected a dict of tensors in {path}. Got {type(found).__name__}."
        )
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _shards(folder: Path, index: Path) -> dict[str, Tensor]:
    places = read_json(index).get("weight_map", {})
    weights: dict[str, Tensor] = {}
    for name in sorted(set(places.values())):
        path = folder / os.path.basename(name)  # a file of the folder, whatever the index says
        if not path.is_file():
            raise CheckpointError(
                f"from_pretrained: expected {name} in {folder}, as {index.name} says. It is absent."
            )
        weights.update(_one_file(path))
    missing = sorted(set(places) - set(weights))
    if missing:
        raise CheckpointError(
            f"from_pretrained: expected {missing[0]} in {places[missing[0]]}, as {index.name} says."
        )
    return weights


def write_weights(folder: Path, weights: dict[str, Tensor], shard_bytes: int) -> None:
    """Write model.safetensors, or shards of at most `shard_bytes` (or one tensor) and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    groups: list[dict[str, Tensor]] = [{}]
    room = shard_bytes
    for name, tensor in weights.items():
        if groups[-1] and tensor.nbytes > room:
            groups.append({})
            room = shard_bytes
        groups[-1][name] = tensor
        room -= tensor.nbytes
    stem, count = Path(SINGLE[0]).stem, len(groups)
    if count == 1:
        _write(folder / SINGLE[0], groups[0])
        return
    places = {}
    for k, group in enumerate(groups, 1):
        name = f"{stem}-{k:05d}-of-{count:05d}.safetensors"
        _write(folder / name, group)
        places.update(dict.fromkeys(group, name))
    total = sum(t.nbytes for t in weights.values())
    write_json(
        folder / f"{SINGLE[0]}.index.json",
        {"metadata": {"total_size": total}, "weight_map": places},
    )


def _write(path: Path, weights: dict[str, Tensor]) -> None:
    from safetensors.numpy import save

    arrays = {name: t.contiguous().numpy_values() for name, t in weights.items()}
    content = save(arrays, {"format": "pt"})
    replace_file(path, lambda file: file.write(content))
