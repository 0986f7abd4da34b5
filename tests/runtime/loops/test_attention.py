"""Attention in blocks against its own formula in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu.loops import attention
from flambeau.nn import functional as F

RNG = np.random.default_rng(0)

CASES: dict[str, tuple[tuple[int, int, int, int], int, dict[str, Any]]] = {
    "all": ((2, 3, 128, 32), 128, {}),
    "causal": ((2, 3, 128, 32), 128, {"is_causal": True}),
    "causal, one head in several blocks": ((1, 1, 1200, 16), 1200, {"is_causal": True}),
    "causal, more keys": ((2, 4, 65, 17), 90, {"is_causal": True}),
    "causal, fewer keys": ((2, 4, 90, 17), 65, {"is_causal": True}),
    "negative scale": ((2, 4, 65, 17), 90, {"scale": -0.3}),
    "padding": ((2, 2, 100, 16), 80, {"attn_mask": RNG.random((2, 1, 1, 80)) > 0.3}),
    "queries that see nothing": ((2, 2, 100, 16), 80, {"attn_mask": RNG.random((100, 80)) > 0.99}),
    "positions": ((2, 2, 100, 16), 80, {"attn_mask": RNG.normal(size=(2, 100, 80))}),
}
"""(batch, heads, queries, width), keys, and options; masks as arrays."""


def attended(case: str, dtype: Any) -> list[Any]:
    """The result, and the gradients by query, key and value, which lie as projections leave
    them."""
    (batch, heads, queries, width), keys, options = CASES[case]
    rng = np.random.default_rng(1)
    leaves = [
        torch.tensor(rng.normal(size=(batch, n, heads, width)), dtype=dtype, requires_grad=True)
        for n in (queries, keys, keys)
    ]
    mask = options.get("attn_mask")
    if mask is not None:
        kind = torch.bool if mask.dtype == bool else dtype
        options = {**options, "attn_mask": torch.tensor(mask, dtype=kind)}
    out = F.scaled_dot_product_attention(*[x.transpose(1, 2) for x in leaves], **options)
    out.backward(torch.tensor(rng.normal(size=tuple(out.shape)), dtype=dtype))
    return [out.detach().numpy(), *[x.grad.numpy() for x in leaves]]


@pytest.mark.parametrize("case", CASES)
def test_blocks_give_what_the_whole_matrix_gives(case: str) -> None:
    for found, wanted in zip(
        attended(case, torch.float32), attended(case, torch.float64), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-6 * np.abs(wanted).max())


def test_scores_are_never_all_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    product = attention.matmul

    def measured(x: Any, y: Any) -> Any:
        out = product(x, y)
        sizes.append(out.size)
        return out

    monkeypatch.setattr(attention, "matmul", measured)
    attended("causal, one head in several blocks", torch.float32)
    assert sizes
    assert max(sizes) <= attention.BLOCK < 1200 * 1200


def test_without_batches_or_with_many_shapes_are_the_same() -> None:
    q, k, v = (torch.from_numpy(RNG.normal(size=(6, 70, 50)).astype(np.float32)) for _ in "qkv")
    three = F.scaled_dot_product_attention(q, k, v)
    five = F.scaled_dot_product_attention(*[x.reshape(1, 2, 3, 70, 50) for x in (q, k, v)])
    np.testing.assert_allclose(five.numpy().reshape(6, 70, 50), three.numpy(), rtol=1e-5, atol=1e-6)
    one = F.scaled_dot_product_attention(q[0], k[0], v[0])
    np.testing.assert_allclose(one.numpy(), three[0].numpy(), rtol=1e-4, atol=1e-6)


def test_second_derivatives_of_attention_are_there() -> None:
    q, k, v = (torch.tensor(RNG.normal(size=(1, 3, 4)), requires_grad=True) for _ in "qkv")

    def causal(*x: Any) -> Any:
        return F.scaled_dot_product_attention(*x, is_causal=True)

    assert torch.autograd.gradcheck(causal, (q, k, v))
    assert torch.autograd.gradgradcheck(causal, (q, k, v))
