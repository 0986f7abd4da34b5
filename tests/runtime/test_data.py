"""Data sets, samplers, collation and the loader in one process; orders as recorded from PyTorch."""

from __future__ import annotations

import json
import pickle
from collections import namedtuple
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.utils import data
from flambeau.utils.data import collate

from .recorded import loading

RECORDED = json.loads(loading.RECORD.read_text())

NUMBERS = data.TensorDataset(torch.arange(10), torch.arange(10) * 2.0)


def firsts(loader: Any) -> list[list[int]]:
    return [batch[0].tolist() for batch in loader]


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
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor of at least 1"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "a batch_sampler alone"),
    ],
)
def test_options_that_exclude_each_other_are_named(options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        data.DataLoader(NUMBERS, **options)


def test_tensors_of_different_lengths_make_no_data_set() -> None:
    with pytest.raises(RuntimeError, match=r"\(2,\), \(3,\)"):
        data.TensorDataset(torch.ones(2), torch.ones(3))


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [0]}, {"batch_sampler": [[0]]}])
def test_iterable_data_sets_order_themselves(options: Any) -> None:
    with pytest.raises(ValueError, match="IterableDataset, which orders itself"):
        data.DataLoader(Counting(), **options)


# -- as PyTorch does it ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED["epochs"])
def test_seeded_orders_are_pytorchs(name: str) -> None:
    options = loading.loaders(torch)[name]
    assert loading.epochs(torch, **options()) == RECORDED["epochs"][name]


@pytest.mark.parametrize("name", RECORDED["epochs"])
def test_seeded_orders_are_pytorchs_with_workers(name: str) -> None:
    options = loading.loaders(torch)[name]
    found = loading.epochs(torch, **options(), num_workers=2)
    assert found == RECORDED["epochs of workers"][name]


@pytest.mark.parametrize("name", ["shuffle by a generator", "an eager sampler", "subset"])
def test_seeded_orders_are_pytorchs_with_persistent_workers(name: str) -> None:
    options = loading.loaders(torch)[name]
    found = loading.epochs(torch, **options(), num_workers=2, persistent_workers=True)
    assert found == RECORDED["epochs of persistent workers"][name]


def test_random_splits_are_pytorchs() -> None:
    assert loading.parts(torch) == RECORDED["parts"]


def test_replicas_get_pytorchs_shares() -> None:
    found = json.loads(json.dumps(loading.replicas(torch)))
    assert found == RECORDED["replicas"]


def test_workers_have_pytorchs_seeds_and_draw_its_numbers() -> None:
    assert loading.seeds(torch) == RECORDED["seeds"]["two workers"]


# -- data sets and samplers ------------------------------------------------------------------------


