"""Forward mode: tangents that follow a computation.

    >>> with forward_ad.dual_level():
    ...     x = forward_ad.make_dual(torch.tensor(3.0), torch.tensor(1.0))
    ...     forward_ad.unpack_dual(x**2).tangent
    tensor(6.)

The computation is recorded, and the tangent of a result comes from two backward passes when
`unpack_dual` asks for it: the product with a vector from the left is linear in that vector, and its
derivative is the product from the right.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from ..core.tensor import Tensor
from ..errors import DTypeError, ShapeError
from .engine import grad
from .functional import own_leaf, reaches_others
from .grad_mode import enable_grad, is_grad_enabled

__all__ = [
    "UnpackedDualTensor", "dual_level", "enter_dual_level", "exit_dual_level", "make_dual",
    "unpack_dual",
]  # fmt: skip


class UnpackedDualTensor(NamedTuple):
    """A value, and its tangent: None if no dual tensor enters it."""

    primal: Tensor
    tangent: Tensor | None


class _State(threading.local):
    """The dual tensors of the level that is open in a thread; None if none is."""

    duals: list[tuple[Tensor, UnpackedDualTensor]] | None = None


_state = _State()


def enter_dual_level() -> int:
    """Begin to follow tangents. Raises: RuntimeError inside another level."""
    if _state.duals is not None:
        raise RuntimeError(
            "dual_level: expected no level to be open, as levels do not nest. Use "
            "torch.func.jvp for derivatives of derivatives."
        )
    _state.duals = []
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Forget all tangents. Raises: RuntimeError outside of a level."""
    if _state.duals is None:
        raise RuntimeError("exit_dual_level: expected a level to be open.")
    _state.duals = None


class dual_level:
    """A `with` block in which tensors can have tangents."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exception: object) -> None:
        exit_dual_level()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A view of `tensor` that carries `tangent`, of its shape and dtype, through what is computed
    from it.

    Raises: RuntimeError outside of a level, ShapeError and DTypeError for a tangent that does not
    fit.
    """
    if _state.duals is None:
        raise RuntimeError("make_dual: expected a level to be open. Use `with dual_level():`.")
    if not (tensor.is_floating_point() or tensor.is_complex()):
        raise DTypeError(f"make_dual: expected a floating-point tensor. Got {tensor.dtype}.")
    if tuple(tangent.shape) != tuple(tensor.shape):
        raise ShapeError(
            f"make_dual: expected a tangent of shape {tuple(tensor.shape)}, as the tensor's. Got "
            f"{tuple(tangent.shape)}."
        )
    if tangent.dtype is not tensor.dtype:
        raise DTypeError(
            f"make_dual: expected a tangent of {tensor.dtype}, as the tensor's. Got "
            f"{tangent.dtype}."
        )
    with enable_grad():
        dual = own_leaf(tensor, True)
    _state.duals.append((dual, UnpackedDualTensor(tensor, tangent)))
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value of `tensor` and its tangent, which it has only while a level is open."""
    for dual, parts in _state.duals or ():
        if dual is tensor:
            return parts
    if not tensor.requires_grad or not _state.duals:
        return UnpackedDualTensor(tensor, None)
    tied = is_grad_enabled() and reaches_others([tensor], [d for d, _ in _state.duals])
    return UnpackedDualTensor(
        tensor if tied else tensor.detach(), _tangent(tensor, _state.duals, tied)
    )


def _tangent(
    result: Tensor, duals: list[tuple[Tensor, UnpackedDualTensor]], tied: bool
) -> Tensor | None:
    with enable_grad():
        weight = (result.detach() * 0).requires_grad_()
        slopes = grad(result, [d for d, _ in duals], weight, True, True, allow_unused=True)
        pairs = [
            (s, parts.tangent) for s, (_, parts) in zip(slopes, duals, strict=True) if s is not None
        ]
        if not pairs:
            return None
        active = [(s, v) for s, v in pairs if s.requires_grad]
        if not active:
            return result.detach() * 0
        is_recorded = tied or any(v is not None and v.requires_grad for _, v in active)
        (found,) = grad(
            [s for s, _ in active],
            weight,
            [v for _, v in active],
            True,
            is_recorded,
            allow_unused=True,
        )
    return result.detach() * 0 if found is None else found
