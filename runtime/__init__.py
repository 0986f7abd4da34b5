"""Flambeau's tensor runtime: PyTorch's API on NumPy and CuPy. `import flambeau as torch`."""

from __future__ import annotations

import warnings as _warnings

from . import backends as backends
from .core.creation import *
from .core.dtypes import *
from .core.devices import device
from .core.tensor import Size, Tensor
from . import autograd as autograd
from .autograd import enable_grad, inference_mode, no_grad, set_grad_enabled
from .autograd.grad_mode import is_grad_enabled
from . import ops as ops
