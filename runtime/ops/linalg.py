"""Matrix products."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from ..backends.cpu.onednn import half_products, products
from ..core import dtypes
from ..errors import ShapeError
from . import shapes
from .declare import Spec, composite, kernel, primitive

__all__ = ["addmm", "bmm", "dot", "matmul", "mm", "mv", "outer"]


def require_columns(operation: str, input: Spec, other: Spec) -> None:
    """Raises: ShapeError unless `input` has as many columns as `other` has rows."""
    a, b = tuple(input.shape), tuple(other.shape)
    if a[-1] == b[0 if len(b) == 1 else -2]:
        return
    hint = ""
    if len(b) == 2 and b[1] == a[-1]:
        hint = " Did you mean other.mT?"
    elif len(a) == 2 and len(b) >= 1 and a[0] == b[-2 if len(b) > 1 else 0]:
        hint = " Did you mean input.mT?"
    rows = "elements" if len(b) == 1 else "rows"
    columns = "elements" if len(a) == 1 else "columns"
    raise ShapeError(
        f"{operation}: input {a} has {a[-1]} {columns}, other {b} has "
        f"{b[0 if len(b) == 1 else -2]} "
        f"{rows}; they must be equal.{hint}"
    )


@primitive(promotes=False)
def matmul(input: Spec, other: Spec) -> Spec:
    """The matrix product: (..., n, k) @ (..., k, m) -> (..., n, m); batch dimensions broadcast.

    A 1-d operand is a row (left) or a column (right) whose dimension vanishes from the result.
    """
    a, b = tuple(input.shape), tuple(other.shape)
    for name, shape in (("input", a), ("other", b)):
        if not shape:
            raise ShapeError(f"matmul: expected {name} with dimensions. Got a 0-d tensor. Use *.")
    require_columns("matmul", input, other)
    batch = {"input": Spec(a[:-2], input.dtype), "other": Spec(b[:-2], other.dtype)}
    shape = shapes.broadcast("matmul", batch)
    shape += a[-2:-1] if len(a) > 1 else ()
    shape += b[-1:] if len(b) > 1 else ()
    return Spec(shape, input.dtype)


@matmul.array
def matmul_array(xp: Any, input: Any, other: Any) -> Any:
    """The library's own product."""
    if input.ndim == other.ndim == 2:
        return input.dot(other)  # the same product, with less to find out first
    return xp.matmul(input, other)


@matmul.vjp(saves="input:other other:input")
def matmul_vjp(F: Any, g: Any, needs: Any, input: Any, other: Any) -> Any:
    """g @ other.mT and input.mT @ g, summed over broadcast batches."""
    return (
        F.matmul_input_gradient(g, other, like=input) if needs[0] else None,
        F.matmul_other_gradient(g, input, like=other) if needs[1] else None,
    )


@matmul.naming
def matmul_name(node: Any) -> str:
    """PyTorch has one for each number of dimensions of the result."""
    if node.saved is None:
        rank = 2 if node.result_shape is None else len(node.result_shape)
    else:
        ranks = [len(getattr(s, "shape", s)) for s in node.saved]
        rank = max(max(ranks) - ranks.count(1), 0)
    return ("Dot", "Mv", "Mm", "Bmm")[min(rank, 3)] + "Backward0"


@primitive
def matmul_input_gradient(g: Spec, other: Spec, *, like: shapes.Shape) -> Spec:
    """The gradient of input @ other by an input of shape `like`."""
    return Spec(like, g.dtype)


@matmul_input_gradient.array
def matmul_input_gradient_array(xp: Any, g: Any, other: Any, like: Any) -> Any:
    """g @ other.mT; 1-d operands as rows and columns; summed to `like`."""
    if other.ndim == 1:
        full = g[..., None] * other
    elif len(like) == 1:
        full = xp.matmul(g[..., None, :], other.swapaxes(-1, -2))[..., 0, :]
    else:
        full = xp.matmul(g, other.swapaxes(-1, -2))
    return full if full.shape == like else _sum_to(xp, full, like)


@matmul_input_gradient.vjp(saves="g other")
def matmul_input_gradient_vjp(F: Any, h: Any, needs: Any, g: Any, other: Any, like: Any) -> Any:
    """The map is bilinear: h @ other by g, and h.mT @ g by other."""
    return (
        F.sum_to(F.matmul(h, other), like=g) if needs[0] else None,
        F.matmul_other_gradient(g, h, like=other) if needs[1] else None,
    )


