"""Parametrizations: parameters computed by modules from others, each time they are asked for.

A parametrized module gets a class of its own, whose property of the tensor's name computes it; the
tensors it is computed from live in `module.parametrizations.<name>`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from ...autograd.grad_mode import no_grad
from ...core.tensor import Tensor
from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization",
    "remove_parametrizations", "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]  # fmt: skip

_cache_depth = 0
_cache: dict[tuple[int, str], Any] = {}


@contextmanager
def cached() -> Iterator[None]:
    """A `with` block in which each parametrized tensor is computed once, at its first use.

    For models that use a parametrized weight several times in a forward. Blocks may be nested; the
    outermost forgets the tensors at its end.
    """
    global _cache_depth
    _cache_depth += 1
    try:
        yield
    finally:
        _cache_depth -= 1
        if not _cache_depth:
            _cache.clear()


def _require_tensor(value: Any, what: str) -> None:
    if not isinstance(value, Tensor):
        raise ValueError(f"Expected {what} to be a tensor. Got {type(value).__name__}.")


def _require_kept(before: Tensor, after: Tensor) -> None:
    """Raises: ValueError if a parametrization changes shape or dtype."""
    for name in ("shape", "dtype"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            raise ValueError(
                f"Expected a parametrization to keep the {name} of its tensor, {old}. Got {new}. "
                "Pass unsafe=True if that is meant."
            )


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in order, and the `original` it is computed from; or
    `original0`, `original1`, ... if the first one's `right_inverse` gives several.

    Raises: ValueError if the parametrizations change shape or dtype, unless `unsafe`.
    """

    original: Any
    unsafe: bool

    def __init__(
        self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False
    ) -> None:
        if not modules:
            raise ValueError("ParametrizationList: expected at least one module. Got none.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original
        given = self._inverted(original)
        self.is_tensor = isinstance(given, Tensor)
        self.ntensors = 1 if isinstance(given, Tensor) else len(given)
        if isinstance(given, Tensor):
            self._check_inverse(original, given)
            if given is not original:
                # The same object goes on, for optimizers that have it.
                with no_grad():
                    original.data = given.detach()
            self._own("original", original, original)
        else:
            for k, part in enumerate(given):
                _require_tensor(part, f"element {k} of what right_inverse gives")
                self._own(f"original{k}", part, original)
        if not unsafe:
            computed = self()
            _require_tensor(computed, "what a parametrization gives")
            _require_kept(before, computed)

    def _inverted(self, value: Any) -> Any:
        with no_grad():
            for module in reversed(list(self)):
                # Without an inverse the value itself is what is stored.
                with suppress(NotImplementedError):
                    if hasattr(module, "right_inverse"):
                        value = module.right_inverse(value)
        if not isinstance(value, Tensor | Sequence):
            raise ValueError(
                "ParametrizationList: expected a tensor or several of right_inverse. Got "
                f"{type(value).__name__}."
            )
        return value

    def _check_inverse(self, original: Tensor, given: Tensor) -> None:
        if given is not original and (not self.unsafe or given.dtype != original.dtype):
            _require_kept(original, given)

    def _own(self, name: str, tensor: Tensor, like: Tensor) -> None:
        """Register `tensor` as a parameter if `like` is one, as a buffer else."""
        if not isinstance(like, Parameter):
            self.register_buffer(name, tensor)
            return
        if not isinstance(tensor, Parameter):
            tensor = Parameter(tensor.detach(), like.requires_grad)
        self.register_parameter(name, tensor)

    def _originals(self) -> list[Any]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{k}") for k in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals such that the parametrized tensor becomes `value`.

        Raises: RuntimeError if a parametrization has no `right_inverse`, ValueError if what it
        gives does not fit.
        """
        with no_grad():
            parts: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"Expected {type(module).__name__} to have a right_inverse, as a value is "
                        "assigned to what it parametrizes. Define one."
                    )
                parts = module.right_inverse(parts)
            if self.is_tensor:
                _require_tensor(parts, "what right_inverse gives")
                parts = [parts]
            elif not isinstance(parts, Sequence) or len(parts) != self.ntensors:
                raise ValueError(
                    f"Expected {self.ntensors} tensors of right_inverse. Got "
                    f"{type(parts).__name__}."
                )
            for original, part in zip(self._originals(), parts, strict=True):
                _require_tensor(part, "what right_inverse gives")
                if part.dtype != original.dtype:
                    raise ValueError(
                        f"Expected {original.dtype} of right_inverse, as the original has. Got "
                        f"{part.dtype}."
                    )
                original.data = part.detach()

    def forward(self) -> Tensor:
        """The parametrized tensor."""
        first, *rest = self
        value = first(*self._originals())
        for module in rest:
            value = module(value)
        return value


# -- the class of a parametrized module ------------------------------------------------------------


def _refuse_pickle(self: Any) -> NoReturn:
    raise RuntimeError(
        f"Expected a module without parametrizations to pickle. Got {type(self).__name__}. Save "
        "its state_dict() instead."
    )


def _deepcopy(self: Any, memo: dict[int, Any]) -> Any:
    made = object.__new__(type(self))  # of the same class, which pickle could not find
    memo[id(self)] = made
    vars(made).update(copy.deepcopy(vars(self), memo))
    return made


def _give_class(module: Any) -> None:
    """Let `module` be of a class of its own, which can have properties for it alone."""
    base = type(module)
    members: dict[str, Any] = {"__getstate__": _refuse_pickle}
    if not hasattr(base, "__deepcopy__"):
        members["__deepcopy__"] = _deepcopy
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), members)
    type(module).__module__ = __name__


def _give_property(module: Any, tensor_name: str) -> None:
    def compute(self: Any) -> Any:
        if not _cache_depth:
            return self.parametrizations[tensor_name]()
        key = id(self), tensor_name
        if key not in _cache:
            _cache[key] = self.parametrizations[tensor_name]()
        return _cache[key]

    def assign(self: Any, value: Any) -> None:
        self.parametrizations[tensor_name].right_inverse(value)

    setattr(type(module), tensor_name, property(compute, assign))


# -- functions -------------------------------------------------------------------------------------


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let `module.<tensor_name>` be `parametrization` of what it was; a second one is applied to
    the first's result. Returns the module.

    The parametrization may have a `right_inverse`, which maps a value to what shall be stored, at
    first and when the tensor is assigned to; it may give several tensors.
    Raises: ValueError if there is no such parameter or buffer, or if shape or dtype would change
    (unless `unsafe`).

    Example:
        >>> class Symmetric(nn.Module):
        ...     def forward(self, X):
        ...         return X.triu() + X.triu(1).mT
        >>> layer = nn.utils.parametrize.register_parametrization(
        ...     nn.Linear(3, 3), "weight", Symmetric()
        ... )
        >>> torch.equal(layer.weight, layer.weight.mT)
        True
    """
    parametrization.train(module.training)
    owner: Any = module
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _try(parametrization, getattr(module, tensor_name))
        found = owner.parametrizations[tensor_name]
        found.append(parametrization)
        found.unsafe |= unsafe
    elif tensor_name in module._parameters or tensor_name in module._buffers:
        made = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _give_class(module)
            owner.parametrizations = ModuleDict()
        _give_property(module, tensor_name)
        owner.parametrizations[tensor_name] = made
    else:
        raise ValueError(
            f"register_parametrization: expected a parameter or buffer {tensor_name!r}. Got "
            f"{module}, which has none."
        )
    return module


def _try(parametrization: Any, before: Tensor) -> None:
    """Raises: ValueError if shape or dtype would change."""
    with no_grad():
        after = parametrization(before)
        _require_tensor(after, "what a parametrization gives")
        _require_kept(before, after)
        if hasattr(parametrization, "right_inverse"):
            back = parametrization.right_inverse(after)
            _require_tensor(back, "what right_inverse gives")
            _require_kept(before, back)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether `module` has parametrizations: of the tensor `tensor_name`, or any."""
    parametrizations = vars(module).get("_modules", {}).get("parametrizations")
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Make `module.<tensor_name>` an ordinary tensor again: of the value it has now, or, unless to
    `leave_parametrized`, the original one. Returns the module.

    Raises: ValueError if it has no parametrization, or if several originals cannot be left.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(
            f"remove_parametrizations: expected a parametrization of {tensor_name!r}. Got {module}."
        )
    owner: Any = module
    held = owner.parametrizations[tensor_name]
    originals = held._originals()
    if not (leave_parametrized or held.is_tensor):
        raise ValueError(
            "remove_parametrizations: expected leave_parametrized=True for a tensor computed of "
            f"{held.ntensors}. Got False."
        )
    original = originals[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name).detach()
        if held.is_tensor:
            original.data = value  # the same object, for optimizers that have it
        elif isinstance(original, Parameter):
            original = Parameter(value, any(o.requires_grad for o in originals))
        else:
            original = value
    delattr(type(module), tensor_name)
    del owner.parametrizations[tensor_name]
    if isinstance(original, Parameter):
        module.register_parameter(tensor_name, original)
    else:
        module.register_buffer(tensor_name, original)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        owner.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that `module` had before it was parametrized; its class, if it is not."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Give `to_module` the parametrizations of `from_module` (or those of `tensor_name`) and the
    values they are computed from. The parametrizing modules are shared. Returns to_module."""
    if not is_parametrized(from_module):
        return to_module
    source: Any = from_module
    target: Any = to_module
    names = source.parametrizations if tensor_name is None else [tensor_name]
    for name in names:
        held = source.parametrizations[name]
        if not hasattr(to_module, name):
            value = getattr(from_module, name).detach()
            setattr(to_module, name, Parameter(value))
        for parametrization in held:
            register_parametrization(to_module, name, parametrization)
        for field, tensor in [*held._parameters.items(), *held._buffers.items()]:
            if field.startswith("original"):
                getattr(target.parametrizations[name], field).data = tensor.detach().clone()
    return to_module
