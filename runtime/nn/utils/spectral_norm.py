"""Spectral normalization by a hook; `parametrizations.spectral_norm` is the newer way.

Source: Miyato et al., Spectral Normalization for GANs, arXiv:1802.05957, algorithm 1.
"""

from __future__ import annotations

from typing import Any, TypeVar

from ...autograd.grad_mode import no_grad
from ...autograd.node import RemovableHandle
from ...linalg import multi_dot, pinv
from ...ops.similarity import normalize
from ..modules.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..modules.hooks import forward_pre_hooks
from ..modules.module import Module
from ..parameter import Parameter, is_lazy

__all__ = ["SpectralNorm", "remove_spectral_norm", "spectral_norm"]

M = TypeVar("M", bound=Module)

OUTPUTS_SECOND = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
"""Layers whose weights have the outputs in dimension 1."""


def as_matrix(weight: Any, dim: int) -> Any:
    """`weight` with `dim` as rows and all else as columns."""
    rows = weight.movedim(dim, 0) if dim else weight
    return rows.reshape(rows.shape[0], -1)


class SpectralNorm:
    """The hook that divides a weight by its largest singular value before each call.

    The value is u . W v with vectors u and v that power iterations improve, some at each call in
    training.
    """

    _version: int = 1

    def __init__(
        self, name: str = "weight", n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        if n_power_iterations <= 0:
            raise ValueError(
                f"spectral_norm: expected n_power_iterations above 0. Got {n_power_iterations}."
            )
        self.name, self.dim, self.eps = name, dim, eps
        self.n_power_iterations = n_power_iterations
        self.handles: list[RemovableHandle] = []

    def reshape_weight_to_matrix(self, weight: Any) -> Any:
        """(outputs, everything else)."""
        return as_matrix(weight, self.dim)

    def compute_weight(self, module: Module, do_power_iteration: bool) -> Any:
        """The weight divided by its largest singular value; with iterations the vectors move."""
        weight = getattr(module, self.name + "_orig")
        u, v = getattr(module, self.name + "_u"), getattr(module, self.name + "_v")
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    # In place, as several replicas of a module share these buffers.
                    v.copy_(normalize(matrix.t().mv(u), dim=0, eps=self.eps))
                    u.copy_(normalize(matrix.mv(v), dim=0, eps=self.eps))
                # The graph keeps these: the next call writes into the buffers.
                u, v = u.clone(), v.clone()
        return weight / u.dot(matrix.mv(v))

    @staticmethod
    def apply(
        module: Module, name: str, n_power_iterations: int, dim: int, eps: float
    ) -> SpectralNorm:
        """Put the parameter `name` of `module` aside as `name`_orig and install the hooks.

        Raises: RuntimeError if it has them already, ValueError for a parameter without a shape.
        """
        for hook in forward_pre_hooks(module, SpectralNorm):
            if hook.name == name:
                raise RuntimeError(f"spectral_norm: expected one on {name!r}. Got a second.")
        made = SpectralNorm(name, n_power_iterations, dim, eps)
        weight = module._parameters[name]
        if weight is None:
            raise ValueError(f"spectral_norm: expected a parameter {name!r}. Got None.")
        if is_lazy(weight):
            raise ValueError(
                "spectral_norm: expected a parameter with a shape. Got an uninitialized one. Call "
                "the lazy module once on an input before."
            )
        with no_grad():
            matrix = made.reshape_weight_to_matrix(weight)
            u, v = (
                normalize(weight.new_empty(size).normal_(0, 1), dim=0, eps=eps)
                for size in matrix.shape
            )
        module.__delattr__(name)
        module.register_parameter(name + "_orig", weight)
        # A plain attribute until the first call: a parameter is not seen as one there.
        setattr(module, name, weight.data)
        module.register_buffer(name + "_u", u)
        module.register_buffer(name + "_v", v)
        made.handles = [
            module.register_forward_pre_hook(made),
            module._register_state_dict_hook(SpectralNormStateDictHook(made)),
            module._register_load_state_dict_pre_hook(SpectralNormLoadStateDictPreHook(made)),
        ]
        return made

    def remove(self, module: Module) -> None:
        """Put an ordinary parameter in the place of the one aside, and take the hooks out."""
        for handle in self.handles:
            handle.remove()
        with no_grad():
            weight = self.compute_weight(module, do_power_iteration=False)
        delattr(module, self.name)
        for suffix in ("_u", "_v", "_orig"):
            delattr(module, self.name + suffix)
        module.register_parameter(self.name, Parameter(weight.detach()))

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self.name, self.compute_weight(module, module.training))


class SpectralNormStateDictHook:
    """Notes in the metadata of a state dict that it has v."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(self, module: Any, state_dict: Any, prefix: str, local_metadata: Any) -> None:
        versions = local_metadata.setdefault("spectral_norm", {})
        versions[self.fn.name + ".version"] = self.fn._version


class SpectralNormLoadStateDictPreHook:
    """Computes v for state dicts of PyTorch before 1.0, which have u and the divided weight."""

    def __init__(self, fn: SpectralNorm) -> None:
        self.fn = fn

    def __call__(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        fn = self.fn
        versions = local_metadata.get("spectral_norm", {})
        if (versions.get(fn.name + ".version") or 0) >= 1:
            return
        key = prefix + fn.name
        suffixes = ("_orig", "", "_u")
        if key + "_v" in state_dict or any(key + s not in state_dict for s in suffixes):
            return
        with no_grad():
            weight, divided = state_dict[key + "_orig"], state_dict.pop(key)
            sigma = (weight / divided).mean()
            matrix, u = fn.reshape_weight_to_matrix(weight), state_dict[key + "_u"]
            # The v with u . W v = sigma and W v parallel to u, by least squares.
            v = multi_dot([pinv(matrix.t().mm(matrix)), matrix.t(), u.unsqueeze(1)]).squeeze(1)
            state_dict[key + "_v"] = v.mul_(sigma / u.dot(matrix.mv(v)))


def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> M:
    """Divide the parameter `name` of `module` by its largest singular value, found by
    `n_power_iterations` at each call in training; as a matrix its rows are `dim` (0, but 1 for
    transposed convolutions).

    The state has `name`_orig, which is trained, and the vectors `name`_u and `name`_v. Returns the
    module. `nn.utils.parametrizations.spectral_norm` is the newer way.
    Raises: RuntimeError for a second time, ValueError for less than one iteration.
    """
    if dim is None:
        dim = 1 if isinstance(module, OUTPUTS_SECOND) else 0
    SpectralNorm.apply(module, name, n_power_iterations, dim, eps)
    return module


def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Make the parameter `name` of `module` an ordinary one again, of the value it has now.

    Raises: ValueError if `spectral_norm` was not used on it.
    """
    for hook in forward_pre_hooks(module, SpectralNorm):
        if hook.name == name:
            hook.remove(module)
            return module
    raise ValueError(f"remove_spectral_norm: expected a spectral norm on {name!r}. Got {module}.")
