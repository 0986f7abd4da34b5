"""Embedding: a table of learnt vectors."""

from __future__ import annotations

from typing import Any, Self

from ...core.creation import empty
from ...core.tensor import Tensor
from .. import init
from ..functional import embedding
from ..parameter import Parameter
from .module import Module

__all__ = ["Embedding"]


class Embedding(Module):
    """Row i of a table for each index i: int (...) -> (..., embedding_dim).

    weight (num_embeddings, embedding_dim) starts standard normal; row `padding_idx` starts as 0 and
    gets no gradient.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"Embedding: expected padding_idx from {-num_embeddings} to "
                    f"{num_embeddings - 1}. Got {padding_idx}."
                )
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = padding_idx
        if _weight is None:
            sizes = (num_embeddings, embedding_dim)
            weight = empty(sizes, device=device, dtype=dtype)
            self.weight = Parameter(weight, requires_grad=not _freeze)
            self.reset_parameters()
        else:
            self.weight = Parameter(_weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None
    ) -> Self:
        """A layer over the table `embeddings` (num_embeddings, embedding_dim).

        Raises: ValueError for another number of dimensions.
        """
        if embeddings.ndim != 2:
            raise ValueError(
                "from_pretrained: expected a table (num_embeddings, embedding_dim). Got shape "
                f"{tuple(embeddings.shape)}."
            )
        rows, columns = embeddings.shape
        return cls(rows, columns, padding_idx, _weight=embeddings, _freeze=freeze)

    def reset_parameters(self) -> None:
        """Draw the table anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight[self.padding_idx])

    def forward(self, input: Tensor) -> Tensor:
        """int (...) -> (..., embedding_dim)."""
        return embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
