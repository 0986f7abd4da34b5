"""Which operations may wait.

They have no effect but their results, which follow from their operands' values alone; their shape
rules tell all about the results, and find all that can be wrong. So nothing that draws random
numbers, writes, or refuses operands by their values: those run at once, on plain tensors.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..core import dtypes
from .lazy import LazyTensor

if TYPE_CHECKING:
    from ..core.dispatch import DispatchKey
    from ..ops.operation import Operation

NAMES = frozenset(
    """
    amax amin attention bmm cast copied euclidean_norm expand_shape layer_norm_over linear
    log_softmax_over logsumexp_over matmul mean_over mm normalize_over product_sum
    reshape_like rms_norm_over scaled_product_sum softmax_over sum_over sum_to
    narrow select_at slice_view split_sizes transpose permute_dims unbind var_over view_as_shape
    """.split()
)
"""Operations without a formula that may wait."""

_SIMPLE = (bool, int, str, type(None), dtypes.dtype)


def is_capturable(operation: Operation, key: DispatchKey) -> bool:
    """Whether `operation` may wait, on operands of `key`."""
    if key.device.type not in ("cpu", "cuda"):
        return False
    if operation.formula is not None:  # of integers some divisions raise
        return key.dtype in (dtypes.float32, dtypes.float64)
    return operation.name in NAMES and key.is_float


def lie_plainly(tensors: list[Any]) -> bool:
    """Whether the operands of a formula lie in memory so that the result is row-major: those that
    are not broadcast do."""
    largest, plain = 0, True
    for t in tensors:
        if t is None:
            continue
        is_lazy = t.__class__ is LazyTensor
        size = math.prod(t._shape) if is_lazy else t._array.size
        if size >= largest:
            is_plain = t.is_contiguous() if is_lazy else t._array.flags.c_contiguous
            plain = is_plain and (plain or size > largest)
            largest = size
    return plain


def frozen(value: Any) -> Any:
    """What tells attributes apart, hashable; None for what cannot be told apart so."""
    if value.__class__ is float:
        return repr(value)  # 0.0 equals -0.0, and 1.0 equals 1 and True
    if isinstance(value, _SIMPLE):
        return value.__class__, value
    if value is Ellipsis:
        return "..."
    if value.__class__ is slice:
        return "slice", frozen((value.start, value.stop, value.step))
    if value.__class__ is dict and not value:
        return ()
    if value.__class__ is dict or isinstance(value, tuple | list):
        parts = value.items() if value.__class__ is dict else enumerate(value)
        found = tuple([(n, frozen(v)) for n, v in parts])
        return None if any(v is None for _, v in found) else found
    return None
