"""The older place of `torch.func.functional_call`."""

from __future__ import annotations

import warnings
from typing import Any

from ...transforms import modules
from ..modules.module import Module

__all__ = ["functional_call"]


def functional_call(
    module: Module,
    parameters_and_buffers: dict[str, Any],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """As `torch.func.functional_call`, which is to be used instead, and warns so."""
    warnings.warn(
        "nn.utils.stateless.functional_call: use torch.func.functional_call.",
        FutureWarning,
        stacklevel=2,
    )
    return modules.functional_call(
        module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict
    )
