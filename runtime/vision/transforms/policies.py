"""AutoAugment: pairs of operations that a search has found for a data set."""

from __future__ import annotations

from enum import Enum
from typing import Any

from ... import rand, randint
from .augmentation import SIGNED, Augment, magnitude_of, most_of
from .conversion import InterpolationMode

__all__ = ["AutoAugment", "AutoAugmentPolicy"]

BINS = 10
SHORT = {
    "Inv": "Invert", "Con": "Contrast", "Rot": "Rotate", "TrX": "TranslateX", "TrY": "TranslateY",
    "Sha": "Sharpness", "ShX": "ShearX", "ShY": "ShearY", "AuC": "AutoContrast", "Equ": "Equalize",
    "Pos": "Posterize", "Col": "Color", "Bri": "Brightness", "Sol": "Solarize",
}  # fmt: skip
IMAGENET = """
Pos 4 8 Rot 6 9, Sol 6 5 AuC 6 -, Equ 8 - Equ 6 -, Pos 6 7 Pos 6 6, Equ 4 - Sol 2 4,
Equ 4 - Rot 8 8, Sol 6 3 Equ 6 -, Pos 8 5 Equ 10 -, Rot 2 3 Sol 6 8, Equ 6 - Pos 4 6,
Rot 8 8 Col 4 0, Rot 4 9 Equ 6 -, Equ 0 - Equ 8 -, Inv 6 - Equ 10 -, Col 6 4 Con 10 8,
Rot 8 8 Col 10 2, Col 8 8 Sol 8 7, Sha 4 7 Inv 6 -, ShX 6 5 Equ 10 -, Col 4 0 Equ 6 -,
Equ 4 - Sol 2 4, Sol 6 5 AuC 6 -, Inv 6 - Equ 10 -, Col 6 4 Con 10 8, Equ 8 - Equ 6 -"""
CIFAR10 = """
Inv 1 - Con 2 6, Rot 7 2 TrX 3 9, Sha 8 1 Sha 9 3, ShY 5 8 TrY 7 9, AuC 5 - Equ 9 -,
ShY 2 7 Pos 3 7, Col 4 3 Bri 6 7, Sha 3 9 Bri 7 9, Equ 6 - Equ 5 -, Con 6 7 Sha 6 5,
Col 7 7 TrX 5 8, Equ 3 - AuC 4 -, TrY 4 3 Sha 2 6, Bri 9 6 Col 2 8, Sol 5 2 Inv 0 -,
Equ 2 - AuC 6 -, Equ 2 - Equ 6 -, Col 9 9 Equ 6 -, AuC 8 - Sol 2 8, Bri 1 3 Col 7 0,
Sol 4 5 AuC 9 -, TrY 9 9 TrY 7 9, AuC 9 - Sol 8 3, Equ 8 - Inv 1 -, TrY 7 9 AuC 9 -"""
SVHN = """
ShX 9 4 Inv 2 -, ShY 9 8 Inv 7 -, Equ 6 - Sol 6 6, Inv 9 - Equ 6 -, Equ 6 - Rot 9 3,
ShX 9 4 AuC 8 -, ShY 9 8 Inv 4 -, ShY 9 5 Sol 2 6, Inv 9 - AuC 8 -, Equ 6 - Rot 9 3,
ShX 9 4 Sol 3 3, ShY 8 8 Inv 7 -, Equ 9 - TrY 6 6, Inv 9 - Equ 6 -, Con 3 3 Rot 8 4,
Inv 8 - TrY 0 2, ShY 7 6 Sol 4 8, Inv 6 - Rot 8 4, ShY 3 7 TrX 9 3, ShX 1 6 Inv 6 -,
Sol 7 2 TrY 6 7, ShY 8 4 Inv 8 -, ShX 7 9 TrY 8 3, ShY 8 5 AuC 7 -, ShX 7 2 Inv 1 -"""
"""Of both operations of each pair the name, the probability in tenths and the bin of the magnitude.
Source: arXiv:1805.09501, tables 7 to 9."""


class AutoAugmentPolicy(Enum):
    """The data set that a policy was found on."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


TABLES = {"imagenet": IMAGENET, "cifar10": CIFAR10, "svhn": SVHN}


def _pairs(table: str) -> list[list[tuple[str, float, int | None]]]:
    found = []
    for pair in table.split(","):
        words = pair.split()
        found.append([
            (SHORT[name], int(tenths) / 10, None if place == "-" else int(place))
            for name, tenths, place in (words[:3], words[3:])
        ])  # fmt: skip
    return found


class AutoAugment(Augment):
    """One pair of the policy drawn at random, each operation with its probability, on PIL images or
    bytes. Source: arXiv:1805.09501."""

    def __init__(
        self,
        policy: Any = AutoAugmentPolicy.IMAGENET,
        interpolation: Any = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__(BINS, interpolation, fill)
        self.policy = AutoAugmentPolicy(policy)
        self.policies = _pairs(TABLES[self.policy.value])

    def steps(self, height: int, width: int) -> list[tuple[str, float]]:
        """See `Augment`."""
        pair = self.policies[int(randint(len(self.policies), (1,)))]
        chances, signs = rand(2).tolist(), randint(2, (2,)).tolist()
        found = []
        for (name, p, place), chance, sign in zip(pair, chances, signs, strict=True):
            if chance <= p:
                magnitude = strength(name, place, height, width)
                found.append((name, -magnitude if name in SIGNED and sign == 0 else magnitude))
        return found

    def extra_repr(self) -> str:
        """The policy and the fill."""
        return f"policy={self.policy}, fill={self.fill}"


def strength(name: str, place: int | None, height: int, width: int) -> float:
    """The magnitude of a bin; 0 for operations that have none."""
    return 0.0 if place is None else magnitude_of(name, most_of(name, height, width), place, BINS)
