"""How primitives run on batches: rules by kind, with the batch as the first dimension.

A rule takes the call's `Batch`, the batched arrays and the attributes, and returns what the batch
of results holds. Products, windows and indices have files of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..backends.batched import Batch, aligned, rules
from ..core.batched import BatchedArray
from ..core.dispatch import operations
from .shapes import normalized_dim, normalized_dims
from .views import resolved_shape

Rule = Callable[..., Any]


def batches(*names: str) -> Callable[[Rule], Rule]:
    """Register the decorated rule for the operations `names`."""

    def register(rule: Rule) -> Rule:
        for name in names:
            rules[name] = rule
        return rule

    return register


def batches_each(names: str) -> Callable[[Callable[[str], Rule]], Callable[[str], Rule]]:
    """Register for each of the operations `names` the rule that the decorated function makes."""

    def register(make: Callable[[str], Rule]) -> Callable[[str], Rule]:
        for name in names.split():
            rules[name] = make(name)
        return make

    return register


for _name in ("gammainc", "gamma_slope", "beta_slope", "complex"):
    rules[_name] = aligned(_name)


@batches_each("""
copied cast detached conj real_part imag_part view_as_real view_as_complex tril triu pad_constant
reciprocal_gaps columns_scaled cholesky_lower qr_tall eigh_pairs eig_pairs svd_thin
orthogonal_complement unit_lower lu_packed rows_swapped rows_unswapped determinant cofactors
sign_and_log inverted matrix_exponential matrix_exponential_slope eigenvalues_hermitian eigenvalues
singular_values zero_rows
""")
def leading(name: str) -> Rule:
    """Dimensions are counted from the end, or all alike: the batch is one more in front."""

    def rule(batch: Batch, *arrays: Any, **attributes: Any) -> Any:
        return getattr(batch.inner, name)(*map(batch.front, arrays), **attributes)

    return rule


@batches_each("triangular solve_matrices solved_by_factor")
def systems(name: str) -> Rule:
    """Matrices whose own batches broadcast."""

    def rule(batch: Batch, *arrays: Any, **attributes: Any) -> Any:
        ndim = max(len(x.shape) for x in arrays)
        return getattr(batch.inner, name)(*[batch.padded(x, ndim) for x in arrays], **attributes)

    return rule


@batches("qr_other")
def qr_other(batch: Batch, A: Any, *, mode: str) -> Any:
    Q, R = batch.inner.qr_other(A.value, mode=mode)
    return (BatchedArray(Q, batch.level, False) if mode == "r" else Q), R


@batches("pinv_above")
def pinv(batch: Batch, A: Any, atol: Any, rtol: Any, *, hermitian: bool) -> Any:
    limits = [batch.padded(x, len(A.shape) - 2) for x in (atol, rtol)]
    return batch.inner.pinv_above(batch.front(A), *limits, hermitian=hermitian)


# -- along dimensions ------------------------------------------------------------------------------


def shifted(name: str, dim: Any, ndim: int) -> Any:
    """Dimensions of a slice as those of the batch; None and () mean all of the slice's."""
    if dim is None or (isinstance(dim, tuple | list) and not dim):
        return tuple(range(1, ndim + 1))
    if isinstance(dim, int):
        return normalized_dim(dim, ndim, name) + 1
    return tuple(d + 1 for d in normalized_dims(dim, ndim, name))


@batches_each("""
sum_over mean_over prod_over product_of_others pairs_of_others amax amin all any euclidean_norm
power_norm logsumexp_over cumsum_along cumprod_along cumprod_gradient cummax_positions
cummin_positions logcumsumexp softmax_over log_softmax_over flip_along sort_order fft_complex
fft_real fft_to_real doubled_half gather scatter_values zero_along scatter_reduced normalize_over
normalize_gradient select_at narrow unbind split_sizes top_positions rank_positions
""")
def along(name: str) -> Rule:
    """The attribute `dim` or `dims` counts the batch too. A slice without dimensions gets one."""

    def rule(batch: Batch, *arrays: Any, **attributes: Any) -> Any:
        operation = operations[name]
        attribute = "dims" if "dims" in operation.attribute_names else "dim"
        ndim = len(arrays[0].shape)
        values = [batch.front(x) for x in arrays]
        dim = attributes.get(attribute, operation.defaults.get(attribute))
        attributes[attribute] = shifted(name, dim, max(ndim, 1))
        kernel = getattr(batch.inner, name)
        if ndim:
            return kernel(*values, **attributes)
        columns = [batch.reshaped(v, (batch.length, 1)) for v in values]
        out = kernel(*columns, **attributes)
        if operation.outputs != 1:
            return tuple([batch.reshaped(x, (batch.length,)) for x in out])
        return batch.reshaped(out, (batch.length,))

    return rule


