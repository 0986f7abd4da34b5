"""What transforms have in common: samples taken apart, parameters drawn once, kinds told apart."""

from __future__ import annotations

from typing import Any

from PIL import Image as PIL

from ... import nn, rand
from ...core.tensor import Tensor
from ...utils._pytree import tree_flatten, tree_unflatten
from ..tv_tensors import BoundingBoxes, Image, KeyPoints, TVTensor, Video
from .conversion import get_dimensions
from .places import get_size

__all__ = ["Transform", "query_chw", "query_size"]


class Transform(nn.Module):
    """A transform of a sample: an image, or images, boxes, masks and anything else in nested
    tuples, lists and dicts, or as several arguments.

    A subclass writes `transform(inpt, params)`, and `make_params(flat_inputs)` if it draws numbers:
    they are drawn once for all parts of the sample. Parts of other types than `takes` stay as they
    are. Of plain tensors the first is the image, unless the sample has a PIL image, an `Image` or a
    `Video`; all others stay.
    """

    takes: tuple[type, ...] = (Tensor, PIL.Image)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What `transform` is given for every part of one sample."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One part of the sample, transformed."""
        raise NotImplementedError(f"{type(self).__name__} has no transform.")

    def forward(self, *inputs: Any) -> Any:
        """A sample -> a sample."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        if not isinstance(sample, tuple | list | dict):
            return self.transform(sample, self.make_params([sample]))
        leaves, spec = tree_flatten(sample)
        wanted = self.wanted(leaves)
        params = self.make_params([x for x, is_wanted in zip(leaves, wanted, strict=True)
                                   if is_wanted])  # fmt: skip
        done = [self.transform(x, params) if is_wanted else x
                for x, is_wanted in zip(leaves, wanted, strict=True)]  # fmt: skip
        return tree_unflatten(done, spec)

    def wanted(self, leaves: list[Any]) -> list[bool]:
        """For each part whether it is transformed, see the class."""
        has_image = any(isinstance(x, PIL.Image | Image | Video) for x in leaves)
        found = []
        for x in leaves:
            wants = isinstance(x, self.takes)
            if wants and isinstance(x, Tensor) and not isinstance(x, TVTensor):
                wants, has_image = not has_image, True
            found.append(wants)
        return found


class RandomlyApplied(Transform):
    """A transform of all parts with probability p, else of none."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: expected p between 0 and 1. Got {p}.")
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed or not."""
        if rand(1) >= self.p:
            return inputs if len(inputs) > 1 else inputs[0]
        return super().forward(*inputs)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


def query_size(flat_inputs: list[Any]) -> tuple[int, int]:
    """(height, width) of the images, masks and boxes of a sample. Raises: ValueError if they differ
    or there are none."""
    sizes = {tuple(get_size(x)) for x in flat_inputs if isinstance(x, Tensor | PIL.Image)}
    if len(sizes) != 1:
        raise ValueError(
            "transforms: expected images, masks and boxes of one size in a sample. Got "
            f"{', '.join(map(str, sorted(sizes))) or 'none'}."
        )
    height, width = sizes.pop()
    return height, width


def query_chw(flat_inputs: list[Any]) -> tuple[int, int, int]:
    """(channels, height, width) of the first image of a sample. Raises: ValueError without one."""
    for x in flat_inputs:
        if isinstance(x, PIL.Image | Image | Video) or type(x) is Tensor:
            channels, height, width = get_dimensions(x)
            return channels, height, width
    raise ValueError("transforms: expected an image in the sample. Got none.")


def fill_of(inpt: Any, fill: Any) -> Any:
    """The fill of one part: of a dict by kind (and "others") its own; a number for each channel of
    a tensor; None for boxes and points."""
    if isinstance(fill, dict):
        fill = fill.get(type(inpt), fill.get("others", 0))
    if isinstance(inpt, BoundingBoxes | KeyPoints):
        return None
    if isinstance(inpt, PIL.Image) or fill is None:
        return fill
    channels = get_dimensions(inpt)[0]
    return [float(fill)] * channels if isinstance(fill, int | float) else [float(f) for f in fill]
