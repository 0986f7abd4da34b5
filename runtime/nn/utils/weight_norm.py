"""Weight normalization by a hook; `parametrizations.weight_norm` is the newer way.

Source: Salimans and Kingma, Weight Normalization, arXiv:1602.07868, equation 2.
"""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from ...autograd.node import RemovableHandle
from ..modules.hooks import forward_pre_hooks
from ..modules.module import Module
from ..parameter import Parameter, is_lazy

__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]

M = TypeVar("M", bound=Module)


def norm_except_dim(v: Any, dim: int | None) -> Any:
    """The 2-norms of v over all dimensions but `dim`, kept as 1; of all for -1 or None."""
    if dim is None or dim == -1:
        return v.norm()
    others = [d for d in range(v.ndim) if d != dim % v.ndim]
    return v.norm(dim=others, keepdim=True) if others else v.abs()


def scaled_direction(v: Any, g: Any, dim: int | None) -> Any:
    """g * v / |v|, with the norms over all dimensions but `dim`."""
    return v * (g / norm_except_dim(v, dim))


class WeightNorm:
    """The hook that computes a weight from its direction v and its length g before each call."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name, self.dim = name, -1 if dim is None else dim
        self.handles: list[RemovableHandle] = []

    def compute_weight(self, module: Module) -> Any:
        """The weight."""
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return scaled_direction(v, g, self.dim)

    @staticmethod
    def apply(module: Module, name: str, dim: int | None) -> WeightNorm:
        """Split the parameter `name` of `module` and install the hook.

        Raises: RuntimeError if it has one already, ValueError for a parameter without a shape.
        """
        for hook in forward_pre_hooks(module, WeightNorm):
            if hook.name == name:
                raise RuntimeError(f"weight_norm: expected one on {name!r}. Got a second.")
        weight = getattr(module, name)
        if is_lazy(weight):
            raise ValueError(
                "weight_norm: expected a parameter with a shape. Got an uninitialized one. Call "
                "the lazy module once on an input before."
            )
        made = WeightNorm(name, dim)
        del module._parameters[name]
        parts = {"_g": norm_except_dim(weight, made.dim).detach(), "_v": weight.detach()}
        for suffix, part in parts.items():
            module.register_parameter(name + suffix, Parameter(part))
        setattr(module, name, made.compute_weight(module))
        made.handles = [module.register_forward_pre_hook(made)]
        return made

    def remove(self, module: Module) -> None:
        """Put an ordinary parameter in the place of the two, and take the hook out."""
        for handle in self.handles:
            handle.remove()
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"], module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Let the parameter `name` of `module` be g * v / |v|: parameters `name`_g, its lengths, and
    `name`_v, its direction; |v| is over all dimensions but `dim`, or over all for None.

    Deprecated, as in PyTorch, for `nn.utils.parametrizations.weight_norm`, and warns so. Returns
    the module. Raises: RuntimeError for a second time.
    """
    warnings.warn(
        "nn.utils.weight_norm: use nn.utils.parametrizations.weight_norm.",
        FutureWarning,
        stacklevel=2,
    )
    WeightNorm.apply(module, name, dim)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Make the parameter `name` of `module` an ordinary one again, of the value it has now.

    Raises: ValueError if `weight_norm` was not used on it.
    """
    for hook in forward_pre_hooks(module, WeightNorm):
        if hook.name == name:
            hook.remove(module)
            return module
    raise ValueError(f"remove_weight_norm: expected a weight norm on {name!r}. Got {module}.")
