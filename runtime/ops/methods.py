"""Operations as methods and operators of tensors."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..core import creation, dtypes, quantized_arrays, sparse_arrays
from ..core.dispatch import key_of
from ..core.quantized_arrays import QuantizedArray
from ..core.sparse_arrays import SparseArray
from ..core.tensor import Tensor
from ..errors import ShapeError
from . import (
    activations,
    arithmetic,
    clamping,
    comparison,
    complex_numbers,
    copied_views,
    copies,
    cumulative,
    elementary,
    extremes,
    gather,
    histograms,
    indexing,
    inplace,
    joins,
    linalg,
    older_factors,
    older_linalg,
    powers,
    prod,
    products,
    rearrangement,
    reductions,
    searching,
    shapes,
    solving,
    sorting,
    special_functions,
    spectrogram,
    stacking,
    statistics,
    strided,
    transfer,
    updates,
    views,
)  # fmt: skip
from .general import NUMBERS, constant

ARITHMETIC = """
add sub mul div neg abs floor_divide remainder fmod floor ceil trunc round sign lerp addcmul addcdiv
masked_fill frac deg2rad rad2deg copysign nextafter heaviside gcd lcm
"""
POWERS = "pow square reciprocal hypot ldexp float_power"
CLAMPING = "clamp clamp_min clamp_max nan_to_num"
ELEMENTARY = """
exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh
atanh erf erfc erfinv lgamma sigmoid atan2
"""
COMPARISON = """
eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor
bitwise_not bitwise_left_shift bitwise_right_shift
"""
REDUCTIONS = "sum mean var std norm logsumexp all any count_nonzero cumsum hash_tensor"
VIEWS = """
view reshape view_as reshape_as permute expand expand_as broadcast_to transpose swapaxes t movedim
unsqueeze squeeze flatten ravel unflatten
"""
STATISTICS = """
aminmax bincount corrcoef cov kthvalue median mode nanmean nanmedian nanquantile
nansum quantile renorm
"""
UPDATES = """
index_put index_add index_copy index_fill scatter_reduce index_reduce masked_scatter take put
select_scatter slice_scatter diagonal_scatter as_strided_scatter
"""
SPECIAL = "digamma i0 xlogy sinc mvlgamma igamma igammac logit"
FAMILIES = {
    arithmetic: ARITHMETIC + " positive",
    powers: POWERS,
    clamping: CLAMPING + " maximum minimum fmax fmin",
    elementary: ELEMENTARY + " logaddexp logaddexp2",
    comparison: COMPARISON + " signbit isposinf isneginf isnan isinf isfinite",
    special_functions: SPECIAL,
    complex_numbers: """
