"""Fourier transforms against NumPy's, their gradients against differences; spectrograms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal

import flambeau as torch

Z = np.random.RandomState(0).normal(size=(3, 6)) + 1j * np.random.RandomState(1).normal(size=(3, 6))
CALLS: list[dict[str, Any]] = [
    {},
    {"n": 4},
    {"n": 9, "norm": "ortho"},
    {"norm": "forward"},
    {"dim": 0},
]
MANY: list[dict[str, Any]] = [
    {},
    {"s": (2, 5), "norm": "ortho"},
    {"dim": (1, 0), "norm": "forward"},
]
ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL = ["fft2", "ifft2", "fftn", "ifftn", "rfft2", "irfft2", "rfftn", "irfftn"]
ALL = [(f, c) for f in ONE for c in CALLS] + [(f, c) for f in SEVERAL for c in MANY]


def values_for(name: str) -> Any:
    return Z.real.copy() if name in ("rfft", "rfft2", "rfftn", "ihfft") else Z


@pytest.mark.parametrize(("name", "options"), ALL)
def test_values_equal_numpy(name: str, options: dict[str, Any]) -> None:
    values = values_for(name)
    theirs = dict(options)
    if "dim" in theirs:
        theirs["axes" if name in SEVERAL else "axis"] = theirs.pop("dim")
    elif "s" in theirs:
        theirs["axes"] = (0, 1)
    found = getattr(torch.fft, name)(torch.from_numpy(values.copy()), **options)
    np.testing.assert_allclose(
        found.numpy(), getattr(np.fft, name)(values, **theirs), rtol=1e-12, atol=1e-12
    )


def real_pairs(t: Any) -> Any:
    return torch.view_as_real(t) if t.is_complex() else t


@pytest.mark.parametrize(("name", "options"), ALL)
@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_gradients_equal_differences(name: str, options: dict[str, Any], check: Any) -> None:
    values = values_for(name)

    def function(x: Any) -> Any:
        signal = torch.view_as_complex(x) if np.iscomplexobj(values) else x
        return real_pairs(getattr(torch.fft, name)(signal, **options))

    leaf = np.stack([values.real, values.imag], -1) if np.iscomplexobj(values) else values
    assert check(function, [torch.from_numpy(leaf.copy()).requires_grad_()])


def test_precision_frequencies_and_shifts() -> None:
    x = torch.ones(4)
    assert torch.fft.fft(x).dtype is torch.complex64
    assert torch.fft.irfft(torch.fft.rfft(x)).dtype is torch.float32
    assert torch.fft.fft(torch.arange(4)).tolist() == [6, -2 + 2j, -2, -2 - 2j]
    for n in (4, 5):
        np.testing.assert_allclose(torch.fft.fftfreq(n, 0.5).numpy(), np.fft.fftfreq(n, 0.5))
        np.testing.assert_allclose(torch.fft.rfftfreq(n).numpy(), np.fft.rfftfreq(n))
        line = torch.arange(n)
        assert torch.fft.fftshift(line).tolist() == np.fft.fftshift(np.arange(n)).tolist()
        assert torch.equal(torch.fft.ifftshift(torch.fft.fftshift(line)), line)
    meta = torch.fft.rfft(torch.ones(2, 7, device="meta"))
    assert (meta.shape, meta.dtype) == ((2, 4), torch.complex64)


def test_what_does_not_fit_is_explained() -> None:
    with pytest.raises(RuntimeError, match="expected real numbers"):
        torch.fft.rfft(torch.ones(3, dtype=torch.complex64))
    with pytest.raises(RuntimeError, match="norm of"):
        torch.fft.fft(torch.ones(3), norm="unit")
    with pytest.raises(RuntimeError, match="at least one element"):
        torch.fft.fft(torch.ones(3), n=0)
    with pytest.raises(RuntimeError, match="n_fft <= 5"):
        torch.stft(torch.ones(5), 8, center=False, return_complex=True)
    with pytest.raises(RuntimeError, match="window of 8 elements"):
        torch.stft(torch.ones(20), 8, window=torch.ones(4), return_complex=True)


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett"])
def test_windows(name: str, periodic: bool) -> None:
    made = getattr(torch, f"{name}_window")(7, periodic, dtype=torch.float64)
    wanted = scipy.signal.get_window(name, 7, fftbins=periodic)
    np.testing.assert_allclose(made.numpy(), wanted, atol=1e-12)
    assert getattr(torch, f"{name}_window")(1).tolist() == [1]
    kaiser = torch.kaiser_window(6, periodic, dtype=torch.float64)
    np.testing.assert_allclose(
        kaiser.numpy(), scipy.signal.get_window(("kaiser", 12.0), 6, periodic)
    )


def test_a_spectrogram_goes_back_to_its_signal() -> None:
    signal = torch.from_numpy(np.random.RandomState(3).normal(size=(2, 50)))
    window = torch.hann_window(8, dtype=torch.float64)
    spectrum = torch.stft(signal, 16, 4, 8, window, return_complex=True)
    assert spectrum.shape == (2, 9, 13)
    back = torch.istft(spectrum, 16, 4, 8, window, length=48)
    np.testing.assert_allclose(back.numpy(), signal[:, :48].numpy(), atol=1e-10)
    frame = torch.fft.rfft(signal[0, 0:16] * torch.ones(16, dtype=torch.float64))
    plain = torch.stft(signal[0], 16, 4, center=False, return_complex=True)
    np.testing.assert_allclose(plain[:, 0].numpy(), frame.numpy(), atol=1e-12)
    leaf = signal[:1, :20].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: torch.view_as_real(torch.stft(x, 8, 4, return_complex=True)), [leaf]
    )
    assert torch.stft(signal, 16, return_complex=False).shape == (2, 9, 13, 2)
