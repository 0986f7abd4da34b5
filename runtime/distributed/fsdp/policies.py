"""In what precision sharded modules compute, and where their parts lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CPUOffloadPolicy", "MixedPrecisionPolicy", "OffloadPolicy"]


@dataclass(frozen=True)
class MixedPrecisionPolicy:
    """The dtypes of a sharded module, None for those that its parameters have.

    param_dtype          of the whole parameters, and so of the products made with them
    reduce_dtype         in which gradients of processes are added; None for that of the gradients
    output_dtype         to which floating-point outputs are converted; None leaves them
    cast_forward_inputs  whether floating-point inputs are converted to `param_dtype`
    """

    param_dtype: Any = None
    reduce_dtype: Any = None
    output_dtype: Any = None
    cast_forward_inputs: bool = True


@dataclass(frozen=True)
class OffloadPolicy:
    """Parts lie where the parameters were."""


@dataclass(frozen=True)
class CPUOffloadPolicy(OffloadPolicy):
    """Parts, their gradients and the optimizer lie in the CPU's memory; whole parameters are made
    where the parameters were. `pin_memory` is PyTorch's and not needed."""

    pin_memory: bool = True
