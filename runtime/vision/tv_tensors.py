"""Tensors that know what they are in a sample: an image, a mask, boxes, key points.

Transforms treat each by its kind: a turned image turns its boxes and masks with it. Operations give
plain tensors; `clone`, `detach` and `to` keep the kind, and `wrap` gives it back.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar

from .. import as_tensor
from ..core import overriding
from ..core.tensor import Tensor
from ..errors import ShapeError

__all__ = [
    "BoundingBoxFormat", "BoundingBoxes", "Image", "KeyPoints", "Mask", "TVTensor", "Video", "wrap",
]  # fmt: skip

Kind = TypeVar("Kind", bound="TVTensor")


def _pixels(data: Any) -> Any:
    """A PIL image as a tensor; other data as it is."""
    if not hasattr(data, "getbands"):
        return data
    from .transforms.conversion import pil_to_tensor

    return pil_to_tensor(data)


class BoundingBoxFormat(Enum):
    """The four numbers of a box: two corners, a corner and sizes, or the centre and sizes."""

    XYXY = "XYXY"
    XYWH = "XYWH"
    CXCYWH = "CXCYWH"


class TVTensor(Tensor):
    """A tensor with a kind. `facts`: the attributes that belong to it."""

    __torch_function__ = overriding.disabled_implementation
    facts: tuple[str, ...] = ()

    def __new__(
        cls,
        data: Any,
        *,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool | None = None,
    ) -> Any:
        x = as_tensor(data, dtype=dtype, device=device)
        wants = (isinstance(data, Tensor) and data.requires_grad
                 if requires_grad is None else requires_grad)  # fmt: skip
        return x.detach().as_subclass(cls).requires_grad_(wants)

    def _like(self, value: Tensor, **facts: Any) -> Any:
        """`value` as one of this kind, with `facts` of its own and the others of this one."""
        out = value.as_subclass(type(self))
        for name in self.facts:
            setattr(out, name, facts.get(name, getattr(self, name)))
        return out

    def plain(self) -> Tensor:
        """The same elements, of no kind."""
        return self.as_subclass(Tensor)

    def clone(self, **options: Any) -> Any:
        """A copy of the same kind."""
        return self._like(super().clone(**options))

    def detach(self) -> Any:
        """An alias of the same kind that records nothing."""
        return self._like(super().detach())

    def to(self, *args: Any, **options: Any) -> Any:
        """The same kind in another type or place."""
        return self._like(super().to(*args, **options))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        known = {name: copy.deepcopy(getattr(self, name), memo) for name in self.facts}
        memo[id(self)] = out = self._like(copy.deepcopy(self.plain(), memo), **known)
        return out

    def __repr__(self) -> str:
        known = "".join(f", {name}={getattr(self, name)}" for name in self.facts)
        return f"{type(self).__name__}({self.plain()!r}{known})"


class Image(TVTensor):
    """(..., C, H, W), of a tensor, an array or a PIL image; (H, W) gets one channel."""

    def __new__(cls, data: Any, **options: Any) -> Any:
        x = super().__new__(cls, _pixels(data), **options)
        if x.ndim < 2:
            raise ShapeError(f"Image: expected (..., C, H, W). Got shape {tuple(x.shape)}.")
        return x._like(x.plain()[None]) if x.ndim == 2 else x


class Video(TVTensor):
    """(..., T, C, H, W)."""

    def __new__(cls, data: Any, **options: Any) -> Any:
        x = super().__new__(cls, data, **options)
        if x.ndim < 4:
            raise ShapeError(f"Video: expected (..., T, C, H, W). Got shape {tuple(x.shape)}.")
        return x


class Mask(TVTensor):
    """(..., H, W): truth values of objects, or the class of each pixel."""

    def __new__(cls, data: Any, **options: Any) -> Any:
        return super().__new__(cls, _pixels(data), **options)


class _Placed(TVTensor):
    """What lies at places of an image of `canvas_size` (height, width)."""

    facts = ("canvas_size",)
    canvas_size: tuple[int, int]
    numbers: int

    @classmethod
    def _placed(cls, data: Any, canvas_size: Sequence[int], options: dict[str, Any]) -> Any:
        x = TVTensor.__new__(cls, data, **options)
        if x.ndim == 1 and len(x) == cls.numbers:
            x = x.plain()[None].as_subclass(cls)
        elif x.ndim == 1 and not len(x):  # a list of none
            x = x.plain().reshape(0, cls.numbers).as_subclass(cls)
        if x.ndim == 0 or x.shape[-1] != cls.numbers:
            raise ShapeError(
                f"{cls.__name__}: expected {cls.numbers} numbers each, shape (..., {cls.numbers}). "
                f"Got shape {tuple(x.shape)}."
            )
        x.canvas_size = (int(canvas_size[0]), int(canvas_size[1]))
        return x


class BoundingBoxes(_Placed):
    """(N, 4) boxes in an image of `canvas_size` (height, width); `format`: XYXY, XYWH or CXCYWH.
    Raises: RuntimeError for other shapes, ValueError for another format."""

    facts = ("format", "canvas_size")
    format: BoundingBoxFormat
    numbers = 4

    def __new__(cls, data: Any, *, format: Any, canvas_size: Sequence[int], **options: Any) -> Any:
        x = cls._placed(data, canvas_size, options)
        x.format = box_format(format)
        return x


class KeyPoints(_Placed):
    """(..., 2) points x, y in an image of `canvas_size` (height, width)."""

    numbers = 2

    def __new__(cls, data: Any, *, canvas_size: Sequence[int], **options: Any) -> Any:
        return cls._placed(data, canvas_size, options)


def box_format(format: Any) -> BoundingBoxFormat:
    """The format itself, or the one of that name. Raises: ValueError."""
    name = format.upper() if isinstance(format, str) else format
    try:
        return BoundingBoxFormat(name)
    except ValueError:
        names = ", ".join(BoundingBoxFormat.__members__)
        raise ValueError(f"boxes: expected a format of {names}. Got {format!r}.") from None


def wrap(value: Tensor, *, like: Kind, **facts: Any) -> Kind:
    """`value` as one of the kind of `like`, with its `canvas_size` and `format` unless given."""
    return like._like(value, **facts)
