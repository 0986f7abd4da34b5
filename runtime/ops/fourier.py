"""Discrete Fourier transforms and their gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core import dtypes
from ..errors import ShapeError
from .complex_numbers import conj
from .declare import Spec, primitive
from .joins import narrow
from .numpy_names import numpy_names
from .rearrangement import pad_constant, roll
from .shapes import Shape, normalized_dim

NORMS = ("forward", "backward", "ortho")


@primitive(node_name="FftC2C")
def fft_complex(input: Spec, *, dims: Shape, forward: bool, factor: float) -> Spec:
    """`factor` times the sum of input * exp(-+ 2 pi i j k / n) over each of `dims`."""
    return Spec(input.shape, input.dtype)


@fft_complex.array
def fft_complex_array(xp: Any, input: Any, dims: Shape, forward: bool, factor: float) -> Any:
    """The library's transform, whose inverse is divided by the number of elements."""
    count = math.prod(input.shape[d] for d in dims)
    out = (xp.fft.fftn if forward else xp.fft.ifftn)(input, axes=dims)
    scale = factor if forward else factor * count
    return (out if scale == 1 else out * scale).astype(input.dtype, copy=False)


@fft_complex.vjp(static="dims forward factor")
def fft_complex_vjp(
    F: Any, g: Any, needs: Any, input: Any, dims: Any, forward: Any, factor: Any
) -> Any:
    """The matrix is symmetric; the conjugations around complex rules turn its direction."""
    return F.fft_complex(g, dims=dims, forward=forward, factor=factor)


@primitive(node_name="FftR2C")
def fft_real(input: Spec, *, dim: int, factor: float) -> Spec:
    """The first half, and the middle, of the transform of real numbers along `dim`."""
    n = input.shape[dim]
    shape = (*input.shape[:dim], n // 2 + 1, *input.shape[dim + 1 :])
    return Spec(shape, input.dtype.to_complex())


@fft_real.array
def fft_real_array(xp: Any, input: Any, dim: int, factor: float) -> Any:
    """The library's own."""
    out = xp.fft.rfft(input, axis=dim)
    kind = xp.complex128 if input.dtype == xp.float64 else xp.complex64
    return (out if factor == 1 else out * factor).astype(kind, copy=False)


@fft_real.vjp(static="dim factor")
def fft_real_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any, factor: Any) -> Any:
    """The real part of the inverse sum over the half that there is."""
    return F.half_sum(g, like=input, dim=dim, factor=factor)


@primitive(is_holomorphic=False)
def half_sum(g: Spec, *, like: Shape, dim: int, factor: float) -> Spec:
    """The real part of factor * sum over k of g_k * exp(2 pi i j k / n), for each j below n."""
    return Spec(like, g.dtype.to_real())


@half_sum.array
def half_sum_array(xp: Any, g: Any, like: Shape, dim: int, factor: float) -> Any:
    """An inverse transform of g followed by zeros."""
    n = like[dim]
    out = xp.fft.ifft(g, n, dim).real * (n * factor)
    return out.astype(xp.float64 if g.dtype.itemsize == 16 else xp.float32)


@half_sum.vjp(static="dim factor")
def half_sum_vjp(F: Any, h: Any, needs: Any, g: Any, like: Any, dim: Any, factor: Any) -> Any:
    """The half transform."""
    return F.fft_real(h, dim=dim, factor=factor)


@primitive(node_name="FftC2R", is_holomorphic=False)
def fft_to_real(input: Spec, *, dim: int, size: int, factor: float) -> Spec:
    """The `size` real numbers whose transform begins with input along `dim`, unscaled but for
    `factor`."""
    return Spec((*input.shape[:dim], size, *input.shape[dim + 1 :]), input.dtype.to_real())


@fft_to_real.array
def fft_to_real_array(xp: Any, input: Any, dim: int, size: int, factor: float) -> Any:
    """The library's own, which divides by the size."""
    out = xp.fft.irfft(input, size, dim) * (size * factor)
    return out.astype(xp.float64 if input.dtype.itemsize == 16 else xp.float32)


@fft_to_real.vjp(static="dim size factor")
def fft_to_real_vjp(
    F: Any, g: Any, needs: Any, input: Any, dim: Any, size: Any, factor: Any
) -> Any:
    """The half transform, doubled where a coefficient stands for two."""
    return F.doubled_half(F.fft_real(g, dim=dim, factor=factor), dim=dim, size=size)


@primitive(is_holomorphic=False)
def doubled_half(input: Spec, *, dim: int, size: int) -> Spec:
    """input twice, but for the first element along `dim` and, for an even size, the middle."""
    return Spec(input.shape, input.dtype)


