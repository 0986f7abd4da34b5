"""Models that load and save folders: config.json beside weights under Hugging Face's names."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from .. import cuda, nn
from ..autograd.grad_mode import no_grad
from ..core import dtypes
from ..core.creation import empty
from ..core.devices import device as Device
from ..core.tensor import Tensor
from ..errors import CheckpointError, ShapeError
from ..nn import init
from ..nn.parameter import Parameter
from ..utils.checkpoint import checkpoint
from . import gguf_models
from .checkpoints import read_weights, write_weights
from .compressed import PARTS, Compressed, compress, compressed_modules, hold_compressed, share
from .configuration import PretrainedConfig

UNNEEDED = {"attn_implementation", "local_files_only", "low_cpu_mem_usage", "trust_remote_code",
            "use_safetensors"}  # fmt: skip
"""What examples also say: how Hugging Face's library goes about what has but one way here."""

M = TypeVar("M", bound="PreTrainedModel")

LEGACY = {".gamma": ".weight", ".beta": ".bias"}
"""What TensorFlow's BERT calls the parameters of a norm."""


class PreTrainedModel(nn.Module):
    """A model with a configuration. Subclasses say which, and under which name they hold the model
    that has no head (`base_model_prefix`)."""

    config_class: ClassVar[type[PretrainedConfig]] = PretrainedConfig
    base_model_prefix: ClassVar[str] = ""
    tied_weights: ClassVar[dict[str, str]] = {}
    """Parameters that are another one: the name of each, and of the one whose memory it has."""
    derived: ClassVar[tuple[str, ...]] = ()
    """Endings of names that older files hold and that the model computes."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise TypeError(
                f"{type(self).__name__}: expected a {self.config_class.__name__}. Got "
                f"{type(config).__name__}. Weights of a folder come by from_pretrained(path)."
            )
        self.config: Any = config
        self.gradient_checkpointing = False

    def post_init(self) -> None:
        """Draw all parameters: each subclass calls it at the end of its constructor."""
        for module in self.modules():
            self._init_weights(module)
        self.tie_weights()

    def _init_weights(self, module: nn.Module) -> None:
        """Matrices normal of `initializer_range`, biases 0, norms 1."""
        own = dict(module.named_parameters(recurse=False))
        if isinstance(module, nn.LayerNorm | nn.RMSNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight, 0.0, self.config.initializer_range)
            if module.padding_idx is not None:
                with no_grad():
                    module.weight[module.padding_idx].zero_()
        else:
            for name, parameter in own.items():
                if name == "bias":
                    init.zeros_(parameter)
                elif name == "weight":
                    init.normal_(parameter, 0.0, self.config.initializer_range)

    def tie_weights(self) -> None:
        """Let the output matrix be the input embedding, where the configuration says so."""
        if self.config.tie_word_embeddings:
            for name, source in self.tied_weights.items():
                if not share(self, name, source):
                    owner, _, own = name.rpartition(".")
                    setattr(self.get_submodule(owner), own, self.get_parameter(source))

    @property
    def base_model(self) -> Any:
        """The model without its head; itself if it has none."""
        return getattr(self, self.base_model_prefix, self) if self.base_model_prefix else self

    @property
    def device(self) -> Device:
        """Where the parameters are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> dtypes.dtype:
        """The element type of the parameters."""
        return next(self.parameters()).dtype

    def num_parameters(self, only_trainable: bool = False) -> int:
        """How many numbers the weights have; a shared one counts once."""
        count = sum(p.numel() for p in self.parameters() if p.requires_grad or not only_trainable)
        if not only_trainable:
            count += sum(math.prod(module.shape) for _, module in compressed_modules(self))
        return count

    # -- training --------------------------------------------------------------------------------

    def gradient_checkpointing_enable(self, **unused: Any) -> None:
        """Keep only each layer's input for the backward pass, which computes the rest again: memory
        of one layer instead of all, for about a third more time."""
        self.base_model.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep everything for the backward pass again."""
        self.base_model.gradient_checkpointing = False

    def run_layer(self, layer: nn.Module, *args: Any) -> Any:
        """layer(*args), as a checkpoint if asked and in training."""
        if self.gradient_checkpointing and self.training:
            return checkpoint(layer, *args)
        return layer(*args)

    # -- embeddings ------------------------------------------------------------------------------

    def get_input_embeddings(self) -> Any:
        """The `Embedding` of the tokens."""
        raise NotImplementedError(type(self).__name__)

    def get_output_embeddings(self) -> Any:
        """The `Linear` that makes logits of tokens; None for a model without one."""
        return None

    def resize_token_embeddings(self, new_num_tokens: int) -> Any:
        """Take another number of tokens: rows are cut off, or drawn for new ones. The embedding."""
        table, head = self.get_input_embeddings(), self.get_output_embeddings()
        if isinstance(table, Compressed) or isinstance(head, Compressed):
            raise TypeError(
                f"{type(self).__name__}: expected embeddings that can grow. They are compressed; "
                "load the model without dtype='auto'."
            )
        if head is not None and head.weight is not table.weight:
            self._resize(head, "weight", new_num_tokens)
        self._resize(table, "weight", new_num_tokens)
        table.num_embeddings = self.config.vocab_size = new_num_tokens
        if head is not None:
            head.out_features = new_num_tokens
        self.tie_weights()
        return table

    def _resize(self, owner: nn.Module, name: str, rows: int) -> None:
        old = getattr(owner, name)
        with no_grad():
            fresh = empty(rows, *old.shape[1:], dtype=old.dtype, device=old.device)
            init.normal_(fresh, 0.0, self.config.initializer_range)
            kept = min(rows, old.shape[0])
            fresh[:kept] = old[:kept]
        setattr(owner, name, Parameter(fresh, old.requires_grad))

    # -- folders ---------------------------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls: type[M],
        path: Any,
        *,
        config: Any = None,
        dtype: Any = None,
        torch_dtype: Any = None,
        device_map: Any = None,
        gguf_file: str | None = None,
        load_in_4bit: bool = False,
        load_in_8bit: bool = False,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **changes: Any,
    ) -> Any:
        """The model in a local folder (or GGUF file), in `eval` mode.

        `changes` go to the configuration (`num_labels=3`). `dtype` (or `torch_dtype`) is float32 if
        not given, and what the file has for "auto": matrices that a GGUF file holds in few bits
        stay so, and the model needs as little memory and reads as little for each token.
        `load_in_4bit` and `load_in_8bit` make that of any model, see `text.compress`;
        `device_map` is a device, or "auto" for a GPU
        if there is one. Weights that the file lacks, such as those of a new head, are drawn, with a
        warning that names them. With `output_loading_info` also a dict of the `missing_keys`,
        `unexpected_keys` and `mismatched_keys`.
        Raises: CheckpointError for a folder that holds no such model, or other sizes.
        """
        place = Path(os.fspath(path))
        changes = {k: v for k, v in changes.items() if k not in UNNEEDED}
        dtype = _wanted(dtype or torch_dtype)
        config, weights = cls._read(place, config, gguf_file, changes, dtype is None)
        with Device("meta"):
            model = cls(config)
        info = model._load(weights, dtype, ignore_mismatched_sizes)
        if info["missing_keys"]:
            warnings.warn(
                f"{cls.__name__}: {', '.join(info['missing_keys'])} are not in {place} and were "
                "drawn at random. Train the model before you use it.",
                stacklevel=2,
            )
        if load_in_4bit or load_in_8bit:
            compress(model, 4 if load_in_4bit else 8)
        model.eval()
        model.read_beside(place)
        if device_map is not None:
            best = "cuda" if cuda.is_available() else "cpu"
            model.to(best if device_map == "auto" else device_map)
        return (model, info) if output_loading_info else model

    @classmethod
    def _read(
        cls, place: Path, config: Any, gguf_file: str | None, changes: dict[str, Any], raw: bool
    ) -> tuple[Any, dict[str, Tensor]]:
        """The configuration, unless it is given, and the weights."""
        if gguf_file is not None or place.suffix == ".gguf":
            values, weights = gguf_models.read(place / gguf_file if gguf_file else place, raw)
            config = config or cls.config_class.from_dict(values, **changes)
            cls._check_type(config, place)
            return config, weights
        config = config or cls.config_class.from_pretrained(place, **changes)
        cls._check_type(config, place)
        return config, read_weights(place)

    @classmethod
    def _check_type(cls, config: Any, place: Path) -> None:
        own = cls.config_class.model_types
        if config.model_type not in own:
            raise CheckpointError(
                f"{cls.__name__}: expected a model of type {' or '.join(own)}. Got "
                f"{config.model_type!r} in {place}."
            )

    def _load(self, weights: Mapping[str, Tensor], dtype: Any, lenient: bool) -> dict[str, Any]:
        """Take `weights` over, into parameters on meta; draw those that are not there."""
        found = hold_compressed(self, self._renamed(weights, self.state_dict(keep_vars=True)))
        held = [f"{name}.{part}" for name, _ in compressed_modules(self) for part in PARTS]
        if held and dtype is None:
            dtype = dtypes.float32  # what their products are
        own = {k: t for k, t in self.state_dict(keep_vars=True).items() if k not in held}
        mismatched = sorted(
            (name, tuple(t.shape), tuple(own[name].shape))
            for name, t in found.items()
            if name in own and t.shape != own[name].shape
        )
        if mismatched and not lenient:
            name, stored, expected = mismatched[0]
            raise CheckpointError(
                f"{type(self).__name__}: expected {name} {expected}. The file has {stored}. Give "
                "the sizes it was trained with, or ignore_mismatched_sizes=True to draw it anew."
            )
        for name, *_ in mismatched:
            del found[name]
        unexpected = sorted(set(found) - set(own))
        found = {k: _as(t, dtype) for k, t in found.items() if k in own}
        missing = sorted(name for name in set(own) - set(found) if not self._is_tied(name))
        if dtype is None and found:
            dtype = next(iter(found.values())).dtype
        self._draw(missing, dtype)
        self.load_state_dict(found, strict=False, assign=True)
        self.tie_weights()
        return {
            "missing_keys": missing,
            "unexpected_keys": unexpected,
            "mismatched_keys": mismatched,
        }

    def _is_tied(self, name: str) -> bool:
        """Whether the tensor `name` is, or belongs to, another one's weight."""
        tied = self.tied_weights if self.config.tie_word_embeddings else {}
        stem, _, part = name.rpartition(".")
        return part in ("weight", *PARTS) and f"{stem}.weight" in tied

    def _renamed(self, weights: Mapping[str, Tensor], own: Mapping[str, Any]) -> dict[str, Tensor]:
        """`weights` under the names of this model: with or without the prefix of its base."""
        prefix = f"{self.base_model_prefix}."
        has_base = any(name.startswith(prefix) for name in own)
        stored = any(name.startswith(prefix) for name in weights)
        renamed = {}
        for name, tensor in weights.items():
            for old, new in LEGACY.items():
                if name.endswith(old):
                    name = name[: -len(old)] + new
            if stored and not has_base:
                if not name.startswith(prefix):
                    continue  # of a head that this model does not have
                name = name[len(prefix) :]
            elif has_base and not stored and name not in own:
                name = prefix + name
            if not name.endswith(self.derived or ("\0",)):
                renamed[name] = tensor
        return renamed

    def _draw(self, missing: list[str], dtype: Any) -> None:
        """Give the parameters `missing` memory and first values."""
        owners = {}
        for name in missing:
            owner, _, own = name.rpartition(".")
            module = owners[owner] = self.get_submodule(owner)
            old = getattr(module, own)
            setattr(module, own, Parameter(empty(*old.shape, dtype=dtype, device="cpu")))
        for module in owners.values():
            self._init_weights(module)

    def save_pretrained(self, path: Any, max_shard_size: int = 5 * 10**9) -> None:
        """Write config.json and model.safetensors into a folder, in shards if larger than
        `max_shard_size` bytes. Tied weights are written once."""
        folder = Path(path)
        self.config.architectures = [type(self).__name__]
        self.config.other["torch_dtype"] = self.dtype.name
        self.config.save_pretrained(folder)
        weights = {k: t for k, t in self.state_dict().items() if not self._is_tied(k)}
        write_weights(folder, weights, max_shard_size)
        self.write_beside(folder)

    def read_beside(self, folder: Path) -> None:
        """Take over what else a folder holds for this kind of model: nothing."""

    def write_beside(self, folder: Path) -> None:
        """Write what else belongs into a folder of this kind of model: nothing."""


