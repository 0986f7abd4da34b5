"""Samples of the arithmetic on 8-bit codes, and of fake quantization."""

# ruff: noqa: E501 - a table reads best with a sample a line

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.signal

import flambeau as torch
from flambeau.ops import int8_recurrent as int8_recurrent

from .kit import Sample, array


def codes(*shape: int, dtype: Any = np.int8, seed: int = 0) -> Any:
    """Codes of all sizes."""
    limits = np.iinfo(dtype)
    return np.random.RandomState(seed).randint(limits.min, limits.max + 1, shape).astype(dtype)


def quantized(x: Any, scale: float, zero_point: int, dtype: Any) -> Any:
    limits = np.iinfo(dtype.numpy)
    whole = np.rint(x / scale) + zero_point
    return np.clip(whole, limits.min, limits.max).astype(dtype.numpy)


def combined(
    x: Any, y: Any, scales: Any, zero_points: Any, product: bool, relu: bool, out_scale: float,
    out_zero_point: int,
) -> Any:  # fmt: skip
    a, b = (
        (q.astype(np.float32) - z) * s for q, s, z in zip((x, y), scales, zero_points, strict=True)
    )
    out = (a * b if product else a + b).astype(np.float32) * (np.float32(1) / np.float32(out_scale))
    limits = np.iinfo(x.dtype)
    whole = np.rint(np.maximum(out, 0) if relu else out) + out_zero_point
    return np.clip(whole, limits.min, limits.max).astype(x.dtype)


def rows(x: Any) -> list[Any]:
    scale = np.maximum(np.abs(x).max(-1) / 127, 1e-5)
    return [np.rint(x / scale[..., None]).astype(np.int8), scale.astype(np.float32)]


def finished(out: Any, dtype: Any, relu: bool, out_scale: Any, out_zero_point: int) -> Any:
    out = np.maximum(out, 0) if relu else out
    if out_scale is None:
        return out.astype(np.float32)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(out / out_scale) + out_zero_point, limits.min, limits.max).astype(dtype)


def linear(
    x: Any, w: Any, scale: Any, bias: Any = None, row_scale: Any = None, zero_point: int = 0,
    relu: bool = False, out_scale: Any = None, out_zero_point: int = 0,
) -> Any:  # fmt: skip
    out = (x.astype(np.int64) - zero_point) @ w.T.astype(np.int64) * scale.astype(float)
    out = out if row_scale is None else out * row_scale[..., None]
    out = out if bias is None else out + bias
    return finished(out, x.dtype, relu, out_scale, out_zero_point)


