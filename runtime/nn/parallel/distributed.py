"""A module whose gradients the processes of a group average."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...distributed.group import world
from ..modules.module import Module


class DistributedDataParallel(Module):
    """`module`, with each gradient averaged over the processes of the group; parameters and
    buffers start as those of process 0. In a world of one process the module computes as it would
    without.

    Keys of the state dict stand below "module.", as in PyTorch; `device_ids` and the options about
    buckets are accepted. Raises: ValueError without `init_process_group`, RuntimeError for a module
    without a parameter that is trained.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self.process_group = world(process_group)
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel: expected a module with a parameter that requires a "
                "gradient. Other modules need no averaging: use them as they are."
            )
        self.module = module
        self.device_ids, self.output_device, self.dim = device_ids, output_device, dim
        self.broadcast_buffers = broadcast_buffers
        self.require_backward_grad_sync = True

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module computes."""
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Gradients are added up here, and averaged by the first backward after the block."""
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before
