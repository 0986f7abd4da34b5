"""Fair comparison of the places of elements where several are equal.

Which of several equal elements PyTorch's selections name is an accident of their algorithm
(quickselect, vectorized sorting networks), which changes with the length and the processor. So the
places are compared by what stands there, unless a stable order was asked for.
"""

from __future__ import annotations

from typing import Any

from . import crossing

DIM = {
    "sort": 0, "argsort": 0, "topk": 1, "kthvalue": 1, "median": 0, "nanmedian": 0, "mode": 0,
}  # fmt: skip
"""Operations whose last result is places, and where their arguments name the dimension."""


def by_value(name: str, result: Any, sample: Any, input: Any) -> Any:
    """`result` with the elements of `input` at its places instead of the places."""
    tensors = crossing.tensors_of(result)
    if name not in DIM or sample.kwargs.get("stable") or not tensors or not input.ndim:
        return result
    position = DIM[name]
    given = sample.args[position] if len(sample.args) > position else None
    dim = sample.kwargs.get("dim", given)
    if dim is None:
        if name in ("median", "nanmedian"):
            return result  # the value alone
        dim = -1
    *values, places = tensors
    keeps = places.ndim == input.ndim
    there = input.detach().gather(dim, places if keeps else places.unsqueeze(dim))
    return [*values, there if keeps else there.squeeze(dim)]
