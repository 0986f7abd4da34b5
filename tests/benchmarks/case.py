"""A row of the table: work written once, and the ways of PyTorch that it is measured against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Step = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One line of the table: what both sides took, in `unit`, and the median of their ratios.

    `others` is the share of the processor that other programs took meanwhile.
    """

    name: str
    ours: float
    theirs: float
    ratio: float
    limit: float
    unit: str = "ms"
    others: float = 0.0

    @property
    def missed(self) -> bool:
        """Whether the ratio is above its limit."""
        return self.ratio > self.limit

    def __str__(self) -> str:
        verdict = "MISSED" if self.missed else "ok"
        if self.others > 0.05:
            verdict += f" (others took {100 * self.others:.0f}% of the cores)"
        return (
            f"{self.name:58} {self.ours:9.3f} {self.theirs:9.3f} {self.unit} {self.ratio:7.2f} "
            f"{self.limit:6.2f}  {verdict}"
        )


HEADER = f"{'work':58} {'ours':>9} {'PyTorch':>9} {'':2} {'ratio':>7} {'limit':>6}"


@dataclass(frozen=True)
class Rival:
    """A way to do the same work in PyTorch: our time over its time is at most `limit`."""

    limit: float
    label: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


LAYOUTS = (Rival(1.0, "default"), Rival(1.0, "channels-last", {"channels_last": True}))
"""Both layouts of images that PyTorch offers, for rows where the better one counts."""


@dataclass(frozen=True)
class Case:
    """Work to be timed.

    `work(torch, **options)` sets it up with either library and returns the function that is timed.
    With `best` only the fastest rival counts. `trains` has its peak of memory compared too;
    `forks` says that other processes do a part of it.
    """

    name: str
    work: Callable[..., Step]
    rivals: tuple[Rival, ...]
    best: bool = False
    trains: bool = False
    forks: bool = False

    def rows(self) -> Iterator[Row]:
        """Time all sides in turn."""
        from .turns import in_turn

        times = in_turn(self)
        against = list(enumerate(self.rivals, 1))
        if self.best:
            against = [min(against, key=lambda pair: times.median(pair[0]))]
        ours = 1e3 * times.median(0)
        for k, rival in against:
            label = f"{self.name}, {rival.label}" if rival.label else self.name
            theirs = 1e3 * times.median(k)
            yield Row(label, ours, theirs, times.ratio(k), rival.limit, others=times.others)


class Measurable(Protocol):
    """What a table holds: something with a name that yields rows when it is measured."""

    @property
    def name(self) -> str: ...

    def rows(self) -> Iterator[Row]: ...
