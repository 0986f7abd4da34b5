"""Autocast: which operations run in a lower precision, and which in float32, while it is on.

The lists are PyTorch's, one per device type. Casts are recorded, so that gradients arrive in the
dtype of what was cast.
Source: https://docs.pytorch.org/docs/stable/amp.html, "Autocast Op Reference".
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..autograd.grad_mode import is_grad_enabled
from ..core import dtypes
from ..core.locks import module_lock
from ..core.tensor import Tensor
from . import (
    complex_numbers,
    copies,
    cross_entropy,
    decompositions,
    fourier,
    irregular_pooling,
    margins,
    norms,
    numbered_losses,
    older_linalg,
    padding,
    products,
    recurrent_layers,
    resampling,
    similarity,
    singular_values,
    solving,
    spectrogram,
    statistics,
    strided,
    triangular,
    updates,
    wrappers,
)

if TYPE_CHECKING:
    from .operation import Operation

LOWER, FLOAT32, WIDEST, KEEP = "lower", "float32", "widest", "keep"
"""What arguments are cast to; KEEP says that they are not, nor inside of the operation."""

_MATRICES = """
attention conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear matmul mm
bmm addmm
prelu tiled_attention
"""
_SOLVERS = {
    decompositions: "cholesky cholesky_ex eig eigh eigvals eigvalsh qr",
    norms: "cond",
    older_linalg: "cholesky cholesky_inverse cholesky_solve inverse pinverse qr svd",
    singular_values: "lstsq pinv svd svdvals matrix_rank",
    solving: "inv inv_ex solve solve_ex tensorinv tensorsolve",
    triangular: "householder_product lu lu_factor lu_factor_ex lu_solve",
}
OPERATIONS: dict[str, dict[str, str]] = {
    "cpu": {
        LOWER: _MATRICES,
        FLOAT32: """
adaptive_avg_pool3d avg_pool3d binary_cross_entropy binary_cross_entropy_with_logits
cross_entropy huber_loss kl_div l1_loss max_pool3d mse_loss nll_loss polar prod smooth_l1_loss
""",
        WIDEST: "cat stack",
        KEEP: "dot mv",  # made of the product of matrices here, by themselves in PyTorch
    },
    "cuda": {
        LOWER: _MATRICES + "mv",
        FLOAT32: """
acos asin cosh cross_entropy cumprod cumsum erfinv exp expm1 huber_loss kl_div l1_loss layer_norm
log log10 log1p log2 log_softmax logsumexp mse_loss nll_loss norm pow prod reciprocal rsqrt sinh
smooth_l1_loss softmax softplus sum tan binary_cross_entropy_with_logits
""",
        WIDEST: "addcdiv addcmul atan2 cat dot stack where",
    },
}
"""Declared operations by device type and policy."""

FUNCTIONS: dict[str, dict[str, dict[Any, str]]] = {
    "cpu": {
        LOWER: {
            norms: "vecdot",
            products: "addbmm baddbmm",
            recurrent_layers: "padded_lstm rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell",
        },
        FLOAT32: {
            **_SOLVERS,
            complex_numbers: "view_as_complex",
            fourier: """
fft fft2 fftn hfft ifft ifft2 ifftn ihfft irfft irfft2 irfftn rfft rfft2 rfftn
""",
            irregular_pooling: """
adaptive_max_pool3d fractional_max_pool2d fractional_max_pool3d max_unpool1d max_unpool2d
max_unpool3d
""",
            margins: """
cosine_embedding_loss hinge_embedding_loss margin_ranking_loss multi_margin_loss
multilabel_margin_loss poisson_nll_loss soft_margin_loss triplet_margin_loss
""",
            padding: "reflected replicated",
            products: "cdist",
            resampling: "grid_sample",
            spectrogram: "stft",
            statistics: "quantile nanquantile",
            strided: "trace",
        },
        KEEP: {
            numbered_losses: "bilinear",
            products: "addmv vdot",
            recurrent_layers: "packed_lstm",
            updates: "index_reduce scatter_reduce",
        },
    },
    "cuda": {
        LOWER: {norms: "vecdot", products: "addbmm addmv addr baddbmm chain_matmul"},
        FLOAT32: {
            margins: """
