"""Communication hooks: what `DistributedDataParallel.register_comm_hook` takes."""

from . import default_hooks, powerSGD_hook

__all__ = ["default_hooks", "powerSGD_hook"]
