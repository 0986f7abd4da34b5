"""Mixed precision under its older names: `torch.cuda.amp.autocast()` and `GradScaler()`."""

from ...amp import custom_bwd, custom_fwd
from . import common
from .autocast_mode import autocast
from .grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "common", "custom_bwd", "custom_fwd"]
