"""Functions that change the values of pixels, of PIL images and of tensors (..., C, H, W)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from ... import exp, linspace, randn, randn_like, stack, where
from ...core import dtypes
from ...core.tensor import Tensor
from ...nn.functional import conv2d
from ...nn.functional import pad as padded
from .conversion import (
    convert_image_dtype,
    is_pil,
    most,
    pil_to_tensor,
    to_pil_image,
)  # fmt: skip
from .geometry import computed
from .kinds import typed

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "equalize",
    "erase",
    "gaussian_blur",
    "gaussian_noise",
    "invert",
    "permute_channels",
    "posterize",
    "rgb_to_grayscale",
    "solarize",
    "to_grayscale",
]

LUMA = (0.2989, 0.587, 0.114)
"""The weights of red, green and blue in grey. Source: ITU-R BT.601."""


def _channels(img: Tensor, *allowed: int) -> None:
    if img.ndim < 3 or img.shape[-3] not in allowed:
        raise TypeError(
            f"transforms: expected an image of {' or '.join(map(str, allowed))} channels. Got "
            f"shape {tuple(img.shape)}."
        )


def _factor(name: str, factor: float) -> None:
    if factor < 0:
        raise ValueError(f"{name}: expected a factor of 0 or more. Got {factor}.")


def _blended(img: Tensor, other: Any, ratio: float) -> Tensor:
    ratio = float(ratio)  # a whole number would keep bytes bytes
    return (ratio * img + (1.0 - ratio) * other).clamp(0, most(img.dtype)).to(img.dtype)


@typed(moves=False)
def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """Grey in one channel, or the same in three."""
    if num_output_channels not in (1, 3):
        raise ValueError(f"rgb_to_grayscale: expected 1 or 3 channels. Got {num_output_channels}.")
    if is_pil(img):
        grey = img.convert("L")
        return grey if num_output_channels == 1 else Image.merge("RGB", (grey,) * 3)
    _channels(img, 1, 3)
    grey = img.clone()
    if img.shape[-3] == 3:
        r, g, b = img.unbind(-3)
        grey = (LUMA[0] * r + LUMA[1] * g + LUMA[2] * b).to(img.dtype).unsqueeze(-3)
    return grey if num_output_channels == 1 else grey.expand(*img.shape[:-3], 3, *img.shape[-2:])


@typed(moves=False)
def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """The same for PIL images."""
    return rgb_to_grayscale(img, num_output_channels)


@typed(moves=False)
def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """Times a factor: 0 is black, 1 the image itself."""
    _factor("adjust_brightness", brightness_factor)
    if is_pil(img):
        return ImageEnhance.Brightness(img).enhance(brightness_factor)
    return _blended(img, 0.0, brightness_factor)


@typed(moves=False)
def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """Away from the mean grey: 0 is grey alone, 1 the image itself."""
    _factor("adjust_contrast", contrast_factor)
    if is_pil(img):
        return ImageEnhance.Contrast(img).enhance(contrast_factor)
    _channels(img, 1, 3)
    real = img.dtype if img.dtype.is_floating_point else dtypes.float32
    grey = rgb_to_grayscale(img) if img.shape[-3] == 3 else img
    return _blended(img, grey.to(real).mean((-3, -2, -1), keepdim=True), contrast_factor)


@typed(moves=False)
def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """Away from grey: 0 has no colours, 1 is the image itself."""
    _factor("adjust_saturation", saturation_factor)
    if is_pil(img):
        return ImageEnhance.Color(img).enhance(saturation_factor)
    _channels(img, 1, 3)
    return img if img.shape[-3] == 1 else _blended(img, rgb_to_grayscale(img), saturation_factor)


@typed(moves=False)
def adjust_hue(img: Any, hue_factor: float) -> Any:
    """Hues moved on the circle of colours by `hue_factor` turns, -0.5 to 0.5."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"adjust_hue: expected a factor in [-0.5, 0.5]. Got {hue_factor}.")
    if is_pil(img):
        if img.mode in ("L", "1", "I", "F"):
            return img
        h, s, v = img.convert("HSV").split()
        moved = np.asarray(h) + np.uint8(int(hue_factor * 255) % 256)
        return Image.merge("HSV", (Image.fromarray(moved), s, v)).convert(img.mode)
    _channels(img, 1, 3)
    if img.shape[-3] == 1:
        return img
    hue, saturation, value = _hsv(convert_image_dtype(img, dtypes.float32))
    return convert_image_dtype(_rgb((hue + hue_factor) % 1.0, saturation, value), img.dtype)


