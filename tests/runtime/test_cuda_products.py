"""Matrix products by cuBLAS: operands in any layout, every type, TF32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cuda import products

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]

ROUNDING = {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}


def operand(shape: tuple[int, ...], dtype: Any, layout: str, seed: int) -> Any:
    """Normal numbers whose last two dimensions lie in memory as `layout` says."""
    values = torch.from_numpy(np.random.RandomState(seed).randn(*shape)).to(dtype).cuda()
    if layout == "transposed":
        return values.mT.contiguous().mT
    if layout == "with gaps":
        wide = torch.zeros(*shape[:-1], shape[-1] + 3, dtype=dtype, device="cuda")
        wide[..., 1:-2] = values
        return wide[..., 1:-2]
    if layout == "every second":
        wide = torch.zeros(*shape[:-1], 2 * shape[-1], dtype=dtype, device="cuda")
        wide[..., ::2] = values
        return wide[..., ::2]
    return values


SHAPES = [
    ((3, 4), (4, 5)), ((1, 4), (4, 1)), ((3, 1), (1, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)),
    ((2, 3, 4), (2, 4, 5)), ((6, 1, 3, 4), (2, 4, 5)), ((3, 0), (0, 5)), ((0, 4), (4, 5)),
    ((1, 3, 4), (2, 4, 5)), ((2, 1, 4), (2, 4, 1)),
]  # fmt: skip
LAYOUTS = ("plain", "transposed", "with gaps", "every second")


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_products_of_every_layout_equal_those_in_double_precision(shapes: Any, dtype: Any) -> None:
    for left in LAYOUTS:
        for right in LAYOUTS:
            x, y = operand(shapes[0], dtype, left, 0), operand(shapes[1], dtype, right, 1)
            found = x @ y
            wanted = x.cpu().double().numpy() @ y.cpu().double().numpy()
            assert (found.dtype, found.device.type) == (dtype, "cuda")
            np.testing.assert_allclose(
                found.cpu().double().numpy(), wanted, rtol=ROUNDING[dtype], atol=ROUNDING[dtype] * 4
            )


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (4,), (0, 4)], ids=str)
def test_layers_and_their_gradients_equal_the_cpus(shape: Any, dtype: Any) -> None:
    found = []
    for place in ("cpu", "cuda"):
        x = operand(shape, torch.float64, "plain", 0).cpu().to(dtype).to(place).requires_grad_()
        w = operand((5, 4), torch.float64, "plain", 1).cpu().to(dtype).to(place).requires_grad_()
        b = operand((5,), torch.float64, "plain", 2).cpu().to(dtype).to(place).requires_grad_()
        out = torch.nn.functional.linear(x, w, b)
        out.sum().backward()
        found.append([out, x.grad, w.grad, b.grad])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(
            b.detach().cpu().double().numpy(), a.detach().double().numpy(),
            rtol=ROUNDING[dtype] * 4, atol=ROUNDING[dtype] * 8,
        )  # fmt: skip


def test_tf32_is_taken_where_it_is_allowed(monkeypatch: Any) -> None:
    asked: list[int] = []
    library = products._library(torch.backends.cuda.xp)
    if not hasattr(library, "__dict__"):
        pytest.skip("cuBLAS's own module cannot be watched.")
    plain = library.gemmEx
    monkeypatch.setattr(library, "gemmEx", lambda *args: asked.append(args[-2]) or plain(*args))
    x = torch.ones(2, 2, device="cuda")
    torch.set_float32_matmul_precision("highest")
    x @ x
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        assert torch.get_float32_matmul_precision() == "high"
        x @ x
        x.double() @ x.double()
        x.half() @ x.half()
    finally:
        torch.set_float32_matmul_precision("highest")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert asked == [68, 77, 70, 68]
