"""Sequences of different lengths: padded to one, or packed without gaps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

from ...core.creation import as_tensor, full
from ...core.dtypes import dtype as DType
from ...core.dtypes import float16, float32, float64, int8, int16, int32, int64, uint8
from ...core.ranges import arange
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops.joins import cat, stack
from ...ops.sorting import sort

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Packed(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Packed):
    """Sequences sorted by falling length, time after time: `data` (sum of lengths, ...) holds
    `batch_sizes[t]` rows of time t; `sorted_indices` says where each sequence stood before.

    Made by `pack_padded_sequence` and `pack_sequence`.
    """

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> Self:
        """Also of one pair (data, batch_sizes). Raises: ValueError for sizes not on the CPU."""
        if batch_sizes is None:
            data, batch_sizes = data
        if batch_sizes.device.type != "cpu":
            raise ValueError(
                "PackedSequence: expected batch_sizes on the CPU. Got them on "
                f"{batch_sizes.device}. Make packed sequences with pack_sequence."
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """With the data moved or converted as by `Tensor.to`."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        places = [
            None if x is None else x.to(data.device)
            for x in (self.sorted_indices, self.unsorted_indices)
        ]
        return type(self)(data, self.batch_sizes, *places)

    def cpu(self) -> Self:
        """With the data on the CPU."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Self:
        """With the data on a GPU."""
        return self.to("cuda" if device is None else device)

    def _converted(self, dtype: DType) -> Self:
        return self.to(dtype=dtype)

    def double(self) -> Self:
        """With float64 data."""
        return self._converted(float64)

    def float(self) -> Self:
        """With float32 data."""
        return self._converted(float32)

    def half(self) -> Self:
        """With float16 data."""
        return self._converted(float16)

    def long(self) -> Self:
        """With int64 data."""
        return self._converted(int64)

    def int(self) -> Self:
        """With int32 data."""
        return self._converted(int32)

    def short(self) -> Self:
        """With int16 data."""
        return self._converted(int16)

    def char(self) -> Self:
        """With int8 data."""
        return self._converted(int8)

    def byte(self) -> Self:
        """With uint8 data."""
        return self._converted(uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data are on a GPU."""
        return self.data.is_cuda


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes `permutation`; None for None."""
    if permutation is None:
        return None
    numbers = arange(permutation.numel(), device=permutation.device, dtype=permutation.dtype)
    return numbers.scatter(0, permutation, numbers)


def _places(lengths: list[Any], device: Any) -> tuple[Tensor, Tensor, list[Any]]:
    """Time and sequence of each packed row, and the number of rows of each time."""
    longest = lengths[0]
    inside = arange(longest, device=device).unsqueeze(1) < as_tensor(lengths, device=device)
    where = inside.nonzero()
    return where[:, 0], where[:, 1], inside.sum(1).tolist()


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs input (T, B, ...), or (B, T, ...) if `batch_first`, of which each sequence has the
    length that `lengths` (B,) says.

    Raises: RuntimeError for other lengths than B positive ones of at most T, or, with
    `enforce_sorted`, ones that rise.
    """
    sizes = as_tensor(lengths, dtype=int64).cpu()
    steps = input.transpose(0, 1) if batch_first else input
    order = None
    if not enforce_sorted:
        sizes, places = sort(sizes, descending=True)
        order = places.to(input.device)
        steps = steps.index_select(1, order)
    found = sizes.tolist()
    if sizes.ndim != 1 or len(found) != steps.shape[1] or not found:
        raise ShapeError(
            f"pack_padded_sequence: expected {steps.shape[1]} lengths, as input is "
            f"{tuple(input.shape)}. Got shape {tuple(sizes.shape)}."
        )
    if min(found) <= 0 or max(found) > steps.shape[0]:
        raise ShapeError(
            f"pack_padded_sequence: expected lengths from 1 to {steps.shape[0]}. Got {found}."
        )
    if found != sorted(found, reverse=True):
        raise ShapeError(
            f"pack_padded_sequence: expected lengths that do not rise. Got {found}. Sort the "
            "sequences, or pass enforce_sorted=False."
        )
    times, rows, counts = _places(found, input.device)
    return PackedSequence(steps[times, rows], as_tensor(counts), order)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Unpacks: (T, B, ...), or (B, T, ...) if `batch_first`, with `padding_value` behind the ends,
    and the lengths (B,) in the order before packing. T is the longest length, or `total_length`.

    Raises: ValueError for a total_length below the longest.
    """
    counts = sequence.batch_sizes.tolist()
    steps = len(counts) if total_length is None else total_length
    if steps < len(counts):
        raise ValueError(
            f"pad_packed_sequence: expected total_length of at least {len(counts)}, the longest "
            f"length. Got {total_length}."
        )
    lengths = [sum(count > row for count in counts) for row in range(counts[0])]
    data = sequence.data
    times, rows, _ = _places(lengths, data.device)
    shape = (steps, counts[0], *data.shape[1:])
    padded = full(shape, padding_value, dtype=data.dtype, device=data.device)
    padded = padded.index_put((times, rows), data)
    order = sequence.unsorted_indices
    sizes = as_tensor(lengths)
    if order is not None:
        padded, sizes = padded.index_select(1, order), sizes[order.cpu()]
    return (padded.transpose(0, 1) if batch_first else padded), sizes


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:  # fmt: skip
    """Sequences (length, ...) as one tensor (longest, B, ...), or (B, longest, ...) if
    `batch_first`, with `padding_value` on one side.

    Raises: RuntimeError for no sequences or another side than 'left' and 'right'.
    """
    if not isinstance(sequences, Iterable) or padding_side not in ("left", "right"):
        raise ShapeError(
            "pad_sequence: expected a list of tensors, and padding_side 'left' or 'right'. Got "
            f"{type(sequences).__name__} and {padding_side!r}."
        )
    found = list(sequences)
    if not found:
        raise ShapeError("pad_sequence: expected at least one sequence. Got none.")
    longest = max(x.shape[0] for x in found)
    padded = []
    for x in found:
        gap = longest - x.shape[0]
        if gap:
            filler = x.new_full((gap, *x.shape[1:]), padding_value)
            x = cat([x, filler] if padding_side == "right" else [filler, x])
        padded.append(x)
    return stack(padded, 0 if batch_first else 1)


def unpad_sequence(
    padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False
) -> list[Tensor]:
    """The sequences (length, ...) of a padded tensor (T, B, ...), or (B, T, ...) if
    `batch_first`."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    pairs = zip(range(rows.shape[0]), lengths.tolist(), strict=True)
    return [rows[k][:length] for k, length in pairs]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences (length, ...), sorted by falling length unless `enforce_sorted` is off.

    Raises: RuntimeError if their lengths rise, or one is empty.
    """
    lengths = [x.shape[0] for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences (length, ...) in the order before packing."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
