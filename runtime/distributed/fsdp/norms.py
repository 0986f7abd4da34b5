"""Norms of gradients whose parts lie on several processes."""

from __future__ import annotations

import math
from typing import Any

from ...core.creation import tensor
from ...core.tensor import Tensor
from ..collectives import all_reduce
from ..reductions import ReduceOp


def joined_norm(norms: dict[Any, Tensor], norm_type: float) -> Tensor:
    """The norm of everything, from this process's norms of what each group shares (None: what every
    process has whole). All processes of the groups call this."""
    found = []
    for group, norm in norms.items():
        value = norm.detach().clone()
        if group is not None and math.isinf(norm_type):
            all_reduce(value, ReduceOp.MAX, group=group)
        elif group is not None:
            value = value**norm_type
            all_reduce(value, group=group)
            value = value ** (1 / norm_type)
        found.append(value.item())
    if math.isinf(norm_type):
        return tensor(max(found))
    return tensor(sum(v**norm_type for v in found) ** (1 / norm_type))
