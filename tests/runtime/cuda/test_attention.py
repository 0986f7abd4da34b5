"""Attention in tiles, forward and backward, against softmax by NumPy in float64."""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.backends.cuda import attention
from flambeau.core.dispatch import operations

from .shim import HostDriver

TOLERANCE = {"float32": 2e-6, "float16": 2e-3, "bfloat16": 2e-2}
"""Of the largest element: a few units of the type's last place."""


def on_gpu(array: Any, dtype: str) -> Any:
    return sys.modules["cupy"].asarray(np.asarray(array).astype(_type(dtype)))


def _type(dtype: str) -> Any:
    return ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)


def reference(
    query: Any, key: Any, value: Any, g: Any, mask: Any, scale: float, is_causal: bool
) -> tuple[Any, Any, Any, Any]:
    """The result and the gradients by query, key and value."""
    scores = query @ key.swapaxes(-1, -2) * scale
    if mask is not None:
        scores = scores + mask
    if is_causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(top), top, 0.0))
    total = weights.sum(-1, keepdims=True)
    weights = weights / np.where(total == 0.0, 1.0, total)
    by_weights = g @ value.swapaxes(-1, -2)
    by_scores = weights * (by_weights - (by_weights * weights).sum(-1, keepdims=True)) * scale
    return (
        weights @ value,
        by_scores @ key,
        by_scores.swapaxes(-1, -2) @ query,
        weights.swapaxes(-1, -2) @ g,
    )


def check(
    dtype: str,
    lead: tuple[int, ...],
    queries: int,
    keys: int,
    width: int,
    value_width: int,
    *,
    is_causal: bool = False,
    mask: Any = None,
) -> None:
    generator = np.random.default_rng(0)
    shapes = [(queries, width), (keys, width), (keys, value_width), (queries, value_width)]
    arrays = [generator.normal(size=(*lead, *s)).astype(_type(dtype)) for s in shapes]
    scale = width**-0.5
    wide = [a.astype(np.float64) for a in arrays]
    wanted = reference(*wide, mask, scale, is_causal)
    query, key, value, g = (on_gpu(a, dtype) for a in arrays)
    given = None if mask is None else on_gpu(mask, "float32")
    options = {"scale": scale, "is_causal": is_causal}
    found = [attention.attention(query, key, value, given, **options)]
    found += attention.attention_gradient(g, query, key, value, given, **options)
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == _type(dtype)
        error = np.abs(a.get().astype(np.float64) - b).max()
        assert error <= TOLERANCE[dtype] * max(1.0, np.abs(b).max())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_results_and_gradients(host: HostDriver, dtype: str) -> None:
    check(dtype, (1, 2), 40, 70, 32, 40)


@pytest.mark.parametrize(
    ("dtype", "width", "value_width"), [("float16", 128, 128), ("bfloat16", 256, 200)]
)
def test_wide_heads(host: HostDriver, dtype: str, width: int, value_width: int) -> None:
    check(dtype, (1,), 17, 70, width, value_width)


def test_several_tiles_of_queries_and_keys(host: HostDriver) -> None:
    check("bfloat16", (1,), 150, 170, 64, 64, is_causal=True)


def test_a_scale_that_is_not_positive_is_left_to_array_code(host: HostDriver) -> None:
    q = torch.ones(1, 2, 8, device="cuda")
    out = F.scaled_dot_product_attention(q, q, q, scale=-1.0)
    assert not any(e.startswith("attention") for e in host.launched)
    assert out.tolist() == [[[1.0] * 8] * 2]


@pytest.mark.parametrize(("queries", "keys"), [(70, 70), (20, 70), (70, 20), (1, 1)])
def test_causal(host: HostDriver, queries: int, keys: int) -> None:
    check("float32", (), queries, keys, 8, 8, is_causal=True)


@pytest.mark.parametrize("shape", [(9, 21), (1, 21), (3, 1, 9, 21), (2, 9, 1)])
def test_masks_are_spread_over_the_scores(host: HostDriver, shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(1).normal(size=shape)
    check("float32", (3, 2), 9, 21, 16, 16, mask=mask.astype(np.float32))


def test_a_query_that_may_look_nowhere_gets_zeros(host: HostDriver) -> None:
    mask = np.zeros((4, 6))
    mask[2] = -np.inf
    mask[1, 3:] = -np.inf
    check("float32", (2,), 4, 6, 16, 16, mask=mask)


@pytest.mark.parametrize("odd", ["row", "place", "width"])
def test_rows_need_not_fill_vectors(host: HostDriver, odd: str) -> None:
    width, row = (7, 7) if odd == "width" else (32, 33 if odd == "row" else 40)
    rows = np.random.default_rng(8).normal(size=(4, 1, 1, 20, row))
    first = 1 if odd == "place" else 0
    arrays = [on_gpu(a, "bfloat16")[..., first : first + width] for a in rows]
    wide = [a.get().astype(np.float64) for a in arrays]
    q, k, v, g = arrays
    found = [attention.attention(q, k, v, None, scale=0.25, is_causal=False)]
    found += attention.attention_gradient(g, q, k, v, None, scale=0.25, is_causal=False)
    for a, b in zip(found, reference(*wide, None, 0.25, False), strict=True):
        error = np.abs(a.get().astype(np.float64) - b).max()
        assert error <= TOLERANCE["bfloat16"] * max(1.0, np.abs(b).max())


def test_heads_side_by_side_in_memory(host: HostDriver) -> None:
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(3, 1, 10, 2, 16)).astype(np.float32)
    q, k, v = (on_gpu(a, "float32") for a in rows)
    turned = [a.transpose(0, 2, 1, 3) for a in (q, k, v)]
    found = attention.attention(*turned, scale=0.25, is_causal=True)
    straight = [on_gpu(a.get(), "float32") for a in turned]
    wanted = attention.attention(*straight, scale=0.25, is_causal=True)
    np.testing.assert_array_equal(found.get(), wanted.get())


