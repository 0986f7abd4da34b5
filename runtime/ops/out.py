"""`out=`: functions that write their results into tensors given."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from ..autograd.grad_mode import is_grad_enabled
from ..core import creation, ranges
from ..core.tensor import Tensor
from ..errors import DeviceError, DTypeError, GradientError
from . import (
    activations,
    arithmetic,
    clamping,
    comparison,
    complex_numbers,
    copied_views,
    cumulative,
    decompositions,
    elementary,
    extremes,
    fourier,
    gather,
    histograms,
    joins,
    legacy,
    linalg,
    norms,
    older_factors,
    older_linalg,
    orthogonal_polynomials,
    powers,
    prod,
    products,
    rearrangement,
    reductions,
    sampling,
    searching,
    singular_values,
    solving,
    sorting,
    special_functions,
    stacking,
    statistics,
    strided,
    triangular,
    updates,
    wrappers,
)

FUNCTIONS = {
    activations: "log_softmax softmax",
    arithmetic: """
abs add addcdiv addcmul ceil copysign deg2rad div floor floor_divide fmod frac gcd heaviside lcm
lerp mul neg nextafter rad2deg remainder round sign sub trunc
""",
    clamping: "clamp clamp_max clamp_min fmax fmin maximum minimum nan_to_num",
    comparison: """
bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor eq ge gt
isneginf isposinf le logical_and logical_not logical_or logical_xor lt ne signbit
""",
    complex_numbers: "angle complex conj_physical polar sgn",
    copied_views: """
alias_copy as_strided_copy detach_copy diagonal_copy expand_copy narrow_copy permute_copy
select_copy slice_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy
unbind_copy unfold_copy unsqueeze_copy view_as_complex_copy view_as_real_copy view_copy
""",
    cumulative: "cummax cummin cumprod diff logcumsumexp",
    decompositions: "cholesky cholesky_ex eig eigh eigvals eigvalsh qr",
    elementary: """
acos acosh asin asinh atan atan2 atanh cos cosh erf erfc erfinv exp exp2 expm1 lgamma log log10
log1p log2 logaddexp logaddexp2 rsqrt sigmoid sin sinh sqrt tan tanh
""",
    extremes: "amax amin argmax argmin max min",
    fourier: """
fft fft2 fftn hfft hfft2 hfftn ifft ifft2 ifftn ihfft ihfft2 ihfftn irfft irfft2 irfftn rfft rfft2
rfftn
""",
    histograms: "histc histogram",
    gather: "gather index_select masked_select nonzero scatter scatter_add take_along_dim",
    joins: "cat stack",
    legacy: "frexp",
    linalg: "addmm bmm dot matmul mm mv outer",
    norms: "cond cross matrix_norm norm vecdot vector_norm",
    older_factors: """
geqrf ldl_factor ldl_factor_ex ldl_solve lu_solve lu_unpack orgqr ormqr triangular_solve
""",
    older_linalg: "cholesky cholesky_inverse cholesky_solve qr slogdet svd",
    orthogonal_polynomials: " ".join(orthogonal_polynomials.NAMES),
    powers: "float_power hypot ldexp pow reciprocal square",
    prod: "prod",
    products: "addbmm addmv addr baddbmm chain_matmul cross inner kron tensordot vdot",
    rearrangement: "tril triu",
    reductions: "all any cumsum hash_tensor logsumexp mean norm std sum var",
    sampling: "bernoulli multinomial normal",
    searching: "bucketize isin msort nonzero_static searchsorted where",
    singular_values: "lstsq matrix_rank pinv svd svdvals",
    solving: """
det inv inv_ex matrix_exp matrix_power multi_dot slogdet solve solve_ex tensorinv tensorsolve
""",
    sorting: "argsort sort topk",
    special_functions: """
airy_ai bessel_j0 bessel_j1 bessel_y0 bessel_y1 digamma entr erfcx i0 i0e i1 i1e igamma igammac
log_ndtr logit modified_bessel_k0 modified_bessel_k1 mvlgamma ndtr ndtri polygamma
scaled_modified_bessel_k0 scaled_modified_bessel_k1 sinc xlog1py spherical_bessel_j0 xlogy zeta
""",
    stacking: "column_stack dstack hstack vstack",
    statistics: """
