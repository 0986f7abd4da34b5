"""Activation functions."""

from __future__ import annotations

from typing import Any

from ..autograd.node import named
from ..core import dtypes
from ..core.expressions import INV_SQRT_2, SQRT_2_OVER_PI
from ..errors import ShapeError
from . import shapes
from .declare import Spec, composite, pointwise, primitive

__all__ = [
    "_log_softmax_backward_data",
    "_softmax_backward_data",
    "celu",
    "hardshrink",
    "log_softmax",
    "prelu",
    "relu",
    "selu",
    "softmax",
]


@pointwise(refuses="complex")
def relu(m: Any, input: Spec) -> Spec:
    """max(input, 0); NaN stays NaN."""
    return m.maximum(input, 0.0)


@relu.gradient
def relu_gradient(m: Any, g: Any, out: Any, input: Any) -> Any:
    """From the output, so that the input need not be kept; 0 at 0, and NaN lets g pass."""
    return m.where(m.ne(out, 0), g, 0.0)


@pointwise(refuses="bool integer complex")
def leaky_relu(m: Any, input: Spec, negative_slope: float = 0.01) -> Spec:
    """input where positive, negative_slope * input elsewhere."""
    return m.where(input > 0, input, input * negative_slope)


@pointwise
def elu(m: Any, input: Spec, alpha: float = 1.0) -> Spec:
    """input where positive, alpha * (exp(input) - 1) elsewhere. Source: arXiv:1511.07289."""
    # The masked branch must not overflow, or its gradient would be 0 * inf.
    return m.where(input > 0, input, alpha * m.expm1(m.where(input > 0, 0.0, input)))


@pointwise(refuses="bool integer complex")
def gelu(m: Any, input: Spec, *, approximate: str = "none") -> Spec:
    """input * Phi(input), the Gaussian error linear unit; `approximate="tanh"` for the tanh form.

    Source: arXiv:1606.08415, section 2.
    """
    if approximate == "tanh":
        inner = SQRT_2_OVER_PI * (input + 0.044715 * input * m.square(input))
        return 0.5 * input * (1.0 + m.tanh(inner))
    if approximate != "none":
        raise RuntimeError(f"gelu: expected approximate 'none' or 'tanh'. Got {approximate!r}.")
    return 0.5 * input * (1.0 + m.erf(input * INV_SQRT_2))


@pointwise(refuses="bool integer")
def silu(m: Any, input: Spec) -> Spec:
    """input * sigmoid(input). Source: arXiv:1702.03118."""
    return input * m.sigmoid(input)


@pointwise(refuses="bool integer complex")
def mish(m: Any, input: Spec) -> Spec:
    """input * tanh(softplus(input)). Source: arXiv:1908.08681."""
    return input * m.tanh(m.softplus(input))


@pointwise
def softplus(m: Any, input: Spec, beta: float = 1.0, threshold: float = 20.0) -> Spec:
    """log(1 + exp(beta * input)) / beta; `input` itself where beta * input > threshold."""
    scaled = input * beta
    is_large = scaled > threshold
    return m.where(is_large, input, m.softplus(m.where(is_large, threshold, scaled)) / beta)


@pointwise(refuses="bool integer complex")
def logsigmoid(m: Any, input: Spec) -> Spec:
    """log(sigmoid(input)), without overflow."""
    return -m.softplus(-input)


@pointwise(refuses="complex")
def hardtanh(m: Any, input: Spec, min_val: float = -1.0, max_val: float = 1.0) -> Spec:
    """input limited to [min_val, max_val]."""
    return m.minimum(m.maximum(input, min_val), max_val)


@hardtanh.gradient
def hardtanh_gradient(
    m: Any, g: Any, out: Any, input: Any, min_val: Any = -1.0, max_val: Any = 1.0
) -> Any:
    """g strictly inside the limits, 0 elsewhere."""
    return m.where((input > min_val) & (input < max_val), g, 0.0)


@composite
def relu6(F: Any, input: Spec) -> Spec:
    """min(max(input, 0), 6)."""
    return F.hardtanh(input, min_val=0, max_val=6)


@pointwise(refuses="bool integer complex")
def hardsigmoid(m: Any, input: Spec) -> Spec:
    """min(max(input + 3, 0), 6) / 6. Source: arXiv:1905.02244."""
    return m.where(input >= 3, 1.0, m.where(input <= -3, 0.0, input * (1.0 / 6.0) + 0.5))


