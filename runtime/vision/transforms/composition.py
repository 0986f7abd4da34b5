"""Transforms of transforms: in turn, at random, in any order. They take a sample as their parts
do, an image or several arguments."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ... import nn, rand

__all__ = ["Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder"]


def in_turn(transforms: Iterable[Callable[..., Any]], inputs: tuple[Any, ...]) -> Any:
    """What the last transform makes of what those before it made of the sample."""
    sample = inputs if len(inputs) > 1 else inputs[0]
    for transform in transforms:
        sample = transform(*sample) if len(inputs) > 1 else transform(sample)
    return sample


def listed(transforms: Iterable[Any], *first: str) -> str:
    """The lines between the brackets of a repr."""
    return "".join(f"\n    {x}" for x in (*first, *transforms)) + "\n"


class Compose:
    """Transforms in turn."""

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, *inputs: Any) -> Any:
        return in_turn(self.transforms, inputs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({listed(self.transforms)})"


class Lambda:
    """A function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: expected a function. Got {type(lambd)}.")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class RandomApply(nn.Module):
    """Transforms in turn, with probability p."""

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 0.5) -> None:
        super().__init__()
        self.transforms, self.p = transforms, p

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed or not."""
        if self.p < rand(1):
            return inputs if len(inputs) > 1 else inputs[0]
        return in_turn(self.transforms, inputs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({listed(self.transforms, f'p={self.p}')})"


class RandomChoice(Compose):
    """One of the transforms, as often as `p` tells; drawn by Python's own generator."""

    def __init__(
        self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None
    ) -> None:
        super().__init__(transforms)
        if p is not None and len(p) != len(self.transforms):
            raise ValueError(
                f"RandomChoice: expected a probability for each of {len(self.transforms)} "
                f"transforms. Got {len(p)}."
            )
        self.p = p

    def __call__(self, *inputs: Any) -> Any:
        return random.choices(self.transforms, weights=self.p)[0](*inputs)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"


class RandomOrder(Compose):
    """The transforms in an order drawn by Python's own generator."""

    def __call__(self, *inputs: Any) -> Any:
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        return in_turn([self.transforms[k] for k in order], inputs)
