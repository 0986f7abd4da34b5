"""What a transform does to each kind of tensor: images, masks, boxes and key points.

A function of pixels that is `typed` takes them all. Images come back as images. Masks move as
images do, by their nearest pixels, and keep their values. Boxes and key points move as the function
of the same name does that is `placed` in the module `places`; where there is none they stay.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ...core.tensor import Tensor
from ..tv_tensors import BoundingBoxes, KeyPoints, Mask, TVTensor

PLACED: dict[str, Callable[..., Any]] = {}
"""By the name of the function of pixels, what moves boxes and key points alike."""


def placed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register what moves boxes and key points where the function of that name moves pixels."""
    PLACED[function.__name__] = function
    return function


def typed(moves: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function of pixels as one of all kinds. `moves`: masks move too, else they stay."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)
        chooses = "interpolation" in signature.parameters
        name = function.__name__

        @functools.wraps(function)
        def call(img: Any, *args: Any, **options: Any) -> Any:
            if not isinstance(img, TVTensor):
                return function(img, *args, **options)
            if isinstance(img, BoundingBoxes | KeyPoints):
                move = PLACED.get(name)
                return img if move is None else move(img, *args, **options)
            if isinstance(img, Mask):
                if not moves:
                    return img
                if chooses:
                    bound = signature.bind(img, *args, **options)
                    bound.arguments["interpolation"] = "nearest"
                    args, options = bound.args[1:], bound.kwargs
            return _wrapped(function(img.plain(), *args, **options), img)

        return call

    return decorate


def _wrapped(result: Any, like: TVTensor) -> Any:
    if isinstance(result, tuple):
        return tuple(_wrapped(part, like) for part in result)
    return like._like(result) if isinstance(result, Tensor) else result