@pointwise
def hardswish(m: Any, input: Spec) -> Spec:
    """input * hardsigmoid(input). Source: arXiv:1905.02244."""
    is_outside = m.abs(input) >= 3
    inner = m.where(is_outside, 0.0, input)
    middle = inner * (inner + 3.0) * (1.0 / 6.0)
    return m.where(is_outside, m.where(input > 0, input, 0.0), middle)


@composite
def softsign(F: Any, input: Spec) -> Spec:
    """input / (1 + |input|)."""
    return F.divide(input, F.plus(F.abs(input), 1))


@pointwise
def celu(m: Any, input: Spec, alpha: float = 1.0) -> Spec:
    """input where positive, alpha * (exp(input / alpha) - 1) elsewhere. See arXiv:1704.07483."""
    low = alpha * m.expm1(m.where(input > 0, 0.0, input) / alpha)
    return m.where(input > 0, input, low)


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@pointwise
def selu(m: Any, input: Spec) -> Spec:
    """The self-normalizing exponential unit. Source: arXiv:1706.02515, with its two constants."""
    low = SELU_ALPHA * m.expm1(m.where(input > 0, 0.0, input))
    return SELU_SCALE * m.where(input > 0, input, low)


@pointwise(name="prelu_shaped", node_name="Prelu")
def prelu_shaped(m: Any, input: Spec, weight: Spec) -> Spec:
    """input where positive, weight * input elsewhere."""
    return m.where(input > 0, input, weight * input)


@composite
def prelu(F: Any, input: Spec, weight: Spec) -> Spec:
    """input where positive, weight * input elsewhere; `weight` is one number or one per channel
    (dimension 1). Source: arXiv:1502.01852."""
    count = weight.shape[0] if len(weight.shape) else 1
    channels = input.shape[1] if len(input.shape) > 1 else 1
    if len(weight.shape) > 1 or (count != 1 and count != channels):
        raise ShapeError(
            f"prelu: expected one weight or {channels}, one per channel of {tuple(input.shape)}. "
            f"Got {tuple(weight.shape)}."
        )
    shape = [1] * len(input.shape)
    if count != 1:
        shape[1] = count
    return F.prelu_shaped(input, F.view_as_shape(weight, shape=tuple(shape)))


@pointwise(refuses="bool integer complex")
def hardshrink(m: Any, input: Spec, lambd: float = 0.5) -> Spec:
    """input outside [-lambd, lambd], 0 inside."""
    return m.where(m.abs(input) <= lambd, 0.0, input)


@pointwise
def softshrink(m: Any, input: Spec, lambd: float = 0.5) -> Spec:
    """input moved by lambd towards 0, and 0 where it would cross it."""
    moved = m.where(input > 0, input - lambd, input + lambd)
    return m.where(m.abs(input) <= lambd, 0.0, moved)


@pointwise(float_result=True)
def tanhshrink(m: Any, input: Spec) -> Spec:
    """input - tanh(input)."""
    return input - m.tanh(input)


@pointwise(name="threshold_numbers", node_name="Threshold")
def threshold_numbers(m: Any, input: Spec, *, threshold: Any = 0.0, value: Any = 0.0) -> Spec:
    """input above `threshold`, `value` elsewhere; NaN stays NaN."""
    return m.where(input <= threshold, value, input)


