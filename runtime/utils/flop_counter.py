"""Counting the multiplications and additions that products and convolutions take."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from ..core import observers
from ..core.tensor import Tensor
from ..profiler.flops import flops, is_counted

__all__ = ["FlopCounterMode"]


class FlopCounterMode(observers.Observer):
    """Within the block, counts what matrix products, convolutions and attention take, forward and
    backward: a product with its sum counts as two. Prints a table at the end if `display`.

    `mods`, `depth` and `custom_mapping` are PyTorch's and change nothing: counts are by operation
    (`%summary` and `%profile` have them by module).
    """

    def __init__(
        self, mods: Any = None, depth: int = 2, display: bool = True, custom_mapping: Any = None
    ) -> None:
        self.display = display
        self.flop_counts: Counter[str] = Counter()
        self._last = 0  # of the operation that was just done

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts.clear()
        observers.subscribe(self)
        return self

    def __exit__(self, *failure: Any) -> None:
        observers.unsubscribe(self)
        if self.display and failure[0] is None:
            print(self.get_table())

    def operation_done(
        self, name: str, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...], seconds: float
    ) -> None:
        """Count a product."""
        self._last = 0
        if is_counted(name):
            shapes = [tuple(x.shape) for x in inputs if isinstance(x, Tensor)]
            self._last = flops(name, shapes, tuple(outputs[0].shape))
            self.flop_counts[name] += self._last

    def node_recorded(self, node: Any) -> None:
        """Remember what its operation took."""
        if self._last:
            node.metadata["flops"] = self._last

    def backward_left(self, node: Any, gradients: tuple[Any, ...], seconds: float) -> None:
        """Each gradient of a product's matrices takes as much as the product."""
        taken = node.metadata.get("flops")
        if taken:
            matrices = sum(getattr(g, "ndim", 0) > 1 for g in gradients)
            self.flop_counts[node.name()] += taken * matrices

    def get_total_flops(self) -> int:
        """All of them."""
        return self.flop_counts.total()

    def get_flop_counts(self) -> dict[str, dict[str, int]]:
        """By operation, for all modules together, which PyTorch calls "Global"."""
        return {"Global": dict(self.flop_counts)}

    def get_table(self, depth: int | None = None) -> str:
        """Operations, the largest first, with their counts and shares."""
        total = max(self.get_total_flops(), 1)
        rows = [("all", self.get_total_flops()), *self.flop_counts.most_common()]
        width = max(len(name) for name, _ in rows)
        return "\n".join(
            f"{name:<{width}}  {_amount(count):>9}  {100 * count / total:5.1f} %"
            for name, count in rows
        )


def _amount(count: int) -> str:
    power = min(int(math.log10(count)) // 3, 5) if count else 0
    return f"{count / 1000**power:.3g} {['', 'K', 'M', 'G', 'T', 'P'][power]}FLOP"
