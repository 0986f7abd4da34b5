"""Pooling by oneDNN: the largest element and the mean of each window.

Shapes: input (N, C, *sizes); `kernel`, `stride`, `padding` and `dilation` one int per spatial
dimension. Results lie as their input does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .layouts import FLOAT32, channels_last, empty_channels_last, is_channels_last, row_major, steps
from .library import Library, library
from .primitives import (
    DIFF_DST,
    DIFF_SRC,
    DST,
    FORWARD_INFERENCE,
    FORWARD_TRAINING,
    SRC,
    WORKSPACE,
    Description,
    Descriptor,
    Primitive,
    dims,
    kept,
)

LEAST = 1 << 14
"""Elements from which on oneDNN is called."""

MAX, WITH_PADDING, WITHOUT_PADDING = 511, 767, 1023
"""dnnl_pooling_max, dnnl_pooling_avg_include_padding and ..._exclude_padding"""

Shape = tuple[int, ...]


def _pooled(shape: Shape, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape) -> Shape:
    sizes = zip(shape[2:], kernel, stride, padding, dilation, strict=True)
    return (*shape[:2], *[(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes])


def _in_order(how: dict[str, Shape]) -> tuple[Shape, ...]:
    return tuple([how[name] for name in ("kernel", "stride", "padding", "dilation")])


def _is_large(input: Any, output: Shape) -> bool:
    return (
        input.size >= LEAST and input.dtype == FLOAT32 and min(output) > 0 and library() is not None
    )


def _forward(found: Library, x: Any, out: Any, kind: int, how: Any, algorithm: int) -> Description:
    return Description(
        found, "pooling_forward", kind, algorithm, Descriptor(found, x.shape, steps(x)),
        Descriptor(found, out.shape, steps(out)), *_window(how),
    )  # fmt: skip


def _window(how: Any) -> tuple[Any, ...]:
    kernel, stride, padding, dilation = how
    gaps = [d - 1 for d in dilation]
    return dims(stride), dims(kernel), dims(gaps), dims(padding), dims(padding)


def _arranged(x: Any) -> Any:
    return x if x.flags.c_contiguous or is_channels_last(x) else row_major(x)


def _empty(shape: Shape, like: Any) -> Any:
    return np.empty(shape, FLOAT32) if like.flags.c_contiguous else empty_channels_last(shape)


def _like(g: Any, out: Any) -> Any:
    """g in the order of memory that `out` has."""
    return row_major(g) if out.flags.c_contiguous else channels_last(g)


# -- the largest element ---------------------------------------------------------------------------


def _is_finite(x: Any) -> bool:
    """Whether no element is infinite, NaN or so large that its square is: oneDNN's maximum passes
    over NaN, and begins at the lowest finite number."""
    if not x.flags.c_contiguous:
        x = x.transpose(0, *range(2, x.ndim), 1)
    flat = x.reshape(-1)
    return math.isfinite(float(flat.dot(flat)))


def serves_max(
    input: Any, *, kernel: Shape, stride: Shape, padding: Shape, dilation: Shape, ceil_mode: bool
) -> bool:
    """Whether `max_pool` can compute this."""
    if ceil_mode or not _is_large(input, _pooled(input.shape, kernel, stride, padding, dilation)):
        return False
    return _is_finite(_arranged(input))


def max_pool(input: Any, *, ceil_mode: bool, **how: Shape) -> Any:
    """The largest element of each window."""
    found, window = library(), _in_order(how)
    assert found is not None
    x = _arranged(input)
    out = _empty(_pooled(x.shape, *window), x)
    identity = ("max_pool", x.shape, x.strides, window)
    kept(
        identity,
        lambda: Primitive(_forward(found, x, out, FORWARD_INFERENCE, window, MAX), (SRC, DST)),
    ).run(x, out)
    return out


def serves_max_gradient(g: Any, input: Any, best: Any, **how: Shape) -> bool:
    """Whether `max_pool_gradient` can compute this."""
    output = _pooled(input.shape, *_in_order(how))
    fits = output == tuple(g.shape) and g.dtype == FLOAT32
    return fits and _is_large(input, output) and _is_finite(_arranged(input))


def max_pool_gradient(g: Any, input: Any, best: Any, **how: Shape) -> Any:
    """g at each window's first largest element, found again."""
    found, window = library(), _in_order(how)
    assert found is not None
    x = _arranged(input)
    out, grad = _empty(best.shape, x), np.empty_like(x)
    identity = (x.shape, x.strides, window)

    def make() -> Primitive:
        description = _forward(found, x, out, FORWARD_TRAINING, window, MAX)
        return Primitive(description, (SRC, DST, WORKSPACE))

    again = kept(("max_pool places", *identity), make)
    places = np.empty(again.description.bytes_of(WORKSPACE), np.uint8)
    again.run(x, out, places)
    backward = kept(
        ("max_pool_gradient", *identity),
        lambda: Primitive(
            _backward(found, grad, out, window, MAX, again.description),
            (DIFF_DST, WORKSPACE, DIFF_SRC),
        ),
    )
    backward.run(_like(g, out), places, grad)
    return grad


def _backward(
    found: Library, grad: Any, g: Any, how: Any, algorithm: int, hint: Description
) -> Description:
    return Description(
        found, "pooling_backward", algorithm, Descriptor(found, grad.shape, steps(grad)),
        Descriptor(found, g.shape, steps(g)), *_window(how), hint,
    )  # fmt: skip


# -- the mean --------------------------------------------------------------------------------------


def serves_mean(
    input: Any, *, kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> bool:  # fmt: skip
    """Whether `avg_pool` can compute this."""
    output = _pooled(input.shape, kernel, stride, padding, (1,) * len(kernel))
    return not ceil_mode and divisor_override is None and _is_large(input, output)


def avg_pool(
    input: Any, *, kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Any:  # fmt: skip
    """The mean of each window."""
    found, window = library(), (kernel, stride, padding, (1,) * len(kernel))
    assert found is not None
    x = _arranged(input)
    out = _empty(_pooled(x.shape, *window), x)
    algorithm = WITH_PADDING if count_include_pad else WITHOUT_PADDING
    kept(
        ("avg_pool", x.shape, x.strides, window, algorithm),
        lambda: Primitive(
            _forward(found, x, out, FORWARD_INFERENCE, window, algorithm), (SRC, DST)
        ),
    ).run(x, out)
    return out


def serves_mean_gradient(
    g: Any, *, like: Shape, kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> bool:  # fmt: skip
    """Whether `avg_pool_gradient` can compute this."""
    output = _pooled(tuple(like), kernel, stride, padding, (1,) * len(kernel))
    fits = output == g.shape and not ceil_mode and divisor_override is None
    return fits and _is_large(g, output)


def avg_pool_gradient(
    g: Any, *, like: Shape, kernel: Shape, stride: Shape, padding: Shape, ceil_mode: bool,
    count_include_pad: bool, divisor_override: int | None,
) -> Any:  # fmt: skip
    """Each element of g shared out among the elements of its window."""
    found, window = library(), (kernel, stride, padding, (1,) * len(kernel))
    assert found is not None
    g = _arranged(g)
    grad = _empty(tuple(like), g)
    algorithm = WITH_PADDING if count_include_pad else WITHOUT_PADDING

    def make() -> Primitive:
        hint = _forward(found, grad, g, FORWARD_TRAINING, window, algorithm)
        description = _backward(found, grad, g, window, algorithm, hint)
        return Primitive(description, (DIFF_DST, DIFF_SRC))

    kept(("avg_pool_gradient", grad.shape, g.strides, window, algorithm), make).run(g, grad)
    return grad