aminmax kthvalue median mode nanmean nanmedian nanquantile nansum quantile renorm
""",
    strided: "diag",
    triangular: "householder_product lu lu_factor lu_factor_ex lu_solve solve_triangular",
    updates: "index_add index_copy index_reduce scatter_reduce slice_scatter take",
}
"""Functions of tensors that take `out`, by module."""

APART = "bernoulli cat gather index_select kthvalue masked_select take"
"""Those of them whose `out` may not overlap what they read."""

CREATION = {
    creation: "empty eye full ones zeros",
    ranges: "arange linspace logspace range",
    sampling: "rand randint randn randperm",
}
"""Functions that make tensors, of the dtype and on the device of `out` unless told otherwise."""


def into(out: Any, result: Any, exact: bool = True, apart: Any = ()) -> Any:
    """`result`, a tensor or several, written into `out`: tensors as many, which are returned. They
    may not overlap the tensors `apart`.

    An `out` of other sizes is resized, with a warning unless it is empty. Only pointwise results
    may be converted.
    Raises: GradientError if a gradient would be required of what is written; DTypeError if the
    dtype of `out` is another, or cannot hold the result; DeviceError for an `out` elsewhere.
    """
    if isinstance(result, Tensor):
        _write(out, result, exact, apart)
        return out
    outs = tuple(out)
    if len(outs) != len(result):
        raise TypeError(f"Expected {len(result)} tensors as out. Got {len(outs)}.")
    for tensor, value in zip(outs, result, strict=True):
        _write(tensor, value, exact, apart)
    return type(result)(*outs) if hasattr(result, "_fields") else outs


def _write(out: Any, result: Tensor, exact: bool, apart: Any) -> None:
    if not isinstance(out, Tensor):
        raise TypeError(f"Expected a tensor as out. Got {type(out).__name__}.")
    if is_grad_enabled() and (out._edge is not None or result._edge is not None):
        raise GradientError(
            "Functions with out= record no gradient, but "
            f"{'out' if out._edge is not None else 'an input'} requires one. Run them under "
            "torch.no_grad(), or without out=."
        )
    if out.device != result.device:
        raise DeviceError(f"Expected out on {result.device}. Got one on {out.device}.")
    if exact and out.dtype is not result.dtype:
        raise DTypeError(f"Expected out of {result.dtype}. Got one of {out.dtype}.")
    if result.dtype.category > out.dtype.category:
        raise DTypeError(
            f"Expected out of a dtype that holds {result.dtype}. Got one of {out.dtype}."
        )
    repeats = [step == 0 and n > 1 for n, step in zip(out.shape, out.stride(), strict=True)]
    if any(repeats) and out.numel():
        raise RuntimeError(
            "Expected an out whose elements have memory of their own. Got one of shape "
            f"{tuple(out.shape)} that was expanded. Clone it first."
        )
    shape = tuple(result.shape)
    _require_apart(out, result.nbytes if out.numel() else 0, apart)
    if tuple(out.shape) != shape:
        if out.numel():
            warnings.warn(
                f"An out of shape {tuple(out.shape)} was resized to the result's shape {shape}. "
                "Resize one to zero elements first, or give one that fits.",
                UserWarning,
                stacklevel=4,
            )
        legacy.resize_(out, shape)
    if result is not out:
        out.copy_(result)


def _require_apart(out: Tensor, length: int, operands: Any) -> None:
    """Raises: RuntimeError if a tensor of `operands` has some of the `length` bytes from `out`
    on."""
    for operand in operands:
        for read in operand if isinstance(operand, list | tuple) else (operand,):
            if isinstance(read, Tensor) and _overlap(out, length, read):
                raise RuntimeError(
                    f"Expected an out apart from the tensors that are read. Got one of shape "
                    f"{tuple(out.shape)} in the same memory. Clone one of them first."
                )


def _overlap(out: Tensor, length: int, read: Tensor) -> bool:
    """Whether two tensors without gaps, one of `length` bytes, lie in the same memory."""
    if out is read:
        return True
    if out.device != read.device or out.is_meta:
        return False
    if not (out.is_contiguous() and read.is_contiguous()):
        return False
    start, other = out.data_ptr(), read.data_ptr()
    return start < other + read.nbytes and other < start + length


def taking_out(function: Callable[..., Any], apart: bool = False) -> Callable[..., Any]:
    """`function` with a keyword `out`, which must lie `apart` from its operands."""

    @functools.wraps(function)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return result if out is None else into(out, result, apart=args if apart else ())

    _show_out(call)
    return call


def making_like_out(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`function`, which makes a tensor, with a keyword `out`."""

    @functools.wraps(function)
    def call(*args: Any, out: Any = None, **kwargs: Any) -> Tensor:
        if out is None:
            return function(*args, **kwargs)
        options = {"dtype": out.dtype, "device": out.device}
        made: Tensor = into(out, function(*args, **{**options, **kwargs}))
        return made

    _show_out(call)
    return call


def _show_out(function: Any) -> None:
    """Let the signature of `function` tell that it takes `out`."""
    signature = inspect.signature(function)
    kinds = inspect.Parameter
    parameters = list(signature.parameters.values())
    rest = parameters.pop() if parameters[-1].kind is kinds.VAR_KEYWORD else None
    parameters.append(kinds("out", kinds.KEYWORD_ONLY, default=None, annotation="Any"))
    function.__signature__ = signature.replace(parameters=[*parameters, *([rest] if rest else [])])


def _offer_out() -> None:
    """Give the functions listed above their `out`."""
    for module, names in FUNCTIONS.items():
        for name in names.split():
            function = getattr(module, name)
            operation = getattr(function, "operation", None)
            if operation is None:
                setattr(module, name, taking_out(function, name in APART.split()))
            else:  # the code that is generated for it sees to it
                operation.takes_out = True
                operation.out_apart = name in APART.split()
                _show_out(function)
    for module, names in CREATION.items():
        for name in names.split():
            setattr(module, name, making_like_out(getattr(module, name)))


_offer_out()
wrappers.share(into=into)
