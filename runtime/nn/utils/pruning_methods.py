"""Ways to prune, as hooks that compute a parameter from its original and a mask."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from ...core.creation import ones_like, zeros_like
from ...ops.reductions import norm
from ...ops.sampling import rand, rand_like
from ...ops.sorting import topk
from ...ops.statistics import kthvalue
from ..modules.hooks import forward_pre_hooks
from ..modules.module import Module
from ..parameter import Parameter

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
]


class BasePruningMethod(ABC):
    """What all ways to prune share; it is the hook that computes the pruned tensor.

    A subclass gives `compute_mask`, and `PRUNING_TYPE`: "unstructured" for masks of single
    elements, "structured" for whole slices, "global" for several tensors as one.
    """

    _tensor_name: str
    PRUNING_TYPE: str

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask for the scores `t`: 0 where `default_mask` is, and where this way prunes."""

    def apply_mask(self, module: Module) -> Any:
        """The pruned tensor. Raises: RuntimeError if `module` has not been pruned."""
        name = getattr(self, "_tensor_name", None)
        if name is None:
            raise RuntimeError(f"apply_mask: expected a pruned module. Got {module}.")
        original = getattr(module, name + "_orig")
        return getattr(module, name + "_mask").to(dtype=original.dtype) * original

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any
    ) -> Any:
        """Prune the parameter `name` of `module`, in addition to what is pruned of it; other
        arguments are those of this way to prune. Returns the hook.

        Raises: AssertionError for scores of another shape than the parameter's.
        """
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        scores = _scores(getattr(module, name), importance_scores)
        before = next((m for m in methods_of(module) if m._tensor_name == name), None)
        if before is None:
            mask = method.compute_mask(scores, default_mask=ones_like(scores))
            module.register_parameter(name + "_orig", _set_aside(module, name))
            module.register_buffer(name + "_mask", mask.detach())
        else:
            method = _container_of(before, method)
            mask = method.compute_mask(scores, default_mask=getattr(module, name + "_mask"))
            setattr(module, name + "_mask", mask.detach())
            drop(module, before)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """`t` pruned once, with nothing kept in a module; `default_mask` is pruned already.

        Raises: AssertionError for scores of another shape than t's.
        """
        scores = _scores(t, importance_scores)
        mask = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=mask)

    def remove(self, module: Module) -> None:
        """Make the pruned tensor an ordinary parameter; what was pruned stays 0."""
        name = self._tensor_name
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(name + "_orig")
        del module._buffers[name + "_mask"]
        assert original is not None
        original.data = weight.detach()
        setattr(module, name, original)


def _scores(t: Any, given: Any) -> Any:
    """What decides on what is pruned of `t`. Raises: AssertionError for another shape."""
    if given is not None and given.shape != t.shape:
        raise AssertionError(
            f"prune: expected importance_scores of shape {tuple(t.shape)}. Got "
            f"{tuple(given.shape)}."
        )
    return t if given is None else given


def _container_of(before: Any, method: Any) -> PruningContainer:
    """`before` (its methods, if it is a container) and `method`."""
    found = PruningContainer()
    found._tensor_name = method._tensor_name
    for each in [*(before if isinstance(before, PruningContainer) else [before]), method]:
        found.add_pruning_method(each)
    return found


def methods_of(module: Module) -> list[Any]:
    """The pruning hooks of `module`."""
    return forward_pre_hooks(module, BasePruningMethod)


def drop(module: Module, method: Any) -> None:
    """Take the pruning hook `method` out of `module`."""
    entries = module._hooks["forward_pre"]
    entries[:] = [entry for entry in entries if entry[0] is not method]


def _set_aside(module: Module, name: str) -> Any:
    original = getattr(module, name)
    if name in module._parameters:
        del module._parameters[name]
    return original if isinstance(original, Parameter) else Parameter(original.detach())


class PruningContainer(BasePruningMethod):
    """Several ways to prune one tensor, one after the other: each prunes of what is left."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[Any, ...] = ()
        if len(args) == 1 and not isinstance(args[0], Iterable):
            self._tensor_name = args[0]._tensor_name
            self.add_pruning_method(args[0])
        else:
            methods = args[0] if len(args) == 1 else args
            for method in methods:
                self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Add one. Raises: TypeError for something else, ValueError for one of another tensor."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(
                f"PruningContainer: expected a pruning method. Got {type(method).__name__}."
            )
        name = getattr(self, "_tensor_name", None)
        if method is not None and name is not None and name != method._tensor_name:
            raise ValueError(
                f"PruningContainer: expected a method on {name!r}. Got one on "
                f"{method._tensor_name!r}."
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask after the last method, which sees only what is left: single elements, or the
        slices of its dim in which anything is.

        Raises: ValueError for a method of another type.
        """
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype)
        place = self._left(method, mask)
        out = mask.clone()
        out[place] = method.compute_mask(t[place], default_mask=mask[place]).to(mask.dtype)
        return out

    def _left(self, method: Any, mask: Any) -> Any:
        kind = method.PRUNING_TYPE
        if kind == "unstructured":
            return mask == 1
        if kind == "global":
            return (slice(None),) * mask.ndim
        if kind != "structured":
            raise ValueError(
                "PruningContainer: expected a PRUNING_TYPE of unstructured, structured or global. "
                f"Got {kind!r}."
            )
        dim = method.dim % mask.ndim
        others = [d for d in range(mask.ndim) if d != dim]
        kept = mask.sum(dim=others) != 0 if others else mask != 0
        place: list[Any] = [slice(None)] * mask.ndim
        place[dim] = kept
        return tuple(place)


