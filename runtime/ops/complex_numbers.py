"""Complex numbers: their parts, conjugates, angles, and how they lie in memory."""

from __future__ import annotations

import math
from typing import Any

from ..core import dtypes
from ..errors import DTypeError, ShapeError
from . import shapes
from .declare import Spec, composite, primitive

__all__ = [
    "angle",
    "complex",
    "conj",
    "conj_physical",
    "imag",
    "is_conj",
    "is_neg",
    "isreal",
    "polar",
    "real",
    "resolve_conj",
    "resolve_neg",
    "sgn",
    "view_as_complex",
    "view_as_real",
]


def _require_complex(name: str, input: Any) -> None:
    if not input.dtype.is_complex:
        raise DTypeError(f"{name}: expected complex numbers. Got {input.dtype}.")


@primitive(name="conj", node_name="Conj", is_holomorphic=False)
def conjugated(input: Spec) -> Spec:
    """The complex conjugate."""
    return Spec(input.shape, input.dtype)


@conjugated.array
def conj_array(xp: Any, input: Any) -> Any:
    """NumPy's own; a copy."""
    return xp.conj(input)


@conjugated.vjp()
def conj_vjp(F: Any, g: Any, needs: Any, input: Any) -> Any:
    """The conjugate of g."""
    return F.conj(g)


def conj(input: Spec) -> Spec:
    """The complex conjugate; a real tensor itself."""
    return conjugated(input) if input.dtype.is_complex else input


def _part(name: str, doc: str) -> Any:
    def rule(input: Spec) -> Spec:
        _require_complex(name, input)
        strides = tuple(2 * s for s in input.stride())
        return Spec(input.shape, input.dtype.to_real(), strides)

    rule.__name__, rule.__doc__, rule.__module__ = f"{name}_part", doc, __name__
    function = primitive(
        rule, name=f"{name}_part", node_name=name.capitalize(), is_view=True, is_holomorphic=False
    )

    @function.array
    def array(xp: Any, input: Any) -> Any:
        return getattr(input, name)

    @function.vjp()
    def vjp(F: Any, g: Any, needs: Any, input: Any) -> Any:
        zero = F.mul(g, 0)
        return F.complex(g, zero) if name == "real" else F.complex(zero, g)

    return function


real_part = _part("real", "A view of the real parts.")
imag_part = _part("imag", "A view of the imaginary parts.")


def real(input: Spec) -> Spec:
    """A view of the real parts; a real tensor itself."""
    return real_part(input) if input.dtype.is_complex else input


def imag(input: Spec) -> Spec:
    """A view of the imaginary parts. Raises: RuntimeError for a real tensor."""
    _require_complex("imag", input)
    return imag_part(input)


@primitive(name="complex", node_name="Complex")
def combined(real: Spec, imag: Spec) -> Spec:
    """real + 1j * imag."""
    from .shapes import broadcast

    return Spec(broadcast("complex", {"real": real, "imag": imag}), real.dtype.to_complex())


@combined.array
def complex_array(xp: Any, real: Any, imag: Any) -> Any:
    """Both parts written."""
    kind = xp.complex128 if real.dtype == xp.float64 else xp.complex64
    out = xp.empty(xp.broadcast_shapes(real.shape, imag.shape), kind)
    out.real, out.imag = real, imag
    return out


@combined.vjp()
def complex_vjp(F: Any, g: Any, needs: Any, real: Any, imag: Any) -> Any:
    """The parts of g."""
    return F.sum_to(F.real_part(g), like=real), F.sum_to(F.imag_part(g), like=imag)


def complex(real: Spec, imag: Spec) -> Spec:
    """real + 1j * imag. Raises: RuntimeError for other than float32 or float64 of one dtype."""
    if real.dtype not in (dtypes.float32, dtypes.float64) or imag.dtype is not real.dtype:
        raise DTypeError(
            f"complex: expected two tensors of torch.float32 or torch.float64. Got {real.dtype} "
            f"and {imag.dtype}."
        )
    return combined(real, imag)


@primitive(is_view=True, is_holomorphic=False)
def view_as_real(input: Spec) -> Spec:
    """A view of complex numbers as pairs of real ones, in a new last dimension of 2."""
    _require_complex("view_as_real", input)
    strides = (*(2 * s for s in input.stride()), 1)
    return Spec((*input.shape, 2), input.dtype.to_real(), strides)


@view_as_real.array
def view_as_real_array(xp: Any, input: Any) -> Any:
    """The same memory as reals of half the size."""
    if input.dtype.kind != "c":
        raise ValueError("no complex numbers")
    kind = xp.float64 if input.dtype.itemsize == 16 else xp.float32
    return input[..., None].view(kind)


