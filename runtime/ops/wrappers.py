"""Eager functions, generated from declarations.

A generated function is what one would write by hand for its operation: fetch arrays, call the
kernel, wrap, record. It serves tensors of one device and dtype that nobody observes; whatever else
comes (numbers, mixed dtypes, observers, errors) goes through `general`, once, to the same body.
"""

from __future__ import annotations

import inspect
import linecache
import re
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import grad_mode
from ..autograd.crossing import lifted
from ..autograd.node import Node, OutputEdge, tick
from ..autograd.record import TAPE
from ..backends.batched import key_at
from ..core import batched, dtypes, observers, sparse_arrays
from ..core.creation import as_tensor
from ..core.devices import device
from ..core.dispatch import DispatchKey, key_of, operations
from ..core.sparse_arrays import SparseArray
from ..core.spec import Spec
from ..core.tensor import Tensor, note_view, wrap
from ..errors import DeviceError, DTypeError, FlambeauError
from . import numpy_names

if TYPE_CHECKING:
    from .declare import Operation, Parameter

autocast_policies: dict[str, dict[str, str]] = {}
"""Policies by device type of the operations that autocast concerns; it fills this in."""

NUMBERS = (bool, int, float, complex, np.number, np.bool_)


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
    if f"{name}_body" in made:
        _namespace[f"{name}_body"] = made[f"{name}_body"]
    function = operation.function
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
            return "\n".join([*head, f"    {composed}\n"])
        calls = f"general(operation_{self.name}, ({names},))"
        if operation.takes_list:
            return "\n".join([*head, f"    return {calls}\n\n\n"]) + self._body_text(names)
        lines = [*head, *self._numbers()]
        if operation.body is not None and not operation.is_differentiable:
            # A fused kernel without a gradient of its own: the tape takes the body's.
            lines.append(f"    if requires_record({', '.join(operation.array_names)}):")
            lines.append(f"        {composed}")
        lines.append("    try:")
        assert self.lead is not None
        lines += [
            f"        key_ = {self.lead.name}._key",
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
        lines += ["    " + line for line in self._compute() + self._finish()]
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
        guards = []
        for p in self.operation.arrays:
            if p is self.lead:
                continue
            attribute = "_key" if p.role == "main" else "_key.device"
            wanted = "key_" if p.role == "main" else "key_.device"
            test = f"{p.name}.{attribute} is not {wanted}"
            guards.append(f"{p.name} is not None and {test}" if p.optional else test)
        if self.operation.float_result:
            guards.append("not key_.is_float")
        return guards

    # -- computation -----------------------------------------------------------------------------

    def _compute(self) -> list[str]:
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
        words += [f"{p.name}={p.name}" for p in operation.attributes]
        lines.append(f"r_ = key_.{self.name}({', '.join(words)})")
        return lines

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
            condition = "any([e is not None for e in edges_])"
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
            saved.append("r_" if operation.outputs == 1 else "*r_")
            if operation.outputs == 1:
                versions += ["out_._writes", "out_._writes[0]"]
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
        readers = operation.readers.get(p.name)
        if readers is None or len(readers) == len(self.main):
            return f"a{k}"
        needed = " or ".join(f"e{i} is not None" for i in readers)
        return f"a{k} if {needed} else {shape}"

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
    edges = [getattr(v, "_edge", None) for v in values]
    return grad_mode.is_grad_enabled() and any(e is not None for e in edges)


# -- the general path ------------------------------------------------------------------------------


def constant(number: float, like: Any) -> Any:
    """`number` as a 0-d tensor that takes part in promotion only by its category.

    Numbers that fit the category of `like` are made once and kept with its key.
    """
    try:
        key = like._key
    except AttributeError:
        return number
    if number.__class__ is float and not key.is_float:
        return number
    found = key.constants.get((number.__class__, number))
    if found is None:
        if key.dtype is dtypes.bool_:
            return number
        try:
            array = key.backend.as_array(
                dtypes.wrapped(number, key.dtype), key.dtype, key.device.index
            )
        except OverflowError:
            return number
        found = wrap(array, key)
        if len(key.constants) >= 4096:
            key.constants.clear()
        if number != 0:  # -0.0 equals 0.0, and so finds its place in a dict
            key.constants[number.__class__, number] = found
    return found


def general(operation: Operation, values: tuple[Any, ...]) -> Any:
    """Run `operation` on arguments of any sort: numbers, mixed dtypes, under observers, or in
    error."""
    arguments = dict(zip([p.name for p in operation.parameters], values, strict=True))
    if sparse_arrays.in_use:
        found = _routed(operation, arguments)
        if found is not NotImplemented:
            return found
    key = _conform(operation, arguments)
    body = _namespace[f"{operation.name}_body"]
    started = perf_counter()
    try:
        with np.errstate(all="ignore"):
            out = body(key, *arguments.values())
    except FlambeauError:
        raise
    except Exception as error:
        raise _explained(operation, arguments, error) from None
    if observers.active:
        _notify(operation, arguments, out, perf_counter() - started)
    return out


def _routed(operation: Operation, arguments: dict[str, Any]) -> Any:
    """What the rules for sparse tensors give; NotImplemented where all arguments are dense."""
    if operation.takes_list:
        name = operation.array_names[0]
        arguments[name] = list(arguments[name])  # it may be an iterator
    sparse = [t for t in _tensors(operation, arguments) if t._array.__class__ is SparseArray]
    if not sparse:
        return NotImplemented
    rule = sparse_arrays.rules.get(operation.name)
    if rule is not None:
        return rule(**arguments)
    if operation.body is None:
        raise sparse_arrays.refusal(operation.label, sparse[0].shape)
    return operation.body(TAPE, **arguments)


def _notify(operation: Operation, arguments: dict[str, Any], out: Any, seconds: float) -> None:
    outputs = out if isinstance(out, tuple) else (out,)
    inputs = tuple(arguments.values())
    edge = next((t._edge for t in outputs if t._edge is not None), None)
    node = edge.as_grad_fn() if edge is not None else None
    recorded = isinstance(node, Node) and node.operation is operation
    for observer in observers.active:
        observer.operation_done(operation.label, inputs, outputs, seconds)
        if recorded:
            observer.node_recorded(node)


def _conform(operation: Operation, arguments: dict[str, Any]) -> DispatchKey:
    """Make the tensor arguments tensors of one device, and the main ones of one dtype."""
    for p in operation.arrays:
        if isinstance(arguments[p.name], np.ndarray):
            arguments[p.name] = as_tensor(arguments[p.name])
    for name in operation.array_names[: operation.tensors]:
        if isinstance(arguments[name], NUMBERS):
            raise TypeError(
                f"{operation.label}: expected a tensor as {name}. Got the number "
                f"{arguments[name]!r}. Use torch.tensor({arguments[name]!r})."
            )
    place = _common_device(operation, arguments)
    mains: dict[str, Any] = {}
    for p in operation.arrays:
        value = arguments[p.name]
        if value is None and p.optional:
            continue
        if p.role == "list":
            value = arguments[p.name] = list(value)
            _require_tensors(operation, p.name, value)
            mains.update({f"{p.name}[{k}]": t for k, t in enumerate(value)})
        elif p.role == "main":
            mains[p.name] = value
        else:
            arguments[p.name] = _as_tensor(operation, p.name, value, place, None)
    dtype = _common_dtype(operation, mains, arguments)
    for name, value in mains.items():
        tensor = _as_tensor(operation, name, value, place, dtype)
        if name in arguments:
            arguments[name] = tensor
        else:
            list_name, _, index = name.partition("[")
            arguments[list_name][int(index[:-1])] = tensor
    if batched.in_use:
        depth = _depth(arguments)
        if depth:
            _lift(operation, arguments, depth)
            return key_at(depth, place, dtype)
    return key_of(place, dtype)


def _depth(arguments: dict[str, Any]) -> int:
    """The level of the innermost vmap that a tensor or an index among the arguments is of."""
    depth = 0
    for value in arguments.values():
        for x in value if isinstance(value, tuple | list) else (value,):
            level = x._key.level if isinstance(x, Tensor) else batched.level_of(x)
            depth = max(depth, level)
    return depth


def _lift(operation: Operation, arguments: dict[str, Any], depth: int) -> None:
    """Let the slices of the vmap at `depth` share tensors from outside."""
    for p in operation.arrays:
        value = arguments[p.name]
        if p.role == "list":
            arguments[p.name] = [lifted(t, depth) for t in value]
        elif value is not None:
            arguments[p.name] = lifted(value, depth)


def _require_tensors(operation: Operation, name: str, values: list[Any]) -> None:
    if not values:
        raise RuntimeError(f"{operation.name}: expected at least one tensor in {name}. Got none.")
    for k, value in enumerate(values):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{operation.name}: expected a tensor as {name}[{k}]. Got {type(value).__name__}."
            )


