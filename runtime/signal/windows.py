"""Windows; symmetric unless `sym=False` asks for a period. PyTorch's earlier names, at the end,
give a period unless told otherwise.

Source: Harris 1978, "On the use of windows for harmonic analysis".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..core.creation import from_numpy, key_for
from ..core.dtypes import float32, float64
from ..core.layouts import strided
from ..core.tensor import Tensor

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _window(
    name: str, M: int, sym: bool, values: Callable[[Any, int], Any], options: dict[str, Any]
) -> Tensor:
    """`values(places, last)` at 0 to M - 1, where `last` is the place at which the window ends."""
    if M < 0:
        raise ValueError(f"{name}: expected M of at least 0. Got {M}.")
    if options.get("layout", strided) is not strided:
        raise ValueError(f"{name}: expected layout torch.strided. Got {options['layout']}.")
    key = key_for(options.get("dtype"), options.get("device"))
    if key.dtype not in (float32, float64):
        raise ValueError(f"{name}: expected float32 or float64. Got {key.dtype}.")
    places = np.arange(M, dtype=np.float64)
    last = M - 1 if sym else M
    made = np.ones(M) if M <= 1 else np.asarray(values(places, last), np.float64)
    out = from_numpy(made).to(key.device, key.dtype)
    return out.requires_grad_(options.get("requires_grad", False))


def general_cosine(M: int, *, a: Iterable[float], sym: bool = True, **options: Any) -> Tensor:
    """The sum of cosines of multiples of the angle, with the coefficients `a` and alternating
    signs. Options: dtype, device, requires_grad."""
    given = list(a)
    if not given:
        raise ValueError("general_cosine: expected coefficients. Got none.")

    def values(n: Any, last: int) -> Any:
        angle = 2 * math.pi * n / last
        return sum((-1) ** k * c * np.cos(k * angle) for k, c in enumerate(given))

    return _window("general_cosine", M, sym, values, options)


def general_hamming(M: int, *, alpha: float = 0.54, sym: bool = True, **options: Any) -> Tensor:
    """alpha - (1 - alpha) * cosine."""
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, **options)


def hamming(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """0.54 - 0.46 * cosine."""
    return general_hamming(M, sym=sym, **options)


def hann(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """The raised cosine."""
    return general_hamming(M, alpha=0.5, sym=sym, **options)


def blackman(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Three cosines: 0.42, 0.5, 0.08."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, **options)


def nuttall(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Four cosines, with side lobes below -93 dB."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, **options)


def bartlett(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """The triangle, 0 at the ends."""
    return _window("bartlett", M, sym, lambda n, last: 1 - np.abs(2 * n / last - 1), options)


def cosine(M: int, *, sym: bool = True, **options: Any) -> Tensor:
    """Half a period of the sine, between the samples."""
    return _window(
        "cosine", M, sym, lambda n, last: np.sin(math.pi * (n + 0.5) / (last + 1)), options
    )


def exponential(
    M: int, *, center: float | None = None, tau: float = 1.0, sym: bool = True, **options: Any
) -> Tensor:
    """exp(-|n - center| / tau). Raises: ValueError for tau not above 0 or a center with sym."""
    if tau <= 0 or (sym and center is not None):
        raise ValueError("exponential: expected tau above 0, and a center only with sym=False.")
    return _window(
        "exponential", M, sym,
        lambda n, last: np.exp(-np.abs(n - (last / 2 if center is None else center)) / tau),
        options,
    )  # fmt: skip


def gaussian(M: int, *, std: float = 1.0, sym: bool = True, **options: Any) -> Tensor:
    """exp(-((n - middle) / std)**2 / 2). Raises: ValueError for std not above 0."""
    if std <= 0:
        raise ValueError(f"gaussian: expected std above 0. Got {std}.")
    return _window(
        "gaussian", M, sym, lambda n, last: np.exp(-0.5 * ((n - last / 2) / std) ** 2), options
    )


def kaiser(M: int, *, beta: float = 12.0, sym: bool = True, **options: Any) -> Tensor:
    """Kaiser's window of shape beta. Raises: ValueError for a negative beta."""
    if beta < 0:
        raise ValueError(f"kaiser: expected beta of at least 0. Got {beta}.")
    return _window(
        "kaiser", M, sym,
        lambda n, last: np.i0(beta * np.sqrt(np.maximum(1 - (2 * n / last - 1) ** 2, 0)))
        / np.i0(beta),
        options,
    )  # fmt: skip


# -- earlier names ---------------------------------------------------------------------------------


def hann_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`hann`, as a period unless told otherwise. Options: dtype, device, requires_grad."""
    return hann(window_length, sym=not periodic, **options)


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    **options: Any,
) -> Tensor:
    """alpha - beta * cosine."""
    return general_cosine(window_length, a=[alpha, beta], sym=not periodic, **options)


def blackman_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`blackman`, as a period unless told otherwise."""
    return blackman(window_length, sym=not periodic, **options)


def bartlett_window(window_length: int, periodic: bool = True, **options: Any) -> Tensor:
    """`bartlett`, as a period unless told otherwise."""
    return bartlett(window_length, sym=not periodic, **options)


def kaiser_window(
    window_length: int, periodic: bool = True, beta: float = 12.0, **options: Any
) -> Tensor:
    """`kaiser`, as a period unless told otherwise."""
    return kaiser(window_length, beta=beta, sym=not periodic, **options)