@batches_each("argmax argmin")
def places_of_extremes(name: str) -> Rule:
    """Without a dimension the place is that in the flat slice."""
    chosen = along(name)

    def rule(batch: Batch, x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
        if dim is not None:
            return chosen(batch, x, dim=dim, keepdim=keepdim)
        flat = batch.reshaped(x.value, (batch.length, math.prod(x.shape)))
        found = getattr(batch.inner, name)(flat, dim=1, keepdim=False)
        return batch.reshaped(found, (batch.length, *(1,) * len(x.shape))) if keepdim else found

    return rule


@batches("roll_along")
def roll(batch: Batch, x: Any, *, shifts: Any, dims: Any) -> Any:
    if dims is not None:
        places = shifted("roll", dims, len(x.shape))
        return batch.inner.roll_along(x.value, shifts=shifts, dims=places)
    flat = batch.reshaped(x.value, (batch.length, math.prod(x.shape)))
    return batch.reshaped(
        batch.inner.roll_along(flat, shifts=shifts, dims=1), (batch.length, *x.shape)
    )


@batches("half_sum")
def half_sum(batch: Batch, g: Any, *, like: Any, dim: int, factor: float) -> Any:
    place = shifted("half_sum", dim, len(like))
    return batch.inner.half_sum(g.value, like=(batch.length, *like), dim=place, factor=factor)


@batches_each("philox_dropout drop_weights")
def dropped(name: str) -> Rule:
    def rule(batch: Batch, x: Any, **how: Any) -> Any:
        ones = batch.inner.ones_of(x.value, shape=tuple(x.shape))
        return batch.inner.mul(batch.front(x), getattr(batch.inner, name)(ones, **how))

    return rule


@batches_each("expand_reduced expand_mean")
def expanded(name: str) -> Rule:
    def rule(batch: Batch, g: Any, *, like: Any, dim: Any, keepdim: bool) -> Any:
        if not like:
            return g.value  # reduced over nothing
        return getattr(batch.inner, name)(
            g.value,
            like=(batch.length, *like),
            dim=shifted(name, dim, len(like)),
            keepdim=keepdim,
        )

    return rule


@batches("scatter_add_zeros")
def scatter_add(batch: Batch, g: Any, index: Any, *, like: Any, dim: int) -> Any:
    values = [batch.front(g), batch.front(index)]
    if like:
        place = shifted("scatter_add", dim, len(like))
        return batch.inner.scatter_add_zeros(*values, like=(batch.length, *like), dim=place)
    values = [batch.reshaped(v, (batch.length, math.prod(v.shape[1:]))) for v in values]
    out = batch.inner.scatter_add_zeros(*values, like=(batch.length, 1), dim=1)
    return batch.reshaped(out, (batch.length,))


# -- sizes -----------------------------------------------------------------------------------------


@batches("sum_to")
def sum_to(batch: Batch, x: Any, *, like: Any) -> Any:
    sizes = (batch.length, *(1,) * (len(x.shape) - len(like)), *like)
    out = batch.inner.sum_to(x.value, like=sizes)
    return out if len(sizes) == len(like) + 1 else batch.reshaped(out, (batch.length, *like))


@batches("expand_to")
def expand_to(batch: Batch, x: Any, *, like: Any) -> Any:
    return batch.inner.expand_to(batch.padded(x, len(like)), like=(batch.length, *like))


@batches("expand_shape")
def expand(batch: Batch, x: Any, *, shape: Any) -> Any:
    missing = len(shape) - len(x.shape)
    if missing < 0 or any(n == -1 for n in shape[:missing]):
        raise ValueError("cannot be expanded")
    value = x.value
    if missing:
        sizes = (batch.length, *(1,) * missing, *x.shape)
        value = batch.inner.view_as_shape(value, shape=sizes)
    return batch.inner.expand_shape(value, shape=(batch.length, *shape))


@batches("view_as_shape")
def view(batch: Batch, x: Any, *, shape: Any) -> Any:
    sizes = resolved_shape(tuple(x.shape), shape, "view")
    return batch.inner.view_as_shape(x.value, shape=(batch.length, *sizes))


@batches("reshape_like")
def reshape(batch: Batch, x: Any, *, like: Any) -> Any:
    return batch.inner.reshape_like(x.value, like=(batch.length, *like))


@batches("permute_dims")
def permute(batch: Batch, x: Any, *, dims: Any) -> Any:
    ndim = len(x.shape)
    order = normalized_dims(dims, ndim, "permute") if dims else ()
    if len(order) != ndim:
        raise ValueError("not a permutation")
    return batch.inner.permute_dims(x.value, dims=(0, *(d + 1 for d in order)))


@batches("transpose")
def transpose(batch: Batch, x: Any, dim0: int, dim1: int) -> Any:
    ndim = len(x.shape)
    if not ndim:
        return batch.inner.transpose(x.value, dim0=0, dim1=0)
    a, b = (shifted("transpose", d, ndim) for d in (dim0, dim1))
    return batch.inner.transpose(x.value, dim0=a, dim1=b)


@batches_each("zeros_of ones_of")
def constants(name: str) -> Rule:
    """All slices share the constant."""

    def rule(batch: Batch, x: Any, *, shape: Any) -> Any:
        out = getattr(batch.inner, name)(x.value, shape=tuple(shape))
        return BatchedArray(out, batch.level, False)

    return rule


@batches_each("pad_to corner")
def corners(name: str) -> Rule:
    def rule(batch: Batch, x: Any, *, like: Any) -> Any:
        return getattr(batch.inner, name)(x.value, like=(batch.length, *like))

    return rule


# -- joins -----------------------------------------------------------------------------------------


@batches("cat")
def cat(batch: Batch, tensors: Any, dim: int = 0) -> Any:
    joined = [x for x in tensors if tuple(x.shape) != (0,)] or tensors
    place = shifted("cat", dim, len(joined[0].shape))
    return batch.inner.cat([batch.front(x) for x in joined], dim=place)


@batches("stack")
def stack(batch: Batch, tensors: Any, dim: int = 0) -> Any:
    place = shifted("stack", dim, len(tensors[0].shape) + 1)
    return batch.inner.stack([batch.front(x) for x in tensors], dim=place)


@batches("pass_through")
def pass_through(batch: Batch, tensors: Any) -> Any:
    return tuple(tensors)


@batches("part_of_cat")
def part_of_cat(batch: Batch, g: Any, *, like: Any, index: int, dim: int) -> Any:
    if tuple(like[index]) == (0,):
        return batch.inner.zeros_of(g.value, shape=(batch.length, 0))
    place = normalized_dim(dim, len(g.shape), "cat")
    start = sum(shape[place] for shape in like[:index] if tuple(shape) != (0,))
    return batch.inner.narrow(g.value, dim=place + 1, start=start, length=like[index][place])


@batches("embed_in_cat")
def embed_in_cat(batch: Batch, h: Any, *, like: Any, shapes: Any, index: int, dim: int) -> Any:
    full = (batch.length, *like)
    if tuple(shapes[index]) == (0,):
        return batch.inner.zeros_of(h.value, shape=full)
    place = normalized_dim(dim, len(like), "cat")
    start = sum(shape[place] for shape in shapes[:index] if tuple(shape) != (0,))
    length = shapes[index][place]
    return batch.inner.embed_slice(h.value, like=full, dim=place + 1, start=start, length=length)


@batches("embed_slice")
def embed_slice(batch: Batch, g: Any, *, like: Any, dim: int, start: int, length: Any) -> Any:
    place = shifted("embed_slice", dim, len(like))
    return batch.inner.embed_slice(
        g.value, like=(batch.length, *like), dim=place, start=start, length=length
    )


# -- memory ----------------------------------------------------------------------------------------


@batches("strided")
def strided(batch: Batch, x: Any, *, size: Any, stride: Any, offset: int, geometry: Any) -> Any:
    """Each slice's memory seen alike, the slices as far apart as they are."""
    step = batch_step(batch, x)
    shape, steps = geometry
    return batch.inner.strided(
        x.value,
        size=(batch.length, *size),
        stride=(step, *stride),
        offset=offset,
        geometry=((batch.length, *shape), (step, *steps)),
    )


def batch_step(batch: Batch, x: Any) -> int:
    """Elements of memory between neighbouring slices."""
    step: int = x.value.strides[0]
    return step if batch.inner.device.type == "meta" else step // int(x.dtype.itemsize)


@batches("moved_between")
def moved_between(batch: Batch, g: Any, *, source: Any, target: Any) -> Any:
    """Slices have places apart from each other's: far enough for the farthest."""
    reach = 1 + max(
        abs(offset) + sum((n - 1) * abs(s) for n, s in zip(size, stride, strict=True))
        for size, stride, offset in (source, target)
    )
    reach *= 2
    pairs = [((batch.length, *a), (reach, *s), o) for a, s, o in (source, target)]
    return batch.inner.moved_between(g.value, source=pairs[0], target=pairs[1])