@doubled_half.array
def doubled_half_array(xp: Any, input: Any, dim: int, size: int) -> Any:
    """One pass."""
    out = input * 2
    line = xp.moveaxis(out, dim, 0)
    line[0] /= 2
    if size % 2 == 0:
        line[-1] /= 2
    return out


@doubled_half.vjp(static="dim size")
def doubled_half_vjp(F: Any, g: Any, needs: Any, input: Any, dim: Any, size: Any) -> Any:
    """The same."""
    return F.doubled_half(g, dim=dim, size=size)


# -- as users know them ----------------------------------------------------------------------------


def _factor(name: str, norm: str | None, count: int, forward: bool) -> float:
    how = "backward" if norm is None else norm
    if how not in NORMS:
        raise RuntimeError(f"{name}: expected norm of {NORMS}. Got {norm!r}.")
    if how == "ortho":
        return 1 / math.sqrt(count)
    return 1 / count if (how == "forward") == forward else 1.0


def _as_floating(name: str, x: Any, complex_: bool) -> Any:
    if x.dtype.category < dtypes.FLOAT:
        x = x.to(dtypes.get_default_dtype())
    if complex_ and not x.dtype.is_complex:
        x = x.to(x.dtype.to_complex())
    return x


def _resized(name: str, x: Any, d: int, n: int | None) -> Any:
    """Cut off or padded with zeros to n elements along d."""
    size = x.shape[d] if n is None else n
    if size < 1:
        raise ShapeError(f"{name}: expected at least one element. Got {size} for {tuple(x.shape)}.")
    if size < x.shape[d]:
        return narrow(x, d, 0, size)
    if size == x.shape[d]:
        return x
    widths = [0] * (2 * (x.ndim - d))
    widths[-1] = size - x.shape[d]
    return pad_constant(x, pad=tuple(widths), value=0.0)


def _dims(name: str, x: Any, s: Any, dim: Any) -> tuple[tuple[int, ...], list[int | None]]:
    """Dimensions and sizes of a transform over several."""
    if dim is None:
        dims = tuple(range(x.ndim)) if s is None else tuple(range(x.ndim - len(s), x.ndim))
    else:
        given = (dim,) if isinstance(dim, int) else dim
        dims = tuple(normalized_dim(d, x.ndim, name) for d in given)
    sizes: list[int | None] = [None] * len(dims)
    if s is not None:
        sizes = [None if n == -1 else n for n in s]
    if len(sizes) != len(dims) or len(set(dims)) < len(dims):
        raise ShapeError(
            f"{name}: expected a size for each of different dimensions. Got {s}, {dim}."
        )
    return dims, sizes


def _complex(name: str, x: Any, s: Any, dim: Any, norm: Any, forward: bool) -> Any:
    x = _as_floating(name, x, True)
    dims, sizes = _dims(name, x, s, dim)
    for d, n in zip(dims, sizes, strict=True):
        x = _resized(name, x, d, n)
    if not dims:
        return x
    count = math.prod(x.shape[d] for d in dims)
    return fft_complex(x, dims=dims, forward=forward, factor=_factor(name, norm, count, forward))


def _real(name: str, x: Any, s: Any, dim: Any, norm: Any, forward: bool = True) -> Any:
    if x.dtype.is_complex:
        raise RuntimeError(f"{name}: expected real numbers. Got {x.dtype}.")
    x = _as_floating(name, x, False)
    dims, sizes = _dims(name, x, s, dim)
    if not dims:
        raise ShapeError(f"{name}: expected at least one dimension.")
    for d, n in zip(dims, sizes, strict=True):
        x = _resized(name, x, d, n)
    count = math.prod(x.shape[d] for d in dims)
    factor = _factor(name, norm, count, forward)
    x = fft_real(x, dim=dims[-1], factor=factor)
    if not forward:
        x = conj(x)
    if len(dims) > 1:
        x = fft_complex(x, dims=dims[:-1], forward=forward, factor=1.0)
    return x