cosine_embedding_loss hinge_embedding_loss margin_ranking_loss multi_margin_loss
multilabel_margin_loss poisson_nll_loss soft_margin_loss triplet_margin_loss
""",
            products: "cdist dist",
            similarity: "cosine_similarity pdist",
            statistics: "renorm",
        },
        WIDEST: {norms: "cross", products: "tensordot", resampling: "grid_sample"},
    },
}
"""Functions made of several operations, likewise, by module."""

FUSED = {"cross_entropy": cross_entropy.in_float32}
"""What computes operations whose policy for "cuda" is FLOAT32 from halves as they are, with the
result that float32 would give; or NotImplemented."""

Policies = dict[str, str]


class _State(threading.local):
    """What each thread has chosen: a dtype per device type where autocast is on."""

    def __init__(self) -> None:
        self.dtypes: dict[str, dtypes.dtype] = {}
        self.cache_enabled = True
        self.cache: dict[int, tuple[Tensor, Tensor]] = {}
        self.is_inside = False  # an operation that was cast for: what it is made of is not


state = _State()
_lock = module_lock()
_active = 0


def switch(on: int) -> None:
    """Count the blocks with autocast on in all threads; operations ask only while there is one."""
    global _active
    with _lock:
        _active += on
        wrappers.share(autocasting=_active > 0)


def _converted(value: Any, policy: str, dtype: dtypes.dtype, widest: dtypes.dtype) -> Any:
    if isinstance(value, list | tuple):
        return type(value)([_converted(v, policy, dtype, widest) for v in value])
    if not isinstance(value, Tensor) or not value.dtype.is_floating_point:
        return value
    if value.dtype is dtypes.float64 or policy is KEEP:
        return value
    wanted = {LOWER: dtype, FLOAT32: dtypes.float32, WIDEST: widest}[policy]
    return value if value.dtype is wanted else _cast(value, wanted)


def _cast(tensor: Tensor, dtype: dtypes.dtype) -> Tensor:
    """The tensor in `dtype`; that of a parameter is kept until autocast ends."""
    is_parameter = tensor.is_leaf and tensor.requires_grad and is_grad_enabled()
    if not (is_parameter and state.cache_enabled and dtype is not dtypes.float32):
        return copies.cast(tensor, dtype=dtype)
    found = state.cache.get(id(tensor))
    if found is None or found[0] is not tensor or found[1].dtype is not dtype:
        found = state.cache[id(tensor)] = tensor, copies.cast(tensor, dtype=dtype)
    return found[1]


def _tensors(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found


def cast_call(function: Callable[..., Any], policies: Policies, args: Any, options: Any) -> Any:
    """`function` of its arguments, cast as its policy for their device says; NotImplemented if none
    applies."""
    if state.is_inside:
        return NotImplemented
    given = [t for t in _tensors([*args, *options.values()]) if t.dtype.is_floating_point]
    place = given[0].device.type if given else ""
    dtype, policy = state.dtypes.get(place), policies.get(place)
    if dtype is None or policy is None:
        return NotImplemented
    widest = functools.reduce(dtypes.promote_types, [t.dtype for t in given])
    args = [_converted(a, policy, dtype, widest) for a in args]
    options = {k: _converted(v, policy, dtype, widest) for k, v in options.items()}
    state.is_inside = True
    try:
        return function(*args, **options)
    finally:
        state.is_inside = False


def autocast_operation(operation: Operation, values: tuple[Any, ...]) -> Any:
    """The operation of its arguments, cast if that is due; NotImplemented if it is not."""
    if not state.dtypes:
        return NotImplemented
    named = list(zip(operation.parameters, values, strict=True))
    args = [v for p, v in named if not p.keyword_only]
    options = {p.name: v for p, v in named if p.keyword_only}
    policies = wrappers.autocast_policies[operation.name]
    fused = FUSED.get(operation.name)
    if fused is not None and "cuda" in state.dtypes and not state.is_inside:
        found = fused(*args, **options)
        if found is not NotImplemented:
            return found
    return cast_call(operation.function, policies, args, options)


def _casting(function: Callable[..., Any], policies: Policies) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if state.dtypes:
            result = cast_call(function, policies, args, options)
            if result is not NotImplemented:
                return result
        return function(*args, **options)

    return call


def _install() -> None:
    for place, policies in OPERATIONS.items():
        for policy, names in policies.items():
            for name in names.split():
                wrappers.autocast_policies.setdefault(name, {})[place] = policy
    found: dict[tuple[Any, str], Policies] = {}
    for place, by_policy in FUNCTIONS.items():
        for policy, modules in by_policy.items():
            for module, names in modules.items():
                for name in names.split():
                    found.setdefault((module, name), {})[place] = policy
    for (module, name), policies in found.items():
        setattr(module, name, _casting(getattr(module, name), policies))


_install()
wrappers.share(autocasting=False, autocast_operation=autocast_operation)
