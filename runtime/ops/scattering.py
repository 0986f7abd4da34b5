"""Products and extremes of what an index sends to each place."""

from __future__ import annotations

from typing import Any

import numpy as np

from .declare import Index, Spec, primitive
from .gather import along, check_gather

UFUNCS = {"prod": "multiply", "amax": "maximum", "amin": "minimum"}


@primitive
def scatter_reduced(input: Spec, index: Index, src: Spec, *, dim: int, reduce: str) -> Spec:
    """A copy of input with the elements of src combined into it at `index` along `dim`: their
    product ("prod"), or the largest ("amax") or smallest ("amin") of all that come to a place."""
    check_gather("scatter", src, dim, index)
    return Spec(input.shape, input.dtype)


@scatter_reduced.array
def scatter_reduced_array(xp: Any, input: Any, index: Any, src: Any, dim: int, reduce: str) -> Any:
    """Unbuffered, so that repeated places combine; element by element of `dim` where the library
    cannot."""
    out = input.copy().reshape(input.shape or 1)
    places = index.reshape(index.shape or 1)
    source = src.reshape(src.shape or 1)[tuple(map(slice, places.shape))]
    d = dim % out.ndim
    combine = getattr(xp, UFUNCS[reduce])
    if xp is np and places.size:
        combine.at(out, along(xp, out, places, d), source)
        return out.reshape(input.shape)
    for k in range(places.shape[d] if places.size else 0):
        part = (*[slice(None)] * d, slice(k, k + 1))
        where = along(xp, out, places[part], d)
        out[where] = combine(out[where], source[part])
    return out.reshape(input.shape)


@scatter_reduced.vjp(saves="input index src out", static="reduce")
def scatter_reduced_vjp(
    F: Any, g: Any, needs: Any, input: Any, index: Any, src: Any, out: Any, dim: Any, reduce: str
) -> Any:
    """Of extremes, g shared equally among those that are as large."""
    if reduce == "prod":
        return _product_vjp(F, g, needs, input, index, src, out, dim)
    own = F.cast(F.eq(input, out), dtype=input.dtype)
    sent = F.cast(F.eq(src, F.gather(out, dim=dim, index=index)), dtype=src.dtype)
    count = F.plus(own, F.scatter_add_zeros(sent, index, like=input, dim=dim))
    share = F.divide(g, count)
    by_src = F.mul(F.gather(share, dim=dim, index=index), sent) if needs[2] else None
    return F.mul(share, own) if needs[0] else None, None, by_src


def _product_vjp(
    F: Any, g: Any, needs: Any, input: Any, index: Any, src: Any, out: Any, dim: Any
) -> Any:
    """g times the product of the others: the whole one divided, but where a factor of 0 stands
    alone, the product of the rest without it."""
    how = {"dim": dim, "reduce": "prod"}
    by_input = by_src = None
    if needs[0]:
        others = F.scatter_reduced(F.where(F.eq(input, 0.0), 1.0, input), index, src, **how)
        by_input = F.mul(g, F.divide(others, F.where(F.eq(input, 0.0), 1.0, input)))
    if needs[2]:
        zero = F.eq(src, 0.0)
        zeros = F.scatter_add_zeros(F.cast(zero, dtype=src.dtype), index, like=input, dim=dim)
        lone = F.logical_and(zero, F.eq(F.gather(zeros, dim=dim, index=index), 1.0))
        rest = F.scatter_reduced(input, index, F.where(lone, 1.0, src), **how)
        safe = F.where(zero, 1.0, src)
        divided = F.divide(F.gather(F.mul(g, out), dim=dim, index=index), safe)
        by_src = F.where(lone, F.gather(F.mul(g, rest), dim=dim, index=index), divided)
    return by_input, None, by_src
