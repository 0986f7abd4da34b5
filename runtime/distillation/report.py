"""How much each term of a distillation adds to the loss."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.tensor import Tensor
from .loss import wide


@dataclass(frozen=True)
class Share:
    """One term: its weight, the mean of its loss, and its share of the total."""

    name: str
    weight: float
    loss: float
    share: float


@dataclass(frozen=True)
class Report:
    """Means over the calls in training mode since the last reset; as text, a table."""

    terms: list[Share]
    total: float
    calls: int

    def __str__(self) -> str:
        if not self.calls:
            return "No call in training mode yet."
        rows = [("term", "weight", "loss", "share")]
        rows += [(t.name, f"{t.weight:g}", f"{t.loss:.4g}", f"{t.share:.1%}") for t in self.terms]
        rows.append(("total", "", f"{self.total:.4g}", f"{self.calls} calls"))
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *(row[k].rjust(widths[k]) for k in (1, 2, 3))])
            for row in rows
        )

    __repr__ = __str__


class Tally:
    """Sums of losses that stay on their device until somebody asks for them."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.weighted: dict[str, Tensor] = {}
        self.calls = 0

    def add(self, name: str, weight: float, loss: Tensor) -> None:
        """Count one loss of a term."""
        loss = wide(loss.detach())
        for sums, value in ((self.sums, loss), (self.weighted, loss * weight)):
            sums[name] = sums[name] + value if name in sums else value

    def report(self, weights: dict[str, float]) -> Report:
        """The means so far, beside the terms' present weights."""
        calls = max(self.calls, 1)
        parts = {name: value.item() / calls for name, value in self.weighted.items()}
        total = sum(parts.values())
        shares = [
            Share(name, weights[name], value.item() / calls, parts[name] / total if total else 0.0)
            for name, value in self.sums.items()
        ]
        return Report(shares, total, self.calls)
