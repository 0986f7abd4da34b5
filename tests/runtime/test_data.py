"""Data sets, samplers, collation, and workers that die, raise or are interrupted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.utils import data
from flambeau.utils.data import workers

NUMBERS = data.TensorDataset(torch.arange(10), torch.arange(10) * 2.0)


def firsts(loader: Any) -> list[list[int]]:
    return [batch[0].tolist() for batch in loader]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers put their batches; must be empty when all is done."""
    monkeypatch.setattr(workers, "MEMORY_FILES", tmp_path / "absent")
    monkeypatch.setattr(workers.tempfile, "tempdir", str(tmp_path))
    return tmp_path


# -- in this process -------------------------------------------------------------------------------


def test_batches_come_in_order_and_the_last_is_short() -> None:
    loader = data.DataLoader(NUMBERS, batch_size=4)
    assert firsts(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3
    assert firsts(data.DataLoader(NUMBERS, batch_size=4, drop_last=True)) == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    ]


def test_shuffling_gives_each_sample_once_and_another_order_each_pass() -> None:
    torch.manual_seed(0)
    loader = data.DataLoader(NUMBERS, batch_size=10, shuffle=True)
    (first,), (second,) = firsts(loader), firsts(loader)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_seed_fixes_the_order_with_and_without_workers() -> None:
    orders = []
    for count in (0, 0, 2):
        torch.manual_seed(4)
        orders.append(firsts(data.DataLoader(NUMBERS, 3, shuffle=True, num_workers=count)))
    assert orders[0] == orders[1] == orders[2]


def test_without_a_batch_size_samples_come_alone() -> None:
    assert [x.item() for x, _ in data.DataLoader(NUMBERS, batch_size=None)] == list(range(10))


def test_batches_of_a_tensor_data_set_equal_collated_samples() -> None:
    class Plain(data.Dataset[Any]):
        def __len__(self) -> int:
            return len(NUMBERS)

        def __getitem__(self, index: int) -> Any:
            return NUMBERS[index]

    subset = data.Subset(NUMBERS, [7, 3, 1])
    for quick, slow in ((NUMBERS, Plain()), (subset, data.Subset(Plain(), [7, 3, 1]))):
        pairs = zip(data.DataLoader(quick, 3), data.DataLoader(slow, 3), strict=True)
        for a, b in pairs:
            assert type(a) is type(b)
            assert all(torch.equal(s, t) and s.dtype is t.dtype for s, t in zip(a, b, strict=True))


def test_an_overridden_getitem_is_honoured() -> None:
    class Negated(data.TensorDataset):
        def __getitem__(self, index: Any) -> Any:
            return tuple(-t for t in super().__getitem__(index))

    assert firsts(data.DataLoader(Negated(torch.arange(3)), 3)) == [[0, -1, -2]]


Point = namedtuple("Point", "x y")


def test_collation_keeps_the_structure_of_samples() -> None:
    samples = [
        {"a": 1, "b": (2.0, "u"), "c": Point(np.float32(1.5), np.zeros(2)), "d": torch.ones(2)},
        {"a": 2, "b": (3.0, "v"), "c": Point(np.float32(2.5), np.ones(2)), "d": torch.zeros(2)},
    ]
    batch = data.default_collate(samples)
    assert batch["a"].tolist() == [1, 2]
    assert batch["a"].dtype is torch.int64
    assert batch["b"][0].dtype is torch.float64
    assert list(batch["b"][1]) == ["u", "v"]
    assert isinstance(batch["c"], Point)
    assert batch["c"].y.shape == (2, 2)
    assert batch["d"].shape == (2, 2)


def test_samples_that_make_no_batch_are_named() -> None:
    with pytest.raises(TypeError, match="Got set"):
        data.default_collate([{1}, {2}])
    with pytest.raises(RuntimeError, match=r"lengths \[1, 2\]"):
        data.default_collate([[1], [1, 2]])
    with pytest.raises(RuntimeError, match="stack"):
        data.default_collate([torch.ones(2), torch.ones(3)])


