"""Weights that stay in groups of 4- or 8-bit codes while a model computes with them, as GGUF files
have them: a seventh to a quarter of the memory, which sets the time of each token.

They are no parameters: nothing trains them. Gradients pass through them to what comes before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from .. import nn
from ..core.tensor import Tensor
from ..errors import CheckpointError
from ..nn import functional as F
from ..nn.parameter import Parameter
from ..ops.grouped import CHUNK, grouped_linear, grouped_weight, nearest_codes
from .layers import Conv1D

__all__ = ["compress"]

M = TypeVar("M", bound=nn.Module)

PARTS = ("codes", "scales", "offsets")
"""What a weight is made of, see `ops.grouped`; there may be no offsets."""


class Compressed(nn.Module):
    """A module whose weight (rows, columns) is in groups of codes; `weight` computes it."""

    def __init__(self, parts: Mapping[str, Tensor | None]) -> None:
        super().__init__()
        for name in PARTS:
            self.register_buffer(name, parts.get(name))

    @property
    def weight(self) -> Tensor:
        """The weight in float32, made at each access: writing to it changes nothing."""
        return grouped_weight(self.codes, self.scales, self.offsets)

    @property
    def parts(self) -> dict[str, Tensor | None]:
        """The tensors of the weight by name."""
        return {name: getattr(self, name) for name in PARTS}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the weight."""
        bits = 1 if self.codes.dtype.is_signed else 2
        return self.codes.shape[0], self.codes.shape[1] * bits

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Move it; scales stay in float32, whatever the model's precision becomes."""
        kept = self.parts
        super()._apply(fn, recurse)
        for name, old in kept.items():
            new = getattr(self, name)
            if old is not None and new.dtype is not old.dtype:
                setattr(self, name, old.to(new.device))
        return self

    def extra_repr(self) -> str:
        """The sizes."""
        rows, columns = self.shape
        group = columns // self.scales.shape[1]
        bits = 8 if self.codes.dtype.is_signed else 4
        return f"{rows} x {columns}, {bits} bits, groups of {group}"


class CompressedLinear(Compressed):
    """x @ weight.T + bias."""

    def __init__(self, parts: Mapping[str, Tensor | None], bias: Any = None) -> None:
        super().__init__(parts)
        self.out_features, self.in_features = self.shape
        self.register_parameter("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features), in the precision of x."""
        out = grouped_linear(x.float(), self.codes, self.scales, self.offsets, self.bias)
        return out.to(x.dtype)


class CompressedEmbedding(Compressed):
    """The rows of a table."""

    def __init__(self, parts: Mapping[str, Tensor | None]) -> None:
        super().__init__(parts)
        self.num_embeddings, self.embedding_dim = self.shape

    def forward(self, input: Tensor) -> Tensor:
        """int (...) -> float32 (..., embedding_dim)."""
        rows = {
            name: None if part is None else F.embedding(input.reshape(-1), part)
            for name, part in self.parts.items()
        }
        return grouped_weight(**rows).reshape(*input.shape, self.embedding_dim)


def hold_compressed(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put the weights that are codes into `model`, in place of the layers they are of: the others.

    Raises: CheckpointError for a size or a layer that does not fit.
    """
    held = {}
    for name in [name for name in weights if name.endswith(".codes")]:
        stem = name.removesuffix(".codes")
        parts = {part: weights.get(f"{stem}.{part}") for part in PARTS}
        held.update(dict.fromkeys(f"{stem}.{part}" for part in PARTS))
        old = model.get_submodule(stem)
        if not isinstance(old, nn.Linear | Conv1D | nn.Embedding):
            raise CheckpointError(f"from_pretrained: expected no codes for {stem}, {old}.")
        new, expected = _in_place_of(old, parts), tuple(_matrix(old).shape)
        if new.shape != expected:
            raise CheckpointError(
                f"from_pretrained: expected {stem}.weight {expected}. The file has codes of "
                f"{new.shape}."
            )
        model.set_submodule(stem, new)
    return {name: tensor for name, tensor in weights.items() if name not in held}


def compress(model: M, bits: int = 4) -> M:
    """Let the weights of a model's linear layers become codes of 4 or 8 bits, each the nearest in
    its group of 32 columns, and those of embeddings, which take it worse, codes of 8. The model,
    changed in place: a layer whose rows are no multiple of 32 long stays as it is.

        model = text.compress(text.AutoModelForCausalLM.from_pretrained(path))

    Raises: ValueError for other bits.
    """
    if bits not in (4, 8):
        raise ValueError(f"compress: expected 4 or 8 bits. Got {bits}.")
    words = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    made: dict[int, dict[str, Tensor | None]] = {}  # a shared weight is one afterwards too
    for name, old in list(model.named_modules()):
        if not isinstance(old, nn.Linear | Conv1D | nn.Embedding) or _matrix(old).shape[1] % CHUNK:
            continue
        key = id(old.weight)
        if key not in made:
            made[key] = nearest_codes(_matrix(old), 8 if key in words else bits)
        model.set_submodule(name, _in_place_of(old, made[key]).train(old.training))
    return model


def _matrix(layer: Any) -> Tensor:
    """The weight of a layer as `Linear` has it."""
    weight: Tensor = layer.weight.t() if isinstance(layer, Conv1D) else layer.weight
    return weight


def _in_place_of(old: Any, parts: Mapping[str, Tensor | None]) -> Compressed:
    """The layer that computes with `parts` what `old` does with its weight."""
    if isinstance(old, nn.Embedding):
        return CompressedEmbedding(parts)
    return CompressedLinear(parts, old.bias)


def compressed_modules(model: nn.Module) -> Iterator[tuple[str, Compressed]]:
    """The modules of `model` that hold codes, by name; those with the same ones once."""
    seen = set()
    for name, module in model.named_modules():
        if isinstance(module, Compressed) and id(module.codes) not in seen:
            seen.add(id(module.codes))
            yield name, module


def share(model: nn.Module, name: str, source: str) -> bool:
    """Let the layer of the weight `name` have the codes of that of `source`; False if these are
    none."""
    owner = model.get_submodule(source.removesuffix(".weight"))
    if not isinstance(owner, Compressed):
        return False
    stem = name.removesuffix(".weight")
    bias: Parameter | None = getattr(model.get_submodule(stem), "bias", None)
    model.set_submodule(stem, CompressedLinear(owner.parts, bias))
    return True