def unpacked(codes: Any) -> Any:
    """Codes of 4 bits column by column."""
    places = [(k // 32 * 16 + k % 16, 4 * (k // 16 % 2)) for k in range(2 * codes.shape[1])]
    return np.stack([codes[:, at] >> shift & 15 for at, shift in places], 1)


def grouped(codes: Any, scales: Any, offsets: Any = None) -> Any:
    """The weight by NumPy."""
    codes = unpacked(codes) if codes.dtype == np.uint8 else codes
    group = codes.shape[1] // scales.shape[1]
    found = codes * scales.repeat(group, 1)
    return found if offsets is None else found + offsets.repeat(group, 1)


def convolution(
    x: Any, w: Any, scale: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int,
    zero_point: int = 0, relu: bool = False, out_scale: Any = None, out_zero_point: int = 0,
) -> Any:  # fmt: skip
    """By SciPy, image by image and channel by channel, for stride 1 and no gaps."""
    x = np.pad(x.astype(float) - zero_point, [(0, 0), (0, 0), *((p, p) for p in padding)])
    out = []
    for image in x:
        parts = [scipy.signal.correlate(image, filter.astype(float), "valid")[0] for filter in w]
        out.append(np.stack(parts))
    along = (-1,) + (1,) * len(padding)
    result = np.stack(out) * scale.reshape(along) + bias.reshape(along)
    return finished(result, np.uint8, relu, out_scale, out_zero_point)


def fake(x: Any, scale: Any, zero_point: Any, quant_min: float, quant_max: float) -> Any:
    code = np.rint(x / scale) + zero_point
    return (np.clip(code, quant_min, quant_max) - zero_point) * scale


def by_codes(h: Any, w: Any, scale: Any, bias: Any) -> Any:
    """h @ (w * scale).T + bias with h rounded to 128 steps over its range and 0."""
    least, most = min(h.min(), 0), max(h.max(), 0)
    step = (most - least) / 127 or 0.1
    zero = round(-least / step) if abs(least) < 127 * step + most else round(127 - most / step)
    whole = np.clip(np.rint(h / step) + zero, 0, 255) - zero
    return whole @ w.T.astype(float) * step * scale + bias


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def steps(
    cell: Any, gates: Any, states: list[Any], rest: Any, batch_sizes: Any, reverse: bool
) -> Any:
    out, starts = np.zeros((len(gates), states[0].shape[1])), np.cumsum((0, *batch_sizes))
    times = list(zip(starts, batch_sizes, strict=False))
    for start, count in times[::-1] if reverse else times:
        now = cell(gates[start : start + count], *(s[:count] for s in states), rest)
        for state, new in zip(states, now, strict=True):
            state[:count] = new
        out[start : start + count] = now[0]
    return [x.astype(np.float32) for x in (out, *states)]


def lstm(g: Any, h: Any, c: Any, w: Any, scale: Any, bias: Any, **how: Any) -> Any:
    def cell(rows: Any, h: Any, c: Any, rest: Any) -> Any:
        i, f, g, o = np.split(rows + by_codes(h, *rest), 4, 1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    return steps(cell, g, [h.astype(float), c.astype(float)], (w, scale, bias), **how)


def gru(g: Any, h: Any, w: Any, scale: Any, bias: Any, **how: Any) -> Any:
    def cell(rows: Any, h: Any, rest: Any) -> Any:
        (a, b, c), (d, e, f) = np.split(rows, 3, 1), np.split(by_codes(h, *rest), 3, 1)
        n, z = np.tanh(c + sigmoid(a + d) * f), sigmoid(b + e)
        return ((1 - z) * n + z * h,)

    return steps(cell, g, [h.astype(float)], (w, scale, bias), **how)


def single(*shape: int) -> Any:
    return array(*shape).astype(np.float32)


SCALES = np.asarray([0.5, 0.25, 0.125], np.float32)
BIAS = np.asarray([1.0, -2.0, 0.5], np.float32)
GROUP_SCALES = np.asarray([[0.5, 2.0], [0.25, -1.0], [0.125, 1.0]])
OUT = {"zero_point": 3, "relu": True, "out_scale": 20.0, "out_zero_point": 7}
HOW = {"stride": (1, 1), "padding": (1, 0), "dilation": (1, 1), "groups": 1}

SAMPLES: dict[str, list[Sample]] = {
    "quantize_codes": [
        Sample((array(3, 4),), {"scale": 0.1, "zero_point": 5, "dtype": torch.uint8}, quantized, False),
        Sample((array(2, 0, 3),), {"scale": 2.0, "zero_point": 0, "dtype": torch.int8}, quantized, False),
    ],
    "dequantize_codes": [
        Sample((codes(3, 4),), {"scale": 0.5, "zero_point": -2}, lambda q, scale, zero_point: ((q.astype(float) - zero_point) * scale).astype(np.float32), False),
    ],
    "combine_codes": [
        Sample((codes(3, 4, dtype=np.uint8), codes(3, 4, dtype=np.uint8, seed=1)), {"scales": (0.5, 0.25), "zero_points": (100, 3), "product": False, "relu": False, "out_scale": 0.75, "out_zero_point": 60}, combined, False),
        Sample((codes(30, 30, dtype=np.uint8), codes(30, 30, dtype=np.uint8, seed=1)), {"scales": (0.5, 0.25), "zero_points": (100, 30), "product": False, "relu": True, "out_scale": 0.75, "out_zero_point": 60}, combined, False),
        Sample((codes(30, 30), codes(30, 30, seed=1)), {"scales": (0.5, 0.25), "zero_points": (1, -3), "product": True, "relu": True, "out_scale": 7.75, "out_zero_point": -60}, combined, False),
        Sample((codes(3, 1, 4), codes(5, 4, seed=1)), {"scales": (0.5, 0.25), "zero_points": (1, -3), "product": True, "relu": False, "out_scale": 7.75, "out_zero_point": 6}, combined, False),
    ],
    "quantize_rows": [Sample((array(3, 5),), {}, rows, False), Sample((array(2, 2, 7),), {}, rows, False)],
    "int8_linear": [
        Sample((codes(4, 6, dtype=np.uint8), codes(3, 6), SCALES, BIAS), OUT, linear, False),
        Sample((codes(2, 2, 6), codes(3, 6), SCALES), {"zero_point": -4}, linear, False),
        Sample((codes(2, 6), codes(3, 6), SCALES, BIAS, SCALES[:2]), {}, linear, False),
    ],
    "int8_weight_linear": [
        Sample((array(4, 6), codes(3, 6), SCALES.astype(float), array(3)), {}, lambda x, w, scale, bias: x @ (w * scale[:, None]).T + bias),
        Sample((array(2, 2, 6), codes(3, 6), SCALES.astype(float)), {}, lambda x, w, scale: x @ (w * scale[:, None]).T),
    ],
    "unpacked_codes": [
        Sample((codes(3, 32, dtype=np.uint8),), {}, lambda c: unpacked(c).astype(np.int8), False),
        Sample((codes(3, 32),), {}, lambda c: c, False),
    ],
    "grouped_weight": [
        Sample((codes(3, 16, dtype=np.uint8), GROUP_SCALES[:, :1], GROUP_SCALES[:, 1:]), {}, grouped),
        Sample((codes(3, 32, dtype=np.uint8), GROUP_SCALES), {}, grouped),
        Sample((codes(3, 32), GROUP_SCALES), {}, grouped),
    ],
    "grouped_linear": [
        Sample((array(4, 64), codes(3, 32, dtype=np.uint8), GROUP_SCALES, GROUP_SCALES * 0.5, array(3)), {}, lambda x, c, s, o, b: x @ grouped(c, s, o).T + b),
        Sample((array(2, 2, 32), codes(3, 32), GROUP_SCALES), {}, lambda x, c, s: x @ grouped(c, s).T),
    ],
    "int8_convolution": [
        Sample((codes(2, 2, 4, 5, dtype=np.uint8), codes(3, 2, 3, 2), SCALES, BIAS), HOW | OUT, convolution, False),
        Sample((codes(2, 2, 4, 5, dtype=np.uint8), codes(3, 2, 3, 2), SCALES, BIAS), HOW | {"zero_point": 9}, convolution, False),
    ],
    "int8_lstm_steps": [
        Sample((single(5, 8), single(3, 2), single(3, 2), codes(8, 2), np.full(8, 0.01, np.float32), single(8)), {"batch_sizes": (3, 2), "reverse": reverse}, lstm, False)
        for reverse in (False, True)
    ],
    "int8_gru_steps": [
        Sample((single(5, 6), single(3, 2), codes(6, 2), np.full(6, 0.01, np.float32), single(6)), {"batch_sizes": (3, 2), "reverse": reverse}, gru, False)
        for reverse in (False, True)
    ],
    "fake_quantize": [
        Sample((array(3, 4) * 3, np.asarray(0.25), np.asarray(4.0)), {"quant_min": 0, "quant_max": 15}, fake, False),
        Sample((array(3, 4), np.asarray([[0.25], [0.5], [0.125]]), np.asarray([[0.0], [1.0], [2.0]])), {"quant_min": -8, "quant_max": 7}, fake, False),
    ],
}  # fmt: skip
