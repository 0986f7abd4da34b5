"""How exactly products on a GPU are computed, and by which library."""

from __future__ import annotations

from typing import Any

from .matrices import COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_32I, COMPUTE_64F

SUMS = {"float64": COMPUTE_64F, "int8": COMPUTE_32I}
"""The types that products are added up in, where that is not float32."""


class Rounding:
    """How products may be rounded, and which library computes them; `code` tells settings apart."""

    precision = "highest"  # of float32, as `torch.set_float32_matmul_precision` was told
    fp16_sums = True  # whether parts of sums may be added up in float16
    bf16_sums = True  # the same of bfloat16
    library = "default"  # "cublas", "cublaslt", or either
    code = 0
    _codes: dict[tuple[Any, ...], int]

    def __init__(self) -> None:
        object.__setattr__(self, "_codes", {})

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        chosen = self.precision, self.fp16_sums, self.bf16_sums, self.library
        object.__setattr__(self, "code", self._codes.setdefault(chosen, len(self._codes) + 1))

    def sums(self, dtype: str) -> int:
        """The type to add up in, of cublasComputeType_t."""
        is_rounded = dtype == "float32" and self.precision != "highest"
        return COMPUTE_32F_FAST_TF32 if is_rounded else SUMS.get(dtype, COMPUTE_32F)

    def rounds_sums(self, dtype: str) -> bool:
        """Whether parts of sums may be added up in the type of the result."""
        return {"float16": self.fp16_sums, "bfloat16": self.bf16_sums}.get(dtype, True)


rounding = Rounding()