@composite
def glu(F: Any, input: Spec, dim: int = -1) -> Spec:
    """The first half along `dim` times the sigmoid of the second. Source: arXiv:1612.08083.

    Raises: RuntimeError for an odd size.
    """
    d = shapes.normalized_dim(dim, len(input.shape), "glu")
    n = input.shape[d] if len(input.shape) else 1
    if n % 2:
        raise ShapeError(
            f"glu: expected an even size along dimension {dim}. Got shape {tuple(input.shape)}."
        )
    first = F.narrow(input, dim=d, start=0, length=n // 2)
    gate = F.sigmoid(F.narrow(input, dim=d, start=n // 2, length=n // 2))
    return named(F.mul(first, gate), "Glu")


def _softmax_rule(input: Spec, dim: int, operation: str) -> Spec:
    shapes.require_float(operation, "input", input)
    shapes.normalized_dim(dim, len(input.shape), operation)
    return Spec(input.shape, input.dtype)


@primitive(node_name="Softmax", layout="row_major", refuses="bool integer complex")
def softmax_over(input: Spec, *, dim: int) -> Spec:
    """exp(input) / sum(exp(input)) along `dim`; same shape."""
    return _softmax_rule(input, dim, "softmax")


@softmax_over.array
def softmax_array(xp: Any, input: Any, dim: int) -> Any:
    """Shifted by the maximum, so that no exponential overflows."""
    if input.shape == () or not input.size:
        return xp.exp(xp.asarray(input - input))  # NaN of infinities
    out = input - input.max(dim, keepdims=True)
    xp.exp(out, out)
    out /= out.sum(dim, keepdims=True)
    return out


@softmax_over.vjp(saves="out")
def softmax_vjp(F: Any, g: Any, needs: Any, input: Any, out: Any, dim: Any) -> Any:
    """See `softmax_gradient`."""
    return F.softmax_gradient(g, out, dim=dim)


@composite
def softmax_gradient(F: Any, g: Spec, out: Spec, *, dim: int) -> Spec:
    """out * (g - sum(g * out)), the sum along `dim`."""
    weighted = F.mul(g, out)
    return F.minus(weighted, F.mul(out, F.sum_over(weighted, dim=dim, keepdim=True)))


@softmax_gradient.array
def softmax_gradient_array(xp: Any, g: Any, out: Any, dim: int) -> Any:
    """The same in place."""
    weighted = g * out
    weighted -= out * weighted.sum(dim, keepdims=True)
    return weighted


@primitive(node_name="LogSoftmax", layout="row_major", refuses="bool integer complex")
def log_softmax_over(input: Spec, *, dim: int) -> Spec:
    """input - log(sum(exp(input))) along `dim`; same shape."""
    return _softmax_rule(input, dim, "log_softmax")


@log_softmax_over.array
def log_softmax_array(xp: Any, input: Any, dim: int) -> Any:
    """Shifted by the maximum, so that no exponential overflows."""
    if input.shape == () or not input.size:
        return xp.asarray(input - input)
    shifted = input - input.max(dim, keepdims=True)
    shifted -= xp.log(xp.exp(shifted).sum(dim, keepdims=True))
    return shifted


@log_softmax_over.vjp(saves="out")
def log_softmax_vjp(F: Any, g: Any, needs: Any, input: Any, out: Any, dim: Any) -> Any:
    """See `log_softmax_gradient`."""
    return F.log_softmax_gradient(g, out, dim=dim)


@composite
def log_softmax_gradient(F: Any, g: Spec, out: Spec, *, dim: int) -> Spec:
    """g - exp(out) * sum(g), the sum along `dim`."""
    return F.minus(g, F.mul(F.exp(out), F.sum_over(g, dim=dim, keepdim=True)))


@log_softmax_gradient.array
def log_softmax_gradient_array(xp: Any, g: Any, out: Any, dim: int) -> Any:
    """The same in place."""
    share = xp.exp(out)
    share *= g.sum(dim, keepdims=True)
    return xp.subtract(g, share, out=share) if share.shape else xp.asarray(g - share)


def _softmax_input(F: Any, input: Any, dtype: Any) -> Any:
    if dtype is None or dtype is input.dtype:
        return input
    return F.cast(input, dtype=dtypes.as_dtype(dtype))


@composite
def softmax(F: Any, input: Spec, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Spec:
    """exp(input) / sum(exp(input)) along `dim`; the same shape, in `dtype` if given.

    Raises: IndexError for a dimension that is not there, RuntimeError for integers.
    """
    return F.softmax_over(_softmax_input(F, input, dtype), dim=dim)


@composite
def log_softmax(F: Any, input: Spec, dim: int, _stacklevel: int = 3, dtype: Any = None) -> Spec:
    """log(softmax(input)) along `dim`, computed without under- or overflow."""
    return F.log_softmax_over(_softmax_input(F, input, dtype), dim=dim)


def _softmax_backward_data(grad_output: Any, output: Any, dim: int, input_dtype: Any) -> Any:
    """The gradient of `softmax` from its output: output * (g - sum(g * output))."""
    weighted = grad_output * output
    return (weighted - output * weighted.sum(dim, True)).to(input_dtype)


def _log_softmax_backward_data(grad_output: Any, output: Any, dim: int, input_dtype: Any) -> Any:
    """The gradient of `log_softmax` from its output: g - exp(output) * sum(g)."""
    return (grad_output - output.exp() * grad_output.sum(dim, True)).to(input_dtype)
