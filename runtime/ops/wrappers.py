"""Eager functions, generated from declarations.

A generated function is what one would write by hand for its operation: fetch arrays, call the
kernel, wrap, record. It serves tensors of one device and dtype that nobody observes; whatever else
comes (numbers, mixed dtypes, observers, errors) goes through `general`, once, to the same body.
"""

from __future__ import annotations

import inspect
import linecache
import re
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..autograd import grad_mode
from ..autograd.node import OutputEdge, tick
from ..autograd.record import TAPE
from ..core import observers
from ..core.concealed import conceal
from ..core.overriding import noticed
from ..core.tensor import Tensor, note_view
from . import numpy_names
from .general import again, constant, general

if TYPE_CHECKING:
    from .operation import Operation, Parameter

autocast_policies: dict[str, dict[str, str]] = {}
"""Policies by device type of the operations that autocast concerns; it fills this in."""


def _share(namespace: dict[str, Any]) -> dict[str, Any]:
    """The globals of all generated functions; the two switches are kept up to date in it."""
    observers.on_switch(lambda on: namespace.update(observed=on))
    grad_mode.on_switch(lambda on: namespace.update(unrecorded=on))
    return namespace


_namespace = _share(
    {
        "__name__": "flambeau.generated",
        "new": object.__new__,
        "Tensor": Tensor,
        "OutputEdge": OutputEdge,
        "note_view": note_view,
        "conceal": conceal,
        "tick": tick,
        "is_grad_enabled": grad_mode.is_grad_enabled,
    }
)


def lazy(operation: Operation) -> Any:
    """The eager function of `operation`; its code is generated at the first call."""

    def first_call(*args: Any, _operation: Any = None, **kwargs: Any) -> Any:
        return generate(_operation)(*args, **kwargs)

    function = FunctionType(first_call.__code__, _namespace, operation.name)
    function.__kwdefaults__ = {"_operation": operation}
    declared = operation.declared
    function.__signature__ = _public_signature(operation.signature)  # type: ignore[attr-defined]
    function.__wrapped__ = declared  # type: ignore[attr-defined] # what `??` and editors show
    function.__doc__ = declared.__doc__
    function.__module__ = declared.__module__
    function.__qualname__ = operation.name
    return function


def _public_signature(signature: inspect.Signature) -> inspect.Signature:
    """The declaration's signature as users see it: no namespace, and tensors for Specs."""
    return signature.replace(
        parameters=[
            p.replace(annotation=_public_annotation(p.annotation))
            for p in signature.parameters.values()
            if p.name not in ("m", "F")
        ],
        return_annotation=_public_annotation(signature.return_annotation),
    )


