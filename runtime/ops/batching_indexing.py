"""How indexing and embeddings run on batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends.batched import Batch, by_slices
from ..core.batched import BatchedArray
from ..errors import BatchingError, OutOfBoundsError
from .batching import batches


@batches("slice_view")
def slice_view(batch: Batch, x: Any, *, index: Any) -> Any:
    return batch.inner.slice_view(x.value, index=(slice(None), *index))


def _is_basic(index: Any) -> bool:
    return all(item is None or item is Ellipsis or isinstance(item, int | slice) for item in index)


class _Places:
    """An index with arrays, as one of the whole batch, and where the dimensions of the arrays then
    stand in the result.

    The arrays' common dimensions take the place of the first of them, or come first where others
    stand between them (NumPy's rule, and PyTorch's). With the number of the slice as one more
    array they always come first, and are moved to where a slice alone would have them.
    """

    def __init__(self, batch: Batch, shape: Any, index: Any) -> None:
        self.batch = batch
        items = _expanded(batch, index, len(shape))
        arrays = [x for x in items if hasattr(x, "shape")]
        self.rank = max(len(x.shape) for x in arrays)
        own = [k for k, x in enumerate(items) if hasattr(x, "shape") or isinstance(x, int)]
        together = own == list(range(own[0], own[-1] + 1))
        before = items[: own[0]] if together else []
        self.offset = len(before)  # slices and None give one dimension each
        numbers = _numbers(batch, self.rank)
        values = [self._value(x) for x in items]
        self.index = (numbers, *values)

    def _value(self, item: Any) -> Any:
        return self.batch.padded(item, self.rank) if hasattr(item, "shape") else item

    def to_result(self, value: Any) -> Any:
        """What the batched index selects, with dimensions as in the result."""
        rank, offset = self.rank, self.offset
        moved = (0, *range(rank + 1, rank + 1 + offset), *range(1, rank + 1))
        order = (*moved, *range(rank + 1 + offset, len(value.shape)))
        return self.batch.inner.permute_dims(value, dims=order)

    def from_result(self, value: Any) -> Any:
        """The opposite of `to_result`."""
        rank, offset = self.rank, self.offset
        moved = (0, *range(1 + offset, 1 + offset + rank), *range(1, 1 + offset))
        order = (*moved, *range(rank + 1 + offset, len(value.shape)))
        return self.batch.inner.permute_dims(value, dims=order)


def _numbers(batch: Batch, rank: int) -> Any:
    """The number of each slice, to stand beside indices of `rank` dimensions."""
    with batch.key.guard:
        numbers = batch.key.inner(0).backend.xp.arange(batch.length)
        return numbers.reshape(-1, *(1,) * rank)


def _expanded(batch: Batch, index: Any, ndim: int) -> list[Any]:
    """The index with an item per dimension: no Ellipsis, and masks as the places they hold at."""
    items: list[Any] = []
    for item in index:
        if getattr(getattr(item, "dtype", None), "kind", "") != "b":
            items.append(item)
            continue
        if batch.is_batched(item) or isinstance(batch.value(item), BatchedArray):
            raise BatchingError(
                "vmap: expected an index of one shape for all slices. Got a mask that differs from "
                "slice to slice, and selects as many elements as it likes. Use torch.where."
            )
        mask = batch.value(item)
        items.extend(mask.nonzero())
    if Ellipsis not in [x for x in items if not hasattr(x, "shape")]:
        items.append(Ellipsis)
    used = sum(x is not None and x is not Ellipsis for x in items)
    place = next(k for k, x in enumerate(items) if x is Ellipsis)
    items[place : place + 1] = [slice(None)] * (ndim - used)
    return items


def _with_scalar_masks(name: str) -> Any:
    """Register a rule that leaves masks without dimensions, as in x[True], to single slices."""
    slicewise = by_slices(name)

    def register(rule: Any) -> Any:
        def chosen(batch: Batch, *arrays: Any, index: Any, **attributes: Any) -> Any:
            run = slicewise if any(_is_scalar_mask(x) for x in index) else rule
            return run(batch, *arrays, index=index, **attributes)

        return batches(name)(chosen)

    return register


def _is_scalar_mask(item: Any) -> bool:
    return getattr(getattr(item, "dtype", None), "kind", "") == "b" and not item.shape


@_with_scalar_masks("index_elements")
def index_elements(batch: Batch, x: Any, *, index: Any) -> Any:
    if _is_basic(index):
        return batch.inner.index_elements(x.value, index=(slice(None), *index))
    places = _Places(batch, x.shape, index)
    return places.to_result(batch.inner.index_elements(batch.front(x), index=places.index))


@_with_scalar_masks("index_embed")
def index_embed(batch: Batch, g: Any, *, like: Any, index: Any, unique: bool) -> Any:
    full = (batch.length, *like)
    if _is_basic(index):
        basic = (slice(None), *index)
        return batch.inner.index_embed(g.value, like=full, index=basic, unique=True)
    places = _Places(batch, like, index)
    value = places.from_result(batch.front(g))
    return batch.inner.index_embed(value, like=full, index=places.index, unique=unique)


@_with_scalar_masks("zero_at")
def zero_at(batch: Batch, g: Any, *, index: Any) -> Any:
    if _is_basic(index):
        return batch.inner.zero_at(g.value, index=(slice(None), *index))
    mask = _whole_mask(batch, g, index)
    if mask is not None:
        return batch.key.where(mask, batch.key.as_array(g.dtype.type(0)), g)
    places = _Places(batch, g.shape, index)
    return batch.inner.zero_at(batch.front(g), index=places.index)


def _whole_mask(batch: Batch, x: Any, index: Any) -> Any:
    """The mask, where the index is one of the whole shape that differs from slice to slice."""
    if len(index) == 1 and batch.is_batched(index[0]) and index[0].dtype.kind == "b":
        mask = index[0]
        if len(mask.shape) == len(x.shape):
            return mask
    return None


@_with_scalar_masks("index_put_values")
def index_put(batch: Batch, x: Any, values: Any, *, index: Any, accumulate: bool) -> Any:
    mask = _whole_mask(batch, x, index)
    if mask is not None and not values.shape:
        written = batch.key.plus(x, values) if accumulate else values
        return batch.key.where(mask, written, x)
    put = batch.inner.index_put_values
    if _is_basic(index):
        places = (slice(None), *index)
        example = np.broadcast_to(np.empty((), np.int8), tuple(x.shape))[index]
        padded = batch.padded(values, example.ndim)
        return put(batch.front(x), padded, index=places, accumulate=accumulate)
    where = _Places(batch, x.shape, index)
    ndim = where.rank + sum(n is None or isinstance(n, slice) for n in where.index)
    shape = tuple(values.shape)[-ndim:] if ndim else ()
    first = batch.length if batch.is_batched(values) else 1
    sizes = (first, *(1,) * (ndim - len(shape)), *shape)
    value = where.from_result(batch.reshaped(batch.value(values), sizes))
    return put(batch.front(x), value, index=where.index, accumulate=accumulate)


# -- tables ----------------------------------------------------------------------------------------


@batches("embedding_lookup")
def embedding_lookup(
    batch: Batch,
    weight: Any,
    input: Any,
    *,
    padding_idx: Any = None,
    scale_grad_by_freq: bool = False,
) -> Any:
    """Rows of a shared table at once; of tables of their own by rows of them all."""
    run = batch.inner.embedding_lookup
    if not batch.is_batched(weight):
        return run(batch.value(weight), input.value, padding_idx=padding_idx)
    rows, columns = weight.shape
    table = batch.reshaped(weight.value, (batch.length * rows, columns))
    return run(table, _in_one_table(batch, input, rows), padding_idx=None)


def _in_one_table(batch: Batch, input: Any, rows: int) -> Any:
    """Row numbers of each slice's table as those of all tables one below the other.

    Raises: IndexError for a row that the table has not.
    """
    numbers = input
    while numbers.__class__ is BatchedArray:
        numbers = numbers.value
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) < rows:
        raise OutOfBoundsError(
            f"embedding: expected indices from 0 to {rows - 1}, as weight has {rows} rows. Got "
            f"{int(numbers.min())} to {int(numbers.max())}."
        )
    starts = _numbers(batch, len(input.shape)) * rows
    return batch.inner.plus(batch.value(input), starts)


@batches("embedding_weight_gradient")
def embedding_weight_gradient(
    batch: Batch,
    g: Any,
    input: Any,
    *,
    like: Any,
    padding_idx: Any = None,
    scale_grad_by_freq: bool = False,
) -> Any:
    rows, columns = like
    run = batch.inner.embedding_weight_gradient
    total = (batch.length * rows, columns)
    numbers = _in_one_table(batch, input, rows)
    numbers = batch.inner.expand_to(numbers, like=(batch.length, *input.shape))
    out = run(batch.front(g), numbers, like=total, scale_grad_by_freq=scale_grad_by_freq)
    out = batch.reshaped(out, (batch.length, *like))
    if padding_idx is None:
        return out
    return batch.inner.zero_at(out, index=(slice(None), padding_idx))
