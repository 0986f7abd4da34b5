"""Short-time Fourier transforms."""

from __future__ import annotations

from typing import Any

from ..core.batched import anywhere
from ..errors import ShapeError
from .complex_numbers import view_as_real
from .declare import Spec
from .folding import fold
from .fourier import fft, ifft, irfft, rfft
from .padding import pad

__all__ = ["istft", "stft"]


def _window(name: str, window: Any, win_length: int, n_fft: int, like: Any) -> Any:
    """The window in the middle of n_fft elements."""
    if win_length > n_fft or win_length < 1:
        raise RuntimeError(f"{name}: expected win_length from 1 to {n_fft}. Got {win_length}.")
    if window is None:
        window = like.new_ones(win_length, dtype=like.dtype.to_real())
    elif tuple(window.shape) != (win_length,):
        raise ShapeError(
            f"{name}: expected a window of {win_length} elements. Got {tuple(window.shape)}."
        )
    left = (n_fft - win_length) // 2
    return pad(window, (left, n_fft - win_length - left)) if win_length < n_fft else window


def stft(
    input: Spec,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Spec:
    """Transforms of `n_fft` elements of the signal (T,) or (B, T), every `hop_length` (n_fft / 4)
    of them, seen through `window`: (B, frequencies, frames), complex, or real pairs.

    Raises: RuntimeError for a signal that is too short, or a window that does not fit.
    """
    if input.ndim not in (1, 2):
        raise ShapeError(f"stft: expected (T,) or (B, T). Got {tuple(input.shape)}.")
    hop = n_fft // 4 if hop_length is None else hop_length
    shown = _window("stft", window, n_fft if win_length is None else win_length, n_fft, input)
    halves = onesided if onesided is not None else not (input.is_complex() or shown.is_complex())
    if return_complex is None and not (input.is_complex() or shown.is_complex()):
        raise RuntimeError("stft: expected return_complex=True or False for real input.")
    x = input if input.ndim == 2 else input.unsqueeze(0)
    if center:
        x = pad(x.unsqueeze(1), (n_fft // 2, n_fft // 2), pad_mode).squeeze(1)
    if not 0 < n_fft <= x.shape[1] or hop < 1:
        raise RuntimeError(
            f"stft: expected 0 < n_fft <= {x.shape[1]}, the signal's length, and a positive "
            f"hop_length. Got {n_fft} and {hop}."
        )
    frames = x.unfold(1, n_fft, hop) * shown
    out = (rfft if halves else fft)(frames, norm="ortho" if normalized else None)
    out = out.transpose(1, 2)
    out = out if input.ndim == 2 else out.squeeze(0)
    return out if return_complex or return_complex is None else view_as_real(out.contiguous())


def istft(
    input: Spec,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Spec:
    """The signal of which `stft` made input, by least squares (Griffin and Lim 1984).

    Raises: RuntimeError if the windows leave a part of the signal unseen.
    """
    if not input.is_complex() or input.ndim not in (2, 3):
        raise RuntimeError(
            f"istft: expected complex (frequencies, frames) or (B, frequencies, frames). Got "
            f"{input.dtype}, {tuple(input.shape)}."
        )
    hop = n_fft // 4 if hop_length is None else hop_length
    shown = _window("istft", window, n_fft if win_length is None else win_length, n_fft, input)
    x = input if input.ndim == 3 else input.unsqueeze(0)
    halves = (n_fft // 2 + 1 == x.shape[1] and not return_complex) if onesided is None else onesided
    if x.shape[1] != (n_fft // 2 + 1 if halves else n_fft):
        raise ShapeError(
            f"istft: expected {n_fft // 2 + 1 if halves else n_fft} frequencies for n_fft {n_fft}. "
            f"Got {tuple(input.shape)}."
        )
    spectrum = x.transpose(1, 2)
    norm = "ortho" if normalized else None
    if return_complex:
        frames = ifft(spectrum, norm=norm)
    else:  # the half that a real signal needs
        frames = irfft(spectrum[..., : n_fft // 2 + 1], n_fft, norm=norm)
    count = frames.shape[1]
    total = n_fft + hop * (count - 1)
    signal = _overlapped(frames * shown, total, n_fft, hop)
    weight = _overlapped((shown * shown).expand(1, count, n_fft), total, n_fft, hop)
    start = n_fft // 2 if center else 0
    end = total - n_fft // 2 if center and length is None else total
    end = min(end, start + length) if length is not None else end
    signal, weight = signal[:, start:end], weight[:, start:end]
    if not weight.is_meta and anywhere(weight.abs() < 1e-11):
        raise RuntimeError("istft: expected windows that overlap everywhere. They leave gaps.")
    signal = signal / weight
    if length is not None and signal.shape[1] < length:
        signal = pad(signal, (0, length - signal.shape[1]))
    return signal if input.ndim == 3 else signal.squeeze(0)


def _overlapped(frames: Any, total: int, n_fft: int, hop: int) -> Any:
    """(B, frames, n) added up at their places: (B, total)."""
    if frames.is_complex():
        real = _overlapped(frames.real, total, n_fft, hop)
        return real + 1j * _overlapped(frames.imag, total, n_fft, hop)
    columns = frames.transpose(1, 2)
    return fold(columns, (1, total), (1, n_fft), stride=(1, hop)).reshape(frames.shape[0], total)