conj angle sgn conj_physical resolve_conj resolve_neg isreal is_conj is_neg
""",
    reductions: REDUCTIONS,
    prod: "prod",
    extremes: "amax amin max min argmax argmin",
    cumulative: "cumprod cummax cummin logcumsumexp diff",
    statistics: STATISTICS,
    histograms: "histc histogram",
    views: VIEWS,
    strided: "as_strided diag diag_embed diagflat diagonal trace unfold",
    copies: "clone contiguous",
    copied_views: "narrow_copy",
    joins: "split chunk unbind narrow select",
    stacking: "split_with_sizes tensor_split hsplit vsplit dsplit",
    rearrangement: "flip fliplr flipud rot90 roll repeat tile repeat_interleave tril triu",
    gather: "gather scatter scatter_add take_along_dim index_select masked_select nonzero",
    updates: UPDATES,
    searching: "unique unique_consecutive msort argwhere nonzero_static",
    activations: "relu softmax log_softmax hardshrink prelu",
    sorting: "sort argsort topk isclose allclose equal",
    linalg: "matmul mm bmm mv dot outer addmm",
    solving: "det logdet matrix_exp matrix_power",
    older_factors: "geqrf ger lu lu_solve orgqr ormqr triangular_solve",
    older_linalg: "cholesky cholesky_inverse cholesky_solve inverse pinverse qr slogdet svd",
    products: "inner vdot kron baddbmm addbmm addmv addr cross dist",
    transfer: "to type_as cpu cuda pin_memory is_pinned record_stream",
    spectrogram: "stft istft",
}
"""Functions that are methods as well, by module."""

IN_PLACE = {
    arithmetic: ARITHMETIC,
    powers: POWERS,
    clamping: CLAMPING,
    elementary: ELEMENTARY,
    comparison: COMPARISON,
    special_functions: SPECIAL,
    complex_numbers: "sgn conj_physical",
    activations: "relu",
    reductions: "cumsum",
    cumulative: "cumprod",
    statistics: "renorm",
    rearrangement: "tril triu",
    gather: "scatter scatter_add",
    updates: "index_add index_fill index_reduce scatter_reduce masked_scatter put",
    linalg: "addmm",
    products: "baddbmm addbmm addmv addr",
}
"""Methods that have a twin with an underscore, which writes in place."""

OPERATORS = {
    "add": (arithmetic.plus, True), "sub": (arithmetic.minus, True), "mul": (arithmetic.mul, True),
    "truediv": (arithmetic.divide, True), "floordiv": (arithmetic.floor_divide, True),
    "mod": (arithmetic.remainder, True), "pow": (powers.pow, True),
    "matmul": (linalg.matmul, False), "and": (comparison.bitwise_and, True),
    "or": (comparison.bitwise_or, True), "xor": (comparison.bitwise_xor, True),
    "lshift": (comparison.bitwise_left_shift, True),
    "rshift": (comparison.bitwise_right_shift, True),
}  # fmt: skip
"""Binary operators, and whether Python numbers may stand on the left."""


COMMUTATIVE = ("add", "mul")
"""Operators of which a number on the left may as well stand on the right."""


def _reflected(function: Any, name: str = "") -> Any:
    """`other op self`. Numbers reach the operation as they do from the right, where its quick way
    begins: 1 us instead of 12."""

    def swapped(self: Tensor, other: Any) -> Any:
        return function(self, other)

    def operator(self: Tensor, other: Any) -> Any:
        is_number = other.__class__ is float or other.__class__ is int
        if is_number and self._key.is_float and self._array.size < SMALL:
            other = constant(other, self)
        return function(other, self)

    return swapped if name in COMMUTATIVE else operator


SMALL = 1024
"""Below so many elements the way to an operation takes longer than its work. Above, the operation
is chosen by its first operand, which must not be the number."""


def _guarded(function: Any, name: str) -> Any:
    """`function` as an operator: NotImplemented for what is neither tensor nor number."""

    def operator(self: Tensor, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            other = creation.as_tensor(other)
        elif not isinstance(other, (Tensor, *NUMBERS)):
            return NotImplemented
        return function(self, other)

    operator.__name__ = name
    return operator


def _attach_operators() -> None:
    for name, (function, reflects) in OPERATORS.items():
        setattr(Tensor, f"__{name}__", function)
        setattr(Tensor, f"__i{name}__", inplace.inplace(function, f"__i{name}__"))
        if reflects:
            setattr(Tensor, f"__r{name}__", _reflected(function, name))
    for name in ("eq", "ne"):  # comparing with anything is allowed in Python
        function = getattr(comparison, name)
        setattr(Tensor, f"__{name}__", _guarded(function, f"__{name}__"))
    for name in ("lt", "le", "gt", "ge"):
        setattr(Tensor, f"__{name}__", getattr(comparison, name))
    unary = {"neg": arithmetic.neg, "abs": arithmetic.abs, "invert": comparison.bitwise_not}
    unary["pos"] = arithmetic.positive
    access = {"getitem": indexing.getitem, "setitem": inplace.setitem, "iter": iterate}
    for name, function in {**unary, **access}.items():
        setattr(Tensor, f"__{name}__", function)


def _attach_methods() -> None:
    for module, names in FAMILIES.items():
        for name in names.split():
            setattr(Tensor, name, getattr(module, name))
    for module, names in IN_PLACE.items():
        for name in names.split():
            setattr(Tensor, f"{name}_", inplace.inplace(getattr(module, name), f"{name}_"))
    aliases = {
        "subtract": "sub",
        "multiply": "mul",
        "divide": "div",
        "true_divide": "div",
        "negative": "neg",
        "absolute": "abs",
        "clip": "clamp",
        "greater": "gt",
        "less": "lt",
        "swapdims": "transpose",
        "fix": "trunc",
        "arccos": "acos",
        "arccosh": "acosh",
        "arcsin": "asin",
        "arcsinh": "asinh",
        "arctan": "atan",
        "arctanh": "atanh",
        "arctan2": "atan2",
        "not_equal": "ne",
        "greater_equal": "ge",
        "less_equal": "le",
        "moveaxis": "movedim",
    }
    for name in ("squeeze", "unsqueeze", "transpose", "swapaxes", "t", "as_strided"):
        setattr(Tensor, f"{name}_", inplace.reshaped(getattr(Tensor, name), f"{name}_"))
    for alias, name in aliases.items():
        setattr(Tensor, alias, getattr(Tensor, name))
        if hasattr(Tensor, f"{name}_"):
            setattr(Tensor, f"{alias}_", getattr(Tensor, f"{name}_"))
    own = updates.index_copy_, updates.index_put_
    for function in (inplace.copy_, inplace.fill_, inplace.zero_, *own):
        setattr(Tensor, function.__name__, function)
    for name, dtype in CONVERSIONS.items():
        setattr(Tensor, name, transfer.conversion(dtype))


CONVERSIONS = {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16, "int": dtypes.int32, "long": dtypes.int64, "short": dtypes.int16,
    "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool_, "cfloat": dtypes.complex64,
    "cdouble": dtypes.complex128,
}  # fmt: skip


def iterate(self: Tensor) -> Iterator[Tensor]:
    """The slices of the first dimension. Raises: TypeError for a 0-d tensor."""
    if self.ndim == 0:
        raise TypeError("iter: expected a tensor with dimensions. Got a 0-d tensor.")
    return iter(joins.unbind(self))


def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The tensor in `dtype`; without one, the name of its legacy type, such as
    torch.FloatTensor."""
    if dtype is None:
        prefix = "torch.cuda." if self.is_cuda else "torch."
        prefix += "sparse." * (self._array.__class__ is SparseArray)
        prefix += "quantized." * (self._array.__class__ is QuantizedArray)
        return prefix + LEGACY_NAMES[self.dtype]
    if isinstance(dtype, str):
        short = dtype.removeprefix("torch.")
        dtype = next((d for d, n in LEGACY_NAMES.items() if short in (n, d.name)), None)
    return transfer.to(self, dtype)


