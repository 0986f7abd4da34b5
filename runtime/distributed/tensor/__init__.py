"""Tensors whose parts lie on several processes."""

from ..device_mesh import DeviceMesh, init_device_mesh
from .dtensor import DTensor, distribute_tensor
from .placement_types import Partial, Placement, Replicate, Shard

__all__ = [
    "DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "distribute_tensor",
    "init_device_mesh",
]  # fmt: skip