def _public_annotation(annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    return re.sub(r"\b(Spec|Index|Mask)\b", "Tensor", annotation)


def generate(operation: Operation) -> Any:
    """Write the code of `operation`'s eager function and put it in place."""
    if hasattr(operation.vjp_rule, "prepare"):
        operation.vjp_rule.prepare()
    operation.node_class.saves_arrays = bool(operation.saves)
    source = _Source(operation)
    filename = f"<flambeau {operation.name}>"
    text = source.text()
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    name = operation.name
    _namespace.update(source.defaults)
    _namespace[f"operation_{name}"] = operation
    _namespace[f"Node_{name}"] = operation.node_class
    made: dict[str, Any] = {}
    exec(compile(text, filename, "exec"), _namespace, made)
    operation.unguarded = made.get(f"{name}_body")
    function = operation.written
    function.__code__ = made[name].__code__
    function.__defaults__ = made[name].__defaults__
    function.__kwdefaults__ = made[name].__kwdefaults__
    return function


class _Source:
    """The text of an operation's eager function `f` and of `f_body(key, ...)`, its unguarded part.

    Names that the generated code makes up end in an underscore, or are a letter and a number, so
    that they never meet a parameter's name.
    """

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.name = operation.name
        self.defaults: dict[str, Any] = {}
        self.main = [p for p in operation.arrays if p.role == "main"]
        leads = [p for p in self.main if not p.optional] or operation.arrays
        self.lead = leads[0] if leads else None

    def text(self) -> str:
        """The source of both functions."""
        operation = self.operation
        names = ", ".join(p.name for p in operation.parameters)
        head = [f"def {self.name}({self._signature()}):", *self._first()]
        if operation.body is not None:
            call = ", ".join(["TAPE"] + [self._pass(p) for p in operation.parameters])
            composed = f"return body_{self.name}({call})"
            _namespace["TAPE"] = TAPE
            _namespace[f"body_{self.name}"] = operation.body
        if operation.is_plain_composite:
            lines = ["    try:", f"        {composed}", "    except (AttributeError, TypeError):"]
            lines += [f"        if not noticed(({names},)):", "            raise"]
            lines.append(f"        return again(operation_{self.name}, ({names},))\n")
            return "\n".join([*head, *lines])
        calls = f"general(operation_{self.name}, ({names},))"
        lines = [*head, *self._numbers()]
        if operation.body is not None and not operation.is_differentiable:
            # A fused kernel without a gradient of its own: the tape takes the body's.
            lines.append(f"    if requires_record({', '.join(operation.array_names)}):")
            lines.append(f"        {composed}")
        lines.append("    try:")
        assert self.lead is not None
        lead = f"{self.lead.name}[0]" if operation.takes_list else self.lead.name
        lines += [
            f"        key_ = {lead}._key",
            f"        plain_ = not ({' or '.join(['observed', *self._guards()])})",
            "        if plain_:",
            *("            " + line for line in self._compute()),
            "    except Exception:",
            "        plain_ = False",
            "    if not plain_:",
            f"        return {calls}",
            *("    " + line for line in self._finish()),
        ]
        return "\n".join(lines) + "\n\n\n" + self._body_text(names)

    def _body_text(self, names: str) -> str:
        lines = [f"def {self.name}_body(key_, {names}):"]
        lines += ["    " + line for line in self._compute(True) + self._finish()]
        return "\n".join(lines) + "\n"

    # -- signature -------------------------------------------------------------------------------

    def _signature(self) -> str:
        words = numpy_names.parameter_words(self.operation.public_parameters, self._default)
        if self.operation.takes_out:
            words += ["out=None"] if "*" in words else ["*", "out=None"]
        return ", ".join(words)

    def _first(self) -> list[str]:
        """What comes before all else: NumPy's names of arguments, `out`, if one is given, and
        autocast, if it is on."""
        parameters = self.operation.public_parameters
        lines = numpy_names.renaming(self.name, parameters, self._default)
        operation = f"operation_{self.name}"
        if self.operation.takes_out:
            call = ", ".join(self._pass(p) for p in self.operation.parameters)
            exact = not (self.operation.formula is not None or self.operation.is_plain_composite)
            apart = self.operation.array_names if self.operation.out_apart else []
            operands = "".join(f"{name}, " for name in apart)
            lines += [
                "    if out is not None:",
                f"        return into(out, {operation}.function({call}), {exact}, ({operands}))",
            ]
        if self.name in autocast_policies:
            names = ", ".join(p.name for p in self.operation.parameters)
            lines += [
                "    if autocasting:",
                f"        found_ = autocast_operation({operation}, ({names},))",
                "        if found_ is not NotImplemented:",
                "            return found_",
            ]
        return lines

    def _default(self, p: inspect.Parameter) -> str:
        if p.default is p.empty:
            return ""
        if p.default is None or isinstance(p.default, bool | int | str):
            return f"={p.default!r}"
        name = f"default_{self.name}_{p.name}"
        self.defaults[name] = p.default
        return f"={name}"

    def _pass(self, p: Parameter) -> str:
        return f"{p.name}={p.name}" if p.keyword_only else p.name

    # -- guard -----------------------------------------------------------------------------------

    def _numbers(self) -> list[str]:
        """Python numbers in binary arithmetic become cached 0-d tensors."""
        operation = self.operation
        if operation.formula is None or len(self.main) != 2 or operation.derived:
            return []
        if operation.tensors == 2:
            return []  # they are refused
        x, y = (p.name for p in self.main)
        return [
            f"    if {y}.__class__ is float or {y}.__class__ is int:",
            f"        {y} = constant({y}, {x})",
        ]

    def _guards(self) -> list[str]:
        if self.operation.takes_list:
            name = self.operation.array_names[0]
            same = f"all([t_._key is key_ for t_ in {name}])"
            return [
                f"{name}.__class__ is not list and {name}.__class__ is not tuple",
                f"not {same}",
            ]
        guards = []
        for p in self.operation.arrays:
            if p is self.lead:
                continue
            is_alike = p.role == "main" and not self.operation.mixes
            attribute = "_key" if is_alike else "_key.device"
            wanted = "key_" if is_alike else "key_.device"
            test = f"{p.name}.{attribute} is not {wanted}"
            guards.append(f"{p.name} is not None and {test}" if p.optional else test)
        if self.operation.float_result:
            guards.append("not key_.is_float")
        return guards

    # -- computation -----------------------------------------------------------------------------

    def _compute(self, is_general: bool = False) -> list[str]:
        """Lines that fetch the arrays and call the kernel: for a formula the one for large arrays
        if the first operand is large, and if it `is_general` any of them."""
        operation = self.operation
        lines = []
        words = []
        for k, p in enumerate(operation.arrays):
            if p.role == "list":
                lines.append(f"a{k} = [t_._array for t_ in {p.name}]")
            else:
                optional = f"None if {p.name} is None else " if p.optional else ""
                lines.append(f"a{k} = {optional}{p.name}._array")
            words.append(f"a{k}")
        if operation.layout == "channels_last" and self.lead is not None:
            lines.append(f"lead_ = a{operation.arrays.index(self.lead)}")
        if operation.arranges:  # what is saved then lies as the gradient's kernels like it
            lines.append(f"a0 = key_.arranged(a0, {operation.arranges})")
        words += [f"{p.name}={p.name}" for p in operation.attributes]
        call = f"{self.name}({', '.join(words)})"
        if operation.formula is None:
            return [*lines, f"r_ = key_.{call}"]
        tested = operation.arrays if is_general else operation.arrays[:1]
        sizes = [f"a{k}.size < {operation.large}" for k, p in enumerate(tested) if not p.optional]
        return [*lines, f"r_ = key_.{call} if {' and '.join(sizes)} else key_.large.{call}"]

    def _finish(self) -> list[str]:
        operation = self.operation
        lines = self._wrap_one("r_", "out_") if operation.outputs == 1 else self._wrap_several()
        if operation.is_differentiable:
            lines += self._record()
        return [*lines, "return out_"]

    def _wrap_one(self, array: str, out: str) -> list[str]:
        lines = [
            f"if {array}.__class__ is not key_.array_class:",
            f"    {array} = key_.as_array({array})",
            f"{out} = new(Tensor)",
            f"{out}._array = {array}",
            f"{out}._key = key_ if {array}.dtype is key_.array_dtype else key_.of_array({array})",
        ]
        if self.lead is not None and self.operation.layout == "channels_last":
            lines.append(f"conceal({out}, lead_)")
        if not self.operation.is_view:
            return [*lines, f"{out}._writes = [0]"]
        assert self.lead is not None
        x = self.lead.name
        return [
            *lines,
            f"{out}._writes = {x}._writes",
            f"base_ = {x} if {x}._base is None else {x}._base",
            f"{out}._base = base_",
            f"note_view(base_, {out})",
        ]

    def _wrap_several(self) -> list[str]:
        lines = ["out_ = []", "for one_ in r_:"]
        lines += ["    " + line for line in self._wrap_one("one_", "t_")]
        return [*lines, "    out_.append(t_)", "out_ = tuple(out_)"]

    # -- recording -------------------------------------------------------------------------------

    def _record(self) -> list[str]:
        operation = self.operation
        edges = []
        lines = []
        if operation.takes_list:
            name = operation.array_names[0]
            lines.append(f"edges_ = tuple([t_._edge for t_ in {name}])")
            condition = "edges_.count(None) != len(edges_)"
        else:
            for k, p in enumerate(operation.arrays):
                if p.role != "main":
                    edges.append("None")
                    continue
                optional = f"None if {p.name} is None else " if p.optional else ""
                lines.append(f"e{k} = {optional}{p.name}._edge")
                edges.append(f"e{k}")
            wanted = [e for e in edges if e != "None"]
            condition = "(" + " or ".join(f"{e} is not None" for e in wanted) + ")"
        first = "out_" if operation.outputs == 1 else "out_[0]"
        floating = f"({first}._key is key_ or {first}._key.is_float)"
        lines.append(f"if {condition} and (not unrecorded or is_grad_enabled()) and {floating}:")
        body = [
            f"node_ = new(Node_{self.name})",
            f"node_.edges = {'edges_' if operation.takes_list else '(' + ', '.join(edges) + ',)'}",
            "node_.key = key_",
            *self._save(),
            "node_.sequence = tick()",
        ]
        if operation.attribute_names:
            body.append(f"node_.attributes = ({', '.join(operation.attribute_names)},)")
        body += self._attach()
        return lines + ["    " + line for line in body]

    def _save(self) -> list[str]:
        operation = self.operation
        saved, versions = [], []
        if operation.takes_list:
            name = operation.array_names[0]
            if name in operation.saves:
                return [
                    "node_.saved = tuple(a0)",
                    f"node_.versions = tuple([v for t_ in {name} for v in (t_._writes, "
                    "t_._writes[0])])",
                ]
            return ["node_.saved = tuple([a.shape for a in a0])"]
        for k, p in enumerate(operation.arrays):
            saved.append(self._saved(k, p))
            if p.name in operation.saves:
                cell = f"{p.name}._writes"
                if p.optional:
                    cell = f"(NEVER if {p.name} is None else {cell})"
                versions += [cell, f"{cell}[0]"]
            else:
                versions += ["NEVER", "0"]
        if "out" in operation.saves:
            if operation.copies_out:
                saved.append("copied(key_, r_)")
            elif operation.outputs == 1:
                needed = self._needed("out")
                saved.append(f"r_ if {needed} else ()" if needed else "r_")
                versions += ["out_._writes", "out_._writes[0]"]
            else:
                saved.append("*r_" if operation.saves_first_out else "(), *r_[1:]")
        while versions[-2:] == ["NEVER", "0"]:
            versions = versions[:-2]
        lines = [f"node_.saved = ({', '.join(saved)},)"]
        if versions:
            lines.append(f"node_.versions = ({', '.join(versions)},)")
        return lines

    def _saved(self, k: int, p: Parameter) -> str:
        """What is kept of input `k`: its array where some needed gradient reads it, else its
        shape."""
        operation = self.operation
        shape = f"None if a{k} is None else a{k}.shape" if p.optional else f"a{k}.shape"
        if p.name not in operation.saves:
            if operation.formula is not None and len(operation.arrays) == 1:
                return "None"  # the gradient has the shape of g
            return shape
        needed = self._needed(p.name)
        return f"a{k} if {needed} else {shape}" if needed else f"a{k}"

    def _needed(self, name: str) -> str:
        """The condition on which a gradient that is needed reads `name`; "" if that is always."""
        readers = self.operation.readers.get(name)
        if readers is None or len(readers) == len(self.main):
            return ""
        return " or ".join(f"e{i} is not None" for i in readers)

    def _attach(self) -> list[str]:
        operation = self.operation
        if operation.outputs == 1:
            return ["out_._edge = node_"]
        lines = [f"node_.outputs = {operation.outputs}"]
        if operation.outputs == 0:
            lines.append("node_.output_shapes = tuple([one_.shape for one_ in r_])")
        return [
            *lines,
            "for index_, t_ in enumerate(out_):",
            "    if t_._key.is_float:",
            "        t_._edge = OutputEdge(node_, index_)",
        ]


def requires_record(*values: Any) -> bool:
    """Whether some of `values` require a gradient, and operations are recorded."""
    return grad_mode.is_grad_enabled() and any(
        isinstance(v, Tensor) and v.requires_grad for v in values
    )


def copied(key: Any, array: Any) -> Any:
    """A copy of a bare array where `key` says; on meta itself."""
    if key.device.type == "meta":
        return array
    with key.guard:
        return array.copy()


def share(**names: Any) -> None:
    """Make `names` known to the generated functions."""
    _namespace.update(names)


_namespace.update(noticed=noticed, again=again)
_namespace.update(general=general, generate=generate, constant=constant, NEVER=[0])
_namespace.update(
    ABSENT=numpy_names.ABSENT, instead=numpy_names.instead, missing=numpy_names.missing
)
_namespace.update(requires_record=requires_record, copied=copied)