LEGACY_NAMES = {
    dtypes.float32: "FloatTensor",
    dtypes.float64: "DoubleTensor",
    dtypes.float16: "HalfTensor",
    dtypes.bfloat16: "BFloat16Tensor",
    dtypes.int64: "LongTensor",
    dtypes.int32: "IntTensor",
    dtypes.int16: "ShortTensor",
    dtypes.int8: "CharTensor",
    dtypes.uint8: "ByteTensor",
    dtypes.uint16: "UInt16Tensor",
    dtypes.uint32: "UInt32Tensor",
    dtypes.uint64: "UInt64Tensor",
    dtypes.bool_: "BoolTensor",
    dtypes.complex64: "ComplexFloatTensor",
    dtypes.complex128: "ComplexDoubleTensor",
    dtypes.qint8: "QInt8Tensor",
    dtypes.quint8: "QUInt8Tensor",
    dtypes.qint32: "QInt32Tensor",
}


def _new(function: Any) -> Any:
    def new(self: Tensor, *args: Any, **options: Any) -> Tensor:
        options = {"dtype": self.dtype, "device": self.device, **options}
        if self._array.__class__ is SparseArray:
            options.setdefault("layout", self.layout)
        if options["dtype"] is None:
            options["dtype"] = self.dtype
        return creation.for_slices(function(*args, **options), self)

    new.__doc__ = f"`torch.{function.__name__}` with this tensor's dtype and device unless given."
    return new


def new_tensor(self: Tensor, data: Any, **options: Any) -> Tensor:
    """`torch.tensor` with this tensor's dtype and device unless given."""
    return creation.tensor(data, **{"dtype": self.dtype, "device": self.device, **options})


def deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    """A copy with memory of its own. Raises: RuntimeError for a non-leaf, which has a past."""
    if not self.is_leaf:
        raise RuntimeError(
            f"deepcopy: expected a leaf. Got the result of {self.grad_fn.name()}. Use "
            "detach().clone()."
        )
    out = copy_leaf(self)
    memo[id(self)] = out
    if self.grad is not None:
        out.grad = copy.deepcopy(self.grad, memo)
    return out


def copy_leaf(self: Tensor) -> Tensor:
    """A leaf of the same class, values and `requires_grad` with memory of its own."""
    out = copies.copied(self.detach())
    out.__class__ = self.__class__
    out.requires_grad = self.requires_grad
    return out