@primitive
def matmul_other_gradient(g: Spec, input: Spec, *, like: shapes.Shape) -> Spec:
    """The gradient of input @ other by an other of shape `like`."""
    return Spec(like, g.dtype)


@matmul_other_gradient.array
def matmul_other_gradient_array(xp: Any, g: Any, input: Any, like: Any) -> Any:
    """input.mT @ g; 1-d operands as rows and columns; summed to `like`."""
    if len(like) == 2 and input.ndim > 2:
        # One product over all batches instead of one each and their sum.
        rows = math.prod(input.shape[:-1])
        return xp.matmul(input.reshape(rows, input.shape[-1]).T, g.reshape(rows, like[1]))
    if input.ndim == 1:
        full = input if g.ndim == 0 else input[:, None] * g[..., None, :]
        full = full * g if g.ndim == 0 else full
    elif len(like) == 1:
        full = xp.matmul(input.swapaxes(-1, -2), g[..., None])[..., 0]
    else:
        full = xp.matmul(input.swapaxes(-1, -2), g)
    return full if full.shape == like else _sum_to(xp, full, like)


@matmul_other_gradient.vjp(saves="g input")
def matmul_other_gradient_vjp(F: Any, h: Any, needs: Any, g: Any, input: Any, like: Any) -> Any:
    """The map is bilinear: input @ h by g, and g @ h.mT by input."""
    return (
        F.sum_to(F.matmul(input, h), like=g) if needs[0] else None,
        F.matmul_input_gradient(g, h, like=input) if needs[1] else None,
    )


def _sum_to(xp: Any, array: Any, shape: shapes.Shape) -> Any:
    from .reductions import sum_to_array

    return sum_to_array(xp, array, shape)


def _require_dims(operation: str, ndim: int, **operands: Any) -> None:
    for name, x in operands.items():
        shapes.require_ndim(operation, name, x, ndim)


@composite
def mm(F: Any, input: Spec, mat2: Spec) -> Spec:
    """The product of two matrices: (n, k) @ (k, m) -> (n, m)."""
    _require_dims("mm", 2, input=input, mat2=mat2)
    return F.matmul(input, mat2)


@composite
def bmm(F: Any, input: Spec, mat2: Spec) -> Spec:
    """The products of two batches of matrices: (b, n, k) @ (b, k, m) -> (b, n, m)."""
    require_batches("bmm", input, mat2)
    return F.matmul(input, mat2)


def require_batches(operation: str, input: Spec, mat2: Spec) -> None:
    """Raises: ShapeError unless both are batches of matrices, of one size."""
    _require_dims(operation, 3, input=input, mat2=mat2)
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(
            f"{operation}: expected batches of one size. Got input {tuple(input.shape)} and mat2 "
            f"{tuple(mat2.shape)}. Use matmul to broadcast a batch."
        )


@composite
def mv(F: Any, input: Spec, vec: Spec) -> Spec:
    """The product of a matrix and a vector: (n, k) @ (k,) -> (n,)."""
    _require_dims("mv", 2, input=input)
    _require_dims("mv", 1, vec=vec)
    return F.matmul(input, vec)


@composite
def dot(F: Any, input: Spec, tensor: Spec) -> Spec:
    """The inner product of two vectors of one length: (n,), (n,) -> ()."""
    _require_dims("dot", 1, input=input, tensor=tensor)
    return F.matmul(input, tensor)


@composite
def outer(F: Any, input: Spec, vec2: Spec) -> Spec:
    """The products of all pairs: (n,), (m,) -> (n, m)."""
    _require_dims("outer", 1, input=input, vec2=vec2)
    return F.mul(F.unsqueeze(input, dim=1), vec2)


@composite
def addmm(
    F: Any, input: Spec, mat1: Spec, mat2: Spec, *, beta: float = 1, alpha: float = 1
) -> Spec:
    """beta * input + alpha * (mat1 @ mat2), where input broadcasts to the product and beta 0 drops
    it, NaN and all.

    Raises: RuntimeError if input does not broadcast to the product.
    """
    _require_dims("addmm", 2, mat1=mat1, mat2=mat2)
    return plus_product(F, input, mat1, mat2, beta, alpha)


def plus_product(F: Any, input: Spec, left: Spec, right: Spec, beta: float, alpha: float) -> Spec:
    """beta * input + alpha * (left @ right), of matrices or batches of them.

    Raises: RuntimeError if input does not broadcast to the product.
    """
    if beta == 1 and alpha == 1:
        return F.product_sum(input, left, right)
    beta, alpha = _factors(left, beta, alpha)
    return F.scaled_product_sum(input, left, right, beta=beta, alpha=alpha)


