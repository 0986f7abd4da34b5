"""Pruning: parameters times masks of 0 and 1.

The parameter `name` becomes `name`_orig, which is trained; the buffer `name`_mask says what is
kept; `name` itself is their product, computed before each call.
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from ...core.creation import ones_like, zeros_like
from ...ops.joins import cat
from ...ops.reductions import norm
from ...ops.sampling import rand, rand_like
from ...ops.sorting import topk
from ...ops.statistics import kthvalue
from ..modules.hooks import forward_pre_hooks
from ..modules.module import Module
from ..parameter import Parameter

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured",
    "PruningContainer", "RandomStructured", "RandomUnstructured", "custom_from_mask",
    "global_unstructured", "identity", "is_pruned", "l1_unstructured", "ln_structured",
    "random_structured", "random_unstructured", "remove",
]  # fmt: skip


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
        before = [h for h in _methods_of(module) if h._tensor_name == name]
        if len(before) > 1:
            raise RuntimeError(f"prune: expected at most one hook on {name!r}. Got {len(before)}.")
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        original = getattr(module, name)
        if importance_scores is None:
            importance_scores = original
        elif importance_scores.shape != original.shape:
            raise AssertionError(
                f"prune: expected importance_scores of shape {tuple(original.shape)}, as {name!r}. "
                f"Got {tuple(importance_scores.shape)}."
            )
        if before:
            mask = getattr(module, name + "_mask")
            container = _contained(before[0], name)
            container.add_pruning_method(method)
            _drop(module, before[0])
            method = container
        else:
            mask = ones_like(importance_scores)
        try:
            mask = method.compute_mask(importance_scores, default_mask=mask)
        except Exception:
            if before:
                module.register_forward_pre_hook(before[0])
            raise
        if not before:
            module.register_parameter(name + "_orig", _set_aside(module, name))
        setattr(module, name + "_mask", mask) if before else module.register_buffer(
            name + "_mask", mask.detach()
        )
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """`t` pruned once, with nothing kept in a module; `default_mask` is pruned already.

        Raises: AssertionError for scores of another shape than t's.
        """
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(
                f"prune: expected importance_scores of shape {tuple(t.shape)}. Got "
                f"{tuple(scores.shape)}."
            )
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


def _contained(method: Any, name: str) -> PruningContainer:
    if not isinstance(method, PruningContainer):
        found = PruningContainer()
        found._tensor_name = name
        found.add_pruning_method(method)
        return found
    again = PruningContainer(*method)
    again._tensor_name = name
    return again


def _methods_of(module: Module) -> list[Any]:
    return forward_pre_hooks(module, BasePruningMethod)


def _drop(module: Module, method: Any) -> None:
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


# -- functions -------------------------------------------------------------------------------------


def identity(module: Module, name: str) -> Module:
    """Give the parameter `name` a mask of ones. Returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prune `amount` elements of the parameter `name` at random: a share as a float, or a number.
    Returns the module.

    Example:
        >>> layer = nn.utils.prune.random_unstructured(nn.Linear(2, 3), "weight", amount=2)
        >>> int((layer.weight == 0).sum())
        2
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: Any, importance_scores: Any = None
) -> Module:
    """Prune the `amount` elements of the parameter `name` with the smallest absolute values, or
    scores. Returns the module."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prune `amount` slices along `dim` of the parameter `name` at random. Returns the module."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None
) -> Module:
    """Prune the `amount` slices along `dim` of the parameter `name` with the smallest n-norms (of
    the scores, if given). Returns the module."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(
    parameters: Any,
    pruning_method: type[BasePruningMethod],
    importance_scores: Any = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters as if they were one: `parameters` are pairs (module, name),
    `pruning_method` one of the unstructured classes, `kwargs` its arguments; `importance_scores` a
    dict of such pairs and scores.

    Raises: TypeError for no iterable or a method of slices.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError(
            f"global_unstructured: expected pairs (module, name). Got {type(parameters).__name__}."
        )
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError(
            f"global_unstructured: expected a dict of scores. Got {type(scores).__name__}."
        )
    pairs = list(parameters)
    values = [scores.get((m, n), getattr(m, n)).reshape(-1) for m, n in pairs]
    masks = [getattr(m, n + "_mask", ones_like(getattr(m, n))).reshape(-1) for m, n in pairs]
    container = PruningContainer()
    container._tensor_name = "temp"
    method: Any = pruning_method(**kwargs)
    method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            "global_unstructured: expected a method of PRUNING_TYPE unstructured. Got "
            f"{method.PRUNING_TYPE!r}."
        )
    container.add_pruning_method(method)
    mask = container.compute_mask(cat(values), cat(masks))
    start = 0
    for module, name in pairs:
        parameter = getattr(module, name)
        count = parameter.numel()
        custom_from_mask(module, name, mask[start : start + count].view_as(parameter))
        start += count


def custom_from_mask(module: Module, name: str, mask: Any) -> Module:
    """Prune the parameter `name` where `mask` is 0. Returns the module."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Module, name: str) -> Module:
    """Make the pruned `name` an ordinary parameter; what was pruned stays 0, but is trained on.

    Raises: ValueError if it was not pruned.
    """
    for method in _methods_of(module):
        if method._tensor_name == name:
            method.remove(module)
            _drop(module, method)
            return module
    raise ValueError(f"prune.remove: expected {name!r} to have been pruned. Got {module}.")


def is_pruned(module: Module) -> bool:
    """Whether anything in the module, or in one below, is pruned."""
    return any(_methods_of(m) for m in module.modules())