def _wanted(dtype: Any) -> Any:
    if dtype == "auto":
        return None
    if isinstance(dtype, str):
        found = getattr(dtypes, dtype, None)
        if not isinstance(found, dtypes.dtype):
            raise ValueError(
                f"from_pretrained: expected a dtype such as 'bfloat16', or 'auto'. Got {dtype!r}."
            )
        return found
    return dtypes.float32 if dtype is None else dtype


def _as(tensor: Tensor, dtype: Any) -> Tensor:
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)


def check_tokens(
    model: Any, input_ids: Tensor, attention_mask: Tensor | None, longest: int, past: int = 0
) -> None:
    """Raises: ShapeError unless `input_ids` are (batch, length) with at most `longest` places, and
    `attention_mask` is (batch, past + length)."""
    name = type(model).__name__
    if input_ids.ndim != 2:
        raise ShapeError(
            f"{name}: expected input_ids (batch, length). Got {tuple(input_ids.shape)}. One "
            "sequence is tokens[None]."
        )
    batch, length = input_ids.shape
    if past + length > longest:
        raise ShapeError(
            f"{name}: expected at most {longest} tokens, for which it has places. Got "
            f"{past + length}. Truncate them."
        )
    expected = batch, past + length
    if attention_mask is not None and tuple(attention_mask.shape) != expected:
        raise ShapeError(
            f"{name}: expected attention_mask {expected}, a 1 or 0 for each token. Got "
            f"{tuple(attention_mask.shape)}."
        )