class Identity(BasePruningMethod):
    """Prunes nothing: for parameters that are to have the names of pruned ones."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """`default_mask`."""
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> Any:  # type: ignore[override]
        """Give the parameter `name` a mask of ones."""
        return super().apply(module, name)


class _Amount(BasePruningMethod):
    """A way to prune an amount: a share from 0 to 1 as a float, or a number of elements."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        _require_amount(amount)
        self.amount = amount

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Prune `amount` of the parameter `name`."""
        return super().apply(module, name, amount, *args, **kwargs)


class RandomUnstructured(_Amount):
    """Prunes elements at random."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """`default_mask` with `amount` elements less."""
        count = _number(self.amount, t.numel())
        mask = default_mask.clone()
        if count:
            mask.view(-1)[topk(rand_like(t).view(-1), k=count)[1]] = 0
        return mask


class L1Unstructured(_Amount):
    """Prunes the elements of the smallest absolute scores."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """`default_mask` with `amount` elements less."""
        count = _number(self.amount, t.numel())
        mask = default_mask.clone()
        if count:
            mask.view(-1)[topk(t.abs().view(-1), k=count, largest=False)[1]] = 0
        return mask

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: Any, importance_scores: Any = None
    ) -> Any:
        """Prune `amount` of the parameter `name`."""
        return super().apply(module, name, amount, importance_scores=importance_scores)


class RandomStructured(_Amount):
    """Prunes slices along `dim` at random."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """`default_mask` with `amount` slices less. Raises: ValueError for a vector."""
        size, count = _slices(t, self.dim, self.amount)
        if not count:
            return default_mask
        draws = rand(size)
        kept = draws > kthvalue(draws, count)[0]
        return _mask_of_slices(t, self.dim, kept) * default_mask.to(dtype=t.dtype)

    @classmethod
    def apply(  # type: ignore[override]
        cls, module: Module, name: str, amount: Any, dim: int = -1
    ) -> Any:
        """Prune `amount` slices of the parameter `name`."""
        return super().apply(module, name, amount, dim=dim)


class LnStructured(_Amount):
    """Prunes the slices along `dim` of the smallest n-norms."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        super().__init__(amount)
        self.n, self.dim = n, dim

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """`default_mask` with `amount` slices less. Raises: ValueError for a vector."""
        size, count = _slices(t, self.dim, self.amount)
        if not count:
            return default_mask
        others = [d for d in range(t.ndim) if d != self.dim % t.ndim]
        norms = norm(t, p=self.n, dim=others)
        kept = zeros_like(norms)
        kept[topk(norms, k=size - count, largest=True)[1]] = 1
        return _mask_of_slices(t, self.dim, kept != 0) * default_mask.to(dtype=t.dtype)

    @classmethod
    def apply(  # type: ignore[override]
        cls,
        module: Module,
        name: str,
        amount: Any,
        n: Any,
        dim: int,
        importance_scores: Any = None,
    ) -> Any:
        """Prune `amount` slices of the parameter `name`."""
        return super().apply(module, name, amount, n, dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prunes what a mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Both masks' product. Raises: AssertionError for masks of different shapes."""
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"custom_from_mask: expected a mask of shape {tuple(default_mask.shape)}. Got "
                f"{tuple(self.mask.shape)}."
            )
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, mask: Any) -> Any:  # type: ignore[override]
        """Prune the parameter `name` where `mask` is 0."""
        return super().apply(module, name, mask=mask)


# -- amounts and slices ----------------------------------------------------------------------------


def _require_amount(amount: Any) -> None:
    """Raises: TypeError for no number, ValueError for one out of range."""
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"prune: expected a number as amount. Got {type(amount).__name__}.")
    is_count = isinstance(amount, numbers.Integral)
    if amount < 0 or (not is_count and float(amount) > 1.0):
        raise ValueError(
            f"prune: expected an amount from 0.0 to 1.0, or an integer of 0 or more. Got {amount}."
        )


def _number(amount: Any, size: int) -> int:
    """How many of `size` to prune. Raises: ValueError for more."""
    if not isinstance(amount, numbers.Integral):
        return round(amount * size)
    if int(amount) > size:
        raise ValueError(f"prune: expected an amount of at most {size}. Got {amount}.")
    return int(amount)


def _slices(t: Any, dim: int, amount: Any) -> tuple[int, int]:
    """How many slices there are, and how many to prune.

    Raises: ValueError for a vector, IndexError for a dim that is not there.
    """
    if t.ndim <= 1:
        raise ValueError(
            f"prune: expected two dimensions or more to prune slices. Got shape {tuple(t.shape)}."
        )
    if not -t.ndim <= dim < t.ndim:
        raise IndexError(
            f"prune: expected a dim from {-t.ndim} to {t.ndim - 1} for shape {tuple(t.shape)}. Got "
            f"{dim}."
        )
    return t.shape[dim], _number(amount, t.shape[dim])


def _mask_of_slices(t: Any, dim: int, kept: Any) -> Any:
    mask = zeros_like(t)
    place: list[Any] = [slice(None)] * t.ndim
    place[dim] = kept
    mask[tuple(place)] = 1
    return mask
