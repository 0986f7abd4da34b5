"""Flambeau's tensor runtime, with PyTorch's API: `import flambeau as torch`.

Each family of operations lists in `__all__` the names it gives to this package. Packages that not
every program needs (`nn`, `optim`, `utils`, `cuda`) are imported when first asked for.
"""

from __future__ import annotations

import importlib as _importlib
import math as _math
import warnings as _warnings
from typing import TYPE_CHECKING
from typing import Any as _Any

from . import amp as amp
from . import autograd as autograd
from . import backends as _backends  # registers the devices
from . import ops as _ops  # attaches the operations to tensors
from . import overrides as overrides
from . import sparse as sparse
from .amp.autocast_mode import *
from .amp.grad_scaler import *
from .autograd.anomaly import *
from .autograd.grad_mode import *
from .checks import *
from .control_flow import *
from .core import dtypes as _dtypes
from .core.creation import *
from .core.devices import *
from .core.dtypes import *
from .core.layouts import *
from .core.limits import *
from .core.printing import *
from .core.quantized_arrays import *
from .core.ranges import *
from .core.tensor import *
from .ops.activations import *
from .ops.arithmetic import *
from .ops.attributes import *
from .ops.clamping import *
from .ops.comparison import *
from .ops.complex_numbers import *
from .ops.convolution import *
from .ops.copied_views import *
from .ops.copies import *
from .ops.cumulative import *
from .ops.dropout import *
from .ops.elementary import *
from .ops.embedding import *
from .ops.embedding_bag import *
from .ops.extremes import *
from .ops.fake_quantize import *
from .ops.folding import *
from .ops.foreach import *
from .ops.gamma import *
from .ops.gather import *
from .ops.histograms import *
from .ops.inplace_functions import *
from .ops.irregular_pooling import *
from .ops.joins import *
from .ops.legacy import *
from .ops.linalg import *
from .ops.masked_indexing import *
from .ops.native_layers import *
from .ops.noise import *
from .ops.normalization import *
from .ops.numbered_losses import *
from .ops.older_factors import *
from .ops.older_linalg import *
from .ops.pooling import *
from .ops.powers import *
from .ops.private_products import *
from .ops.prod import *
from .ops.products import *
from .ops.quantized import *
from .ops.rearrangement import *
from .ops.recurrent_layers import *
from .ops.reductions import *
from .ops.sampling import *
from .ops.searching import *
from .ops.segments import *
from .ops.similarity import *
from .ops.solving import *
from .ops.sorting import *
from .ops.special_functions import *
from .ops.spectrogram import *
from .ops.stacking import *
from .ops.statistics import *
from .ops.strided import *
from .ops.tensor_types import *
from .ops.transposed import *
from .ops.updates import *
from .ops.views import *
from .random import *
from .settings import *
from .signal.windows import bartlett_window as bartlett_window
from .signal.windows import blackman_window as blackman_window
from .signal.windows import hamming_window as hamming_window
from .signal.windows import hann_window as hann_window
from .signal.windows import kaiser_window as kaiser_window
from .sparse.construction import *
from .sparse.products import hspmm as hspmm
from .sparse.products import smm as smm
from .sparse.products import spmm as spmm
from .sparse.products import sspaddmm as sspaddmm
from .symbols import *
from .version import __version__ as __version__

if TYPE_CHECKING:
    from . import (
        amp,
        cuda,
        distributions,
        fft,
        func,
        linalg,
        nn,
        optim,
        signal,
        special,
        testing,
        utils,
    )
    from .func import vmap
    from .serialization import load, save


bool = _dtypes.bool_
half, double, short, int, long = float16, float64, int16, int32, int64
float = float32
cfloat, cdouble = complex64, complex128
absolute, subtract, multiply, divide, true_divide, negative = abs, sub, mul, div, div, neg
arccos, arccosh, arcsin, arcsinh = acos, acosh, asin, asinh
arctan, arctanh, arctan2 = atan, atanh, atan2
unsafe_split, unsafe_chunk = split, chunk
fix, row_stack, trapz = trunc, vstack, trapezoid
dsmm, hsmm = spmm, hspmm
clip, greater, less, greater_equal, less_equal, not_equal = clamp, gt, lt, ge, le, ne
swapdims = transpose
moveaxis = movedim
OutOfMemoryError = MemoryError  # which NumPy's and CuPy's own derive from
inf, nan, pi, e = _math.inf, _math.nan, _math.pi, _math.e
newaxis = None

_LAZY_MODULES = """
_C __config__ _dynamo _subclasses accelerator amp ao backends compiler cpu cuda distillation
distributed distributions export fft func futures fx hub jit library linalg mps multiprocessing nn
onnx optim profiler quantization serialization signal special testing text types utils version
vision xpu
""".split()
_LAZY_NAMES = {
    "AcceleratorError": "cuda",
    "Future": "futures",
    "Event": "accelerator",
    "Stream": "accelerator",
    "PyTorchFileReader": "serialization.archive",
    "ScriptModule": "jit",
    "compile": "compiler",
    "load": "serialization",
    "save": "serialization",
    "vmap": "func",
}

# Infinities and NaN are values here, not events. NumPy decides by the module of the code that
# runs, and ours is named flambeau.*; a `with np.errstate` around every operation would cost
# as much as the operation.
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"flambeau\.")


def is_tensor(obj: _Any) -> _Any:
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> _Any:
    """Whether the elements are floating-point numbers."""
    return input.is_floating_point()


def is_complex(input: Tensor) -> _Any:
    """Whether the elements are complex numbers."""
    return input.is_complex()


def adjoint(input: Tensor) -> _Any:
    """Conjugate matrices with their last two dimensions exchanged."""
    return input.mH


def numel(input: Tensor) -> _Any:
    """Number of elements."""
    return input.numel()


def is_nonzero(input: Tensor) -> _Any:
    """Whether the single element is not zero."""
    return input.__bool__()


def result_type(tensor1: _Any, tensor2: _Any) -> dtype:
    """The dtype that arithmetic of the two, tensors or numbers, gives."""
    groups: list[_Any] = [None, None, None]  # tensors with dimensions, without, numbers
    for value in (tensor1, tensor2):
        rank = 2 if not is_tensor(value) else 0 if value.ndim else 1
        found = value.dtype if is_tensor(value) else _dtypes.of_number(value)
        groups[rank] = found if groups[rank] is None else promote_types(groups[rank], found)
    return _dtypes.result_type(*groups)


def __getattr__(name: str) -> _Any:
    if name in ("torch", "functional"):  # PyTorch, too, has its functions under these names
        return _importlib.import_module(__name__)
    if name in _LAZY_MODULES:
        return _importlib.import_module(f".{name}", __name__)
    if name in _LAZY_NAMES:
        return getattr(_importlib.import_module(f".{_LAZY_NAMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES, *_LAZY_NAMES})
