"""How exactly products on a GPU are computed, and by which library."""

from __future__ import annotations

from typing import Any

from .matrices import COMPUTE_16F, COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_32I, COMPUTE_64F

SUMS = {"float64": COMPUTE_64F, "int8": COMPUTE_32I}
"""The types that products are added up in, where that is not float32."""
ANY_SCHEME, WIDE_SCHEME, NO_SCHEME = 7, 2, 0
"""Of cublasLtReductionScheme_t: how sums of parts that are computed apart may be added up: in any
type, in the type of the sums, not at all."""
LIBRARIES = ("default", "cublas", "cublaslt")
FP32_PRECISIONS = {"none": "highest", "ieee": "highest", "tf32": "high"}


def _reduction(dtype: str) -> property:
    def get(self: Rounding) -> bool:
        return self.reductions[dtype][0]

    def set(self: Rounding, value: bool | tuple[bool, ...] | list[bool]) -> None:
        given = (value,) if isinstance(value, bool) else tuple(value)
        if len(given) not in (1, 2) or not all(isinstance(v, bool) for v in given):
            raise TypeError(f"Expected a bool, or a tuple of one or two. Got {value!r}.")
        self.reductions = {**self.reductions, dtype: (given[0], given[-1] or len(given) == 1)}

    return property(
        get, set, doc=f"Whether sums of parts of {dtype} products may be rounded to {dtype}."
    )


class Rounding:
    """`torch.backends.cuda.matmul`: how products may be rounded, and which library computes them.

    `allow_fp16_reduced_precision_reduction` and `allow_bf16_reduced_precision_reduction` say
    whether parts of a sum that are computed apart may be added up in the half type; of a pair, the
    second says whether a sum may be computed in parts at all. `allow_fp16_accumulation` lets all
    sums of float16 be float16. `code` tells settings apart.
    """

    __slots__ = ("_codes", "allow_fp16_accumulation", "code", "library", "precision", "reductions")

    allow_fp16_accumulation: bool
    code: int
    library: str
    precision: str  # of float32, as `torch.set_float32_matmul_precision` was told
    reductions: dict[str, tuple[bool, bool]]
    _codes: dict[Any, int]

    allow_fp16_reduced_precision_reduction = _reduction("float16")
    allow_bf16_reduced_precision_reduction = _reduction("bfloat16")

    def __init__(self) -> None:
        for name, value in (
            ("_codes", {}), ("code", 0), ("library", "default"), ("precision", "highest"),
            ("allow_fp16_accumulation", False),
            ("reductions", {"float16": (True, True), "bfloat16": (True, True)}),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        chosen = (
            self.library, self.precision, self.allow_fp16_accumulation, *self.reductions.values(),
        )  # fmt: skip
        object.__setattr__(self, "code", self._codes.setdefault(chosen, len(self._codes) + 1))

    @property
    def allow_tf32(self) -> bool:
        """Whether factors of float32 may be rounded to TF32 (10 bits): a float32 matmul precision
        below "highest"."""
        return self.precision != "highest"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        self.precision = "high" if value else "highest"

    @property
    def fp32_precision(self) -> str:
        """The same in words: "ieee" or "tf32"."""
        return "tf32" if self.allow_tf32 else "ieee"

    @fp32_precision.setter
    def fp32_precision(self, value: str) -> None:
        if value not in FP32_PRECISIONS:
            raise RuntimeError(f"Expected one of {', '.join(FP32_PRECISIONS)}. Got {value!r}.")
        self.precision = FP32_PRECISIONS[value]

    def preferred_library(self, backend: str | None = None) -> str:
        """Which library computes matrix products, and from now on is to: "cublaslt", with a bias in
        the same launch, "cublas", or "default", the first that has an algorithm.

        Raises: RuntimeError for another word.
        """
        if backend is not None:
            if backend not in LIBRARIES:
                raise RuntimeError(
                    f"Expected a library of {', '.join(LIBRARIES)}. Got {backend!r}."
                )
            self.library = backend
        return self.library

    def sums(self, dtype: str) -> int:
        """The type to add up in, of cublasComputeType_t."""
        if dtype == "float16" and self.allow_fp16_accumulation:
            return COMPUTE_16F
        is_rounded = dtype == "float32" and self.allow_tf32
        return COMPUTE_32F_FAST_TF32 if is_rounded else SUMS.get(dtype, COMPUTE_32F)

    def schemes(self, dtype: str) -> int:
        """How sums of parts may be added up, of cublasLtReductionScheme_t."""
        is_rounded, in_parts = self.reductions.get(dtype, (True, True))
        return NO_SCHEME if not in_parts else ANY_SCHEME if is_rounded else WIDE_SCHEME


rounding = Rounding()
