"""Rows of a table by number, and their gradient."""

from __future__ import annotations

from typing import Any

from ..autograd.grad_mode import no_grad
from ..backends.accumulation import add_at
from ..backends.looking import is_noted
from ..core.creation import ones_like
from ..core.tensor import Tensor
from ..errors import OutOfBoundsError
from . import shapes
from .declare import Index, Spec, composite, primitive
from .gather import require_integers
from .searching import unique
from .shapes import Shape

__all__ = ["embedding", "embedding_renorm_"]


@primitive(node_name="Embedding", moves=True)
def embedding_lookup(
    weight: Spec,
    input: Index,
    *,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Spec:
    """The rows of weight (n, d) that input (...) names: (..., d)."""
    shapes.require_ndim("embedding", "weight", weight, 2)
    require_integers("embedding", input)
    return Spec((*input.shape, weight.shape[1]), weight.dtype)


@embedding_lookup.array
def embedding_array(
    xp: Any,
    weight: Any,
    input: Any,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Any:
    """Rows copied; indices outside are refused, negative ones too."""
    if weight.ndim != 2 or input.dtype.kind not in "iu":
        raise ValueError("embedding does not fit")
    if not is_noted(xp, input, 0, weight.shape[0], "embedding"):
        require_rows(input, weight.shape[0])
    return xp.take(weight, input, 0)


def require_rows(input: Any, n: int) -> None:
    """Raises: IndexError for an index outside the n rows of a weight."""
    if input.size and (input.min() < 0 or input.max() >= n):
        raise OutOfBoundsError(
            f"embedding: expected indices from 0 to {n - 1}, as weight has {n} rows. Got "
            f"{int(input.min())} to {int(input.max())}."
        )


@embedding_lookup.vjp(saves="input")
def embedding_vjp(
    F: Any,
    g: Any,
    needs: Any,
    weight: Any,
    input: Any,
    padding_idx: Any,
    scale_grad_by_freq: Any,
) -> Any:
    """g added up by row; the padding row gets none."""
    how = {"padding_idx": padding_idx, "scale_grad_by_freq": scale_grad_by_freq}
    return F.embedding_weight_gradient(g, input, like=weight, **how), None


@primitive
def embedding_weight_gradient(
    g: Spec,
    input: Index,
    *,
    like: Shape,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Spec:
    """Zeros of shape `like` with the vectors of g added to the rows that input names, each divided
    by how often its row is named if `scale_grad_by_freq`."""
    return Spec(like, g.dtype)


@embedding_weight_gradient.array
def embedding_gradient_array(
    xp: Any,
    g: Any,
    input: Any,
    like: Shape,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Any:
    """Added up row by row."""
    out = xp.zeros(like, g.dtype)
    rows, vectors = input.reshape(-1), g.reshape(input.size, like[1])
    if padding_idx is not None:
        kept = rows != padding_idx
        rows, vectors = rows[kept], vectors[kept]
    if not rows.size:
        return out
    if scale_grad_by_freq:
        vectors = vectors / xp.bincount(rows)[rows][:, None].astype(g.dtype)
    add_at(xp, out, rows, vectors)
    return out


@embedding_weight_gradient.vjp(saves="input")
def embedding_gradient_vjp(
    F: Any,
    h: Any,
    needs: Any,
    g: Any,
    input: Any,
    like: Any,
    padding_idx: Any,
    scale_grad_by_freq: Any,
) -> Any:
    """The rows of h, zero for the padding row; not scaled, as PyTorch does not scale them here."""
    return F.embedding_without_padding(h, input, padding_idx=padding_idx), None


@composite
def embedding_without_padding(
    F: Any, weight: Spec, input: Index, *, padding_idx: int | None
) -> Spec:
    """The rows that input names, zero where it names the padding row."""
    rows = F.embedding_lookup(weight, input, padding_idx=padding_idx)
    return rows if padding_idx is None else F.zero_rows(rows, input, row=padding_idx)


@primitive
def zero_rows(g: Spec, input: Index, *, row: int | None) -> Spec:
    """A copy of g (..., d), with zero vectors where input (...) equals `row` if that is given."""
    return Spec(g.shape, g.dtype)


@zero_rows.array
def zero_rows_array(xp: Any, g: Any, input: Any, row: int | None) -> Any:
    """Multiplied by the mask."""
    return g.copy() if row is None else g * (input != row)[..., None].astype(g.dtype)


@zero_rows.vjp(saves="input")
def zero_rows_vjp(F: Any, h: Any, needs: Any, g: Any, input: Any, row: Any) -> Any:
    """The same zeros."""
    return F.zero_rows(h, input, row=row), None


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """The rows of weight (n, d) that indices (...) name: (..., d). Row `padding_idx` gets no
    gradient, -1 meaning none; if `sparse`, the gradient of a leaf is a sparse tensor.

    Raises: IndexError for an index that is not there.
    """
    padding = None if padding_idx < 0 else padding_idx
    return rows_of(weight, indices, padding, scale_grad_by_freq, sparse)


def rows_of(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int | None,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> Tensor:
    """`embedding` with None for no padding row."""
    if sparse:
        from ..sparse.embedding import embedding as sparse_embedding  # built on what is here

        return sparse_embedding(weight, indices, padding_idx, scale_grad_by_freq)
    how = {"padding_idx": padding_idx, "scale_grad_by_freq": scale_grad_by_freq}
    return embedding_lookup(weight, indices, **how)


LENGTH_EPS = 1e-7
"""What PyTorch adds to a row's length before it divides by it."""


@no_grad()
def embedding_renorm_(
    input: Tensor, indices: Tensor, max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale the rows of input (n, d) that indices name and that are longer than `max_norm`, in the
    norm `norm_type`, to that length."""
    if input.is_meta or not indices.numel():
        return input
    rows = unique(indices.reshape(-1))
    vectors = input[rows]
    lengths = vectors.norm(norm_type, 1, keepdim=True)
    scale = (max_norm / (lengths + LENGTH_EPS)).where(lengths > max_norm, ones_like(lengths))
    return input.index_copy_(0, rows, vectors * scale)
