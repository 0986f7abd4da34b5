"""Attention by cuDNN, or its stand-in, against the CPU in float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.backends.cuda.cudnn.attention import PATIENCE, Prepared
from flambeau.nn.attention import SDPBackend, sdpa_kernel

from .. import cudnn_stand_in
from ..cudnn_stand_in import StandIn
from .kit import assert_near, double, drawn

FORWARD = "flash: matmul mul max sub exp sum log add div matmul"
CAUSAL = FORWARD.replace("max", "gen_index gen_index cmp_ge binary_select max")


@pytest.fixture
def library(monkeypatch: Any) -> Iterator[StandIn]:
    """The stand-in for cuDNN."""
    monkeypatch.setattr(Prepared, "built", 0)
    with cudnn_stand_in.installed() as made:
        yield made


def attended(
    dtype: str, query: Any, key: Any, value: Any, **options: Any
) -> tuple[list[Any], list[Any]]:
    """The result and the gradients for normal numbers of these shapes, and what they should be."""
    given = [drawn(s, dtype, seed=k, scale=1) for k, s in enumerate((query, key, value))]
    both = []
    for arrays in (given, [double(a) for a in given]):
        leaves = [a.detach().requires_grad_() for a in arrays]
        out = F.scaled_dot_product_attention(*leaves, **options)
        weights = torch.arange(out.numel()).reshape(out.shape).to(out.device) % 7 - 3
        grads = torch.autograd.grad((out * weights.to(out.dtype)).sum(), leaves)
        both.append([out, *grads])
    return both[0], both[1]


CASES = [
    ((2, 3, 9, 16), (2, 3, 9, 16), (2, 3, 9, 16), {"is_causal": True}),
    ((2, 3, 5, 16), (2, 3, 12, 16), (2, 3, 12, 24), {"scale": 0.5}),
    ((3, 9, 8), (3, 9, 8), (3, 9, 8), {}),
    ((2, 2, 2, 9, 8), (2, 2, 2, 9, 8), (2, 2, 2, 9, 8), {"is_causal": True}),
    ((2, 6, 9, 8), (2, 2, 7, 8), (2, 2, 7, 8), {"enable_gqa": True, "is_causal": True}),
]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(("query", "key", "value", "options"), CASES)
def test_results_and_gradients(
    library: StandIn, dtype: str, query: Any, key: Any, value: Any, options: dict[str, Any]
) -> None:
    found, wanted = attended(dtype, query, key, value, **options)
    assert [e.split()[-1] for e in library.executed] == ["matmul", "identity"]
    for a, b in zip(found, wanted, strict=True):
        assert_near(a, b, units=16)


@pytest.mark.parametrize(
    ("dtype", "shape", "options"),
    [
        ("float32", (2, 3, 9, 16), {}),
        ("float16", (2, 3, 9, 12), {}),
        ("float16", (2, 3, 1, 16), {}),
        ("float16", (2, 3, 9, 16), {"attn_mask": "given"}),
    ],
)
def test_what_it_has_no_code_for_is_left_to_our_own_kernels(
    library: StandIn, dtype: str, shape: Any, options: dict[str, Any]
) -> None:
    q = drawn(shape, dtype, scale=1)
    mask = None
    if options:
        mask = torch.ones(shape[2], shape[2], dtype=torch.bool).tril()
    found = F.scaled_dot_product_attention(q, q, q, None if mask is None else mask.cuda())
    wanted = F.scaled_dot_product_attention(*[double(q)] * 3, mask)
    assert_near(found, wanted, units=16)
    assert not library.executed


def test_heads_of_one_product_are_read_where_they_lie(library: StandIn) -> None:
    rows = drawn((2, 9, 3 * 2 * 16), "bfloat16", scale=1).requires_grad_()
    q, k, v = (t.view(2, 9, 2, 16).transpose(1, 2) for t in rows.chunk(3, -1))
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    # The result, the sums and room to work: no copies.
    assert torch.cuda.memory_stats()["allocation.all.allocated"] - before == 3
    wide = double(rows)
    parts = [t.view(2, 9, 2, 16).transpose(1, 2) for t in wide.chunk(3, -1)]
    assert_near(out, F.scaled_dot_product_attention(*parts, is_causal=True), units=16)
    assert out.transpose(1, 2).is_contiguous()
    assert library.executed == [CAUSAL]


def test_rows_that_the_fastest_loads_cannot_take_are_copied_first(library: StandIn) -> None:
    wide = drawn((1, 2, 10, 17), "float16", scale=1)
    parts = wide[:, :, 1:, 1:], wide[:, :, :9, :16], wide[:, :1, 1:, 1:].expand(1, 2, 9, 16)
    found = F.scaled_dot_product_attention(*parts)
    assert_near(found, F.scaled_dot_product_attention(*map(double, parts)), units=16)
    assert library.executed == [FORWARD]


def test_kernels_are_chosen_by_the_switches(library: StandIn) -> None:
    q = drawn((1, 2, 9, 16), "float16", scale=1)
    wanted = F.scaled_dot_product_attention(*[double(q)] * 3)
    for chosen, count in ((SDPBackend.CUDNN_ATTENTION, 1), (SDPBackend.MATH, 0)):
        library.executed.clear()
        with sdpa_kernel(chosen):
            assert_near(F.scaled_dot_product_attention(q, q, q), wanted, units=16)
        assert len(library.executed) == count
    library.executed.clear()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        assert not torch.backends.cuda.cudnn_sdp_enabled()
        F.scaled_dot_product_attention(q, q, q)
    finally:
        torch.backends.cuda.enable_cudnn_sdp(True)
    with torch.backends.cuda.sdp_kernel(enable_cudnn=False), torch.backends.cudnn.flags(True):
        F.scaled_dot_product_attention(q, q, q)
    assert not library.executed


def test_gradients_that_must_not_differ_are_left_to_our_own_kernels(library: StandIn) -> None:
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        found, wanted = attended("float16", *[(1, 2, 9, 16)] * 3)
    for a, b in zip(found, wanted, strict=True):
        assert_near(a, b, units=16)
    assert library.executed == [FORWARD]


def test_a_shape_is_compiled_when_it_has_come_often_enough(library: StandIn) -> None:
    with torch.no_grad():
        for length in range(2, 12):  # a text that grows by a word
            q = torch.ones(1, 1, length, 8, device="cuda", dtype=torch.float16)
            F.scaled_dot_product_attention(q, q, q)
        assert not library.executed
        for _ in range(PATIENCE):
            F.scaled_dot_product_attention(q, q, q)
    assert library.executed == [FORWARD]


def test_recorded_steps_compute_again(library: StandIn) -> None:
    q = drawn((1, 2, 9, 16), "float16", scale=1).requires_grad_()

    def step() -> Any:
        q.grad = None
        F.scaled_dot_product_attention(q, q, q, is_causal=True).backward(torch.ones_like(q))
        return q.grad

    step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    q.detach().mul_(0.5)
    graph.replay()
    wide = double(q)
    F.scaled_dot_product_attention(wide, wide, wide, is_causal=True).backward(torch.ones_like(wide))
    assert_near(found, wide.grad, units=32)
    assert len(library.executed) == 4


def test_versions_whose_gradients_are_wrong_are_not_asked() -> None:
    for version in (90100, 91000):
        with cudnn_stand_in.installed(version) as library:
            attended("float16", *[(1, 2, 9, 16)] * 3)
            assert not library.executed
