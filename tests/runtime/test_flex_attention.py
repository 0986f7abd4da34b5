"""Attention by functions of the positions."""

from __future__ import annotations

import math
from typing import Any

import pytest

import flambeau as torch
from flambeau.nn import functional as F
from flambeau.nn.attention.flex_attention import (
    and_masks,
    create_block_mask,
    create_mask,
    flex_attention,
    noop_mask,
    or_masks,
)


def causal(b: Any, h: Any, q: Any, kv: Any) -> Any:
    return q >= kv


def near(b: Any, h: Any, q: Any, kv: Any) -> Any:
    return q - kv <= 2


def inputs(heads: int = 4, dtype: Any = torch.float64) -> list[Any]:
    torch.manual_seed(0)
    shapes = ((2, 4, 9, 8), (2, heads, 9, 8), (2, heads, 9, 8))
    return [torch.randn(s, dtype=dtype, requires_grad=True) for s in shapes]


def test_a_causal_mask_gives_causal_attention_and_its_gradients() -> None:
    q, k, v = inputs()
    found = flex_attention(q, k, v, block_mask=create_block_mask(causal, None, None, 9, 9))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(found, expected)
    weights = torch.randn_like(found)
    for a, b in zip(
        torch.autograd.grad((found * weights).sum(), (q, k, v)),
        torch.autograd.grad((expected * weights).sum(), (q, k, v)),
        strict=True,
    ):
        assert torch.allclose(a, b)


def test_scores_are_changed_by_head_and_distance() -> None:
    q, k, v = inputs()
    slope = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)

    def biased(score: Any, b: Any, h: Any, qi: Any, ki: Any) -> Any:
        return score - slope[h] * (qi - ki).abs()

    out, lse = flex_attention(q, k, v, score_mod=biased, scale=0.25, return_lse=True)
    place = torch.arange(9)
    bias = -slope[:, None, None] * (place[:, None] - place).abs()
    scores = q @ k.mT * 0.25 + bias
    assert torch.allclose(out, scores.softmax(-1) @ v)
    assert torch.allclose(lse, scores.logsumexp(-1))


def test_masks_may_look_values_up_and_a_blind_query_gives_zeros() -> None:
    q, k, v = inputs()
    document = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2, 2])

    def same(b: Any, h: Any, qi: Any, ki: Any) -> Any:
        return (document[qi] == document[ki]) & (document[qi] != 2)

    mask = create_block_mask(same, None, None, 9, 9)
    out, lse = flex_attention(q, k, v, block_mask=mask, return_lse=True)
    assert torch.allclose(
        out[:, :, :3], F.scaled_dot_product_attention(q, k[:, :, :3], v[:, :, :3])[:, :, :3]
    )
    assert (out[:, :, 7:] == 0).all()
    assert (lse[:, :, 7:] == -math.inf).all()
    out.sum().backward()
    assert torch.isfinite(q.grad).all()


def test_fewer_heads_of_keys_serve_several_of_the_query() -> None:
    q, k, v = inputs(heads=2)
    found = flex_attention(q, k, v, enable_gqa=True)
    repeated = (x.repeat_interleave(2, 1) for x in (k, v))
    assert torch.allclose(found, F.scaled_dot_product_attention(q, *repeated))
    with pytest.raises(RuntimeError, match="enable_gqa=True"):
        flex_attention(q, k, v)


def test_blocks_are_told_apart_by_what_is_seen_of_them() -> None:
    mask = create_block_mask(causal, 1, 1, 20, 20, BLOCK_SIZE=8)
    assert mask.shape == (1, 1, 20, 20)
    assert mask.to_dense().tolist() == [[[[1, 0, 0], [1, 1, 0], [1, 1, 1]]]]
    assert mask.sparsity() == pytest.approx(100 * (1 - 6 * 64 / 400))  # as PyTorch counts
    assert mask.kv_num_blocks.tolist() == [[[1, 1, 3]]]  # the last row of blocks is cut short
    assert mask.full_kv_num_blocks.tolist() == [[[0, 1, 0]]]
    assert mask.full_kv_indices[0, 0, 1].tolist() == [0, 1, 2]
    assert "sparsity=4.00%" in repr(mask)


def test_masks_combine() -> None:
    place = torch.arange(6)
    down, band = place[:, None] >= place, place[:, None] - place <= 2
    for combined, expected in (
        (and_masks(causal, near), down & band),
        (or_masks(causal, near), down | band),
    ):
        assert torch.equal(create_mask(combined, 1, 1, 6, 6)[0, 0], expected)
    assert create_mask(noop_mask, 2, 3, 4, 5).all()


def test_masks_of_other_lengths_are_refused() -> None:
    q, k, v = inputs()
    with pytest.raises(RuntimeError, match=r"lengths \(9, 9\)"):
        flex_attention(q, k, v, block_mask=create_block_mask(causal, 1, 1, 8, 9))
    with pytest.raises(RuntimeError, match="batch, heads, length, size"):
        flex_attention(q[0], k[0], v[0])