def _tensors(operation: Operation, arguments: dict[str, Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for p in operation.arrays:
        value = arguments[p.name]
        if isinstance(value, Tensor):
            found.append(value)
        elif p.role == "list":
            found.extend(t for t in value if isinstance(t, Tensor))
    return found


def _common_device(operation: Operation, arguments: dict[str, Any]) -> device:
    """The device of the tensors; 0-d CPU tensors go where the others are."""
    tensors = _tensors(operation, arguments)
    if not tensors:
        names = ", ".join(operation.array_names)
        found = ", ".join(type(arguments[n]).__name__ for n in operation.array_names)
        raise TypeError(
            f"{operation.name}: expected a tensor among {names}. Got {found}. Use "
            "torch.tensor(...)."
        )
    places = dict.fromkeys(t.device for t in tensors if t.ndim or t.device.type != "cpu")
    if len(places) > 1:
        listed = ", ".join(f"{tuple(t.shape)} on {t.device}" for t in tensors)
        raise DeviceError(
            f"{operation.name}: expected all tensors on one device. Got {listed}. Move them "
            "together "
            f"with .to({str(tensors[0].device)!r})."
        )
    return next(iter(places), tensors[0].device)


def _common_dtype(
    operation: Operation, mains: dict[str, Any], arguments: dict[str, Any]
) -> dtypes.dtype:
    if not mains:
        return next(t.dtype for t in _tensors(operation, arguments))
    groups: list[dtypes.dtype | None] = [None, None, None]
    for value in mains.values():
        if isinstance(value, Tensor):
            rank, dtype = (0 if value.ndim else 1), value.dtype
        elif isinstance(value, NUMBERS):
            rank, dtype = 2, dtypes.of_number(value)
        else:
            continue
        before = groups[rank]
        groups[rank] = dtype if before is None else dtypes.promote_types(before, dtype)
    result = dtypes.result_type(*groups)
    if not operation.promotes:
        _require_one_dtype(operation, mains)
    if operation.float_result and result.category < dtypes.FLOAT:
        return dtypes.get_default_dtype()
    return result


def _require_one_dtype(operation: Operation, mains: dict[str, Any]) -> None:
    found = {n: v.dtype for n, v in mains.items() if isinstance(v, Tensor)}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{n} {tuple(mains[n].shape)} of {d}" for n, d in found.items())
        raise DTypeError(
            f"{operation.name}: expected tensors of one dtype. Got {listed}. Convert one with "
            ".to()."
        )


def _as_tensor(
    operation: Operation, name: str, value: Any, place: device, dtype: dtypes.dtype | None
) -> Tensor:
    """`value` on `place` and, if given, as `dtype`, by operations that the tape records."""
    if isinstance(value, Tensor):
        if value.device != place:
            from .transfer import to_device  # built on the operations that are made here

            value = to_device(value, place=place)
        if dtype is not None and value.dtype is not dtype:
            value = operations["cast"].function(value, dtype=dtype)
        return value
    if not isinstance(value, NUMBERS):
        raise TypeError(
            f"{operation.name}: expected a tensor or a number as {name}. Got "
            f"{type(value).__name__}. "
            "Use torch.tensor(...) or torch.from_numpy(...) first."
        )
    key = key_of(place, dtype if dtype is not None else dtypes.of_number(value))
    value = dtypes.wrapped(value, key.dtype)
    return wrap(key.backend.as_array(value, key.dtype, place.index), key)


def _explained(operation: Operation, arguments: dict[str, Any], error: Exception) -> Exception:
    """The shape rule's error for these arguments; the kernel's own if the rule finds no fault."""
    specs: list[Any] = []
    for p in operation.arrays:
        value = arguments[p.name]
        if isinstance(value, list):
            specs.append([as_spec(t) for t in value])
        else:
            specs.append(value if value is None else as_spec(value))
    attributes = {n: arguments[n] for n in operation.attribute_names}
    try:
        operation.rule(*specs, **attributes)
    except Exception as explained:
        return explained
    if isinstance(error, TypeError) and ("ufunc" in str(error) or "numpy" in str(error)):
        mains = ", ".join(f"{n} of {arguments[n].dtype}" for n in operation.array_names)
        return DTypeError(
            f"{operation.name}: expected another dtype. Got {mains}. Convert with .to()."
        )
    return error


def as_spec(tensor: Tensor) -> Spec:
    """What is known of `tensor` without its values."""
    return Spec(tuple(tensor._array.shape), tensor.dtype, tensor.stride())


def share(**names: Any) -> None:
    """Make `names` known to the generated functions."""
    _namespace.update(names)


_namespace.update(general=general, generate=generate, constant=constant, NEVER=[0])
_namespace.update(
    ABSENT=numpy_names.ABSENT, instead=numpy_names.instead, missing=numpy_names.missing
)
_namespace["requires_record"] = requires_record
