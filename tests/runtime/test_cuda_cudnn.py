"""cuDNN on a GPU, or the stand-in for it: what it computes equals the CPU's, and that it does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.backends import cudnn
from flambeau.backends.cuda.cudnn.library import local

from . import cudnn_stand_in

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]

ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}
"""Of sums, relative to the largest of them."""
CONVOLUTIONS: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 16, 9), (8, 16, 3), {"padding": 1}),
    ((2, 3, 19, 18), (16, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((2, 16, 9, 8), (32, 16, 1, 1), {}),
    ((2, 16, 9, 8), (8, 4, 3, 3), {"groups": 4, "dilation": 2, "padding": 2}),
    ((2, 8, 9, 9), (8, 1, 3, 3), {"groups": 8, "padding": 1}),
    ((1, 8, 4, 5, 6), (8, 8, 3, 3, 3), {"padding": 1}),
]


@pytest.fixture(scope="module", autouse=True)
def _library(gpu: None) -> Iterator[None]:
    is_real = torch.cuda.get_device_name() != "stand-in"
    if is_real and not cudnn.is_available():
        pytest.skip("cuDNN is not installed.")
    instead = contextlib.nullcontext() if is_real else cudnn_stand_in.installed()
    with instead, cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture(autouse=True)
def _afresh() -> None:
    local.kept.clear()


def plans() -> int:
    """How many computations have a plan of cuDNN's."""
    found = 0
    for ready in local.kept.values():
        parts = getattr(ready, "computations", None) or [ready.forward, ready.backward]
        found += sum(part.plan is not None for part in parts)
    return found


def normal(shape: Any, seed: int) -> Any:
    """Numbers that all types hold, in float64."""
    numbers = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return numbers.bfloat16().double()


def compare(function: Any, arrays: list[Any], dtype: Any, last: bool = False) -> None:
    """`function` of arrays, and its gradients, on the GPU and on the CPU in float64."""
    both = []
    for place, kind in (("cpu", torch.float64), ("cuda", dtype)):
        leaves = [a.to(place).to(kind).requires_grad_() for a in arrays]
        given = list(leaves)
        if last:
            given[:2] = [a.to(memory_format=torch.channels_last) for a in leaves[:2]]
        out = function(*given)
        weights = torch.arange(out.numel()).reshape(out.shape).to(out.device) % 7 - 3
        grads = torch.autograd.grad((out * weights.to(kind)).sum(), leaves)
        both.append([t.detach().cpu().double() for t in (out, *grads)])
    for found, wanted in zip(both[1], both[0], strict=True):
        error = (found - wanted).abs().max() / wanted.abs().max()
        assert error.item() < ROUNDING[dtype]


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize(("shape", "weight", "options"), CONVOLUTIONS)
def test_convolutions_and_their_gradients(
    shape: Any, weight: Any, options: dict[str, Any], dtype: Any
) -> None:
    function = (F.conv1d, F.conv2d, F.conv3d)[len(shape) - 3]
    arrays = [normal(shape, 0), normal(weight, 1) / 8, normal(weight[:1], 2)]
    for last in (False, True) if len(shape) == 4 else (False,):
        local.kept.clear()
        compare(lambda x, w, b: function(x, w, b, **options), arrays, dtype, last)
        assert plans() >= 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("queries", "keys", "heads", "width", "is_causal"),
    [(40, 40, 4, 64, True), (40, 70, 4, 64, False), (64, 64, 2, 128, True), (9, 9, 4, 8, True)],
)
def test_attention_and_its_gradients(
    queries: int, keys: int, heads: int, width: int, is_causal: bool, dtype: Any
) -> None:
    arrays = [normal((2, 4, queries, width), 0)]
    arrays += [normal((2, heads, keys, width), k) for k in (1, 2)]
    options = {"is_causal": is_causal, "enable_gqa": heads != 4}
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.CUDNN_ATTENTION):
        compare(lambda *qkv: F.scaled_dot_product_attention(*qkv, **options), arrays, dtype)
    assert plans() == 2


def test_the_fastest_way_is_as_right(monkeypatch: Any) -> None:
    monkeypatch.setattr(cudnn, "benchmark", True)
    arrays = [normal((2, 16, 9, 8), 0), normal((8, 16, 3, 3), 1) / 8]
    compare(lambda x, w: F.conv2d(x, w, padding=1), arrays, torch.float16, last=True)
    assert plans() == 3


def test_the_same_bits_again_where_that_is_asked(monkeypatch: Any) -> None:
    monkeypatch.setattr(cudnn, "deterministic", True)
    x = normal((4, 16, 30, 30), 0).half().cuda().requires_grad_()
    w = normal((16, 16, 3, 3), 1).half().cuda().requires_grad_()
    found = [torch.autograd.grad(F.conv2d(x, w).sum(), (x, w)) for _ in range(3)]
    for again in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], again, strict=True))


def test_a_step_with_a_convolution_is_recorded() -> None:
    x, w = normal((2, 16, 9, 8), 0).half().cuda(), normal((8, 16, 3, 3), 1).half().cuda()
    w.requires_grad_()
    F.conv2d(x, w).sum().backward()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        w.grad = None
        out = F.conv2d(x, w)
        out.sum().backward()
    x.mul_(2)
    graph.replay()
    wanted = F.conv2d(x.cpu().double(), w.detach().cpu().double())
    assert ((out.cpu().double() - wanted).abs().max() / wanted.abs().max()).item() < 1e-3
    assert plans() == 2