class Counting(data.IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        info = data.get_worker_info()
        start = 0 if info is None else 10 * info.id
        return iter(range(start, start + 5))


def test_iterable_data_sets_are_batched_and_split_among_workers() -> None:
    assert [b.tolist() for b in data.DataLoader(Counting(), 2)] == [[0, 1], [2, 3], [4]]
    found = [b.tolist() for b in data.DataLoader(Counting(), 2, num_workers=2)]
    assert found == [[0, 1], [10, 11], [2, 3], [12, 13], [4], [14]]


def test_data_sets_combine() -> None:
    a, b = data.TensorDataset(torch.arange(3)), data.TensorDataset(torch.arange(3, 5))
    both = a + b
    assert [both[k][0].item() for k in (0, 2, 3, -1)] == [0, 2, 3, 4]
    with pytest.raises(IndexError, match="from -5 to 4"):
        both[5]
    stacked = data.StackDataset(x=a, y=a)
    assert stacked[1]["y"][0].item() == 1
    assert list(data.ChainDataset([Counting(), Counting()])) == [*range(5), *range(5)]


def test_random_split_takes_lengths_and_shares() -> None:
    parts = data.random_split(NUMBERS, [0.55, 0.45], torch.Generator().manual_seed(0))
    assert [len(p) for p in parts] == [6, 4]
    assert sorted(int(x) for part in parts for x, _ in part) == list(range(10))
    with pytest.raises(ValueError, match="add up to 10"):
        data.random_split(NUMBERS, [3, 3])


def test_weighted_sampling_follows_the_weights() -> None:
    torch.manual_seed(0)
    drawn = list(data.WeightedRandomSampler([1.0, 0.0, 3.0], 4000))
    assert drawn.count(1) == 0
    assert drawn.count(2) / 4000 == pytest.approx(0.75, abs=0.03)  # 4 standard errors


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size above 0"),
        ({"num_workers": -1}, "num_workers of at least 0"),
        ({"prefetch_factor": 2}, "num_workers above 0"),
        ({"persistent_workers": True}, "num_workers above 0"),
        ({"shuffle": True, "sampler": [1]}, "either a sampler or shuffle"),
        ({"batch_sampler": [[1]], "shuffle": True}, "a batch_sampler alone"),
        ({"batch_size": None, "drop_last": True}, "drop_last only"),
        ({"timeout": -1}, "timeout of at least 0"),
    ],
)
def test_options_that_exclude_each_other_are_named(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data.DataLoader(NUMBERS, **options)


def test_tensors_of_different_lengths_make_no_data_set() -> None:
    with pytest.raises(RuntimeError, match=r"\(2,\), \(3,\)"):
        data.TensorDataset(torch.ones(2), torch.ones(3))


# -- in worker processes ---------------------------------------------------------------------------


class Drawing(data.Dataset[Any]):
    """Samples that tell who made them with which random numbers."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        info = data.get_worker_info()
        assert info is not None
        return torch.full((2000,), index), info.id, torch.rand(1), np.random.rand(), random.random()


def test_workers_share_the_work_and_draw_from_streams_of_their_own(folders: Path) -> None:
    torch.manual_seed(2)
    first = list(data.DataLoader(Drawing(), 2, num_workers=2))
    assert [b[0][:, 0].tolist() for b in first] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [b[1].tolist() for b in first] == [[0, 0], [1, 1], [0, 0], [1, 1]]
    for position in (2, 3, 4):
        drawn = [v for b in first for v in b[position].reshape(-1).tolist()]
        assert len(set(drawn)) == 8
    torch.manual_seed(2)
    again = list(data.DataLoader(Drawing(), 2, num_workers=2))
    assert all(torch.equal(a[2], b[2]) for a, b in zip(first, again, strict=True))
    assert list(folders.iterdir()) == []


def test_arrays_from_workers_can_be_written_to_and_outlive_the_pool(folders: Path) -> None:
    (batch,) = [b[0] for b in data.DataLoader(Drawing(), 8, num_workers=1)]
    batch += 1
    assert batch[:, 5].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_persistent_workers_serve_all_passes(folders: Path) -> None:
    class Process(data.Dataset[int]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> int:
            return os.getpid()

    loader = data.DataLoader(Process(), 1, num_workers=2, persistent_workers=True)
    passes = [{b.item() for b in loader} for _ in range(2)]
    assert passes[0] == passes[1]
    assert len(passes[0]) == 2
    assert loader._pool is not None
    loader._pool.close()
    assert list(folders.iterdir()) == []


def test_leaving_a_pass_early_ends_its_workers(folders: Path) -> None:
    batches = iter(data.DataLoader(Drawing(), 1, num_workers=2))
    next(batches)
    (pool,) = [p for p in workers._pools if p.processes]
    processes = [p.pid for p in pool.processes]
    batches.close()  # type: ignore[attr-defined]
    assert not any(Path(f"/proc/{pid}").exists() for pid in processes)
    assert list(folders.iterdir()) == []


def test_worker_init_fn_runs_in_every_worker(folders: Path) -> None:
    class Environment(data.Dataset[str]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> str:
            return os.environ["WORKER"]

    def initialize(number: int) -> None:
        os.environ["WORKER"] = str(number)

    loader = data.DataLoader(Environment(), 1, num_workers=2, worker_init_fn=initialize)
    assert [list(b) for b in loader] == [["0"], ["1"]]


class Failing(data.Dataset[Any]):
    def __init__(self, fail: Any) -> None:
        self.fail = fail

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return self.fail() if index == 2 else index


def raise_key_error() -> None:
    raise KeyError("the missing thing")


def test_an_error_in_a_worker_arrives_with_its_type_and_traceback(folders: Path) -> None:
    with pytest.raises(KeyError) as caught:
        list(data.DataLoader(Failing(raise_key_error), 1, num_workers=2))
    text = str(caught.value)
    assert "worker 0" in text
    assert "raise_key_error" in text
    assert "the missing thing" in text
    assert list(folders.iterdir()) == []


def test_a_worker_that_is_killed_is_reported(folders: Path) -> None:
    with pytest.raises(RuntimeError, match="died: killed by SIGKILL"):
        list(data.DataLoader(Failing(lambda: os.kill(os.getpid(), 9)), 1, num_workers=2))
    assert list(folders.iterdir()) == []


def test_a_worker_that_takes_too_long_is_reported(folders: Path) -> None:
    loader = data.DataLoader(Failing(lambda: time.sleep(60)), 1, num_workers=1, timeout=0.3)
    with pytest.raises(RuntimeError, match=r"worker 0 within 0.3 s"):
        list(loader)
    assert list(folders.iterdir()) == []


SLOW = """
import os, tempfile, time
import flambeau as torch
from flambeau.utils import data
from flambeau.utils.data import workers
from pathlib import Path
workers.MEMORY_FILES = Path("/nowhere")
tempfile.tempdir = {folder!r}

class Slow(data.Dataset):
    def __len__(self):
        return 10_000
    def __getitem__(self, index):
        time.sleep(0.01)
        return torch.ones(5000)

for batch in data.DataLoader(Slow(), 2, num_workers=2):
    (pool,) = [p for p in workers._pools if p.processes]
    print(*[p.pid for p in pool.processes], flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_and_no_segment_outlives_a_loader_that_is_ended(
    number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", SLOW.format(folder=str(tmp_path))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        pids = process.stdout.readline().split()
        assert len(pids) == 2
        process.send_signal(number)
        process.stdout.read()
    deadline = time.monotonic() + 20

    def is_clean() -> bool:
        return not any(running(int(pid)) for pid in pids) and not list(tmp_path.iterdir())

    while not is_clean() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_clean()


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