def reduce(self: Tensor, protocol: Any) -> tuple[Any, ...]:
    """Pickled by value, device and class. Raises: RuntimeError for a non-leaf, which has a past."""
    if not self.is_leaf:
        raise RuntimeError("pickle: expected a leaf. Got a non-leaf tensor. Use detach().")
    state = {k: v for k, v in vars(self).items() if not k.startswith("_")}
    for kind, module in ((SparseArray, sparse_arrays), (QuantizedArray, quantized_arrays)):
        if self._array.__class__ is kind:
            return module.rules["reduce"](self, state)
    values = self._array if self.is_meta else np.asarray(self.numpy_values(), order="C")
    return rebuild, (type(self), values, str(self.device), self.dtype, self.requires_grad, state)


def rebuild(
    cls: type[Tensor], values: Any, place: str, dtype: dtypes.dtype, requires_grad: bool, state: Any
) -> Tensor:
    """The tensor that `reduce` took apart."""
    from ..core.tensor import wrap

    key = key_of(creation.place_of(place), dtype)
    out = wrap(key.backend.as_array(values, dtype, key.device.index), key)
    out.__class__ = cls
    out.requires_grad = requires_grad
    vars(out).update(state)
    return out


def where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor's elements where `condition` holds, else those of other."""
    return searching.where(condition, self, other)


def polygamma(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of digamma."""
    return special_functions.polygamma(n, self)


def fill(self: Tensor, value: Any) -> Tensor:
    """A tensor of this shape and dtype with `value` everywhere."""
    return (
        inplace.fill_(copies.copied(self.detach()), value)
        if not isinstance(value, Tensor)
        else copies.cast(value, dtype=self.dtype).expand(self.shape).clone()
    )


def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions that broadcasting from `size` repeated."""
    wanted = views.sizes_of(size)
    if shapes.broadcast_sizes("sum_to_size", [wanted, tuple(self.shape)]) != tuple(self.shape):
        raise ShapeError(f"sum_to_size: {wanted} does not broadcast to {tuple(self.shape)}.")
    if wanted == tuple(self.shape) and wanted:
        return self
    if self.dtype.category < dtypes.FLOAT:
        self = self.to(dtypes.int64)  # as sums of whole numbers are
    return reductions.sum_to(self, like=wanted)


def _part_setter(part: Any) -> Any:
    return lambda self, value: inplace.setitem(part(self), ..., value)


def adjoint(self: Tensor) -> Tensor:
    """Conjugate matrices with their last two dimensions exchanged."""
    return complex_numbers.conj(views.mT(self))


def adjoint_matrix(self: Tensor) -> Tensor:
    """The conjugate transpose of a matrix. Raises: RuntimeError for more dimensions."""
    if self.ndim not in (0, 2):
        raise RuntimeError(f"H: expected a matrix. Got shape {tuple(self.shape)}. Use mH.")
    return adjoint(self) if self.ndim else self


def _attach_protocol() -> None:
    attributes = {
        "is_contiguous": copies.is_contiguous,
        "type": type_,
        "T": property(views.reversed_dims),
        "mT": property(views.mT),
        "H": property(adjoint_matrix),
        "mH": property(adjoint),
        "real": property(complex_numbers.real, _part_setter(complex_numbers.real)),
        "imag": property(complex_numbers.imag, _part_setter(complex_numbers.imag)),
        "new_tensor": new_tensor,
        "where": where,
        "polygamma": polygamma,
        "polygamma_": inplace.inplace(polygamma, "polygamma_"),
        "fill": fill,
        "sum_to_size": sum_to_size,
        "adjoint": adjoint,
        "is_cpu": property(lambda self: self.device.type == "cpu"),
        "get_device": lambda self: -1 if self.device.type == "cpu" else (self.device.index or 0),
        "ndimension": Tensor.dim,
        "unsafe_split": joins.split,
        "unsafe_chunk": joins.chunk,
        "__rmatmul__": _reflected(linalg.matmul),
        "__rdiv__": Tensor.__rtruediv__,
        "__deepcopy__": deepcopy,
        "__reduce_ex__": reduce,
    }
    for name, member in attributes.items():
        setattr(Tensor, name, member)
    for name in ("zeros", "ones", "empty", "full"):
        setattr(Tensor, f"new_{name}", _new(getattr(creation, name)))


_attach_operators()
_attach_methods()
_attach_protocol()
