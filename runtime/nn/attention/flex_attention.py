"""Attention whose scores and mask are functions of the positions.

`score_mod(score, b, h, q, kv)` changes the score of query q and key kv in head h of batch b;
`mask_mod(b, h, q, kv)` says which keys a query sees. Both are written for single positions and run
for all of them at once. Source: arXiv:2412.05496.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ...core.dtypes import bool_, int32
from ...core.ranges import arange
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...func import vmap
from ...ops.reductions import logsumexp
from ..functional import pad, softmax

__all__ = [
    "AuxOutput", "AuxRequest", "BlockMask", "and_masks", "create_block_mask", "create_mask",
    "flex_attention", "noop_mask", "or_masks",
]  # fmt: skip

Mod = Callable[..., Tensor]
_DEFAULT_SPARSE_BLOCK_SIZE = 128  # by this name other libraries import it


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """Every query sees every key."""
    return batch.new_ones((), dtype=bool_)


def and_masks(*mask_mods: Mod) -> Mod:
    """What all of the masks allow."""
    return lambda *at: functools.reduce(Tensor.__and__, [m(*at) for m in mask_mods])


def or_masks(*mask_mods: Mod) -> Mod:
    """What any of the masks allows."""
    return lambda *at: functools.reduce(Tensor.__or__, [m(*at) for m in mask_mods])


def _everywhere(mod: Mod, sizes: tuple[int, ...], device: Any, scores: Any = None) -> Tensor:
    """`mod` at every place of (B, H, Q, KV): (B, H, Q, KV)."""
    first = () if scores is None else (0,)
    call: Any = mod
    for k in reversed(range(4)):
        call = vmap(call, in_dims=(*first, *[0 if i == k else None for i in range(4)]))
    places = [arange(n, device=device) for n in sizes]
    out: Tensor = call(*places) if scores is None else call(scores, *places)
    return out


def create_mask(
    mod_fn: Mod, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None
) -> Tensor:
    """The mask (B, H, Q_LEN, KV_LEN) of bools that `mod_fn` describes; None counts as 1."""
    return _everywhere(mod_fn, (B or 1, H or 1, Q_LEN, KV_LEN), device).to(bool_)


class BlockMask:
    """A mask, and which of its blocks hold something to see: `kv_num_blocks` (B, H, rows) and
    `kv_indices` (B, H, rows, columns) name those that are seen in part, `full_kv_num_blocks` and
    `full_kv_indices` those that are seen whole. Made by `create_block_mask`."""

    def __init__(
        self, mask_mod: Mod, blocks: Tensor, sizes: tuple[int, int], block_size: tuple[int, int]
    ) -> None:
        self.mask_mod, self.seq_lengths, self.BLOCK_SIZE = mask_mod, sizes, block_size
        self._blocks = blocks  # (B, H, rows, columns): how many places are seen
        whole = blocks == block_size[0] * block_size[1]
        self.kv_num_blocks, self.kv_indices = _in_order((blocks > 0) & ~whole)
        self.full_kv_num_blocks, self.full_kv_indices = _in_order(whole)

    @property
    def shape(self) -> tuple[int, ...]:
        """Batch, heads, queries and keys."""
        return (*self._blocks.shape[:2], *self.seq_lengths)

    def numel(self) -> int:
        """How many pairs of query and key there are."""
        return math.prod(self.shape)

    def sparsity(self) -> float:
        """The share of the mask that lies outside of blocks with something to see, in percent."""
        seen = int((self._blocks > 0).sum()) * math.prod(self.BLOCK_SIZE)
        return 100 * (1 - seen / self.numel())

    def to_dense(self) -> Tensor:
        """(B, H, rows, columns): 1 for a block with something to see, else 0."""
        return (self._blocks > 0).to(int32)

    def to(self, device: Any) -> BlockMask:
        """The same on another device."""
        return BlockMask(self.mask_mod, self._blocks.to(device), self.seq_lengths, self.BLOCK_SIZE)

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def _in_order(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """For each row of blocks how many are chosen, and the numbers of all, the chosen ones first."""
    order = (~chosen).to(int32).argsort(-1, stable=True)
    return chosen.sum(-1).to(int32), order.to(int32)


def create_block_mask(
    mask_mod: Mod,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE,
    **options: Any,
) -> BlockMask:
    """The mask that `mask_mod` describes, in blocks of BLOCK_SIZE queries and keys; B or H None
    serves all batches or heads alike."""
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    rows, columns = -(-Q_LEN // size[0]), -(-KV_LEN // size[1])
    filled = pad(mask.to(int32), (0, columns * size[1] - KV_LEN, 0, rows * size[0] - Q_LEN))
    parts = filled.view(*mask.shape[:2], rows, size[0], columns, size[1])
    return BlockMask(mask_mod, parts.sum((3, 5)), (Q_LEN, KV_LEN), size)


class AuxRequest(NamedTuple):
    """What `flex_attention` shall give beside its result."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What was asked for: the logarithms of the sums of exponentials and the largest scores of each
    query, (B, H, L)."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Mod | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """softmax(score_mod(query @ key.mT * scale)) @ value over what the mask lets each query see:
    (B, H, L, E), (B, Hkv, S, E), (B, Hkv, S, Ev) -> (B, H, L, Ev). A query that sees nothing gives
    zeros. `scale` is 1/sqrt(E) if None; with `enable_gqa` heads of key and value serve several of
    the query. With `return_lse`, also the logarithms of the sums of exponentials (B, H, L);
    with `return_aux`, also the AuxOutput it asks for.

    Raises: RuntimeError for other shapes, or a mask of other lengths.
    """
    _require_shapes(query, key, value, block_mask, enable_gqa)
    if enable_gqa:
        key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
        value = value.repeat_interleave(query.shape[1] // value.shape[1], 1)
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    sizes = tuple(scores.shape)
    if score_mod is not None:
        scores = _everywhere(score_mod, sizes, query.device, scores)
    if block_mask is not None:
        mask = create_mask(block_mask.mask_mod, *block_mask.shape, query.device)
        scores = scores.masked_fill(~mask, -math.inf)
    blind = (scores == -math.inf).all(-1, keepdim=True)
    weights = softmax(scores.masked_fill(blind, 0.0), -1).masked_fill(blind, 0.0)
    out = weights.to(value.dtype) @ value
    if return_aux is not None:
        lse = logsumexp(scores, -1) if return_aux.lse else None
        largest = scores.amax(-1) if return_aux.max_scores else None
        return out, AuxOutput(lse, largest)
    return (out, logsumexp(scores, -1)) if return_lse else out


def _require_shapes(
    query: Tensor, key: Tensor, value: Tensor, block_mask: BlockMask | None, enable_gqa: bool
) -> None:
    shapes = [tuple(x.shape) for x in (query, key, value)]
    if any(len(s) != 4 for s in shapes):
        raise ShapeError(f"flex_attention: expected (batch, heads, length, size). Got {shapes}.")
    heads = query.shape[1], key.shape[1]
    fits = heads[0] == heads[1] or (enable_gqa and heads[0] % heads[1] == 0)
    if not fits or key.shape[:3] != value.shape[:3] or query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            "flex_attention: expected a query of key's heads and last size, and a value of key's "
            f"batch, heads and length. Got {shapes}."
            + ("" if enable_gqa else " Pass enable_gqa=True for fewer heads of key and value.")
        )
    lengths = (query.shape[2], key.shape[2])
    if block_mask is not None and block_mask.seq_lengths != lengths:
        raise ShapeError(
            f"flex_attention: expected a block_mask of lengths {lengths}. Got "
            f"{block_mask.seq_lengths}. Make it with create_block_mask for these."
        )
