"""Modules that learn the sizes of their inputs from the first one."""

from __future__ import annotations

from typing import Any

from ..parameter import is_lazy
from .module import Module

__all__ = ["LazyModuleMixin"]


class LazyModuleMixin:
    """For a module some of whose parameters are `UninitializedParameter`s: the first call makes
    them, by `initialize_parameters` on the same arguments, and turns the module into one of the
    class `cls_to_become`, if there is one.

    Make such a module, move it where it shall be, call it once on an input, and only then give its
    parameters to code that wants their sizes. An optimizer may take them before.

    Example:
        >>> net = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(2))
        >>> net(torch.zeros(1, 3)).shape
        torch.Size([1, 2])
        >>> net[0]
        Linear(in_features=3, out_features=8, bias=True)
    """

    cls_to_become: type[Module] | None = None
    _awaits_input: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaits_input = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module: Any = self
        if self._awaits_input:
            self._infer_parameters(module, args, kwargs)
        return Module.__call__(module, *args, **kwargs)

    def _infer_parameters(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None
    ) -> None:
        """Raises: RuntimeError if parameters are left without a shape."""
        self.initialize_parameters(*args, **(kwargs or {}))
        if self.has_uninitialized_params():
            raise RuntimeError(
                f"{type(self).__name__}: expected initialize_parameters to materialize all "
                "parameters and buffers. Got some without a shape still."
            )
        self._awaits_input = False
        if self.cls_to_become is not None:
            del self._awaits_input
            module.__class__ = self.cls_to_become

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize the parameters for a call with these arguments; each class gives its own."""
        raise NotImplementedError(
            f"{type(self).__name__} has no initialize_parameters. Define `def "
            "initialize_parameters(self, ...)` with the arguments of forward."
        )

    def has_uninitialized_params(self) -> bool:
        """Whether own parameters or buffers have no shape yet."""
        module: Any = self
        own = [*module._parameters.values(), *module._buffers.values()]
        return any(is_lazy(tensor) for tensor in own)
