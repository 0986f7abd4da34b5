"""Automatic differentiation: the tape, the backward pass, gradient modes."""

from typing import Any

from ..core.tensor import Tensor
from . import forward_ad, function, functional, graph
from .anomaly import detect_anomaly, set_detect_anomaly
from .engine import backward, grad
from .function import Function, FunctionCtx
from .grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from .methods import Node
from .numeric import gradcheck, gradgradcheck

__all__ = [
    "Function",
    "FunctionCtx",
    "Node",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def Variable(data: Any, requires_grad: bool = False) -> Tensor:
    """`data` as a leaf: PyTorch's name from before tensors recorded themselves."""
    out = data.detach()
    out.requires_grad = requires_grad
    return out


def __getattr__(name: str) -> Any:
    if name == "profiler":  # where PyTorch has it too; it stands above this package
        from .. import profiler

        return profiler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
