"""Automatic differentiation: the tape, the backward pass, gradient modes."""

from .engine import backward, detect_anomaly, grad, set_detect_anomaly
from .grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
from .methods import Node
from .numeric import gradcheck, gradgradcheck

__all__ = [
    "Node",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]