def _hsv(img: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value, 0 to 1."""
    r, g, b = img.unbind(-3)
    high, low = img.amax(-3), img.amin(-3)
    span = high - low
    safe = where(span == 0, 1.0, span)
    rc, gc, bc = ((high - x) / safe for x in (r, g, b))
    sixths = where(r == high, bc - gc, where(g == high, 2.0 + rc - bc, 4.0 + gc - rc))
    return (sixths / 6.0 + 1.0) % 1.0, span / where(span == 0, 1.0, high), high


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    sixth = (hue * 6.0).floor()
    f = hue * 6.0 - sixth
    p, q, t = ((value * (1.0 - saturation * x)).clamp(0.0, 1.0) for x in (1.0, f, 1.0 - f))
    which = (sixth.to(dtypes.int64) % 6)[None]
    rows = ((value, q, p, p, t, value), (t, value, value, q, p, p), (p, p, t, value, value, q))
    return stack([stack(row).gather(0, which)[0] for row in rows], -3)


@typed(moves=False)
def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """gain * x^gamma of values from 0 to 1."""
    _factor("adjust_gamma", gamma)
    if is_pil(img):
        table = [int((255 + 1 - 1e-3) * gain * pow(n / 255.0, gamma)) for n in range(256)]
        mode = img.mode
        return img.convert("RGB").point([min(n, 255) for n in table] * 3).convert(mode)
    real = convert_image_dtype(img, dtypes.float32) if not img.dtype.is_floating_point else img
    return convert_image_dtype((gain * real**gamma).clamp(0, 1), img.dtype)


@typed(moves=False)
def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """Away from the blurred image: 0 is blurred, 1 the image itself, 2 sharper."""
    _factor("adjust_sharpness", sharpness_factor)
    if is_pil(img):
        return ImageEnhance.Sharpness(img).enhance(sharpness_factor)
    _channels(img, 1, 3)
    if min(img.shape[-2:]) <= 2:
        return img
    four, back = computed(img)
    kernel = four.new_ones((3, 3))
    kernel[1, 1] = 5.0
    kernel = (kernel / kernel.sum()).expand(four.shape[1], 1, 3, 3)
    blurred = img.clone()
    blurred[..., 1:-1, 1:-1] = back(conv2d(four, kernel, groups=four.shape[1]))
    return _blended(img, blurred, sharpness_factor)


@typed(moves=False)
def invert(img: Any) -> Any:
    """White for black."""
    if is_pil(img):
        return ImageOps.invert(img)
    white = most(img.dtype)
    return (white if img.dtype.is_floating_point else int(white)) - img


@typed(moves=False)
def posterize(img: Any, bits: int) -> Any:
    """Bytes with only their highest `bits`."""
    if is_pil(img):
        return ImageOps.posterize(img, bits)
    if img.dtype is not dtypes.uint8:
        raise TypeError(f"posterize: expected bytes, torch.uint8. Got {img.dtype}.")
    return img & (256 - 2 ** (8 - bits))


@typed(moves=False)
def solarize(img: Any, threshold: float) -> Any:
    """What is as bright as `threshold` or brighter inverted."""
    if is_pil(img):
        return ImageOps.solarize(img, threshold)
    if threshold > most(img.dtype):
        raise TypeError(f"solarize: expected a threshold up to white, {most(img.dtype):g}.")
    return where(img >= threshold, invert(img), img)


@typed(moves=False)
def autocontrast(img: Any) -> Any:
    """Each channel stretched from black to white."""
    if is_pil(img):
        return ImageOps.autocontrast(img)
    _channels(img, 1, 3)
    bound = most(img.dtype)
    real = img if img.dtype.is_floating_point else img.to(dtypes.float32)
    low, high = real.amin((-2, -1), keepdim=True), real.amax((-2, -1), keepdim=True)
    flat = high == low
    scale = where(flat, 1.0, bound / where(flat, 1.0, high - low))
    return ((real - where(flat, 0.0, low)) * scale).clamp(0, bound).to(img.dtype)


@typed(moves=False)
def equalize(img: Any) -> Any:
    """Each channel with all brightnesses about equally often."""
    if is_pil(img):
        return ImageOps.equalize(img)
    _channels(img, 1, 3)
    if img.dtype is not dtypes.uint8:
        raise TypeError(f"equalize: expected bytes, torch.uint8. Got {img.dtype}.")
    flat = img.reshape(-1, *img.shape[-2:])
    return stack([_equalized(x) for x in flat]).reshape(img.shape)


def _equalized(channel: Tensor) -> Tensor:
    counts = channel.flatten().long().bincount(minlength=256)
    present = counts[counts != 0]
    step = int(present[:-1].sum()) // 255
    if step == 0:
        return channel
    table = ((counts.cumsum(0) - counts + step // 2) // step).clamp(0, 255)
    return table[channel.long()].to(dtypes.uint8)


@typed(moves=False)
def gaussian_blur(img: Any, kernel_size: Any, sigma: Any = None) -> Any:
    """The image smoothed by a Gaussian `kernel_size` (width, height) wide, odd, of deviation
    `sigma`; without it 0.15 of the width and 0.35."""
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    sizes = sizes * (2 // len(sizes))
    if any(n % 2 == 0 or n < 1 for n in sizes):
        raise ValueError(f"gaussian_blur: expected odd sizes. Got {kernel_size}.")
    if sigma is None:
        sigma = [n * 0.15 + 0.35 for n in sizes]
    spreads = [sigma] * 2 if isinstance(sigma, int | float) else list(sigma)
    spreads = spreads * (2 // len(spreads))
    if any(s <= 0 for s in spreads):
        raise ValueError(f"gaussian_blur: expected positive deviations. Got {sigma}.")
    image = pil_to_tensor(img) if is_pil(img) else img
    four, back = computed(image)
    lines = []
    for n, spread in zip(sizes, spreads, strict=True):
        at = linspace(-(n - 1) * 0.5, (n - 1) * 0.5, n, dtype=four.dtype, device=four.device)
        line = exp(-0.5 * (at / spread) ** 2)
        lines.append(line / line.sum())
    across, down = lines
    channels = four.shape[1]
    kernel = (down[:, None] * across).expand(channels, 1, -1, -1)
    half = [sizes[0] // 2] * 2 + [sizes[1] // 2] * 2
    blurred = back(conv2d(padded(four, half, mode="reflect"), kernel, groups=channels))
    return to_pil_image(blurred, mode=img.mode) if is_pil(img) else blurred


@typed(moves=False)
def gaussian_noise(img: Tensor, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Tensor:
    """Normal numbers added to each pixel of a tensor of floats from 0 to 1 or of bytes, with `mean`
    and deviation `sigma` in shares of white; `clip` cuts off beyond black and white."""
    if is_pil(img) or not (img.dtype.is_floating_point or img.dtype is dtypes.uint8):
        got = img.dtype if isinstance(img, Tensor) else type(img)
        raise TypeError(f"gaussian_noise: expected a tensor of floats or bytes. Got {got}.")
    if sigma < 0:
        raise ValueError(f"gaussian_noise: expected a deviation of 0 or more. Got {sigma}.")
    if img.dtype.is_floating_point:
        out = img + (mean + randn_like(img) * sigma)
        return out.clamp(0, 1) if clip else out
    noise = mean * 255 + randn(*img.shape, device=img.device) * (sigma * 255)
    noisy = img.to(dtypes.int16) + noise.to(dtypes.int16)
    return (noisy.clamp(0, 255) if clip else noisy).to(dtypes.uint8)


@typed(moves=False)
def permute_channels(img: Any, permutation: Sequence[int]) -> Any:
    """The channels in another order."""
    if is_pil(img):
        return Image.merge(img.mode, [img.getchannel(k) for k in permutation])
    if len(permutation) != img.shape[-3]:
        raise ValueError(
            f"permute_channels: expected a place for each of {img.shape[-3]} channels. Got "
            f"{list(permutation)}."
        )
    return img[..., list(permutation), :, :]


@typed(moves=False)
def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> Tensor:
    """The rectangle from row i and column j on filled with `v`."""
    if not isinstance(img, Tensor):
        raise TypeError(f"erase: expected a tensor. Got {type(img)}; use ToTensor() first.")
    img = img if inplace else img.clone()
    img[..., i : i + h, j : j + w] = v
    return img
