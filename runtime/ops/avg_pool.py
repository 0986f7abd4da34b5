"""The mean of each window."""

from __future__ import annotations

from typing import Any

from ..backends.cpu.onednn import pooling as onednn
from .declare import Spec, kernel, primitive
from .shapes import Shape
from .window_matrices import padded_array
from .windows import covering_pairs, inside, offsets, pooled_sizes, window_at


@primitive(node_name="AvgPool", layout="channels_last")
def avg_pool(
    input: Spec,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Spec:
    """The mean of each window; zeros stand outside the input, counted as elements or not."""
    name, ones = f"avg_pool{len(kernel)}d", (1,) * len(kernel)
    sizes = pooled_sizes(name, tuple(input.shape), kernel, stride, padding, ones, ceil_mode)
    return Spec((*input.shape[:2], *sizes), input.dtype)


@avg_pool.naming
def avg_pool_name(node: Any) -> str:
    """With the number of dimensions that are pooled."""
    return f"AvgPool{len(node.attributes[0])}DBackward0"


@avg_pool.array
def avg_pool_array(
    xp: Any,
    input: Any,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The sum over the slices, divided by how many elements each window has."""
    ones = (1,) * len(kernel)
    sizes = pooled_sizes(
        f"avg_pool{len(kernel)}d", input.shape, kernel, stride, padding, ones, ceil_mode
    )
    padded = padded_array(
        xp, input, 2, covering_pairs(input.shape, sizes, kernel, stride, padding, ones)
    )
    first, *others = [padded[window_at(o, sizes, stride, ones)] for o in offsets(kernel)]
    out = first.copy()
    for part in others:
        out += part
    how = (kernel, stride, padding, count_include_pad, divisor_override)
    divisor = _divisor(xp, input.dtype, input.shape, sizes, *how)
    if out.dtype.kind in "iu":  # as integers are divided elsewhere, towards zero
        return xp.sign(out) * xp.sign(divisor) * (xp.absolute(out) // xp.absolute(divisor))
    out /= divisor
    return out


def _divisor(
    xp: Any,
    dtype: Any,
    input: Shape,
    sizes: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The number of elements per window: one number if all have the same, else (1, 1, *sizes)."""
    if divisor_override is not None:
        return dtype.type(divisor_override)
    counts = xp.ones((), dtype)
    for n, m, k, s, p in zip(input[2:], sizes, kernel, stride, padding, strict=True):
        start = xp.arange(m) * s - p
        stop = xp.minimum(start + k, n + p)
        if not count_include_pad:
            start, stop = xp.maximum(start, 0), xp.minimum(stop, n)
        counts = counts[..., None] * (stop - start).astype(dtype)
    return counts[None, None]


@avg_pool.vjp()
def avg_pool_vjp(
    F: Any,
    g: Any,
    needs: Any,
    input: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
) -> Any:
    """g shared among the elements of each window."""
    return F.avg_pool_gradient(
        g,
        like=input,
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@primitive(layout="channels_last")
def avg_pool_gradient(
    g: Spec,
    *,
    like: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Spec:
    """Zeros of shape `like` with each element of g, divided by its window's count, added to all
    elements of the window."""
    return Spec(like, g.dtype)


@avg_pool_gradient.array
def avg_pool_gradient_array(
    xp: Any,
    g: Any,
    like: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """One pass per slice."""
    sizes, ones = g.shape[2:], (1,) * len(kernel)
    how = (kernel, stride, padding, count_include_pad, divisor_override)
    share = g / _divisor(xp, g.dtype, like, sizes, *how)
    pairs = covering_pairs(like, sizes, kernel, stride, padding, ones)
    grad = xp.zeros(
        (*like[:2], *(n + a + b for n, (a, b) in zip(like[2:], pairs, strict=True))), g.dtype
    )
    for offset in offsets(kernel):
        grad[window_at(offset, sizes, stride, ones)] += share
    return grad if grad.shape == like else grad[inside(like, pairs)]


@avg_pool_gradient.vjp()
def avg_pool_gradient_vjp(
    F: Any,
    h: Any,
    needs: Any,
    g: Any,
    like: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    divisor_override: Any,
) -> Any:
    """The mean again."""
    return F.avg_pool(
        h,
        kernel=kernel,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


@primitive(node_name="AdaptiveAvgPool")
def adaptive_avg_pool(input: Spec, *, sizes: Shape) -> Spec:
    """Means over windows that divide the input as evenly as can be into `sizes`: along n elements,
    window i of m is from floor(i * n / m) to ceil((i + 1) * n / m)."""
    return Spec((*input.shape[:2], *sizes), input.dtype)


@adaptive_avg_pool.naming
def adaptive_avg_pool_name(node: Any) -> str:
    """With the number of dimensions that are pooled."""
    return f"AdaptiveAvgPool{len(node.attributes[0])}DBackward0"


@adaptive_avg_pool.array
def adaptive_avg_pool_array(xp: Any, input: Any, sizes: Shape) -> Any:
    """Along each dimension a product with the matrix of weights."""
    if input.dtype.kind in "biu":
        raise TypeError("mean of integers")
    out = input
    for axis, size in enumerate(sizes, 2):
        matrix = _window_weights(xp, input.shape[axis], size, input.dtype)
        out = xp.moveaxis(xp.matmul(xp.moveaxis(out, axis, -1), matrix), -1, axis)
    return xp.ascontiguousarray(out)


def _window_weights(xp: Any, n: int, m: int, dtype: Any) -> Any:
    """(n, m): 1 / count where element i lies in window j."""
    j, i = xp.arange(m), xp.arange(n)[:, None]
    start, stop = j * n // m, -(-(j + 1) * n // m)
    return ((i >= start) & (i < stop)).astype(dtype) / (stop - start).astype(dtype)


@adaptive_avg_pool.vjp()
def adaptive_avg_pool_vjp(F: Any, g: Any, needs: Any, input: Any, sizes: Any) -> Any:
    """g shared among the elements of each window."""
    return F.adaptive_avg_pool_gradient(g, like=input)


@primitive(may_alias=True)
def adaptive_avg_pool_gradient(g: Spec, *, like: Shape) -> Spec:
    """The transposed map of `adaptive_avg_pool` to the shape `like`."""
    return Spec(like, g.dtype)


@adaptive_avg_pool_gradient.array
def adaptive_avg_pool_gradient_array(xp: Any, g: Any, like: Shape) -> Any:
    """Along each dimension a product with the transposed matrix."""
    out = g
    for axis in range(2, len(like)):
        matrix = _window_weights(xp, like[axis], g.shape[axis], g.dtype).T
        out = xp.moveaxis(xp.matmul(xp.moveaxis(out, axis, -1), matrix), -1, axis)
    return xp.ascontiguousarray(out)


@adaptive_avg_pool_gradient.vjp()
def adaptive_avg_pool_gradient_vjp(F: Any, h: Any, needs: Any, g: Any, like: Any) -> Any:
    """The means again."""
    return F.adaptive_avg_pool_like(h, like=g)


@primitive
def adaptive_avg_pool_like(input: Spec, *, like: Shape) -> Spec:
    """`adaptive_avg_pool` to the sizes of the shape `like`."""
    return Spec(like, input.dtype)


@adaptive_avg_pool_like.array
def adaptive_avg_pool_like_array(xp: Any, input: Any, like: Shape) -> Any:
    """Sizes from the shape."""
    return adaptive_avg_pool_array(xp, input, like[2:])


@adaptive_avg_pool_like.vjp()
def adaptive_avg_pool_like_vjp(F: Any, g: Any, needs: Any, input: Any, like: Any) -> Any:
    """The transposed map."""
    return F.adaptive_avg_pool_gradient(g, like=input)


kernel(avg_pool, "cpu", onednn.serves_mean)(onednn.avg_pool)
kernel(avg_pool_gradient, "cpu", onednn.serves_mean_gradient)(onednn.avg_pool_gradient)
