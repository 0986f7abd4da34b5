"""What the CPU's and the GPU's backends share: both compute on arrays with NumPy's interface."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.expressions import Expression
from . import pointwise
from .halves import in_single_precision
from .layout import laid_out

if TYPE_CHECKING:
    from ..core.dispatch import DispatchKey
    from ..ops.operation import Operation


class ArrayBackend:
    """Kernels for arrays of the library `xp`: formulas become array code, the rest is the
    operation's array kernel, unless a faster one is registered for the device."""

    array_class: Any
    type: str
    xp: Any

    @property
    def kernel_library(self) -> Any:
        """What array kernels find in `xp`: the module, with better functions for some."""
        return self.xp

    def special(self) -> Any:
        """The module of special functions; imported when a formula first needs it."""
        raise NotImplementedError

    def row_major(self, array: Any) -> Any:
        """`array`, or a copy that lies row by row."""
        return self.xp.ascontiguousarray(array)

    def kernel(self, operation: Operation, key: DispatchKey) -> Callable[..., Any]:
        """The function that computes `operation` on bare arrays."""
        if operation.formula is not None:
            plain = self._pointwise(operation, key)
        elif operation.array is not None:
            plain = partial(operation.array, self.kernel_library)
        else:
            plain = operation.composed(key)
        if operation.layout == "channels_last":
            plain = laid_out(plain, self.xp, operation.layout)  # the others see to it themselves
        kernels = operation.kernels.get(self.type, ())
        for when, fast, _ in [k for k in kernels if not k[2]]:
            plain = fast if when is None else _preferring(fast, when, plain)
        if key.is_half and not (operation.moves or operation.mixes):
            plain = in_single_precision(plain, self.xp, key.dtype.numpy)
        for when, fast, _ in [k for k in kernels if k[2] == key.dtype.name]:
            plain = _preferring(fast, when, plain)
        return laid_out(plain, self.xp, "row_major") if operation.layout == "row_major" else plain

    def _pointwise(self, operation: Operation, key: DispatchKey) -> Callable[..., Any]:
        if not operation.statics:
            return self.compile(operation.expression({}), operation, key)
        return by_statics(operation, lambda e: self.compile(e, operation, key))

    def constant(self, value: float, key: DispatchKey) -> Any:
        """A number in a formula as the library's functions take it soonest."""
        return value

    def compile(self, expression: Expression, operation: Operation, key: DispatchKey) -> Any:
        """Array code for a formula of `operation` on arrays of `key`."""

        def constant(value: Any) -> Any:
            if type(value) is not float:
                return value
            if key.is_float:
                return self.constant(value, key)
            return int(value) if value.is_integer() else value  # integers stay integers

        return pointwise.compile_array(
            expression,
            operation.array_names,
            operation.parameter_names,
            self.xp,
            self.special,
            constant,
            blocks=True,
            label=f"{operation.name} {key.dtype.name}",
        )


def _preferring(fast: Any, when: Callable[..., bool], plain: Any) -> Callable[..., Any]:
    def kernel(*args: Any, **attributes: Any) -> Any:
        chosen = fast if when(*args, **attributes) else plain
        return chosen(*args, **attributes)

    return kernel


def by_statics(operation: Operation, compiled: Callable[[Expression], Any]) -> Callable[..., Any]:
    """A kernel that picks the code for the values of the attributes its formula branches on."""
    codes: dict[Any, Any] = {}
    statics = operation.statics
    parameters = operation.parameter_names
    defaults = operation.defaults

    def kernel(*arrays: Any, **attributes: Any) -> Any:
        chosen = tuple([attributes.get(n, defaults.get(n)) for n in statics])
        code = codes.get(chosen)
        if code is None:
            if len(codes) >= 256:  # attributes that never repeat must not fill memory
                codes.clear()
            expression = operation.expression(dict(zip(statics, chosen, strict=True)))
            code = codes[chosen] = compiled(expression)
        return code(*arrays, **{n: attributes.get(n, defaults.get(n)) for n in parameters})

    return kernel