@composite(node_name="Addmm")
def product_sum(F: Any, input: Spec, left: Spec, right: Spec) -> Spec:
    """input + left @ right."""
    return _scaled_sum(F, input, F.matmul(left, right), 1, 1)


@product_sum.vjp(saves="left:right right:left")
def product_sum_vjp(F: Any, g: Any, needs: Any, input: Any, left: Any, right: Any) -> Any:
    """g summed to the input, and the gradients of the product."""
    by_left = F.matmul_input_gradient(g, right, like=left) if needs[1] else None
    if needs[0] and needs[2]:
        by_right, by_input = F.product_gradients(g, left, like=(right, input))
        return by_input, by_left, by_right
    return (
        F.sum_to(g, like=input) if needs[0] else None,
        by_left,
        F.matmul_other_gradient(g, left, like=right) if needs[2] else None,
    )


@composite(node_name="Addmm")
def scaled_product_sum(
    F: Any, input: Spec, left: Spec, right: Spec, *, beta: float = 1, alpha: float = 1
) -> Spec:
    """beta * input + alpha * (left @ right)."""
    return _scaled_sum(F, input, F.matmul(left, right), beta, alpha)


@scaled_product_sum.vjp(saves="left:right right:left")
def scaled_product_sum_vjp(
    F: Any, g: Any, needs: Any, input: Any, left: Any, right: Any, beta: Any, alpha: Any
) -> Any:
    """beta * g summed to the input, and the gradients of the product times alpha."""
    scaled = F.mul(g, alpha) if needs[1] or needs[2] else None
    return (
        F.sum_to(F.mul(g, beta), like=input) if needs[0] else None,
        F.matmul_input_gradient(scaled, right, like=left) if needs[1] else None,
        F.matmul_other_gradient(scaled, left, like=right) if needs[2] else None,
    )


@product_sum.naming
@scaled_product_sum.naming
def product_sum_name(node: Any) -> str:
    """By the function that makes results of so many dimensions."""
    found = node.saved or (node.result_shape,)
    rank = max(len(getattr(s, "shape", s)) for s in found if s is not None)
    return "AddmmBackward0" if rank == 2 else "BaddbmmBackward0"


for summed in (product_sum, scaled_product_sum):
    summed.operation.promotes = False  # as the product does not


@composite
def product_gradients(F: Any, g: Spec, left: Spec, *, like: Any) -> tuple[Spec, Spec]:
    """The gradients of input + left @ right by right and input, of the shapes `like`; a GPU
    computes both at once."""
    right, input = like
    return F.matmul_other_gradient(g, left, like=right), F.sum_to(g, like=input)


@composite
def scaled_sum(
    F: Any, input: Spec, product: Spec, *, beta: float, alpha: float, operation: str
) -> Spec:
    """beta * input + alpha * product, in the shape of product; a factor of 0 drops NaN and all.

    Raises: RuntimeError if input does not broadcast to the product.
    """
    beta, alpha = _factors(product, beta, alpha)
    return _scaled_sum(F, input, product, beta, alpha, operation)


def _factors(x: Spec, *factors: Any) -> list[Any]:
    """Python numbers to multiply x by."""
    found = [f.item() if hasattr(f, "item") else f for f in factors]
    return [int(f) for f in found] if x.dtype.category == dtypes.INTEGER else found


def _scaled_sum(
    F: Any, input: Any, product: Any, beta: float, alpha: float, operation: str = ""
) -> Any:
    shape = tuple(product.shape)
    operation = operation or ("addmm" if len(shape) == 2 else "baddbmm")
    if shapes.broadcast(operation, {"the product": product, "input": input}) != shape:
        raise ShapeError(
            f"{operation}: expected input that broadcasts to {shape}. Got {tuple(input.shape)}."
        )
    return F.plus(_times(F, input, beta), _times(F, product, alpha))


def _times(F: Any, x: Any, factor: Any) -> Any:
    """x * factor; for 0 zeros whatever x holds, with a gradient of zeros."""
    if factor == 1:
        return x
    if factor == 0:
        return F.where(F.logical_or(F.eq(x, x), F.ne(x, x)), False, x)
    return F.mul(x, factor)


