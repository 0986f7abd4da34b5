"""What is known of one operation: its parameters, rules and kernels."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

from ..autograd.node import Node
from ..backends import pointwise
from ..core import expressions
from . import wrappers

Rule = Callable[..., Any]


ROLES = {
    "Spec": "main", "Spec | None": "main", "Index": "free", "Index | None": "free",
    "Mask": "free", "Mask | None": "free", "list[Spec]": "list",
}  # fmt: skip


class Parameter:
    """One parameter of an operation: its `role` is main, free, list or attribute."""

    def __init__(self, parameter: inspect.Parameter) -> None:
        annotation = str(parameter.annotation)
        self.name = parameter.name
        self.role = ROLES.get(annotation, "attribute")
        self.optional = annotation.endswith("| None") and self.role != "attribute"
        self.is_number = annotation in ("float", "float | None")
        self.default = parameter.default
        self.keyword_only = parameter.kind is parameter.KEYWORD_ONLY


class Operation:
    """All that is known of one operation. Everything else in the runtime is a reading of it."""

    def __init__(
        self, function: Callable[..., Any], name: str | None, node_name: str | None
    ) -> None:
        self.declared = function
        self.name = name or function.__name__
        self.node_name = (node_name or camel(self.name)) + "Backward0"
        self.naming: Callable[[Node], str] | None = None  # where it depends on the call
        self.signature = inspect.signature(function)
        found = list(self.signature.parameters.values())
        if found and found[0].name in ("m", "F"):
            found = found[1:]
        self.public_parameters = found
        self.parameters = [Parameter(p) for p in found]
        self.rule: Rule = self._arrays_first(function)
        self.body: Rule | None = None
        self.array: Rule | None = None
        self.formula: Rule | None = None
        self.vjp_rule: Any = None
        self.saves: frozenset[str] = frozenset()
        self.saves_first_out = True  # or only the results after it
        self.readers: dict[str, list[int]] = {}
        self.copies_out = False
        self.static_names: tuple[str, ...] = ()
        self.kernels: dict[str, list[tuple[Any, Any, str]]] = {}
        self.vjp_identity: Callable[..., Any] | None = None  # see autograd.record
        self.outputs = _output_count(self.signature.return_annotation)
        self.is_view = False
        self.may_alias = False
        # Whether elements only move: then half types need not be widened, see backends.halves.
        self.moves = False
        self.promotes = True
        self.mixes = False  # whether tensors keep their own dtypes; the first one's key serves
        self.float_result = False
        self.refuses: frozenset[int] = frozenset()  # categories of dtypes without a kernel
        # Whether complex inputs have a complex derivative; the gradient rule is then written as for
        # real ones, and conjugations are put around it.
        self.is_holomorphic = True
        self.tensors = 0  # operands, from the first on, that may not be numbers
        self.derived = False
        self.takes_out = False  # see out
        self.out_apart = False  # whether it must not overlap the operands
        self.arranges = ""  # how `arranged` puts its first operand, which is then saved so
        self.layout = ""  # of results in memory, see backends.layout; as the kernel leaves them
        self.node_class: type[Node] = type(self.node_name, (Node,), {"operation": self})
        self.function: Callable[..., Any] = wrappers.lazy(self)
        self.written: Any = self.function  # which function has the code that is generated
        self.unguarded: Any = None  # what `function` runs once all tensors are of one sort

    def _arrays_first(self, rule: Rule) -> Rule:
        """`rule` called like a kernel: arrays by position, attributes by keyword."""
        names = self.array_names
        if [p.name for p in self.parameters[: len(names)]] == names:
            return rule
        return lambda *arrays, **rest: rule(**dict(zip(names, arrays, strict=False)), **rest)

    # -- parameters ------------------------------------------------------------------------------

    @cached_property
    def arrays(self) -> list[Parameter]:
        """The parameters that are tensors."""
        return [p for p in self.parameters if p.role != "attribute"]

    @cached_property
    def array_names(self) -> list[str]:
        """Names of the tensor parameters."""
        return [p.name for p in self.arrays]

    @cached_property
    def attributes(self) -> list[Parameter]:
        """The parameters that are no tensors."""
        return [p for p in self.parameters if p.role == "attribute"]

    @cached_property
    def attribute_names(self) -> list[str]:
        """Names of the attributes, in the order in which nodes keep their values."""
        return [p.name for p in self.attributes]

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Default values of the attributes that have one."""
        return {
            p.name: p.default for p in self.attributes if p.default is not inspect.Parameter.empty
        }

    @cached_property
    def takes_list(self) -> bool:
        """Whether the tensors come as one list."""
        return any(p.role == "list" for p in self.arrays)

    @cached_property
    def parameter_names(self) -> list[str]:
        """Attributes of a formula that are numbers given at each call."""
        return [p.name for p in self.attributes if p.is_number and p.name not in self.static_names]

    @cached_property
    def statics(self) -> list[str]:
        """Attributes of a formula that are fixed when it is read."""
        return [p.name for p in self.attributes if p.name not in self.parameter_names]

    @cached_property
    def static_positions(self) -> list[int]:
        """Which attributes the gradient rule branches on."""
        names = self.statics if self.formula is not None else self.static_names
        return [self.attribute_names.index(n) for n in names]

    @cached_property
    def has_variants(self) -> bool:
        """Whether one compiled gradient per choice of needs is not enough."""
        optional = any(p.optional for p in self.arrays)
        return bool(self.static_positions) or optional or self.outputs != 1 or self.takes_list

    @property
    def keeps_layout(self) -> bool:
        """Whether results lie in the order of the operands, so that concealed ones stay so."""
        return self.formula is not None or self.layout == "channels_last"

    @property
    def saves_out(self) -> bool:
        """Whether the gradient rule reads the output."""
        return "out" in self.saves

    @property
    def is_differentiable(self) -> bool:
        """Whether there is a gradient rule."""
        return self.vjp_rule is not None

    @property
    def is_plain_composite(self) -> bool:
        """Whether the operation is only its body: no kernel of its own."""
        return self.body is not None and self.array is None and not self.kernels

    @cached_property
    def label(self) -> str:
        """The name that users know the operation by: `add` for the addition of two tensors."""
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.node_name.removesuffix("Backward0"))
        return words.lower()

    # -- readings --------------------------------------------------------------------------------

    def expression(self, statics: dict[str, Any]) -> expressions.Expression:
        """The formula for the given values of its static attributes."""
        assert self.formula is not None
        chosen = {n: statics.get(n, self.defaults.get(n)) for n in self.statics}
        return expressions.read(self.formula, self.array_names, self.parameter_names, chosen)

    @cached_property
    def large(self) -> int:
        """Elements from which on the formula is worth a look at how it is computed best. Generated
        code tests for it inline, which costs small operations 30 ns."""
        if any(n not in self.defaults for n in self.statics):
            return pointwise.LARGE
        return pointwise.least_large(self.expression({}))

    def is_boolean(self, statics: dict[str, Any]) -> bool:
        """Whether the formula gives truth values; it is read once for each choice of statics."""
        chosen = tuple(statics.items())
        known = self._booleans.get(chosen)
        if known is None:
            known = self._booleans[chosen] = self.expression(statics).is_boolean
        return known

    @cached_property
    def _booleans(self) -> dict[tuple[tuple[str, Any], ...], bool]:
        return {}

    def composed(self, key: Any) -> Rule:
        """The body on the raw kernels of `key`: what a fused kernel is checked against."""
        body = self.body
        if body is None:
            raise TypeError(f"{self.name} has no kernel.")
        return lambda *args, **attributes: body(_Kernels(key), *args, **attributes)

    def __repr__(self) -> str:
        return f"<Operation {self.name}>"


class _Kernels:
    """The namespace F of raw kernels."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def __getattr__(self, name: str) -> Rule:
        kernel = getattr(self._key, name)

        def call(*args: Any, like: Any = None, **attributes: Any) -> Any:
            if like is None:
                return kernel(*args, **attributes)
            return kernel(*args, like=tuple(getattr(like, "shape", like)), **attributes)

        return call


def camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _output_count(annotation: Any) -> int:
    """1, the length of `tuple[Spec, Spec]`, or 0 for `tuple[Spec, ...]`: as many as it turns
    out."""
    text = str(annotation)
    if not text.startswith("tuple["):
        return 1
    return 0 if "..." in text else text.count(",") + 1
