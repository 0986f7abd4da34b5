"""What gradients tell, in words: vanishing, exploding, dead units, steps too large or too small."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..base import counted, joined
from ..statistics import Statistics
from .watch import GradientTrace

VANISHING = 1e-4
"""Ratio of the smallest to the largest root mean square of weight gradients below which they are
said to vanish. Glorot and Bengio (2010) saw factors of 10 to 100 where training still went on."""

EXPLODING = 1e3
"""A norm above which a step is likely to leave the region where the gradient holds."""

UPDATE_HIGH, UPDATE_LOW = 0.1, 1e-6
"""|update| / |weight| outside of which a step is said to be too large or too small; about 1e-3 is
usual."""

DEAD_SHARE = 0.1  # of the units of a layer, from which dead ones are told of


def findings(trace: GradientTrace, names: Mapping[int, str], without: list[str]) -> list[str]:
    """What is worth knowing about the last pass, the gravest first."""
    last = trace.last
    found = []
    if last.trouble is not None:
        node, made = last.trouble.node, last.trouble.made
        place = f", recorded at {node.line}" if node.line is not None else ""
        module = f" in {node.module}" if node.module else ""
        found.append(f"{node.name} was the first to make {made.trouble()}{module}{place}")
    leaves = {names[key]: s for key, s in last.leaves.items() if key in names}
    weights = {name: s for name, s in leaves.items() if len(s.shape) > 1 and s.is_finite}
    found += _vanishing(weights)
    found += _exploding(weights)
    zero = [name for name, s in leaves.items() if s.zeros == 1.0 and s.is_finite]
    if zero:
        found.append(f"The whole gradient is zero: {_listed(zero)}")
    if without:
        found.append(f"No gradient at all: {_listed(without)}")
    for units in trace.dead.values():
        if units.dead >= max(1, DEAD_SHARE * units.units):
            where = f" of {units.module}" if units.module else ""
            at = f", {units.line}" if units.line is not None else ""
            text = f"{units.dead} of {counted(units.units, 'unit', 'units')}{where}"
            found.append(f"{text} gave 0 for the whole batch{at}")
    weighty = {k for k, s in last.leaves.items() if len(s.shape) > 1}
    return found + _updates({names.get(k, ""): u for k, u in last.updates.items() if k in weighty})


def _rms(statistics: Statistics) -> float:
    return statistics.norm / math.sqrt(math.prod(statistics.shape) or 1)


def _vanishing(weights: Mapping[str, Statistics]) -> list[str]:
    sizes = {name: _rms(s) for name, s in weights.items() if s.zeros < 1.0}
    if len(sizes) < 2:
        return []
    small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[small] >= VANISHING * sizes[large]:
        return []
    order = list(sizes)
    first, last = sorted((order.index(small), order.index(large)))
    values = [sizes[name] for name in order[first : last + 1]]
    layers = max(1, len(values) - 1)
    factor = (sizes[large] / sizes[small]) ** (1 / layers)
    return [
        f"Gradients vanish: {sizes[large]:.1e} a weight at {large}, {sizes[small]:.1e} at {small}, "
        f"on average {factor:.1f} times less a layer"
    ]


def _exploding(weights: Mapping[str, Statistics]) -> list[str]:
    large = {name: s.norm for name, s in weights.items() if s.norm > EXPLODING}
    if not large:
        return []
    worst = max(large, key=large.__getitem__)
    return [f"Gradients explode: norm {large[worst]:.1e} at {worst}; %clip 1.0 would limit it"]


def _updates(updates: Mapping[str, float]) -> list[str]:
    """Of weights alone: a bias begins near 0, and its first steps are large beside it."""
    high = [name for name, u in updates.items() if u > UPDATE_HIGH and name]
    low = [name for name, u in updates.items() if u < UPDATE_LOW and name]
    found = []
    if high:
        worst = max(high, key=lambda name: updates[name])
        size = f"{updates[worst]:.0%}" if math.isfinite(updates[worst]) else "all"
        found.append(
            f"The last step changed {_listed(high)} by up to {size} of its norm; a smaller "
            "learning rate, or a longer warm-up, may serve"
        )
    if low and len(low) == len(updates):
        found.append("The last step changed no parameter by a millionth of its norm")
    return found


def _listed(names: list[str]) -> str:
    return joined([*names[:4], f"{len(names) - 4} more"] if len(names) > 5 else names)
