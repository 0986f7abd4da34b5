"""Arithmetic between tensors as modules, so that calibration finds scales for its results."""

from __future__ import annotations

from typing import Any

from ....core.tensor import Tensor
from ....nn.modules.linear import Identity
from ....nn.modules.module import Module
from ....ops import quantized_arithmetic
from ....ops.activations import relu
from ....ops.joins import cat
from ....ops.linalg import matmul
from .linear import load_output_parameters, output_parameters, save_output_parameters

__all__ = ["FXFloatFunctional", "FloatFunctional", "QFunctional"]


class _Functional(Module):
    """What is called by its methods, not itself."""

    def forward(self, x: Any) -> Any:
        """Raises: RuntimeError: its methods are called instead."""
        raise RuntimeError(
            f"{type(self).__name__}: expected a call of add, mul, cat, add_relu, add_scalar, "
            "mul_scalar or matmul. Got one of the module itself."
        )


class FXFloatFunctional(_Functional):
    """Arithmetic of numbers, without calibration."""

    def _seen(self, out: Tensor) -> Tensor:
        return out

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y."""
        return self._seen(x + y)

    def add_scalar(self, x: Tensor, y: float) -> Tensor:
        """x + the number y."""
        return self._seen(x + y)

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        """x * y."""
        return self._seen(x * y)

    def mul_scalar(self, x: Tensor, y: float) -> Tensor:
        """x * the number y."""
        return self._seen(x * y)

    def cat(self, x: Any, dim: int = 0) -> Tensor:
        """The tensors of the list x, one after the other."""
        return self._seen(cat(x, dim))

    def add_relu(self, x: Tensor, y: Tensor) -> Tensor:
        """max(x + y, 0)."""
        return self._seen(relu(x + y))

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """x @ y."""
        return self._seen(matmul(x, y))


class FloatFunctional(FXFloatFunctional):
    """Arithmetic of numbers in a model that will be quantized: `self.sum.add(x, y)` for `x + y`.

    `prepare` lets its results be watched; `convert` makes it a `QFunctional`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process: Any = Identity()

    def _seen(self, out: Tensor) -> Tensor:
        watched: Tensor = self.activation_post_process(out)
        return watched


class QFunctional(_Functional):
    """Arithmetic of quantized tensors, see `ops.quantized_arithmetic`; the results have the
    module's `scale` and `zero_point`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.zero_point = 1.0, 0

    def add(self, x: Tensor, y: Any) -> Tensor:
        """x + y."""
        return quantized_arithmetic.quantized_add(x, y, self.scale, self.zero_point)

    def mul(self, x: Tensor, y: Any) -> Tensor:
        """x * y."""
        return quantized_arithmetic.quantized_mul(x, y, self.scale, self.zero_point)

    add_scalar, mul_scalar = add, mul

    def cat(self, x: Any, dim: int = 0) -> Tensor:
        """The tensors of the list x, one after the other."""
        return quantized_arithmetic.quantized_cat(x, self.scale, self.zero_point, dim)

    def add_relu(self, x: Tensor, y: Tensor) -> Tensor:
        """max(x + y, 0)."""
        return quantized_arithmetic.quantized_add_relu(x, y, self.scale, self.zero_point)

    def matmul(self, x: Tensor, y: Tensor) -> Tensor:
        """x @ y."""
        return quantized_arithmetic.quantized_matmul(x, y, self.scale, self.zero_point)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> QFunctional:
        """The quantized module of a calibrated `FloatFunctional`."""
        made = cls()
        made.scale, made.zero_point = output_parameters(mod)
        return made

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        save_output_parameters(self, destination, prefix)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, metadata: Any, strict: bool, missing: Any,
        unexpected: Any, errors: Any,
    ) -> None:  # fmt: skip
        load_output_parameters(self, state_dict, prefix, missing)

    def extra_repr(self) -> str:
        """Scale and zero point."""
        return f"scale={self.scale}, zero_point={self.zero_point}"
