"""Tensors as pictures."""

from __future__ import annotations

import base64
import re
import struct
import zlib

import numpy as np
import pytest

import flambeau as torch
from flambeau.kernel.display import tensor_html
from flambeau.magics.pictures import BAD, COLD, FRAME, HOT, ZERO, as_image, heat_map, picture, png


def decoded(html: str) -> np.ndarray:
    """The pixels of the PNG in `html`, read by the format's own rules."""
    (text,) = re.findall(r"base64,([^\"]+)", html)
    data = base64.b64decode(text)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        (check,) = struct.unpack(">I", data[place + 8 + size : place + 12 + size])
        assert check == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_heat_maps_are_white_at_zero_and_coloured_by_sign() -> None:
    x = torch.tensor([[0.0, 2.0, -2.0], [float("nan"), 1.0, float("inf")]])
    pixels = decoded(picture(x))
    assert pixels.shape == (2, 3, 3)
    assert [tuple(p) for p in pixels[0]] == [ZERO, HOT, COLD]
    assert tuple(pixels[1, 0]) == tuple(pixels[1, 2]) == BAD


def test_large_tensors_are_averaged_down() -> None:
    x = torch.ones(1000, 2000)
    x[:, 1000:] = -1.0
    pixels = decoded(picture(x))
    assert pixels.shape == (128, 256, 3)
    assert tuple(pixels[0, 0]) == HOT
    assert tuple(pixels[-1, -1]) == COLD


@pytest.mark.parametrize("shape", [(3, 16, 20), (16, 20, 3)])
def test_images_are_shown_as_they_are(shape: tuple[int, ...]) -> None:
    x = torch.rand(*shape)
    pixels = decoded(picture(x))
    channels_last = x.numpy() if shape[-1] == 3 else np.moveaxis(x.numpy(), 0, 2)
    assert np.array_equal(pixels, (channels_last * 255).round().astype(np.uint8))


def test_batches_of_images_stand_side_by_side() -> None:
    assert decoded(picture(torch.rand(3, 1, 9, 10))).shape == (9, 30, 3)
    assert as_image(np.full((1, 9, 9), 2.0)) is None
    assert as_image(np.zeros((4, 9, 9))) is None


@pytest.mark.parametrize(
    "x",
    [torch.tensor(3.0), torch.ones(2), torch.ones(9, device="meta"), torch.ones(0, 3),
     torch.ones(9, dtype=torch.complex64)],
    ids=str,
)  # fmt: skip
def test_what_a_picture_cannot_show_has_none(x: torch.Tensor) -> None:
    assert picture(x) == ""


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16])
def test_other_dtypes_have_pictures(dtype: torch.dtype) -> None:
    assert decoded(picture(torch.ones(3, 4).to(dtype))).shape == (3, 4, 3)


def test_many_values_are_folded_few_are_not() -> None:
    assert "<details>" not in tensor_html(torch.ones(10, 10))
    assert "<details><summary>values</summary><pre" in tensor_html(torch.ones(11, 10))


def test_constant_zeros_are_drawn() -> None:
    assert heat_map(np.zeros((2, 3))).tolist() == [[list(ZERO)] * 3] * 2
    assert png(np.zeros((1, 1, 3), np.uint8)).endswith(b"IEND\xaeB`\x82")


def test_matrices_stand_side_by_side_where_all_of_them_fit() -> None:
    x = torch.randn(6, 2, 9, 5)
    pixels = decoded(picture(x))
    frame = (pixels == FRAME).all(axis=2)
    lines = [k for k in range(frame.shape[0]) if frame[k].all()]
    columns = [k for k in range(frame.shape[1]) if frame[:, k].all()]
    assert lines == [9]  # two rows of six
    assert columns == [5, 11, 17, 23, 29]
    whole = heat_map(x.numpy().reshape(-1, 5))  # the colours of one scale
    assert np.array_equal(pixels[:9, 6:11], whole[9:18])
    assert np.array_equal(pixels[10:, :5], whole[54:63])


def test_more_matrices_than_fit_stand_below_each_other() -> None:
    assert decoded(picture(torch.ones(500, 40, 40))).shape == (128, 40, 3)
