"""Going through things: which items an iterable of the abstract run gives."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import flambeau
from flambeau.core.tensor import Tensor
from flambeau.nn import Module
from flambeau.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

from .live import Live, rest_of
from .values import UNKNOWN, Stream

MOST_ROWS = 64  # of a tensor that a loop goes through one by one
MOST_ITEMS = 1000
VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


class Sequences(Live):
    """Items of iterables, and batches of data loaders."""

    def items_of(self, value: Any, node: ast.AST) -> tuple[list[Any], bool]:
        """What `value` gives when it is gone through, and whether that is all."""
        if value is UNKNOWN:
            return [UNKNOWN], False
        if isinstance(value, Stream):
            return value.rest(), value.exact
        if isinstance(value, list | tuple | dict | set | frozenset | deque | str):
            return list(value)[:MOST_ITEMS], id(value) not in self.open and len(value) <= MOST_ITEMS
        if isinstance(value, range):
            return list(value[:MOST_ITEMS]), len(value) <= MOST_ITEMS
        if isinstance(value, VIEWS):
            owner = getattr(value, "mapping", None)
            exact = not any(
                isinstance(held, dict) and held.keys() == getattr(owner, "keys", dict)()
                for held in self.open.values()
            )
            return list(cast("Iterable[Any]", value)), exact
        if isinstance(value, Tensor):
            return self._rows(value, node)
        if isinstance(value, DataLoader):
            return self.batches(value, node)
        return self._items_of_object(value, node)

    def _rows(self, value: Tensor, node: ast.AST) -> tuple[list[Any], bool]:
        if value.ndim == 0 or value.shape[0] <= MOST_ROWS:
            rows = self.attempt(node, lambda: list(value.unbind(0)))
            return ([UNKNOWN], False) if rows is UNKNOWN else (rows, True)
        return [value[0], value[1]], False

    def _items_of_object(self, value: Any, node: ast.AST) -> tuple[list[Any], bool]:
        kind = type(value)
        for name in ("__iter__", "__getitem__"):
            record = self.record_of(getattr(kind, name, None))
            if record is None:
                continue
            if name == "__iter__":
                found = self.call_function(record, (value,), {})
                if found is value:
                    step = self.record_of(getattr(kind, "__next__", None))
                    if step is None:
                        return [UNKNOWN], False
                    return [self.call_function(step, (value,), {}) for _ in range(2)], False
                return self.items_of(found, node)
            return [self.row(value, k, node) for k in (0, 1)], False
        if isinstance(value, Dataset):
            return [self.row(value, 0, node), self.row(value, 0, node)], False
        if isinstance(value, Module) or hasattr(kind, "__next__") or kind in _NATIVE:
            items = self.attempt(node, lambda: rest_of(iter(value)))
            if items is UNKNOWN:
                return [UNKNOWN], False
            return items.items, items.exact and id(value) not in self.open
        return [UNKNOWN], False

    # -- data sets -------------------------------------------------------------------------------

    def row(self, data: Any, index: Any, node: ast.AST) -> Any:
        """`data[index]` of a data set, tensor or sequence."""
        record = self.record_of(getattr(type(data), "__getitem__", None))
        if record is not None:
            return self.call_function(record, (data, index), {})
        if isinstance(data, Subset):
            return self.row(data.dataset, index, node)
        if isinstance(data, ConcatDataset):
            return self.row(data.datasets[0], index, node)
        return self.item(data, index, node)

    def batches(self, loader: DataLoader, node: ast.AST) -> tuple[list[Any], bool]:
        """Two batches as the loader makes them, and its last one where that is smaller."""
        data = vars(loader).get("dataset", UNKNOWN)
        size = vars(loader).get("batch_size", UNKNOWN)
        if self.is_opaque(data):
            return [UNKNOWN], False
        if isinstance(data, IterableDataset):
            rows, _ = self._items_of_object(data, node)
            batch = (
                self.batch(loader, self.one_of(rows), size) if isinstance(size, int) else UNKNOWN
            )
            return [batch, batch], False
        first = self.row(data, 0, node)
        if size is None:
            return [first, first], False
        if not isinstance(size, int):
            return [self.batch(loader, first, UNKNOWN), UNKNOWN], False
        total = self.length(data)
        if isinstance(total, int) and 0 < total < size:
            size = total
        batch = self.batch(loader, first, size)
        batches = [batch, batch]
        if isinstance(total, int) and total > size and total % size and not loader.drop_last:
            batches.append(self.batch(loader, first, total % size))
        return batches, False

    def length(self, data: Any) -> Any:
        """`len(data)` of a data set; UNKNOWN if it is not known."""
        record = self.record_of(getattr(type(data), "__len__", None))
        if record is not None:
            return self.call_function(record, (data,), {})
        if isinstance(data, Subset):
            return len(data.indices) if data.indices.__class__ in (list, range) else UNKNOWN
        return self.quietly(len, data)

    def batch(self, loader: Any, item: Any, size: Any) -> Any:
        """`size` times `item`, put together as the loader does."""
        collate = vars(loader).get("collate_fn", UNKNOWN)
        record = self.record_of(collate)
        if record is not None:
            count = size if isinstance(size, int) and size <= MOST_ROWS else 2
            items: Any = [item] * count
            value = self.call_function(record, (items,), {})
            return value if count == size else UNKNOWN
        if collate is UNKNOWN or not str(getattr(collate, "__module__", "")).startswith("flambeau"):
            return UNKNOWN
        return _collated(item, size)


def _collated(item: Any, size: Any) -> Any:
    """What the default collation makes of `size` items like `item`."""
    if item is UNKNOWN or size is UNKNOWN:
        return UNKNOWN
    if isinstance(item, Tensor):
        return flambeau.empty(size, *item.shape, dtype=item.dtype, device=item.device)
    if isinstance(item, bool | int):
        return flambeau.empty(size, dtype=flambeau.int64)
    if isinstance(item, float):
        return flambeau.empty(size, dtype=flambeau.float64)
    if isinstance(item, str | bytes):
        return [item] * size
    if isinstance(item, dict):
        return {key: _collated(value, size) for key, value in item.items()}
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return type(item)(*(_collated(value, size) for value in item))
    if isinstance(item, list | tuple):
        return [_collated(value, size) for value in item]
    return UNKNOWN


_NATIVE = {type(zip()), type(map(len, ())), type(enumerate(())), type(iter([])), type(iter(()))}