def _to_real(name: str, x: Any, s: Any, dim: Any, norm: Any, forward: bool = False) -> Any:
    x = _as_floating(name, x, True)
    dims, sizes = _dims(name, x, s, dim)
    if not dims:
        raise ShapeError(f"{name}: expected at least one dimension.")
    last = sizes[-1] if sizes[-1] is not None else 2 * (x.shape[dims[-1]] - 1)
    if last < 1:
        raise ShapeError(f"{name}: expected a size of at least 1. Got {last}.")
    for d, n in zip(dims[:-1], sizes[:-1], strict=True):
        x = _resized(name, x, d, n)
    x = _resized(name, x, dims[-1], last // 2 + 1)
    count = math.prod(x.shape[d] for d in dims[:-1]) * last
    if len(dims) > 1:
        x = fft_complex(x, dims=dims[:-1], forward=forward, factor=1.0)
    if forward:
        x = conj(x)
    return fft_to_real(x, dim=dims[-1], size=last, factor=_factor(name, norm, count, forward))


@numpy_names
def fft(input: Spec, n: int | None = None, dim: int = -1, norm: str | None = None) -> Spec:
    """The discrete Fourier transform along `dim`, of n elements (cut off or followed by zeros)."""
    return _complex("fft", input, None if n is None else (n,), dim, norm, True)


@numpy_names
def ifft(input: Spec, n: int | None = None, dim: int = -1, norm: str | None = None) -> Spec:
    """The inverse of `fft`."""
    return _complex("ifft", input, None if n is None else (n,), dim, norm, False)


@numpy_names
def fft2(input: Spec, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Spec:
    """`fft` over two dimensions."""
    return _complex("fft2", input, s, dim, norm, True)


@numpy_names
def ifft2(input: Spec, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Spec:
    """The inverse of `fft2`."""
    return _complex("ifft2", input, s, dim, norm, False)


@numpy_names
def fftn(input: Spec, s: Any = None, dim: Any = None, norm: str | None = None) -> Spec:
    """`fft` over all dimensions, or those of `dim`."""
    return _complex("fftn", input, s, dim, norm, True)


@numpy_names
def ifftn(input: Spec, s: Any = None, dim: Any = None, norm: str | None = None) -> Spec:
    """The inverse of `fftn`."""
    return _complex("ifftn", input, s, dim, norm, False)


@numpy_names
def rfft(input: Spec, n: int | None = None, dim: int = -1, norm: str | None = None) -> Spec:
    """The first half of the transform of real numbers; the rest is its mirror."""
    return _real("rfft", input, None if n is None else (n,), dim, norm)


@numpy_names
def irfft(input: Spec, n: int | None = None, dim: int = -1, norm: str | None = None) -> Spec:
    """The inverse of `rfft`: n real numbers, an even number unless given."""
    return _to_real("irfft", input, None if n is None else (n,), dim, norm)


@numpy_names
def rfft2(input: Spec, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Spec:
    """`rfft` over two dimensions; the last is the halved one."""
    return _real("rfft2", input, s, dim, norm)


@numpy_names
def irfft2(input: Spec, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Spec:
    """The inverse of `rfft2`."""
    return _to_real("irfft2", input, s, dim, norm)


@numpy_names
def rfftn(input: Spec, s: Any = None, dim: Any = None, norm: str | None = None) -> Spec:
    """`rfft` over all dimensions, or those of `dim`; the last is the halved one."""
    return _real("rfftn", input, s, dim, norm)


@numpy_names
def irfftn(input: Spec, s: Any = None, dim: Any = None, norm: str | None = None) -> Spec:
    """The inverse of `rfftn`."""
    return _to_real("irfftn", input, s, dim, norm)


@numpy_names
def hfft(input: Spec, n: int | None = None, dim: int = -1, norm: str | None = None) -> Spec:
    """The real transform of a Hermitian signal, of which input is the first half."""
    return _to_real("hfft", input, None if n is None else (n,), dim, norm, forward=True)


@numpy_names
def ihfft(input: Spec, n: int | None = None, dim: int = -1, norm: str | None = None) -> Spec:
    """The inverse of `hfft`."""
    return _real("ihfft", input, None if n is None else (n,), dim, norm, forward=False)


@numpy_names
def hfft2(input: Spec, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Spec:
    """`hfft` over two dimensions."""
    return _to_real("hfft2", input, s, dim, norm, forward=True)


@numpy_names
def ihfft2(input: Spec, s: Any = None, dim: Any = (-2, -1), norm: str | None = None) -> Spec:
    """The inverse of `hfft2`."""
    return _real("ihfft2", input, s, dim, norm, forward=False)


@numpy_names
def hfftn(input: Spec, s: Any = None, dim: Any = None, norm: str | None = None) -> Spec:
    """`hfft` over all dimensions, or those of `dim`."""
    return _to_real("hfftn", input, s, dim, norm, forward=True)


@numpy_names
def ihfftn(input: Spec, s: Any = None, dim: Any = None, norm: str | None = None) -> Spec:
    """The inverse of `hfftn`."""
    return _real("ihfftn", input, s, dim, norm, forward=False)


def _shifted(name: str, input: Any, dim: Any, back: bool) -> Any:
    dims, _ = _dims(name, input, None, dim)
    halves = [(input.shape[d] + (1 if back else 0)) // 2 for d in dims]
    return roll(input, tuple(halves), dims)


@numpy_names
def fftshift(input: Spec, dim: int | Sequence[int] | None = None) -> Spec:
    """The zero frequency moved to the middle."""
    return _shifted("fftshift", input, dim, False)


@numpy_names
def ifftshift(input: Spec, dim: int | Sequence[int] | None = None) -> Spec:
    """The inverse of `fftshift`."""
    return _shifted("ifftshift", input, dim, True)
