"""Orders of samples, batches and seeds of workers, recorded once from PyTorch.

`python -m tests.runtime.recorded.loading`, in an environment that has PyTorch, writes loading.json
anew. The tests read it and never import PyTorch.
"""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

RECORD = Path(__file__).with_suffix(".json")

WORKERS = (0, 2)
WEIGHTS = [0.1, 3.0, 0.5, 0.0, 1.5, 2.0, 0.7]


class Eager:
    """A sampler that draws its order when a pass begins, not when it is first asked."""

    def __init__(self, torch: Any, count: int) -> None:
        self.torch, self.count = torch, count

    def __iter__(self) -> Iterator[int]:
        return iter(self.torch.randperm(self.count).tolist())

    def __len__(self) -> int:
        return self.count


def epochs(torch: Any, **options: Any) -> list[Any]:
    """Two passes over 11 numbers after one seed, and what the generator draws then."""
    torch.manual_seed(3)
    loader = torch.utils.data.DataLoader(range(11), **options)
    found = [[batch.tolist() if hasattr(batch, "tolist") else batch for batch in loader]
             for _ in range(2)]  # fmt: skip
    return [*found, torch.rand(2).tolist()]


def loaders(torch: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    """Options of a DataLoader by name; made anew for each use."""
    data = torch.utils.data

    def generator() -> Any:
        return torch.Generator().manual_seed(5)

    return {
        "shuffle": lambda: {"batch_size": 4, "shuffle": True},
        "shuffle, drop_last": lambda: {"batch_size": 4, "shuffle": True, "drop_last": True},
        "shuffle by a generator": lambda: {
            "batch_size": 4, "shuffle": True, "generator": generator()
        },
        "samples alone": lambda: {"batch_size": None, "shuffle": True},
        "with replacement": lambda: {
            "batch_size": 16, "sampler": data.RandomSampler(range(11), True, 40)
        },
        "more than all": lambda: {
            "batch_size": 8, "sampler": data.RandomSampler(range(11), False, 25)
        },
        "multiple of all by a generator": lambda: {
            "batch_size": 8, "sampler": data.RandomSampler(range(11), False, 22, generator())
        },
        "subset": lambda: {"batch_size": 2, "sampler": data.SubsetRandomSampler([7, 1, 4, 9, 2])},
        "weighted": lambda: {
            "batch_size": 4, "sampler": data.WeightedRandomSampler(WEIGHTS, 10)
        },
        "weighted without replacement": lambda: {
            "batch_size": 4,
            "sampler": data.WeightedRandomSampler(WEIGHTS, 5, False, generator=generator()),
        },
        "batches of a sampler": lambda: {
            "batch_sampler": data.BatchSampler(data.RandomSampler(range(11)), 3, True)
        },
        "an eager sampler": lambda: {"batch_size": 4, "sampler": Eager(torch, 11)},
        "an eager sampler, alone": lambda: {"batch_size": None, "sampler": Eager(torch, 11)},
    }  # fmt: skip


def parts(torch: Any) -> dict[str, Any]:
    """What random_split makes of 10 and 23 samples."""
    split = torch.utils.data.random_split
    torch.manual_seed(1)
    found = {
        "lengths": split(range(10), [3, 7]),
        "shares": split(range(23), [0.3, 0.3, 0.4]),
        "a generator": split(range(10), [0.5, 0.5], torch.Generator().manual_seed(42)),
    }
    return {name: [list(part.indices) for part in split] for name, split in found.items()}


def replicas(torch: Any) -> dict[str, Any]:
    """What each of 3 processes gets of 11 and of 2 samples, in two epochs."""
    sampler = torch.utils.data.distributed.DistributedSampler
    found: dict[str, Any] = {}
    for count in (11, 2):
        for options in ({}, {"shuffle": False}, {"seed": 4, "drop_last": True}):
            made = [sampler(range(count), 3, rank, **options) for rank in range(3)]
            first = [list(s) for s in made]
            for s in made:
                s.set_epoch(1)
            found[f"{count} {options}"] = [first, [list(s) for s in made], [len(s) for s in made]]
    return found


class Seeds:
    """Samples that tell with which random numbers they were made."""

    def __init__(self, torch: Any) -> None:
        self.library = torch.__name__  # modules cannot be pickled

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        torch = importlib.import_module(self.library)
        info = torch.utils.data.get_worker_info()
        draws = (random.random(), np.random.rand(), torch.rand(1, dtype=torch.float64).item())
        return [
            str(n) for n in (info.id, info.num_workers, info.seed, torch.initial_seed(), *draws)
        ]


def seeds(torch: Any) -> Any:
    """Two passes over `Seeds` with 2 workers, one with a generator."""
    torch.manual_seed(9)
    loader = torch.utils.data.DataLoader
    given = loader(Seeds(torch), None, num_workers=2, generator=torch.Generator().manual_seed(5))
    return [list(loader(Seeds(torch), None, num_workers=2)), list(given)]


def record(torch: Any) -> dict[str, Any]:
    """All of it."""
    made = loaders(torch)
    return {
        "epochs": {name: epochs(torch, **options()) for name, options in made.items()},
        "parts": parts(torch),
        "replicas": replicas(torch),
        "seeds": {"two workers": seeds(torch)},
    }


if __name__ == "__main__":
    import torch
    import torch.utils.data.distributed

    for name, options in loaders(torch).items():
        assert epochs(torch, **options()) == epochs(torch, **options(), num_workers=2) or (
            "eager" in name
        ), name
    rows = record(torch)
    made = loaders(torch)
    rows["epochs of workers"] = {n: epochs(torch, **o(), num_workers=2) for n, o in made.items()}
    rows["epochs of persistent workers"] = {
        n: epochs(torch, **o(), num_workers=2, persistent_workers=True) for n, o in made.items()
    }
    lines = [
        f"{json.dumps(part)}: {{\n"
        + ",\n".join(f"{json.dumps(n)}: {json.dumps(v)}" for n, v in found.items())
        + "\n}"
        for part, found in rows.items()
    ]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
