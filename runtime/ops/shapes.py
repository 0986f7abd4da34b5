"""What shape rules share: broadcasting, dimensions, and the words of their errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..core import dtypes
from ..core.dispatch import operations
from ..core.spec import Spec
from ..errors import DeviceError, DTypeError, OutOfBoundsError, ShapeError

if TYPE_CHECKING:
    from .operation import Operation

Shape = tuple[int, ...]
Dims = int | Sequence[int] | None


class _Meta:
    """The namespace F of shape rules: operations on Specs."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        rule = operations[name].rule

        def call(*args: Any, like: Any = None, **attributes: Any) -> Any:
            if like is None:
                return rule(*args, **attributes)
            return rule(*args, like=tuple(getattr(like, "shape", like)), **attributes)

        return call


META = _Meta()


def described(name: str, x: Any) -> str:
    """`x (4, 3)`: how errors name an operand."""
    return f"{name} {tuple(x.shape)}"


def broadcast(operation: str, named: dict[str, Any]) -> Shape:
    """The common shape of the operands `named`, by NumPy's rules.

    Raises: ShapeError naming the first two that do not fit, and where.
    """
    shape: Shape = ()
    carrier = ""
    for name, x in named.items():
        shape = _broadcast_two(operation, shape, tuple(x.shape), carrier, name)
        carrier = carrier or name
    return shape


def broadcast_sizes(operation: str, sizes: Sequence[Shape]) -> Shape:
    """The common shape of the shapes `sizes`, by NumPy's rules. Raises: as `broadcast`."""
    shape: Shape = ()
    for k, size in enumerate(sizes):
        before = "the shapes before" if k > 1 else "shape 0"
        shape = _broadcast_two(operation, shape, size, before, f"shape {k}")
    return shape


def _broadcast_two(operation: str, a: Shape, b: Shape, a_name: str, b_name: str) -> Shape:
    n = max(len(a), len(b))
    padded_a, padded_b = (1,) * (n - len(a)) + a, (1,) * (n - len(b)) + b
    for k, (p, q) in enumerate(zip(padded_a, padded_b, strict=True)):
        if p != q and p != 1 and q != 1:
            raise ShapeError(
                f"{operation}: expected shapes that broadcast. Got {a_name} {a} and {b_name} {b}: "
                "at "
                f"dimension {k - n} they have {p} and {q}, which must be equal or 1."
                + _transpose_hint(a, b, a_name, b_name)
            )
    return tuple(q if p == 1 else p for p, q in zip(padded_a, padded_b, strict=True))


def _transpose_hint(a: Shape, b: Shape, a_name: str, b_name: str) -> str:
    if len(b) == 2 and broadcasts(a, b[::-1]):
        return f" Did you mean {b_name}.mT?"
    if len(b) == 1 and len(a) > 1 and a[-2] == b[0]:
        return f" Did you mean {b_name}[:, None]?"
    return ""


def broadcasts(a: Shape, b: Shape) -> bool:
    """Whether arrays of these shapes broadcast."""
    return all(p == q or 1 in (p, q) for p, q in zip(reversed(a), reversed(b), strict=False))


def pointwise_rule(operation: Operation, args: Sequence[Any], attributes: dict[str, Any]) -> Spec:
    """The result of a pointwise operation: broadcast shape; bool for predicates, else the common
    dtype."""
    pairs = zip(operation.array_names, args, strict=False)
    named = {n: a for n, a in pairs if hasattr(a, "shape")}  # numbers take any shape
    shape = broadcast(operation.label, named)
    statics = {n: attributes[n] for n in operation.statics if n in attributes}
    mains = [named[p.name] for p in operation.arrays if p.role == "main" and p.name in named]
    dtype = mains[0].dtype if mains else args[0].dtype
    if operation.is_boolean(statics):
        dtype = dtypes.bool_
    elif dtype.is_complex and not operation.is_holomorphic:
        dtype = dtype.to_real()  # abs
    return Spec(shape, dtype)


def require_values(operation: str, input: Any) -> None:
    """Raises: DeviceError for a meta tensor where the values decide the result's shape."""
    if input.is_meta:
        raise DeviceError(
            f"{operation}: expected a tensor with values, on which the result's shape depends. Got "
            f"a meta tensor of shape {tuple(input.shape)}. Make it on 'cpu' or 'cuda' instead."
        )


def normalized_dim(dim: int, ndim: int, operation: str) -> int:
    """`dim` counted from the front.

    Raises: IndexError if there is no such dimension, TypeError for what is no integer.
    """
    if dim.__class__ is not int and not hasattr(dim, "__index__"):
        raise TypeError(f"{operation}: expected an int as dim. Got {type(dim).__name__} {dim!r}.")
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise OutOfBoundsError(
            f"{operation}: expected a dimension from {-bound} to {bound - 1}, as the tensor has "
            f"{ndim}. "
            f"Got {dim}."
        )
    return dim % bound


def normalized_dims(dim: Dims, ndim: int, operation: str) -> Shape:
    """Dimensions counted from the front; all of them for None or ().

    Raises: IndexError if one does not exist, RuntimeError if one comes twice.
    """
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    found = tuple(normalized_dim(d, ndim, operation) for d in dims)
    if len(set(found)) != len(found):
        raise ShapeError(f"{operation}: expected each dimension once. Got {dims}.")
    return found


def numpy_axis(dim: Dims) -> Any:
    """A `dim` as NumPy's axis: () means all dimensions, as None does."""
    if isinstance(dim, int) or dim is None:
        return dim
    dims = tuple(dim)
    return dims[0] if len(dims) == 1 else dims or None


def reduced_shape(shape: Shape, dim: Dims, keepdim: bool, operation: str) -> Shape:
    """The shape that is left after reducing over `dim`."""
    dims = normalized_dims(dim, len(shape), operation)
    if keepdim:
        return tuple(1 if k in dims else n for k, n in enumerate(shape))
    return tuple(n for k, n in enumerate(shape) if k not in dims)


def require_float(operation: str, name: str, x: Any) -> None:
    """Raises: DTypeError unless `x` has floating-point (or complex) elements."""
    if x.dtype.category < dtypes.FLOAT:
        raise DTypeError(
            f"{operation}: expected {name} with a floating-point dtype. Got {x.dtype}, shape "
            f"{tuple(x.shape)}. Convert it with {name}.float()."
        )


def require_tensors(operation: str, **operands: Any) -> None:
    """Raises: TypeError for a number among `operands`."""
    for name, x in operands.items():
        if not hasattr(x, "shape"):
            raise TypeError(
                f"{operation}: expected a tensor as {name}. Got the number {x!r}. Use "
                f"torch.tensor({x!r})."
            )


def require_ndim(operation: str, name: str, x: Any, *allowed: int) -> None:
    """Raises: ShapeError unless `x` has one of the `allowed` numbers of dimensions."""
    if len(x.shape) not in allowed:
        is_range = len(allowed) > 2 and allowed == (*range(allowed[0], allowed[-1] + 1),)
        wanted = f"{allowed[0]} to {allowed[-1]}" if is_range else " or ".join(map(str, allowed))
        raise ShapeError(
            f"{operation}: expected {name} with {wanted} dimensions. Got shape {tuple(x.shape)}."
        )
