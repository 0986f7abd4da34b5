"""Weights of 4 and 8 bits by groups: read from GGUF's blocks, multiplied, widened."""

from __future__ import annotations

import base64
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu import loops
from flambeau.ops.grouped import grouped_linear, grouped_weight
from flambeau.serialization.gguf_blocks import BLOCKS

RECORDED = json.loads((Path(__file__).parents[1] / "recorded" / "gguf_blocks.json").read_text())


@pytest.mark.parametrize("name", RECORDED)
def test_blocks_are_the_numbers_that_llama_cpp_reads(name: str) -> None:
    row = RECORDED[name]
    label, elements, size, groups_of = BLOCKS[row["type"]]
    blocks = np.frombuffer(base64.b64decode(row["blocks"]), np.uint8).reshape(2, size)
    values = np.frombuffer(base64.b64decode(row["values"]), np.float32)
    groups = groups_of(blocks)
    assert (label, 2 * elements) == (name, len(values))
    assert np.array_equal(groups.values(), values)
    parts = {k: torch.tensor(v) for k, v in groups.packed(2).items()}
    assert np.array_equal(grouped_weight(**parts).numpy().reshape(-1), values)


def weight(rows: int, columns: int, packed: bool, group: int, has_offsets: bool) -> list[Any]:
    """Codes, scales and offsets, all of them there is, as tensors."""
    rng = np.random.default_rng(rows + columns)
    codes = rng.integers(0, 256, (rows, columns // 2), dtype=np.uint8)
    if not packed:
        codes = rng.integers(-128, 128, (rows, columns)).astype(np.int8)
    scales = rng.normal(size=(2, rows, columns // group)).astype(np.float32)
    return [torch.tensor(a) for a in (codes, *scales[: 1 + has_offsets])]


def widened(codes: Any, scales: Any, offsets: Any = None) -> Any:
    """The weight in float64, column by column."""
    codes, scales = codes.numpy(), scales.double().numpy()
    if codes.dtype == np.uint8:
        columns = 2 * codes.shape[1]
        at = np.arange(columns)
        codes = codes[:, at // 32 * 16 + at % 16] >> (at // 16 % 2 * 4).astype(np.uint8) & 15
    group = codes.shape[1] // scales.shape[1]
    out = codes * scales.repeat(group, 1)
    return out if offsets is None else out + offsets.double().numpy().repeat(group, 1)


@pytest.mark.skipif(not loops.is_available(), reason="no LLVM here")
@pytest.mark.parametrize(
    ("packed", "group", "has_offsets"), list(product((True, False), (16, 32), (True, False)))
)
def test_products_are_those_of_the_widened_weight(
    packed: bool, group: int, has_offsets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flambeau.backends.cpu.loops import grouped

    calls = []
    for name in ("product", "decoded"):
        function = getattr(grouped, name)
        monkeypatch.setattr(grouped, name, lambda *a, n=name, f=function: calls.append(n) or f(*a))
    for rows, columns in ((301, 32), (70, 160), (40, 576)):
        parts = weight(rows, columns, packed, group, has_offsets)
        exact = widened(*parts)
        offsets = parts[2] if has_offsets else None
        assert np.allclose(grouped_weight(*parts).numpy(), exact, rtol=2**-22, atol=2**-20)
        for n, bias in ((1, None), (3, torch.randn(rows)), (20, torch.randn(rows))):
            x = torch.randn(n, columns)
            calls.clear()
            found = grouped_linear(x, *parts[:2], offsets, bias)
            assert calls == (["product"] if n < 20 else ["decoded"])
            expected = x.double().numpy() @ exact.T
            size = np.abs(x.double().numpy()) @ np.abs(exact).T
            if bias is not None:
                expected = expected + bias.double().numpy()
            assert (np.abs(found.numpy() - expected) <= 2**-19 * (size + 1)).all()


def test_gradients_reach_what_comes_before_the_weight() -> None:
    parts = weight(40, 64, True, 32, True)
    x = torch.randn(2, 3, 64, requires_grad=True)
    g = torch.randn(2, 3, 40)
    grouped_linear(x, *parts).backward(g)
    expected = g.double().numpy() @ widened(*parts)
    assert np.allclose(x.grad.numpy(), expected, rtol=1e-4, atol=1e-3)


def test_tensors_that_make_no_weight_are_refused() -> None:
    codes, scales, offsets = weight(4, 64, True, 32, True)
    with pytest.raises(RuntimeError, match=r"scales and offsets \(4, 4\) or \(4, 2\) for codes"):
        grouped_weight(codes, scales[:, :1])
    with pytest.raises(RuntimeError, match=r"Got scales \(4, 2\) and offsets \(4, 1\)"):
        grouped_weight(codes, scales, offsets[:, :1])
    with pytest.raises(RuntimeError, match=r"rows of 64 elements .* Got input \(2, 32\)"):
        grouped_linear(torch.randn(2, 32), codes, scales)
    with pytest.raises(RuntimeError, match="expected codes of int8 or uint8"):
        grouped_weight(codes.short(), scales.new_ones(4, 4))
    with pytest.raises(RuntimeError, match="expected a multiple of 32 columns"):
        grouped_weight(codes[:, :8].contiguous(), scales[:, :1])
