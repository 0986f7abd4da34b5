"""What a model's `config.json` says: its sizes and choices, under the names of Hugging Face."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..errors import CheckpointError
from ..serialization.replacing import replace_file

CONFIG_FILE = "config.json"

C = TypeVar("C", bound="PretrainedConfig")


@dataclass(kw_only=True)
class PretrainedConfig:
    """What every model's configuration has; each model adds fields of its own.

    `other` keeps what a file says beyond the fields, so that saving loses nothing of it.
    """

    model_types: ClassVar[tuple[str, ...]] = ()
    """What config.json may call this kind of model."""

    model_type: str = ""
    architectures: list[str] | None = None
    vocab_size: int = 0
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    tie_word_embeddings: bool = True
    initializer_range: float = 0.02
    num_labels: int = 2
    id2label: dict[int, str] | None = None
    problem_type: str | None = None
    other: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.id2label is None:
            self.id2label = {k: f"LABEL_{k}" for k in range(self.num_labels)}
        self.id2label = {int(k): label for k, label in self.id2label.items()}
        self.num_labels = len(self.id2label)

    @property
    def label2id(self) -> dict[str, int]:
        """The number of each label."""
        return {label: k for k, label in (self.id2label or {}).items()}

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any], **changes: Any) -> C:
        """The configuration that a file's `values` and `changes` to them describe.

        Raises: TypeError for a change to what neither knows.
        """
        fields = {f.name for f in dataclasses.fields(cls)} - {"other"}
        unknown = sorted(set(changes) - fields - set(values))
        if unknown:
            raise TypeError(
                f"{cls.__name__}: {unknown[0]} is no field. There are {', '.join(sorted(fields))}."
            )
        if "num_labels" in changes and "id2label" not in changes:
            values = {k: v for k, v in values.items() if k != "id2label"}
        values = {**values, **changes}
        values.pop("label2id", None)  # it says again what id2label says
        known = {k: v for k, v in values.items() if k in fields}
        return cls(**known, other={k: v for k, v in values.items() if k not in fields})

    @classmethod
    def from_pretrained(cls: type[C], path: Any, **changes: Any) -> C:
        """The configuration in the folder `path`. Raises: CheckpointError without one."""
        return cls.from_dict(read_json(Path(path) / CONFIG_FILE), **changes)

    def to_dict(self) -> dict[str, Any]:
        """What a config.json holds."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**values.pop("other"), **values, "label2id": self.label2id}

    def save_pretrained(self, path: Any) -> None:
        """Write config.json into the folder `path`."""
        write_json(Path(path) / CONFIG_FILE, self.to_dict())


def read_json(path: Path) -> dict[str, Any]:
    """The object that a file holds. Raises: CheckpointError."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        beside = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else None
        there = "no such folder" if beside is None else f"the folder has {', '.join(beside[:12])}"
        raise CheckpointError(
            f"from_pretrained: expected {path.name} in {path.parent}. Got {there}. Give the local "
            "folder of a model, with config.json and weights in it: nothing is downloaded."
        ) from None
    except (ValueError, OSError) as error:
        raise CheckpointError(f"from_pretrained: expected JSON in {path}. {error}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"from_pretrained: expected a JSON object in {path}.")
    return found


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write an object, whole or not at all; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    replace_file(path, lambda file: file.write(text.encode()))