@view_as_real.vjp()
def view_as_real_vjp(F: Any, g: Any, needs: Any, input: Any) -> Any:
    """Pairs as complex numbers."""
    return F.complex(F.select_at(g, dim=-1, index=0), F.select_at(g, dim=-1, index=1))


@primitive(is_view=True)
def view_as_complex(input: Spec) -> Spec:
    """A view of pairs of float32 or float64 along the last dimension as complex numbers.

    Raises: RuntimeError unless the last dimension has 2 elements that are neighbours.
    """
    shape, strides = tuple(input.shape), tuple(input.stride())
    if not shape or shape[-1] != 2 or strides[-1] != 1 or any(s % 2 for s in strides[:-1]):
        raise ShapeError(
            f"view_as_complex: expected pairs of neighbours in the last dimension. Got shape "
            f"{shape}, strides {strides}."
        )
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise DTypeError(
            f"view_as_complex: expected torch.float32 or torch.float64. Got {input.dtype}."
        )
    return Spec(shape[:-1], input.dtype.to_complex(), tuple(s // 2 for s in strides[:-1]))


@view_as_complex.array
def view_as_complex_array(xp: Any, input: Any) -> Any:
    """The same memory as numbers of twice the size."""
    if input.shape[-1:] != (2,) or any(s % (2 * input.dtype.itemsize) for s in input.strides[:-1]):
        raise ValueError("no pairs")
    return input.view(xp.complex128 if input.dtype == xp.float64 else xp.complex64)[..., 0]


@view_as_complex.vjp()
def view_as_complex_vjp(F: Any, g: Any, needs: Any, input: Any) -> Any:
    """The parts of g side by side."""
    return F.stack([F.real_part(g), F.imag_part(g)], dim=-1)


@composite
def polar(F: Any, abs: Spec, angle: Spec) -> Spec:
    """The complex numbers of the given absolute values and angles."""
    shapes.require_tensors("polar", abs=abs, angle=angle)
    return F.complex(F.mul(abs, F.cos(angle)), F.mul(abs, F.sin(angle)))


@composite
def angle(F: Any, input: Spec) -> Spec:
    """The angle in radians; of real numbers 0, or pi below 0."""
    if input.dtype.is_complex:
        return F.atan2(F.imag_part(input), F.real_part(input))
    size = F.abs(input) if input.dtype.is_floating_point else F.divide(input, 1)
    turned = F.where(F.lt(input, 0), math.pi, F.mul(size, 0))
    return F.where(F.isnan(size), size, turned)


@primitive(name="complex_abs", node_name="Abs", is_holomorphic=False)
def complex_abs(input: Spec) -> Spec:
    """|input|, real."""
    return Spec(input.shape, input.dtype.to_real())


@complex_abs.array
def complex_abs_array(xp: Any, input: Any) -> Any:
    """Without overflow of the squares."""
    return xp.absolute(input)


@complex_abs.vjp(saves="input")
def complex_abs_vjp(F: Any, g: Any, needs: Any, input: Any) -> Any:
    """g in the direction of input; 0 at 0."""
    return F.mul(g, F.complex_sgn(input))


@primitive(name="complex_sgn", node_name="Sgn", is_holomorphic=False)
def complex_sgn(input: Spec) -> Spec:
    """input / |input|, 0 at 0."""
    return Spec(input.shape, input.dtype)


@complex_sgn.array
def complex_sgn_array(xp: Any, input: Any) -> Any:
    """The divisor is guarded at 0."""
    size = xp.absolute(input)
    return input / xp.where(size == 0, size.dtype.type(1), size)


@complex_sgn.vjp(saves="input out")
def complex_sgn_vjp(F: Any, g: Any, needs: Any, input: Any, out: Any) -> Any:
    """What of g is across the direction of input, over |input|; 0 at 0."""
    size = F.complex_abs(input)
    is_zero = F.eq(size, 0.0)
    along = F.mul(out, F.real_part(F.mul(F.conj(out), g)))
    across = F.divide(F.minus(g, along), F.where(is_zero, 1.0, size))
    return F.where(is_zero, 0.0, across)


@composite
def sgn(F: Any, input: Spec) -> Spec:
    """input / |input|, 0 at 0; the sign of real numbers."""
    if not input.dtype.is_complex:
        return F.sign(input)
    return F.complex_sgn(input)


conj_physical = conj


def resolve_conj(input: Spec) -> Spec:
    """input: conjugates are always computed here."""
    return input


resolve_neg = resolve_conj


def isreal(input: Spec) -> Spec:
    """Whether the imaginary part is 0."""
    if input.dtype.is_complex:
        return imag(input) == 0
    return input.new_ones(input.shape, dtype=dtypes.bool_)


def is_conj(input: Spec) -> bool:
    """False: conjugates are always computed here."""
    return False


is_neg = is_conj