def derivatives(place: str, dtype: Any, mask: Any, is_causal: bool) -> list[Any]:
    """The result, first and second derivatives of scaled_dot_product_attention."""
    generator = np.random.default_rng(3)
    q, k, v = (
        torch.tensor(generator.normal(size=(2, 3, n, 8))).to(dtype).to(place).requires_grad_()
        for n in (5, 7, 7)
    )
    given = None if mask is None else torch.tensor(mask).to(place)
    out = F.scaled_dot_product_attention(q, k, v, given, is_causal=is_causal)
    first = torch.autograd.grad((out * out).sum(), (q, k, v), create_graph=True)
    second = torch.autograd.grad(sum((g * g).sum() for g in first), (q, k, v))
    return [t.detach().cpu().double().numpy() for t in (out, *first, *second)]


@pytest.mark.parametrize("is_causal", [False, True])
def test_derivatives_of_every_order(host: HostDriver, is_causal: bool) -> None:
    mask = None if is_causal else np.random.default_rng(4).random((5, 7)) > 0.3
    wanted = derivatives("cpu", torch.float64, mask, is_causal)
    found = derivatives("cuda", torch.float32, mask, is_causal)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_a_training_step_takes_four_launches(host: HostDriver) -> None:
    q, k, v = (torch.ones(2, 3, 9, 8, device="cuda").bfloat16().requires_grad_() for _ in range(3))
    F.scaled_dot_product_attention(q, k, v, is_causal=True).backward(torch.ones_like(q))
    kernels = [e.split("<")[0] for e in host.launched if e.startswith("attention")]
    assert kernels == [
        "attention", "attention_sums", "attention_by_queries", "attention_by_keys",
    ]  # fmt: skip
    assert q.grad.dtype is torch.bfloat16
    assert v.grad.sum().item() == pytest.approx(2 * 3 * 9 * 8, rel=1e-2)


def grouped(place: str, dtype: Any, is_causal: bool, width: int) -> list[Any]:
    """The result and the derivatives where three heads of queries share one of keys."""
    generator = np.random.default_rng(5)
    q, k, v = (
        torch.tensor(generator.normal(size=(2, h, n, width))).to(dtype).to(place).requires_grad_()
        for h, n in ((6, 9), (2, 70), (2, 70))
    )
    out = F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, enable_gqa=True)
    first = torch.autograd.grad((out * out).sum(), (q, k, v), create_graph=True)
    second = torch.autograd.grad(first[1].sum(), (q, v))
    return [t.detach().cpu().double().numpy() for t in (out, *first, *second)]


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("width", [8, 258])
def test_heads_of_queries_may_share_those_of_keys(
    host: HostDriver, is_causal: bool, width: int
) -> None:
    wanted = grouped("cpu", torch.float64, is_causal, width)
    found = grouped("cuda", torch.float32, is_causal, width)
    # Heads wider than 256 are left to array code.
    assert any(e.startswith("attention_by_keys") for e in host.launched) == (width == 8)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_gradients_take_the_sums_that_cudnn_gives(host: HostDriver) -> None:
    generator = np.random.default_rng(7)
    q, k, v, g = (on_gpu(generator.normal(size=(2, 9, 16)), "float32") for _ in range(4))
    how: dict[str, Any] = {"scale": 0.25, "is_causal": True}
    out, sums = attention.tiled_attention(q, k, v, **how)
    wanted = attention.tiled_attention_gradient(g, q, k, v, out, sums, **how)
    found = attention.tiled_attention_gradient(g, q, k, v, out, sums.astype("float32"), **how)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.get(), b.get(), rtol=1e-5, atol=1e-5)


def test_dropout_leaves_out_what_array_code_does(host: HostDriver) -> None:
    generator = np.random.default_rng(6)
    q, k, v, g = (
        generator.normal(size=(2, h, n, 16)).astype(np.float32)
        for h, n in ((4, 21), (2, 35), (2, 35), (4, 21))
    )
    how: dict[str, Any] = {"scale": 0.25, "is_causal": True, "dropped": 0.3}
    how |= {"seed": 7, "offset": 8, "held": 0}
    forward, backward = (operations[n] for n in ("tiled_attention", "tiled_attention_gradient"))
    out, sums = forward.array(np, q, k, v, **how)
    wanted = [out, *backward.array(np, g, q, k, v, out, sums, **how)]
    on = [on_gpu(x, "float32") for x in (q, k, v, g)]
    both = attention.tiled_attention(*on[:3], **how)
    found = [both[0], *attention.tiled_attention_gradient(on[3], *on[:3], *both, **how)]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.get(), b, rtol=1e-4, atol=1e-5)


def test_dropout_follows_the_generator_and_scales(host: HostDriver) -> None:
    q = torch.zeros(1, 2, 40, 8, device="cuda")
    v = torch.ones(1, 2, 64, 8, device="cuda")
    torch.manual_seed(1)
    found = [F.scaled_dot_product_attention(q, v, v, dropout_p=0.5) for _ in range(2)]
    assert [e.split("<")[0] for e in host.launched].count("attention") == 2
    torch.manual_seed(1)
    again = F.scaled_dot_product_attention(q, v, v, dropout_p=0.5)
    assert torch.equal(found[0].cpu(), again.cpu())
    assert not torch.equal(found[0].cpu(), found[1].cpu())
    assert found[0].mean().item() == pytest.approx(1.0, abs=0.1)
