"""The class of a folder's model, by its config.json: `AutoModel.from_pretrained(path)`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from ..errors import CheckpointError
from . import bert, gguf_models, gpt2, llama
from .configuration import CONFIG_FILE, PretrainedConfig, read_json

__all__ = [
    "AutoConfig",
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForQuestionAnswering",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
]

CONFIGS: tuple[type[PretrainedConfig], ...] = (bert.BertConfig, gpt2.GPT2Config, llama.LlamaConfig)


def _values(path: Any, gguf_file: str | None) -> dict[str, Any]:
    place = Path(os.fspath(path))
    if gguf_file is not None or place.suffix == ".gguf":
        return gguf_models.values_of(place / gguf_file if gguf_file else place)
    return read_json(place / CONFIG_FILE)


class AutoConfig:
    """The configuration in a folder, of the class that its `model_type` names."""

    @staticmethod
    def from_pretrained(path: Any, gguf_file: str | None = None, **changes: Any) -> Any:
        """The configuration. Raises: CheckpointError for a kind that is not known."""
        values = _values(path, gguf_file)
        for kind in CONFIGS:
            if values.get("model_type") in kind.model_types:
                return kind.from_dict(values, **changes)
        known = ", ".join(name for kind in CONFIGS for name in kind.model_types)
        raise CheckpointError(
            f"AutoConfig: expected a model_type of {known}. Got {values.get('model_type')!r} in "
            f"{path}."
        )


class AutoModel:
    """The model without a head. Subclasses are for one task each."""

    kinds: ClassVar[tuple[Any, ...]] = (bert.BertModel, gpt2.GPT2Model, llama.LlamaModel)

    @classmethod
    def _kind(cls, config: Any) -> Any:
        for kind in cls.kinds:
            if isinstance(config, kind.config_class):
                return kind
        known = ", ".join(kind.__name__ for kind in cls.kinds)
        raise ValueError(
            f"{cls.__name__}: expected a configuration of {known}. Got {type(config).__name__}."
        )

    @classmethod
    def from_pretrained(cls, path: Any, **options: Any) -> Any:
        """The model in a local folder or GGUF file; options are those of its own
        `from_pretrained`. Raises: CheckpointError, ValueError if it has no such head."""
        config = AutoConfig.from_pretrained(path, options.get("gguf_file"))
        return cls._kind(config).from_pretrained(path, **options)

    @classmethod
    def from_config(cls, config: Any) -> Any:
        """A model of these sizes, drawn at random."""
        return cls._kind(config)(config)


class AutoModelForCausalLM(AutoModel):
    """A model that writes."""

    kinds = (gpt2.GPT2LMHeadModel, llama.LlamaForCausalLM)


class AutoModelForMaskedLM(AutoModel):
    """A model that guesses masked words."""

    kinds = (bert.BertForMaskedLM,)


class AutoModelForSequenceClassification(AutoModel):
    """A model that tells the kind of a text."""

    kinds = (bert.BertForSequenceClassification,)


class AutoModelForTokenClassification(AutoModel):
    """A model that tells the kind of each token."""

    kinds = (bert.BertForTokenClassification,)


class AutoModelForQuestionAnswering(AutoModel):
    """A model that finds where an answer begins and ends."""

    kinds = (bert.BertForQuestionAnswering,)
