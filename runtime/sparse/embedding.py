"""Rows of a table by number, whose gradient is sparse: only the rows that were looked up."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd.grad_mode import is_grad_enabled
from ..autograd.node import AccumulateGrad, Node, tick
from ..core.sparse_arrays import SparseArray, module_of
from ..core.tensor import Tensor, wrap
from ..ops.embedding import embedding_lookup, embedding_weight_gradient
from ..ops.indexing import getitem
from .graph import assembled, indices_of


class EmbeddingNode(Node):
    """Gives a leaf a sparse gradient with one index per row that was looked up, repeated or not;
    anything else a dense one, as other operations' gradient rules want."""

    def __init__(self, weight: Tensor, rows: Any, padding_idx: int | None) -> None:
        self.edges = (weight._edge,)
        self.key = weight._key
        self.saved = (None,)
        self.sequence = tick()
        self.shape, self.rows, self.padding_idx = tuple(weight.shape), rows, padding_idx
        self.result_shape = (*rows.shape, self.shape[1])

    def name(self) -> str:
        """As PyTorch names it."""
        return "EmbeddingBackward0"

    @property
    def goes_to_a_leaf(self) -> bool:
        """Whether the table is a leaf."""
        return self.edges[0].__class__ is AccumulateGrad

    def apply(self, g: Any) -> Any:
        """The bare gradient of the table."""
        if not self.goes_to_a_leaf:
            how = {"like": self.shape, "padding_idx": self.padding_idx}
            return (self.key.embedding_weight_gradient(g, self.rows, **how),), (True,)
        rows = self.rows.reshape(-1).astype(np.int64)
        vectors = g.reshape(-1, self.shape[1])
        if self.padding_idx is not None:
            kept = rows != self.padding_idx
            rows, vectors = rows[kept], vectors[kept]
        return (SparseArray(rows[None], vectors, self.shape),), (None,)

    def apply_recorded(self, g: Tensor) -> Any:
        """The same, recorded."""
        if not self.goes_to_a_leaf:
            rows = wrap(self.rows, self.key.of_array(self.rows))
            how = {"like": self.shape, "padding_idx": self.padding_idx}
            return (embedding_weight_gradient(g, rows, **how),)
        rows, vectors = self.rows.reshape(-1).astype(np.int64), g.reshape(-1, self.shape[1])
        if self.padding_idx is not None:
            kept = module_of(rows).flatnonzero(rows != self.padding_idx)
            rows, vectors = rows[kept], getitem(vectors, indices_of(g, kept))
        return (assembled(rows[None], vectors, self.shape),)


def embedding(
    weight: Tensor, input: Tensor, padding_idx: int | None, scale_grad_by_freq: bool
) -> Tensor:
    """The rows of weight (n, d) that input (...) names: (..., d); row `padding_idx` gets no
    gradient.

    Raises: RuntimeError for `scale_grad_by_freq`, which sparse gradients do not have.
    """
    how = {"padding_idx": padding_idx, "scale_grad_by_freq": scale_grad_by_freq}
    recorded = weight._edge is not None and is_grad_enabled()
    if not recorded or weight._key.level or weight.is_meta:
        return embedding_lookup(weight, input, **how)
    if scale_grad_by_freq:
        raise RuntimeError(
            "embedding: expected scale_grad_by_freq or sparse, not both. Leave one of them out."
        )
    out = embedding_lookup(weight.detach(), input)
    rows = input.to(weight.device)._array
    out._edge = EmbeddingNode(weight, rows, padding_idx)
    return out
