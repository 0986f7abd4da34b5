"""How much each term of a distillation adds to the loss."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.creation import tensor
from ..core.tensor import Tensor
from ..ops.joins import stack
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


KEPT = 64  # losses of a term that wait to be added up in one go


class Tally:
    """Losses of each term, which stay on their device until somebody asks for them."""

    def __init__(self) -> None:
        self.calls = 0
        self._waiting: dict[str, list[tuple[float, Tensor]]] = {}
        self._sums: dict[str, Tensor] = {}

    def add(self, name: str, weight: float, loss: Tensor) -> None:
        """Count one loss of a term."""
        waiting = self._waiting.setdefault(name, [])
        waiting.append((weight, loss.detach()))
        if len(waiting) >= KEPT:
            self._add_up(name)

    def _add_up(self, name: str) -> None:
        """Add what waits to the term's sums: of the losses, and of the weighted ones."""
        waiting = self._waiting.pop(name, [])
        if waiting:
            losses = stack([wide(loss) for _, loss in waiting])
            weights = tensor([weight for weight, _ in waiting], device=losses.device)
            sums = stack([losses.sum(), (losses * weights).sum()])
            self._sums[name] = self._sums[name] + sums if name in self._sums else sums

    def report(self, weights: dict[str, float]) -> Report:
        """The means so far, beside the terms' present weights."""
        calls = max(self.calls, 1)
        for name in list(self._waiting):
            self._add_up(name)
        found = {name: (sums / calls).tolist() for name, sums in self._sums.items()}
        total = sum(part for _, part in found.values())
        shares = [
            Share(name, weights[name], loss, part / total if total else 0.0)
            for name, (loss, part) in found.items()
        ]
        return Report(shares, total, self.calls)
