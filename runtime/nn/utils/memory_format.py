"""Weights of convolutions in another order of memory."""

from __future__ import annotations

from typing import Any, TypeVar

from ..modules.conv import Conv2d, Conv3d
from ..modules.conv_transpose import ConvTranspose2d, ConvTranspose3d
from ..modules.module import Module

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]

M = TypeVar("M", bound=Module)


def _convert(module: M, memory_format: Any, kinds: tuple[type[Module], ...]) -> M:
    for found in module.modules():
        if isinstance(found, kinds):
            weight: Any = found.weight
            weight.data = weight.detach().clone().contiguous(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Order the weights of all `Conv2d` and `ConvTranspose2d` of `module` by `memory_format`, such
    as torch.channels_last. Returns the module."""
    return _convert(module, memory_format, (Conv2d, ConvTranspose2d))


def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """The same for `Conv3d` and `ConvTranspose3d`, such as by torch.channels_last_3d."""
    return _convert(module, memory_format, (Conv3d, ConvTranspose3d))
