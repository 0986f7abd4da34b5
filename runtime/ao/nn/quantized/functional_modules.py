"""Arithmetic between tensors as modules, so that calibration finds scales for its results."""

from __future__ import annotations

from typing import Any

from ....core.creation import tensor
from ....core.tensor import Tensor
from ....nn.modules.linear import Identity
from ....nn.modules.module import Module
from ....ops.activations import relu
from ....ops.joins import cat
from ....ops.linalg import matmul
from ....ops.quantized import dequantize, is_quantized, quantize_per_tensor
from .linear import load_output_parameters, output_parameters, save_output_parameters

__all__ = ["FXFloatFunctional", "FloatFunctional", "QFunctional"]


class _Functional(Module):
    """Sums, products and joins; `_finish` is what becomes of a result."""

    def _finish(self, out: Tensor, like: Any) -> Tensor:
        raise NotImplementedError

    def _numbers(self, x: Any) -> Any:
        return x

    def forward(self, x: Any) -> Any:
        """Raises: RuntimeError: its methods are called instead."""
        raise RuntimeError(
            f"{type(self).__name__}: expected a call of add, mul, cat, add_relu, add_scalar, "
            "mul_scalar or matmul. Got one of the module itself."
        )

    def add(self, x: Any, y: Any) -> Tensor:
        """x + y."""
        return self._finish(self._numbers(x) + self._numbers(y), x)

    def add_scalar(self, x: Any, y: float) -> Tensor:
        """x + the number y."""
        return self._finish(self._numbers(x) + y, x)

    def mul(self, x: Any, y: Any) -> Tensor:
        """x * y."""
        return self._finish(self._numbers(x) * self._numbers(y), x)

    def mul_scalar(self, x: Any, y: float) -> Tensor:
        """x * the number y."""
        return self._finish(self._numbers(x) * y, x)

    def cat(self, x: Any, dim: int = 0) -> Tensor:
        """The tensors of the list x, one after the other."""
        return self._finish(cat([self._numbers(t) for t in x], dim), x[0])

    def add_relu(self, x: Any, y: Any) -> Tensor:
        """max(x + y, 0)."""
        return self._finish(relu(self._numbers(x) + self._numbers(y)), x)

    def matmul(self, x: Any, y: Any) -> Tensor:
        """x @ y."""
        return self._finish(matmul(self._numbers(x), self._numbers(y)), x)


class FloatFunctional(_Functional):
    """Arithmetic of numbers in a model that will be quantized: `self.sum.add(x, y)` for `x + y`.

    `prepare` lets its results be watched; `convert` makes it a `QFunctional`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.activation_post_process: Any = Identity()

    def _finish(self, out: Tensor, like: Any) -> Tensor:
        return self.activation_post_process(out)


class FXFloatFunctional(_Functional):
    """The same without calibration."""

    def _finish(self, out: Tensor, like: Any) -> Tensor:
        return out


class QFunctional(_Functional):
    """Arithmetic of quantized tensors; the results have the module's `scale` and `zero_point`."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.zero_point = 1.0, 0

    def _numbers(self, x: Any) -> Any:
        if not is_quantized(x):
            raise RuntimeError(
                "QFunctional: expected quantized tensors. Got "
                f"{getattr(x, 'dtype', type(x).__name__)}. Put a QuantStub before it."
            )
        return dequantize(x)

    def _finish(self, out: Tensor, like: Any) -> Tensor:
        return quantize_per_tensor(out, self.scale, self.zero_point, like.dtype)

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