class Noted(data.Dataset[int]):
    """Notes how it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        self.asked.append(index)
        return index

    def __getitems__(self, indices: list[int]) -> list[int]:
        self.asked.append(list(indices))
        return [10 * k for k in indices]


def test_samples_are_asked_for_at_once_where_the_data_set_can() -> None:
    noted = Noted()
    assert [b.tolist() for b in data.DataLoader(noted, 3)] == [[0, 10, 20], [30, 40, 50]]
    assert noted.asked == [[0, 1, 2], [3, 4, 5]]
    subset = data.Subset(noted, [5, 1, 3])
    assert [b.tolist() for b in data.DataLoader(subset, 2)] == [[50, 10], [30]]
    stacked = data.StackDataset(subset, ["a", "b", "c"])
    assert stacked.__getitems__([2, 0]) == [(30, "c"), (50, "a")]
    named = data.StackDataset(x=subset, y=[1, 2, 3])
    assert named.__getitems__([1]) == [{"x": 10, "y": 2}]


def test_a_data_set_that_gives_too_few_samples_is_named() -> None:
    class Short(Noted):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [0]

    with pytest.raises(ValueError, match=r"Short.__getitems__: expected 2 samples. Got 1"):
        data.StackDataset(Short(), Short()).__getitems__([0, 1])


def test_a_subset_with_half_of_an_own_access_is_refused() -> None:
    class Half(data.Subset[int]):
        def __getitem__(self, index: Any) -> int:
            return 0

    class Whole(Half):
        def __getitems__(self, indices: Any) -> list[int]:
            return [self[k] for k in indices]

    with pytest.raises(NotImplementedError, match="def __getitems__"):
        Half(NUMBERS, [1])
    assert next(iter(data.DataLoader(Whole(NUMBERS, [1])))).item() == 0


def test_data_sets_that_do_not_go_together_are_named() -> None:
    with pytest.raises(AssertionError, match="one first size"):
        data.TensorDataset(torch.ones(2), torch.ones(3))
    with pytest.raises(AssertionError, match="at least one"):
        data.ConcatDataset([])
    with pytest.raises(AssertionError, match="Use ChainDataset"):
        data.ConcatDataset([Counting()])
    with pytest.raises(AssertionError, match="Use ConcatDataset"):
        list(data.ChainDataset([NUMBERS]))
    with pytest.raises(ValueError, match="one length"):
        data.StackDataset(NUMBERS, [1])
    with pytest.raises(ValueError, match="from -10 to 9"):
        data.ConcatDataset([NUMBERS])[-11]


def test_shares_are_checked_and_empty_parts_told() -> None:
    with pytest.raises(ValueError, match="shares from 0 to 1"):
        data.random_split(NUMBERS, [1.5, -0.5])
    with pytest.warns(UserWarning, match="leaves part 1 empty"):
        parts = data.random_split(range(1), [0.5, 0.5])
    assert [len(p) for p in parts] == [1, 0]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: data.RandomSampler([]), ValueError, "num_samples above 0. Got 0"),
        (lambda: data.RandomSampler([1], 1), TypeError, "bool replacement"),  # type: ignore[arg-type]
        (lambda: data.RandomSampler([1], num_samples=1.5), ValueError, "Got 1.5"),  # type: ignore[arg-type]
        (lambda: data.WeightedRandomSampler([1.0], True), ValueError, "Got True"),
        (lambda: data.WeightedRandomSampler([[1.0]], 1), ValueError, "one dimension"),  # type: ignore[list-item]
        (lambda: data.BatchSampler([1], 0, False), ValueError, "batch_size above 0"),
        (lambda: data.BatchSampler([1], 1, 0), ValueError, "bool drop_last"),  # type: ignore[arg-type]
        (lambda: data.DistributedSampler([1], 2, 2), ValueError, "from 0 to 1. Got 2"),
        (lambda: data.DistributedSampler([1]), RuntimeError, "process group"),
    ],
)  # fmt: skip
def test_samplers_name_what_they_cannot_use(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


# -- collation -------------------------------------------------------------------------------------


class Config(dict[str, Any]):
    """A mapping with something of its own."""

    note = ""


def test_collation_keeps_the_classes_of_containers() -> None:
    first = Config(x=1.0)
    first.note = "kept"
    batch = data.default_collate([first, Config(x=2.0)])
    assert isinstance(batch, Config)
    assert batch.note == "kept"
    assert data.default_collate([(1, 2), (3, 4)])[0].tolist() == [1, 3]
    assert isinstance(data.default_convert(first), Config)
    assert data.default_convert((np.ones(1), "s", b"b"))[1:] == ["s", b"b"]
    assert isinstance(data.default_convert(Point(1, np.zeros(1))), Point)
    assert isinstance(data.default_collate([range(2), range(2)]), list)


def test_collation_keeps_the_dtypes_of_scalars_and_refuses_words() -> None:
    for value in (np.float32(1), np.int8(1), np.bool_(True), np.float16(2)):
        assert data.default_collate([value, value]).numpy().dtype == value.dtype
    assert data.default_collate([True, False]).dtype is torch.bool
    with pytest.raises(TypeError, match="array of <U1"):
        data.default_collate([np.array(["a"]), np.array(["b"])])
    assert data.default_convert(np.array(["a"])).tolist() == ["a"]


def test_programs_teach_collation_their_own_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    def total(batch: Any, *, collate_fn_map: Any = None) -> Any:
        return sum(batch)

    assert collate.collate([{"a": 1}, {"a": 2}], collate_fn_map={int: total}) == {"a": 3}
    monkeypatch.setitem(collate.default_collate_fn_map, complex, total)
    assert data.default_collate([(1j,), (2j,)]) == [3j]


def test_empty_arrays_make_empty_batches() -> None:
    batch = data.default_collate([{"x": np.zeros((0, 3))}, {"x": np.zeros((0, 3))}])
    assert batch["x"].shape == (2, 0, 3)


# -- the loader ------------------------------------------------------------------------------------


def test_what_a_loader_is_made_of_cannot_be_changed_later() -> None:
    loader = data.DataLoader(NUMBERS, 2)
    for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset"):
        with pytest.raises(ValueError, match=f"expected {name} when it is made"):
            setattr(loader, name, None)
    loader.collate_fn = len  # type: ignore[assignment]
    assert list(loader) == [2, 2, 2, 2, 2]


class Promising(Counting):
    def __len__(self) -> int:
        return 3


def test_an_iterable_data_set_that_gives_more_than_its_length_is_told() -> None:
    loader = data.DataLoader(Promising(), 2)
    assert len(loader) == 2
    assert len(data.DataLoader(Promising(), 2, drop_last=True)) == 1
    assert [b.tolist() for b in loader] == [[0, 1], [2, 3], [4]]
    alone = data.DataLoader(Promising(), None)
    assert len(alone) == 3
    with pytest.warns(UserWarning, match=r"len\(\) 3, but gave") as told:
        assert len(list(alone)) == 5
    assert len(told) == 2
    with pytest.raises(TypeError, match="len"):
        len(data.DataLoader(Counting()))


def test_a_pass_has_a_length_and_cannot_be_pickled() -> None:
    passage = iter(data.DataLoader(NUMBERS, 4))
    assert len(passage) == 3
    assert iter(passage) is passage
    with pytest.raises(NotImplementedError, match="pickled"):
        pickle.dumps(passage)


def test_an_exhausted_iterable_data_set_is_not_asked_again() -> None:
    class Once(data.IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            yield 1
            self.asked = getattr(self, "asked", 0) + 1

    once = Once()
    passage = iter(data.DataLoader(once, 2))
    assert next(passage).tolist() == [1]
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(passage)
    assert once.asked == 1


def test_many_workers_and_pinning_without_a_gpu_are_told() -> None:
    with pytest.warns(UserWarning, match="more than the"):
        data.DataLoader(NUMBERS, num_workers=10_000)
    if not torch.cuda.is_available():
        with pytest.warns(UserWarning, match="pin_memory has no effect"):
            iter(data.DataLoader(NUMBERS, pin_memory=True))


def test_contexts_are_checked() -> None:
    loader = data.DataLoader(NUMBERS, num_workers=1, multiprocessing_context="spawn")
    assert loader.multiprocessing_context is not None
    assert loader.multiprocessing_context.get_start_method() == "spawn"
    with pytest.raises(ValueError, match="Got 'thread'"):
        data.DataLoader(NUMBERS, num_workers=1, multiprocessing_context="thread")
    with pytest.raises(ValueError, match="num_workers above 0"):
        data.DataLoader(NUMBERS, multiprocessing_context="fork")
    with pytest.raises(TypeError, match="Got 3"):
        data.DataLoader(NUMBERS, num_workers=1, multiprocessing_context=3)
