"""Quantized tensors: their codes, what operations do with them, files, errors."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.ops import int8


def per_tensor(*shape: int, zero_point: int = 100, seed: int = 0) -> torch.Tensor:
    values = np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)
    return torch.quantize_per_tensor(torch.tensor(values), 0.01, zero_point, torch.quint8)


def test_codes_round_halves_to_even_and_stop_at_the_limits() -> None:
    x = torch.tensor([-9.0, -0.75, -0.25, 0.25, 0.75, 9.0, float("nan")])
    q = torch.quantize_per_tensor(x, 0.5, 3, torch.quint8)
    assert q.int_repr().tolist() == [0, 1, 3, 3, 5, 21, 0]
    assert q.dequantize().tolist() == [-1.5, -1.0, 0.0, 0.0, 1.0, 9.0, -1.5]
    assert (q.q_scale(), q.q_zero_point(), q.qscheme()) == (0.5, 3, torch.per_tensor_affine)
    assert q.is_quantized
    assert not x.is_quantized


def test_loops_over_large_arrays_give_the_array_kernels_codes() -> None:
    x = np.random.RandomState(1).standard_normal((150, 131)).astype(np.float32)
    how = {"scale": 0.013, "zero_point": 9, "dtype": torch.uint8}
    codes = int8.quantize_codes(torch.tensor(x), **how)
    assert codes.numpy().tolist() == int8.quantize_codes_array(np, x, **how).tolist()
    back = int8.dequantize_codes(codes, scale=0.013, zero_point=9)
    expected = (codes.numpy().astype(np.float32) - 9) * np.float32(0.013)
    assert np.array_equal(back.numpy(), expected)
    rows, scales = int8.quantize_rows(torch.tensor(x))
    assert np.abs(rows.numpy() * scales.numpy()[:, None] - x).max() <= scales.max() / 2 * 1.001
    assert np.abs(rows.numpy()).max(1).tolist() == [127] * 150


def test_images_with_their_channels_innermost_stay_so() -> None:
    x = torch.randn(2, 8, 9, 9).to(memory_format=torch.channels_last)
    q = torch.quantize_per_tensor(x, 0.02, 100, torch.quint8)
    assert q.stride() == x.stride()
    assert q.int_repr().equal(
        torch.quantize_per_tensor(x.contiguous(), 0.02, 100, torch.quint8).int_repr()
    )
    back = q.dequantize()
    assert back.stride() == x.stride()
    assert (back - x.clamp(-2, 3.1)).abs().max() < 0.01001


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
def test_products_and_convolutions_of_onednn_are_exact(dtype: torch.dtype) -> None:
    stream = np.random.RandomState(2)
    limits = np.iinfo(dtype.numpy)
    x = stream.randint(limits.min, limits.max + 1, (70, 300)).astype(dtype.numpy)
    w = stream.randint(-127, 128, (40, 300)).astype(np.int8)
    scale = torch.full((40,), 2.0**-10)
    sums = (x.astype(np.int64) - 5) @ w.astype(np.int64).T
    out = int8.int8_linear(torch.tensor(x), torch.tensor(w), scale, zero_point=5)
    assert np.array_equal(out.numpy(), (sums * 2.0**-10).astype(np.float32))
    images = torch.tensor(x[:, :288].reshape(70, 8, 6, 6).copy())
    how = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 2}
    filters = torch.tensor(w[:, :36].reshape(40, 4, 3, 3).copy())
    found = int8.int8_convolution(images, filters, scale, zero_point=5, **how)
    expected = F.conv2d(images.double() - 5, filters.double(), padding=1, groups=2) * 2.0**-10
    assert torch.equal(found.double(), expected)


def test_products_with_wide_weights_and_with_few_rows_agree_with_float64() -> None:
    stream = np.random.RandomState(3)
    w = torch.tensor(stream.randint(-127, 128, (96, 200)).astype(np.int8))
    scale, bias = torch.tensor(stream.rand(96).astype(np.float32)), torch.ones(96)
    for rows in (1, 3, 40):
        x = torch.tensor(stream.standard_normal((rows, 200)).astype(np.float32))
        wide = w.double() * scale.double()[:, None]
        expected = x.double() @ wide.T + bias.double()
        found = int8.int8_weight_linear(x, w, scale, bias)
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def test_printing_tells_scheme_scale_and_zero_point() -> None:
    q = torch.quantize_per_tensor(torch.tensor([1.0, -0.2]), 0.1, 10, torch.quint8)
    assert repr(q) == (
        "tensor([ 1.0000, -0.2000], size=(2,), dtype=torch.quint8,\n"
        "       quantization_scheme=torch.per_tensor_affine, scale=0.1, zero_point=10)"
    )
    scales, zeros = torch.tensor([0.5, 0.25]), torch.tensor([0, 1])
    c = torch.quantize_per_channel(torch.eye(2), scales, zeros, 0, torch.qint8)
    assert repr(c).endswith(
        "quantization_scheme=torch.per_channel_affine,\n"
        "       scale=tensor([0.5000, 0.2500], dtype=torch.float64),\n"
        "       zero_point=tensor([0, 1]), axis=0)"
    )
    assert c.int_repr().tolist() == [[2, 0], [1, 5]]
    assert c.q_per_channel_axis() == 0


def test_views_share_the_codes_and_pooling_keeps_the_scale() -> None:
    q = per_tensor(2, 3, 4, 4)
    view = q[1].permute(1, 2, 0)
    assert view.dequantize().equal(q.dequantize()[1].permute(1, 2, 0))
    assert view.data_ptr() == q.data_ptr() + 48
    pooled = F.max_pool2d(q, 2)
    assert pooled.dequantize().equal(F.max_pool2d(q.dequantize(), 2))
    assert F.relu(q).dequantize().equal(F.relu(q.dequantize()))
    mean = F.adaptive_avg_pool2d(q, 1)
    assert (mean.q_scale(), mean.q_zero_point()) == (0.01, 100)
    assert (mean.dequantize() - q.dequantize().mean((2, 3), True)).abs().max() <= 0.00501
    both = torch.cat([q, q], 1)
    assert both.shape == (2, 6, 4, 4)
    assert both.dtype is torch.quint8
    assert torch.flatten(q, 1).equal(q.reshape(2, 48))
    assert torch.sigmoid(q).q_scale() == 1 / 256


def test_arithmetic_is_refused_in_words() -> None:
    q = per_tensor(2, 2)
    with pytest.raises(RuntimeError, match=r"add: not there for quantized tensors.*dequantize"):
        q + q
    with pytest.raises(RuntimeError, match="conversion to NumPy"):
        q.numpy()
    with pytest.raises(RuntimeError, match=r"qint8.*quantize_per_tensor"):
        torch.zeros(3, dtype=torch.qint8)
    with pytest.raises(RuntimeError, match=r"expected a zero_point from 0 to 255.*Got 300"):
        torch.quantize_per_tensor(torch.ones(2), 0.1, 300, torch.quint8)
    with pytest.raises(RuntimeError, match=r"expected a tensor of float32. Got torch.float64"):
        torch.quantize_per_tensor(torch.ones(2).double(), 0.1, 0, torch.quint8)
    with pytest.raises(RuntimeError, match="q_scale: expected a quantized tensor"):
        torch.ones(2).q_scale()
    with pytest.raises(RuntimeError, match="writing in place"):
        q[0] = 1.0
    q[0] = q[1]
    assert q[0].equal(q[1])


def test_dynamic_parameters_cover_the_range_and_zero() -> None:
    q = torch.quantize_per_tensor_dynamic(torch.tensor([0.5, 3.0]), torch.quint8)
    assert q.q_zero_point() == 0
    assert q.q_scale() == pytest.approx(3 / 255)
    half = torch.quantize_per_tensor_dynamic(torch.tensor([-1.0, 1.0]), torch.quint8, True)
    assert half.q_scale() == pytest.approx(2 / 127)
    assert half.int_repr()[0] == 0
    nothing = torch.quantize_per_tensor_dynamic(torch.zeros(3), torch.quint8)
    assert nothing.dequantize().tolist() == [0.0] * 3


def test_copies_pickles_and_files_keep_codes_and_scales(tmp_path: Path) -> None:
    scales, zeros = torch.tensor([0.1, 0.2]), torch.tensor([0, 3])
    c = torch.quantize_per_channel(torch.randn(3, 2), scales, zeros, 1, torch.qint8)
    values = {"q": per_tensor(3, 2).t(), "c": c, "scheme": torch.per_channel_affine}
    torch.save(values, tmp_path / "x.pt")
    tensors = {"q": values["q"], "c": c}
    torch.save(tensors, tmp_path / "x.safetensors")
    for found in (
        copy.deepcopy(tensors), pickle.loads(pickle.dumps(tensors)),
        torch.load(tmp_path / "x.pt"), torch.load(tmp_path / "x.safetensors"),
    ):  # fmt: skip
        for name, x in tensors.items():
            assert found[name].dtype is x.dtype
            assert found[name].int_repr().equal(x.int_repr())
            assert found[name].dequantize().equal(x.dequantize())
    assert torch.load(tmp_path / "x.pt")["scheme"] is torch.per_channel_affine


def test_fake_quantization_rounds_and_lets_gradients_through_within_the_limits() -> None:
    x = torch.tensor([-1.0, 0.26, 0.6, 9.0], requires_grad=True)
    y = torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 15)
    assert y.detach().numpy() == pytest.approx([0.0, 0.3, 0.6, 1.5])
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]
    large = torch.randn(200, 200, requires_grad=True)
    scale, zero = torch.rand(200) / 10 + 0.01, torch.zeros(200, dtype=torch.int32)
    out = torch.fake_quantize_per_channel_affine(large, scale, zero, 0, -8, 7)
    expected = torch.quantize_per_channel(large.detach(), scale, zero, 0, torch.qint8)
    codes = expected.int_repr().clamp(-8, 7)
    assert (out - codes * scale[:, None]).abs().max() < 1e-6
    out.sum().backward()
    inside = (expected.int_repr() >= -8) & (expected.int_repr() <= 7)
    assert large.grad.equal(inside.float())
    with pytest.raises(RuntimeError, match="expected 200 scales"):
        torch.fake_quantize_per_channel_affine(large, scale[:3], zero[:3], 0, -8, 7)
