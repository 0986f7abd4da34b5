"""Flambeau's tensor runtime, with PyTorch's API: `import flambeau as torch`.

Packages that not every program needs (`nn`, `optim`, `utils`, `cuda`) are imported when first
asked for.
"""

from __future__ import annotations

import importlib as _importlib
import math as _math
import warnings as _warnings
from typing import TYPE_CHECKING
from typing import Any as _Any

from . import autograd as autograd
from . import backends as _backends  # registers the devices
from . import ops as _ops  # attaches the operations to tensors
from .autograd import enable_grad, inference_mode, no_grad, set_grad_enabled
from .autograd.grad_mode import is_grad_enabled
from .core.creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    get_default_device,
    linspace,
    logspace,
    ones,
    ones_like,
    scalar_tensor,
    set_default_device,
    tensor,
    zeros,
    zeros_like,
)
from .core.devices import device
from .core.dtypes import (
    bfloat16,
    complex64,
    complex128,
    dtype,
    float16,
    float32,
    float64,
    get_default_dtype,
    int8,
    int16,
    int32,
    int64,
    promote_types,
    set_default_dtype,
    uint8,
)
from .core.dtypes import (
    bool_ as bool,
)
from .core.printing import set_printoptions
from .core.tensor import Size, Tensor
from .ops.activations import log_softmax, relu, softmax
from .ops.arithmetic import (
    abs,
    add,
    addcdiv,
    addcmul,
    ceil,
    clamp,
    div,
    floor,
    floor_divide,
    fmod,
    lerp,
    masked_fill,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    reciprocal,
    remainder,
    round,
    rsub,
    sign,
    square,
    sub,
    trunc,
    where,
)
from .ops.comparison import (
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    eq,
    ge,
    gt,
    isfinite,
    isinf,
    isnan,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from .ops.copies import clone
from .ops.elementary import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    lgamma,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    rsqrt,
    sigmoid,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from .ops.gather import (
    gather,
    index_select,
    masked_select,
    nonzero,
    scatter,
    scatter_add,
    take_along_dim,
)
from .ops.joins import cat, chunk, concat, concatenate, narrow, select, split, stack, unbind
from .ops.linalg import addmm, bmm, dot, matmul, mm, mv, outer
from .ops.rearrangement import flip, roll, tril, triu
from .ops.reductions import (
    all,
    amax,
    amin,
    any,
    argmax,
    argmin,
    count_nonzero,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from .ops.sampling import (
    bernoulli,
    dropout,
    multinomial,
    normal,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
)
from .ops.sorting import allclose, argsort, equal, isclose, sort, topk
from .ops.views import (
    broadcast_to,
    flatten,
    movedim,
    permute,
    ravel,
    reshape,
    squeeze,
    t,
    transpose,
    unflatten,
    unsqueeze,
)
from .random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

if TYPE_CHECKING:
    from . import cuda, nn, optim, utils
    from .serialization import load, save

__version__ = "0.1.0"

__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "__version__",
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "addcdiv",
    "addcmul",
    "addmm",
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "as_tensor",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "autograd",
    "bernoulli",
    "bfloat16",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "bmm",
    "bool",
    "broadcast_to",
    "cat",
    "cdouble",
    "ceil",
    "cfloat",
    "chunk",
    "clamp",
    "clip",
    "clone",
    "complex64",
    "complex128",
    "concat",
    "concatenate",
    "contiguous_format",
    "cos",
    "cosh",
    "count_nonzero",
    "cuda",
    "cumsum",
    "default_generator",
    "device",
    "div",
    "divide",
    "dot",
    "double",
    "dropout",
    "dtype",
    "e",
    "empty",
    "empty_like",
    "enable_grad",
    "eq",
    "equal",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expm1",
    "eye",
    "flatten",
    "flip",
    "float",
    "float16",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "fmod",
    "from_numpy",
    "full",
    "full_like",
    "gather",
    "ge",
    "get_default_device",
    "get_default_dtype",
    "get_rng_state",
    "greater",
    "greater_equal",
    "gt",
    "half",
    "index_select",
    "inf",
    "inference_mode",
    "initial_seed",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_floating_point",
    "is_grad_enabled",
    "is_nonzero",
    "is_tensor",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "lerp",
    "less",
    "less_equal",
    "lgamma",
    "linspace",
    "load",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_softmax",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logspace",
    "logsumexp",
    "long",
    "lt",
    "manual_seed",
    "masked_fill",
    "masked_select",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mm",
    "movedim",
    "mul",
    "multinomial",
    "multiply",
    "mv",
    "nan",
    "narrow",
    "ne",
    "neg",
    "negative",
    "newaxis",
    "nn",
    "no_grad",
    "nonzero",
    "norm",
    "normal",
    "not_equal",
    "numel",
    "ones",
    "ones_like",
    "optim",
    "outer",
    "permute",
    "pi",
    "pow",
    "preserve_format",
    "prod",
    "promote_types",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "ravel",
    "reciprocal",
    "relu",
    "remainder",
    "reshape",
    "result_type",
    "roll",
    "round",
    "rsqrt",
    "rsub",
    "save",
    "scalar_tensor",
    "scatter",
    "scatter_add",
    "seed",
    "select",
    "set_default_device",
    "set_default_dtype",
    "set_grad_enabled",
    "set_printoptions",
    "set_rng_state",
    "short",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softmax",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "strided",
    "sub",
    "subtract",
    "sum",
    "swapaxes",
    "swapdims",
    "t",
    "take_along_dim",
    "tan",
    "tanh",
    "tensor",
    "topk",
    "transpose",
    "tril",
    "triu",
    "true_divide",
    "trunc",
    "uint8",
    "unbind",
    "unflatten",
    "unsqueeze",
    "utils",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

half, double, short, int, long = float16, float64, int16, int32, int64
float = float32
cfloat, cdouble = complex64, complex128
absolute, subtract, multiply, divide, true_divide, negative = abs, sub, mul, div, div, neg
clip, greater, less, greater_equal, less_equal, not_equal = clamp, gt, lt, ge, le, ne
swapaxes = swapdims = transpose
inf, nan, pi, e = _math.inf, _math.nan, _math.pi, _math.e
newaxis = None
strided = "strided"
contiguous_format, preserve_format = "contiguous_format", "preserve_format"

_LAZY = ("cuda", "distributions", "nn", "optim", "utils")

# Infinities and NaN are values here, not events. NumPy decides by the module of the code that
# runs, and
# ours is named flambeau.*; a `with np.errstate` around every operation would cost as much as
# the operation.
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"flambeau\.")


def is_tensor(obj: _Any) -> _Any:
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> _Any:
    """Whether the elements are floating-point numbers."""
    return input.is_floating_point()


def numel(input: Tensor) -> _Any:
    """Number of elements."""
    return input.numel()


def is_nonzero(input: Tensor) -> _Any:
    """Whether the single element is not zero."""
    return input.__bool__()


def result_type(tensor1: _Any, tensor2: _Any) -> dtype:
    """The dtype that arithmetic of the two, tensors or numbers, gives."""
    return (
        (tensor1 + tensor2).dtype
        if is_tensor(tensor1) or is_tensor(tensor2)
        else (tensor(tensor1) + tensor2).dtype
    )


def __getattr__(name: str) -> _Any:
    if name in _LAZY:
        return _importlib.import_module(f".{name}", __name__)
    if name in ("save", "load"):
        return getattr(_importlib.import_module(".serialization", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