def _linear_shape(input: Spec, weight: Spec, bias: Spec | None) -> shapes.Shape:
    shapes.require_ndim("linear", "weight", weight, 2)
    a, w = tuple(input.shape), tuple(weight.shape)
    if not a or a[-1] != w[-1]:
        raise ShapeError(
            f"linear: expected input with {w[-1]} features in its last dimension, as weight {w} "
            "has "
            f"{w[-1]} columns. Got input {a}. Change in_features or reshape the input."
        )
    out = a[:-1] + w[:-1]
    if bias is not None and tuple(bias.shape) not in (w[:-1], ()):
        raise ShapeError(f"linear: expected bias of shape {w[:-1]}. Got {tuple(bias.shape)}.")
    return out


@primitive(node_name="Addmm", promotes=False)
def linear(input: Spec, weight: Spec, bias: Spec | None = None) -> Spec:
    """input @ weight.mT + bias: (..., in), (out, in), (out,) -> (..., out)."""
    return Spec(_linear_shape(input, weight, bias), input.dtype)


@linear.array
def linear_array(xp: Any, input: Any, weight: Any, bias: Any = None) -> Any:
    """One product over all leading dimensions, the bias added in place."""
    if weight.ndim != 2 or not input.ndim:
        raise ValueError("no matrix product")
    if input.ndim > 2:
        out = input.reshape(math.prod(input.shape[:-1]), input.shape[-1]).dot(weight.T)
        out = out.reshape(*input.shape[:-1], weight.shape[0])
    else:
        out = input.dot(weight.T)
    if bias is not None:
        out += bias
    return out


@linear.vjp(saves="input:weight weight:input")
def linear_vjp(F: Any, g: Any, needs: Any, input: Any, weight: Any, bias: Any) -> Any:
    """g @ weight, g.mT @ input, and g summed over all but the last dimension."""
    by_input = F.matmul(g, weight) if needs[0] else None
    if needs[1] and needs[2]:
        return by_input, *F.linear_gradients(g, input, like=(weight, bias))
    return (
        by_input,
        F.linear_weight_gradient(g, input, like=weight) if needs[1] else None,
        F.sum_to(g, like=bias) if needs[2] else None,
    )


@composite
def linear_gradients(F: Any, g: Spec, input: Spec, *, like: Any) -> tuple[Spec, Spec]:
    """The gradients by weight and bias, of the shapes `like`; a GPU computes both at once."""
    weight, bias = like
    return F.linear_weight_gradient(g, input, like=weight), F.sum_to(g, like=bias)


@primitive
def linear_weight_gradient(g: Spec, input: Spec, *, like: shapes.Shape) -> Spec:
    """g.mT @ input over all leading dimensions at once, in the shape of the weight."""
    return Spec(like, g.dtype)


@linear_weight_gradient.array
def linear_weight_gradient_array(xp: Any, g: Any, input: Any, like: Any) -> Any:
    """(out, n) @ (n, in)."""
    rows = math.prod(g.shape[:-1])
    return xp.matmul(g.reshape(rows, like[0]).T, input.reshape(rows, like[1]))


@linear_weight_gradient.vjp(saves="g input")
def linear_weight_gradient_vjp(F: Any, h: Any, needs: Any, g: Any, input: Any, like: Any) -> Any:
    """The map is bilinear: input @ h.mT by g, and g @ h by input."""
    return (
        F.linear(input, h) if needs[0] else None,
        F.matmul(g, h) if needs[1] else None,
    )


# -- on the CPU ------------------------------------------------------------------------------------

kernel(matmul, "cpu")(products.matmul)
kernel(linear, "cpu")(products.linear)
kernel(product_sum, "cpu")(products.product_sum)
kernel(scaled_product_sum, "cpu")(products.scaled_product_sum)
for gradient in (matmul_input_gradient, matmul_other_gradient, linear_weight_gradient):
    kernel(gradient, "cpu")(partial(gradient.operation.array, products.numpy_with_products))

for function, serves, fast in (
    (matmul, half_products.serves_matmul, half_products.matmul),
    (linear, half_products.serves_linear, half_products.linear),
    (product_sum, half_products.serves_product_sum, half_products.product_sum),
    (
        scaled_product_sum,
        half_products.serves_product_sum,
        half_products.scaled_product_sum,
    ),
    (
        linear_weight_gradient,
        half_products.serves_weight_gradient,
        half_products.linear_weight_gradient,
    ),
    (
        matmul_input_gradient,
        half_products.serves_input_gradient,
        half_products.matmul_input_gradient,
    ),
    (
        matmul_other_gradient,
        half_products.serves_other_gradient,
        half_products.matmul_other_gradient,
    ),
):
    kernel(function, "cpu", serves, dtype="bfloat16")(fast)
