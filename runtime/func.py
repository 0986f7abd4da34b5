"""Function transforms: `grad`, `vjp`, `jvp`, `jacrev`, `hessian`, `vmap`, `functional_call`, ..."""

from __future__ import annotations

from .transforms.batching import debug_unwrap, vmap
from .transforms.gradients import functionalize, grad, grad_and_value, jvp, linearize, vjp
from .transforms.jacobians import hessian, jacfwd, jacrev
from .transforms.modules import (
    functional_call,
    replace_all_batch_norm_modules_,
    stack_module_state,
)

__all__ = [
    "debug_unwrap",
    "functional_call",
    "functionalize",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "replace_all_batch_norm_modules_",
    "stack_module_state",
    "vjp",
    "vmap",
]
