"""`python -m tests.benchmarks.gpu.ledger [--kernels] [WORD ...]`: how many launches a step of each
row makes and what they must move, at full size and without a GPU, beside PyTorch's.

For each row: launches, bytes and operations; the least time that they take (every launch moves its
bytes at a copy's rate or computes at the tensor cores' rate, whichever takes longer, and costs
`LAUNCH` besides); and the same of PyTorch, see `pytorch_ledger`. A captured step takes about as
long as this sum, an eager one at least. `--kernels` shows each kernel's part.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import flambeau as torch

from ...runtime import cudnn_stand_in, cupy_stand_in
from ...runtime.cupy_stand_in.counting import Launch, counting
from .case import Place, Row, captured
from .rows import ROWS

RECORD = Path(__file__).with_name("pytorch_ledger.json")

MOVED, COMPUTED, LAUNCH = 4.3e12, 790e12, 2.5e-6
"""Of an H200: bytes a second that a copy reads and writes, operations a second of a large product
of bfloat16 (both measured), and seconds between two kernels of a graph at most."""


@contextlib.contextmanager
def libraries() -> Iterator[None]:
    """What a machine for the table has: CuPy with cuBLAS, and cuDNN."""
    with cupy_stand_in.installed(), cudnn_stand_in.installed():
        yield


class Sum(NamedTuple):
    """Of several launches."""

    launches: int = 0
    bytes: int = 0
    operations: int = 0
    floor: float = 0.0  # seconds, without the launches' own time

    def plus(self, launches: int, size: int, operations: int) -> Sum:
        """With launches that move `size` bytes together."""
        floor = max(size / MOVED, operations / COMPUTED)
        return Sum(
            self.launches + launches, self.bytes + size, self.operations + operations,
            self.floor + floor,
        )  # fmt: skip

    @property
    def seconds(self) -> float:
        """The least time of all."""
        return self.floor + self.launches * LAUNCH

    def __str__(self) -> str:
        return (
            f"{self.launches:6} {self.bytes / 1e9:9.3f} {self.operations / 1e12:7.3f} "
            f"{1e3 * self.seconds:8.3f}"
        )


def launched(row: Row) -> list[Launch]:
    """What a step of the row launches, once two steps have made what is made once."""
    with counting() as ledger:
        before = torch.get_default_device()
        torch.set_default_device("cuda")  # random parameters of the CPU would take seconds
        try:
            step = row.work(Place(torch, "cuda"))
        finally:
            torch.set_default_device(before)
        for _ in range(2):
            step()
        del ledger.launches[:]
        if not row.captured:
            step()
            return ledger.launches
        captured(torch, step)
        return [launch for launch in ledger.launches if launch.is_captured]


def by_kernel(launches: Iterable[Launch]) -> dict[str, Sum]:
    """The sums of each kernel, those that take longest first."""
    found: dict[str, Sum] = {}
    for launch in launches:
        found[launch.name] = found.get(launch.name, Sum()).plus(1, *launch[1:3])
    return dict(sorted(found.items(), key=lambda item: -item[1].seconds))


def total(sums: Iterable[Sum]) -> Sum:
    """All together."""
    return Sum(*[sum(part) for part in zip(*sums, strict=True)])  # type: ignore[arg-type]


def of_pytorch(row: Row) -> dict[str, Sum]:
    """The recorded sums of PyTorch's kernels."""
    kinds: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    name = row.name.removesuffix(", captured")
    return {
        kind: total([Sum().plus(*numbers) for times, *numbers in each for _ in range(times)])
        for kind, each in kinds[name].items()
    }


def main() -> None:
    """Print the rows whose names have one of the words, all for none."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", action="store_true")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    print(f"{'':52} {'launches':>6} {'GB':>9} {'TFLOP':>7} {'ms':>8}")
    with libraries():
        for row in ROWS:
            if row.rival != "torch" or not chosen(row, options.words):
                continue
            sides = {"ours": by_kernel(launched(row)), "PyTorch's": of_pytorch(row)}
            gc.collect()
            print(row.name)
            for side, kernels in sides.items():
                print(f"  {side:52}{total(kernels.values())}")
                for name, found in kernels.items() if options.kernels else ():
                    print(f"    {name:50}{found}")


def chosen(row: Row, words: list[str]) -> bool:
    """Whether the row was asked for."""
    return not words or any(word.lower() in row.name.lower() for word in words)


if __name__ == "__main__":
    main()
