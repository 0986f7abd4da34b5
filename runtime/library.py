"""`torch.library`: operations of a program's own, found as `torch.ops.<namespace>.<name>`.

An operation is a Python function of tensors, by `register_kernel` another for some devices; on the
meta device what `register_fake` gives it runs in its place, and `register_autograd` says what its
gradient is. Without that it has none, like in PyTorch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from .autograd.function import Function
from .autograd.grad_mode import no_grad
from .core.tensor import Tensor

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "impl", "register_autograd", "register_fake",
    "register_kernel",
]  # fmt: skip

_namespaces: dict[str, dict[str, CustomOpDef]] = {}


class CustomOpDef:
    """An operation of a program's own; calling it runs it.

    name        "namespace::name"
    signature   that of its function, by which arguments given by name find their places
    """

    def __init__(self, name: str, fn: Callable[..., Any] | None = None) -> None:
        namespace, separator, own = name.partition("::")
        if not separator or not own:
            raise ValueError(f"custom_op: expected a name 'namespace::name'. Got {name!r}.")
        self.name, self._name, self._opname = name, name, own
        self.signature = inspect.signature(fn) if fn is not None else None
        self._kernels: dict[str | None, Callable[..., Any]] = {} if fn is None else {None: fn}
        self._setup_context: Callable[..., None] | None = None
        self._function = type(own, (_Recorded,), {"operation": self})
        self._backward: Callable[..., Any] | None = None
        self.default = self  # by this name PyTorch has the only overload
        _namespaces.setdefault(namespace, {})[own] = self

    def __repr__(self) -> str:
        return f"<CustomOpDef({self.name})>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.signature is not None:
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        if self._backward is None:
            with no_grad():
                return self._run(*args, **kwargs)
        return self._function.apply(*args, **kwargs)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        device = next((a.device.type for a in args if isinstance(a, Tensor)), None)
        kernel = self._kernels.get(device, self._kernels.get(None))
        if kernel is None:
            known = ", ".join(str(k) for k in self._kernels) or "none"
            raise NotImplementedError(
                f"{self.name}: expected tensors on a device with a kernel ({known}). Got {device}. "
                "Register one with register_kernel."
            )
        return kernel(*args, **kwargs)

    def register_fake(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        """A decorator: `fn` gives the results' shapes on the meta device."""
        self._kernels["meta"] = fn
        return fn

    def register_kernel(
        self, device_types: str | Iterable[str] | None, fn: Callable[..., Any] | None = None, /
    ) -> Any:
        """`fn`, or the function decorated, runs for tensors on these devices, None for all."""

        def register(fn: Callable[..., Any]) -> Callable[..., Any]:
            kinds = device_types if isinstance(device_types, list | tuple) else [device_types]
            self._kernels.update(dict.fromkeys(kinds, fn))
            return fn

        return register if fn is None else register(fn)

    def register_autograd(
        self,
        backward: Callable[..., Any],
        /,
        *,
        setup_context: Callable[..., None] | None = None,
    ) -> None:
        """`backward(ctx, *grads)` gives the gradient of each argument; `setup_context(ctx, inputs,
        output)` saves what it needs."""
        self._backward, self._setup_context = backward, setup_context


class _Recorded(Function):
    """Applying it runs `operation` and records how its gradient is computed."""

    operation: CustomOpDef

    @classmethod
    def forward(cls, ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """The operation's result."""
        output = cls.operation._run(*args, **kwargs)
        if cls.operation._setup_context is not None:
            named = {"keyword_only_inputs": kwargs} if kwargs else {}
            cls.operation._setup_context(ctx, inputs=args, output=output, **named)
        return output

    @classmethod
    def backward(cls, ctx: Any, *grads: Any) -> Any:
        """What the program's own backward gives."""
        assert cls.operation._backward is not None
        return cls.operation._backward(ctx, *grads)


def custom_op(
    name: str,
    fn: Callable[..., Any] | None = None,
    /,
    *,
    mutates_args: Any = (),
    device_types: Any = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """The operation `name`, "namespace::name", that `fn` or the function decorated computes, on
    these devices, by default on all.

    `mutates_args` and `schema` are taken as they are: a function may write to its arguments, and
    its annotations need not be PyTorch's. Raises: ValueError for a name of another form.
    """

    def define(fn: Callable[..., Any]) -> CustomOpDef:
        made = CustomOpDef(name, fn)
        if device_types is not None:
            made._kernels.clear()
            made.register_kernel(device_types, fn)
        return made

    return define if fn is None else define(fn)


def _found(op: Any) -> CustomOpDef:
    """The operation that is, or is called, `op`. Raises: ValueError if there is none."""
    if isinstance(op, CustomOpDef):
        return op
    namespace, _, name = str(op).partition("::")
    name = name.removesuffix(".default")
    found = _namespaces.get(namespace, {}).get(name)
    if found is None:
        raise ValueError(f"torch.library: expected an operation that was defined. Got {op!r}.")
    return found


def define(qualname: str, schema: str | None = None, *, lib: Any = None, tags: Any = ()) -> None:
    """The operation `qualname`, whose kernels `impl` gives."""
    CustomOpDef(qualname)


def impl(
    qualname: Any, types: Any, func: Callable[..., Any] | None = None, *, lib: Any = None
) -> Any:
    """`func`, or the function decorated, is the kernel of `qualname` for devices `types` ("cpu",
    "cuda", "meta", "default", or PyTorch's dispatch keys as "CPU")."""
    kinds = [types] if isinstance(types, str) else list(types)
    every = {"default", "compositeexplicitautograd", "compositeimplicitautograd"}
    named = [None if k.lower() in every else k.lower() for k in kinds]
    return _found(qualname).register_kernel(named, func)  # type: ignore[arg-type]


def register_fake(op: Any, func: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """`func`, or the function decorated, gives the shapes of the results of `op`."""
    return _found(op).register_fake if func is None else _found(op).register_fake(func)


def register_kernel(
    op: Any, device_types: Any, func: Callable[..., Any] | None = None, /, **options: Any
) -> Any:
    """`func`, or the function decorated, runs `op` on these devices."""
    return _found(op).register_kernel(device_types, func)


def register_autograd(
    op: Any, backward: Callable[..., Any], /, *, setup_context: Any = None, lib: Any = None
) -> None:
    """`backward(ctx, *grads)` gives the gradients of `op`: see `CustomOpDef.register_autograd`."""
    _found(op).register_autograd(backward, setup_context=setup_context)


class Library:
    """Operations of one namespace, defined by schemas: `lib.define("twice(Tensor x) -> Tensor")`,
    `lib.impl("twice", fn, "CPU")`."""

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """The operation of `schema`; gives its name."""
        name = schema.partition("(")[0].strip()
        CustomOpDef(f"{self.ns}::{name}")
        return name

    def impl(self, op_name: Any, fn: Callable[..., Any], dispatch_key: str = "") -> None:
        """`fn` is the kernel of `op_name` for PyTorch's dispatch key, by default that of the
        library, or for all devices."""
        key = dispatch_key or self.dispatch_key or "default"
        impl(f"{self.ns}::{str(op_name).rpartition('::')[2]}", key, fn)


class Namespace:
    """`torch.ops.<namespace>`: its operations are attributes."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> CustomOpDef:
        found = _namespaces.get(self.__name__, {}).get(name)
        if found is None:
            raise AttributeError(f"torch.ops.{self.__name__} has no operation {name!r}.")
        return found
