"""Module: what owns parameters, buffers and other modules, and turns inputs into outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

from ...core.tensor import Tensor
from ..parameter import Buffer, Parameter
from . import conversion, hooks, state
from .hooks import (
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from .state import _EXTRA_STATE_KEY_SUFFIX as _EXTRA_STATE_KEY_SUFFIX
from .state import _IncompatibleKeys as _IncompatibleKeys

__all__ = ["Module"]

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Module(hooks.Hooks, state.State, conversion.Conversion):
    """Base of all layers and networks. Subclasses assign parameters and modules to attributes in
    `__init__`, after `super().__init__()`, and give `forward`.

    Example:
        >>> class Twice(nn.Module):
        ...     def forward(self, x):
        ...         return 2 * x
        >>> Twice()(torch.tensor(3.0))
        tensor(6.)
    """

    call_super_init: bool = False
    """Whether `__init__` passes its arguments on to the class that stands beside Module."""
    dump_patches: bool = False

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        passes_on = self.call_super_init
        if (args or kwargs) and not passes_on:
            given = [type(a).__name__ for a in args] + list(kwargs)
            raise TypeError(
                f"{type(self).__name__}: Module.__init__ takes no arguments. Got {given}. Set "
                "call_super_init = True in the class if another base wants them."
            )
        fields = vars(self)
        fields.update(training=True, _parameters={}, _buffers={}, _modules={})
        fields.update(_non_persistent_buffers_set=set())
        if passes_on:
            super().__init__(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass gives its own."""
        raise NotImplementedError(
            f"{type(self).__name__} has no forward. Define `def forward(self, ...)` in the class."
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks or hooks.everywhere:
            return self._call_hooked(*args, **kwargs)
        return self.forward(*args, **kwargs)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """`torch.compile` this module in place, with the same arguments."""
        from ...compiler import CompiledForward, compile

        compile(self, *args, **kwargs)  # which says what is wrong with the arguments
        if kwargs.get("backend") != "eager" and not kwargs.get("disable"):
            whole = bool(kwargs.get("fullgraph"))
            object.__setattr__(self, "forward", CompiledForward(self, whole))

    # -- attributes ------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        # Reached only for names that are no plain attributes.
        fields = self.__dict__
        for registry in _REGISTRIES:
            if registry in fields and name in fields[registry]:
                return fields[registry][name]
        if "_parameters" not in fields and name in (*_REGISTRIES, "training"):
            raise AttributeError(f"{type(self).__name__}: call super().__init__() first.")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._vacate(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._vacate(name, "_modules")
            self.add_module(name, value)
        elif isinstance(value, Buffer):
            self._vacate(name, "_buffers")
            self.register_buffer(name, value, value.persistent)
        elif not self._assign_registered(name, value):
            object.__setattr__(self, name, value)

    def _vacate(self, name: str, registry: str) -> None:
        """Forget what is called `name`, as something of `registry` takes its place."""
        fields = self.__dict__
        fields.pop(name, None)
        for other in _REGISTRIES:
            if other != registry and other in fields:
                fields[other].pop(name, None)

    def _assign_registered(self, name: str, value: Any) -> bool:
        """Put `value` where a parameter, buffer or module called `name` is; False if none is.

        Raises: TypeError for a value that cannot take its place.
        """
        fields = self.__dict__
        for registry, wanted in (("_parameters", "Parameter"), ("_modules", "Module")):
            if name in fields.get(registry, ()):
                if value is not None:
                    raise TypeError(
                        f"{type(self).__name__}.{name}: expected a {wanted} or None, as it is "
                        f"registered as one. Got {type(value).__name__}. Delete it first."
                    )
                fields[registry][name] = None
                return True
        if name in fields.get("_buffers", ()):
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"{type(self).__name__}.{name}: expected a tensor or None, as it is a buffer. "
                    f"Got {type(value).__name__}."
                )
            fields["_buffers"][name] = value
            return True
        return False

    def __delattr__(self, name: str) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__[registry]:
                del self.__dict__[registry][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        registered = [name for registry in _REGISTRIES for name in self.__dict__[registry]]
        return sorted({*super().__dir__(), *(n for n in registered if n.isidentifier())})

    def _claim(self, name: str, registry: str) -> None:
        """Check that `name` can be registered. Raises: KeyError, AttributeError if not."""
        if registry not in self.__dict__:
            raise AttributeError(f"{type(self).__name__}: call super().__init__() first.")
        if not isinstance(name, str):
            raise TypeError(f"Expected a string as name. Got {type(name).__name__}.")
        if not name or "." in name:
            raise KeyError(f"Expected a name without dots. Got {name!r}.")
        if name not in self.__dict__[registry] and hasattr(self, name):
            raise KeyError(f"Attribute {name!r} of {type(self).__name__} exists already.")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Own `param` as `name`; None keeps the name for an absent one."""
        self._claim(name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter: expected a Parameter for {name!r}. Got "
                f"{type(param).__name__}. Wrap the tensor: nn.Parameter(tensor)."
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"register_parameter: expected a leaf for {name!r}. Got the result of "
                f"{param.grad_fn.name()}."
            )
        seen = None if param is None else hooks.seen("parameter", self, name, param)
        self._parameters[name] = seen

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Own `tensor` as `name`: moved with the module, saved if `persistent`, not trained."""
        self._claim(name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer: expected a tensor for {name!r}. Got {type(tensor).__name__}."
            )
        self._buffers[name] = hooks.seen("buffer", self, name, tensor)
        self._non_persistent_buffers_set.discard(name)
        if not persistent:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Own `module` as `name`."""
        self._claim(name, "_modules")
        if module is not None and not isinstance(module, Module):
            raise TypeError(
                f"add_module: expected a Module for {name!r}. Got {type(module).__name__}."
            )
        self._modules[name] = hooks.seen("module", self, name, module)

    def register_module(self, name: str, module: Module | None) -> None:
        """Own `module` as `name`."""
        self.add_module(name, module)

    # -- members ---------------------------------------------------------------------------------

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all below, with their dotted names."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                below = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, below, remove_duplicate)

    def _named_members(
        self, registry: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in modules if recurse else [(prefix, self)]:
            for name, member in module.__dict__[registry].items():
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names, each once."""
        yield from self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """All buffers with their dotted names, each once."""
        yield from self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, each once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules right below with their names, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules right below, each once."""
        for _, module in self.named_children():
            yield module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all below, each once unless not to `remove_duplicate`."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def get_submodule(self, target: str) -> Module:
        """The module of the dotted name `target`; this one for ''.

        Raises: AttributeError if there is none.
        """
        module: Any = self
        for name in target.split(".") if target else []:
            found = getattr(module, name, None)
            if not isinstance(found, Module):
                raise AttributeError(
                    f"{type(self).__name__} has no module {target!r}: {type(module).__name__} has "
                    f"{', '.join(module._modules) or 'none'}."
                )
            module = found
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` in the place of the one of the dotted name `target`.

        With `strict` there must be one; without, its owner may gain it.
        Raises: ValueError for an empty name or no module, AttributeError if there is no place.
        """
        path, _, name = target.rpartition(".")
        if not name:
            raise ValueError("set_submodule: expected the name of a module. Got an empty one.")
        if not isinstance(module, Module):
            raise ValueError(f"set_submodule: expected a Module. Got {type(module).__name__}.")
        owner = self.get_submodule(path)
        there = getattr(owner, name, None)
        if (strict or there is not None) and not isinstance(there, Module):
            raise AttributeError(
                f"set_submodule: expected a module as {target!r} of {type(self).__name__}. Got "
                f"{'none' if there is None else type(there).__name__}."
            )
        setattr(owner, name, module)

    def _get_member(self, target: str, registry: str) -> Any:
        path, _, name = target.rpartition(".")
        members = self.get_submodule(path).__dict__[registry]
        if members.get(name) is None:
            kind = registry.strip("_").removesuffix("s")
            raise AttributeError(f"{type(self).__name__} has no {kind} {target!r}.")
        return members[name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of the dotted name `target`. Raises: AttributeError if there is none."""
        return self._get_member(target, "_parameters")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of the dotted name `target`. Raises: AttributeError if there is none."""
        return self._get_member(target, "_buffers")

    def _weight_and_bias(self) -> tuple[Any, Any]:
        own = self._parameters  # a plain dict: half a microsecond quicker than two attributes
        try:
            return own["weight"], own["bias"]
        except KeyError:  # computed from others: parametrized, normalized or pruned
            return self.weight, self.bias

    # -- changing everything ---------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], None]) -> Self:
        """Call `fn` on all modules below, then on this one."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # -- modes ----------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training mode (dropout drops, batch statistics are used) here and below."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: expected True or False. Got {mode!r}.")
        self.training = mode
        for child in self.children():  # by their own `train`, which classes override
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode here and below."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let all parameters be trained, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to 0."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad.detach_().zero_()

    # -- words -----------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr; subclasses give their sizes."""
        return ""

    def __repr__(self) -> str:
        extra = [line for line in self.extra_repr().split("\n") if line]
        children = [f"({name}): {_indented(repr(m))}" for name, m in self._modules.items()]
        return _bracketed(self._get_name(), extra, children)


def _bracketed(name: str, extra: list[str], children: list[str]) -> str:
    lines = extra + children
    if not lines:
        return f"{name}()"
    if len(extra) == 1 and not children:
        return f"{name}({extra[0]})"
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")
