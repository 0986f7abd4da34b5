"""Tables of learnt vectors: single rows, and bags of them."""

from __future__ import annotations

from typing import Any, Self

from ...core.creation import empty
from ...core.tensor import Tensor
from .. import init
from ..functional import embedding, embedding_bag
from ..parameter import Parameter
from .module import Module

__all__ = ["Embedding", "EmbeddingBag"]


class _Table(Module):
    """weight (num_embeddings, embedding_dim), standard normal; row `padding_idx` 0."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
        scale_grad_by_freq: bool,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"{name}: expected padding_idx from {-num_embeddings} to "
                    f"{num_embeddings - 1}. Got {padding_idx}."
                )
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx, self.max_norm, self.norm_type = padding_idx, max_norm, norm_type
        self.scale_grad_by_freq = scale_grad_by_freq

    def _fill(self, given: Tensor | None, freeze: bool, device: Any, dtype: Any) -> None:
        sizes = (self.num_embeddings, self.embedding_dim)
        if given is None:
            weight = empty(sizes, device=device, dtype=dtype)
            self.weight = Parameter(weight, requires_grad=not freeze)
            self.reset_parameters()
            return
        if tuple(given.shape) != sizes:
            raise ValueError(
                f"{type(self).__name__}: expected _weight {sizes}. Got {tuple(given.shape)}."
            )
        self.weight = Parameter(given, requires_grad=not freeze)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight[self.padding_idx])

    def _options(self) -> list[str]:
        """What differs from the defaults, for the repr."""
        words = [] if self.max_norm is None else [f"max_norm={self.max_norm}"]
        words += [] if self.norm_type == 2 else [f"norm_type={self.norm_type}"]
        return words + ["scale_grad_by_freq=True"] * bool(self.scale_grad_by_freq)


def _require_table(embeddings: Tensor) -> Any:
    """Its sizes. Raises: ValueError for other than two dimensions."""
    if embeddings.ndim != 2:
        raise ValueError(
            "from_pretrained: expected a table (num_embeddings, embedding_dim). Got shape "
            f"{tuple(embeddings.shape)}."
        )
    return tuple(embeddings.shape)


class Embedding(_Table):
    """Row i of a table for each index i: int (...) -> (..., embedding_dim).

    weight (num_embeddings, embedding_dim) starts standard normal; row `padding_idx` starts as 0 and
    gets no gradient. Rows longer than `max_norm`, in the norm `norm_type`, are scaled to it when
    they are used. `scale_grad_by_freq` divides gradients by how often their row was used. If
    `sparse`, the gradient of weight is a sparse tensor: for `SparseAdam`, `SGD` and `Adagrad`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (padding_idx, max_norm, norm_type, scale_grad_by_freq)
        super().__init__(num_embeddings, embedding_dim, *options)
        self.sparse = sparse
        self._fill(_weight, _freeze, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Self:
        """A layer over the table `embeddings` (num_embeddings, embedding_dim).

        Raises: ValueError for another number of dimensions.
        """
        rows, columns = _require_table(embeddings)
        options = (padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
        return cls(rows, columns, *options, _weight=embeddings, _freeze=freeze)

    def forward(self, input: Tensor) -> Tensor:
        """int (...) -> (..., embedding_dim)."""
        options = (self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse)
        return embedding(input, self.weight, self.padding_idx, *options)

    def extra_repr(self) -> str:
        """The sizes and what differs from the defaults."""
        words = [f"{self.num_embeddings}, {self.embedding_dim}"]
        if self.padding_idx is not None:
            words.append(f"padding_idx={self.padding_idx}")
        words += self._options() + ["sparse=True"] * bool(self.sparse)
        return ", ".join(words)


class EmbeddingBag(_Table):
    """Sums, means or maxima of bags of rows of a table: indices (bags, length), or (length,) with
    the offsets (bags,) at which bags begin -> (bags, embedding_dim).

    weight and options are as in `Embedding`; `include_last_offset`: the last offset only ends a
    bag; rows `padding_idx` are left out.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        options = (padding_idx, max_norm, norm_type, scale_grad_by_freq)
        super().__init__(num_embeddings, embedding_dim, *options)
        self.mode, self.sparse, self.include_last_offset = mode, sparse, include_last_offset
        self._fill(_weight, False, device, dtype)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> Self:
        """A layer over the table `embeddings` (num_embeddings, embedding_dim).

        Raises: ValueError for another number of dimensions.
        """
        rows, columns = _require_table(embeddings)
        options = (max_norm, norm_type, scale_grad_by_freq, mode, sparse)
        last = (include_last_offset, padding_idx)
        layer = cls(rows, columns, *options, embeddings, *last)
        layer.weight.requires_grad_(not freeze)
        return layer

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """int (bags, length), or (length,) with offsets (bags,) -> (bags, embedding_dim)."""
        return embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        """The sizes and what differs from the defaults."""
        words = [f"{self.num_embeddings}, {self.embedding_dim}", *self._options()]
        words.append(f"mode={self.mode!r}")
        if self.padding_idx is not None:
            words.append(f"padding_idx={self.padding_idx}")
        return ", ".join(words)
