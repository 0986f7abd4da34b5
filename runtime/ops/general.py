"""The general path into an operation, which makes arguments of any sort tensors of one sort.

Generated functions (see `wrappers`) come here with numbers, mixed dtypes, observers and errors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.crossing import lifted
from ..autograd.node import Node
from ..autograd.record import TAPE
from ..backends.batched import key_at
from ..core import (
    batched,
    concealed,
    creation,
    deferral,
    dtypes,
    observers,
    quantized_arrays,
    sparse_arrays,
)
from ..core.creation import as_tensor
from ..core.devices import device
from ..core.dispatch import DispatchKey, key_of, one_device, operations
from ..core.overriding import noticed
from ..core.quantized_arrays import QuantizedArray
from ..core.sparse_arrays import SparseArray
from ..core.spec import Spec
from ..core.tensor import Tensor, wrap
from ..errors import DTypeError, FlambeauError
from .mixed_halves import seen_wide

if TYPE_CHECKING:
    from .operation import Operation

NUMBERS = (bool, int, float, complex, np.number, np.bool_)


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
        if key.dtype is dtypes.bool_ or (number < 0 and not key.dtype.is_signed):
            return number  # a quotient of unsigned numbers by it is negative
        try:
            array = key.backend.as_array(
                dtypes.wrapped(number, key.dtype), key.dtype, key.device.index
            )
        except OverflowError:
            return number
        found = wrap(array, key)
        if len(key.constants) >= 4096:
            if key.device.type == "cuda":
                return found  # graphs go on reading those at hand
            key.constants.clear()
        if number != 0:  # -0.0 equals 0.0, and so finds its place in a dict
            key.constants[number.__class__, number] = found
    return found


def general(operation: Operation, values: tuple[Any, ...]) -> Any:
    """Run `operation` on arguments of any sort: numbers, mixed dtypes, under observers, or in
    error."""
    arguments = dict(zip([p.name for p in operation.parameters], values, strict=True))
    if noticed(values):
        return again(operation, values)
    if sparse_arrays.in_use or quantized_arrays.in_use:
        found = _routed(operation, arguments)
        if found is not NotImplemented:
            return found
    key = _shared_key(operation, arguments)
    if key is None:
        is_concealed = concealed.in_use and _seen_through(operation, arguments)
        key = _conform(operation, arguments)
        if is_concealed:
            key = concealed.concealed_key(key)
    if deferral.in_use and deferral.state.region is not None:
        deferred = deferral.state.region.capture(operation, arguments, key)
        if deferred is not NotImplemented:
            return deferred
    body = operation.unguarded
    for observer in observers.active:
        observer.operation_started(operation.label, key.device)
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


def _seen_through(operation: Operation, arguments: dict[str, Any]) -> bool:
    """Whether some arguments are concealed and may stay so; otherwise they are revealed."""
    if operation.takes_list:
        name = operation.array_names[0]
        arguments[name] = _listed(operation, name, arguments[name])
    hidden = [t for t in _tensors(operation, arguments) if t._key.is_concealed]
    if hidden and operation.keeps_layout:
        return True
    for tensor in hidden:
        concealed.reveal(tensor)
    return False


def again(operation: Operation, values: tuple[Any, ...]) -> Any:
    """Call the function of `operation` with the arguments `values`, less those left at defaults."""
    named = list(zip(operation.parameters, values, strict=True))
    options = {p.name: v for p, v in named if p.keyword_only and v is not p.default}
    args = [(p, v) for p, v in named if not p.keyword_only]
    while args and args[-1][1] is args[-1][0].default:
        args.pop()
    return operation.function(*[v for _, v in args], **options)


ROUTES: dict[type, Any] = {SparseArray: sparse_arrays, QuantizedArray: quantized_arrays}
"""Whose rules apply to arrays that are of no device's library."""


def _routed(operation: Operation, arguments: dict[str, Any]) -> Any:
    """What the rules for the first argument that is sparse or quantized give; NotImplemented where
    none is."""
    if operation.takes_list:
        name = operation.array_names[0]
        arguments[name] = _listed(operation, name, arguments[name])
    # A lazy tensor is dense, and has no array yet.
    for tensor in _tensors(operation, arguments):
        module = ROUTES.get(vars(tensor).get("_array").__class__)
        if module is not None:
            break
    else:
        return NotImplemented
    rule = module.rules.get(operation.name)
    if rule is not None:
        with tensor._key.guard:
            return rule(**arguments)
    if operation.body is None:
        raise module.refusal(operation.label, tensor.shape)
    return operation.body(TAPE, **arguments)


def _notify(operation: Operation, arguments: dict[str, Any], out: Any, seconds: float) -> None:
    outputs = out if isinstance(out, tuple) else (out,)
    inputs = tuple(arguments.values())
    edge = next((t._edge for t in outputs if t._edge is not None), None)
    node = edge.as_grad_fn() if edge is not None else None
    recorded = isinstance(node, Node) and node.operation is operation
    for observer in observers.active:
        observer.operation_done(operation.label, inputs, outputs, seconds)
        observer.operation_applied(operation, arguments, outputs)
        if recorded:
            observer.node_recorded(node)


def _shared_key(operation: Operation, arguments: dict[str, Any]) -> DispatchKey | None:
    """The key of all tensors, where none needs to be converted: what comes here under observers
    mostly is so, and looking costs a quarter of `_conform`. None where that may not hold."""
    if operation.takes_list or batched.in_use:
        return None
    key: DispatchKey | None = None
    is_concealed, mixes = False, operation.mixes
    for p in operation.arrays:
        value = arguments[p.name]
        if value is None and p.optional:
            continue
        if not isinstance(value, Tensor):
            return None
        own = value._key
        if own.is_concealed:
            own, is_concealed = concealed.revealed_key(own), True
        if p.role == "main" and (key is None or own is key):
            key = own
        elif key is None or own.device is not key.device or (p.role == "main" and not mixes):
            return None
    if key is None or not key.is_float or (is_concealed and not operation.keeps_layout):
        return None
    return concealed.concealed_key(key) if is_concealed else key


def _conform(operation: Operation, arguments: dict[str, Any]) -> DispatchKey:
    """Make the tensor arguments tensors of one device, and the main ones of one dtype."""
    for p in operation.arrays:
        if p.role == "list":
            arguments[p.name] = _listed(operation, p.name, arguments[p.name])
        if isinstance(arguments[p.name], np.ndarray):
            arguments[p.name] = as_tensor(arguments[p.name])
    for name in operation.array_names[: operation.tensors]:
        if isinstance(arguments[name], NUMBERS):
            raise TypeError(
                f"{operation.label}: expected a tensor as {name}. Got the number "
                f"{arguments[name]!r}. Use torch.tensor({arguments[name]!r})."
            )
    tensors = _tensors(operation, arguments)
    if not tensors and operation.label in OF_NUMBERS:
        arguments["input"] = creation.tensor(arguments["input"])
        tensors = [arguments["input"]]
    place = _common_device(operation, arguments, tensors)
    mains: dict[str, Any] = {}
    for p in operation.arrays:
        value = arguments[p.name]
        if value is None and p.optional:
            continue
        if p.role == "list":
            _require_tensors(operation, p.name, value)
            mains.update({f"{p.name}[{k}]": t for k, t in enumerate(value)})
        elif p.role == "main":
            mains[p.name] = value
        else:
            arguments[p.name] = _as_tensor(operation, p.name, value, place, None)
    dtype = _common_dtype(operation, mains, arguments)
    wanted = None if operation.mixes else dtype
    for name, value in mains.items():
        tensor = _as_tensor(operation, name, value, place, wanted)
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


def _title(operation: Operation) -> str:
    """The name that users call the operation by: add for what addition is made of."""
    offered = [sys.modules.get(f"flambeau{place}") for place in ("", ".nn.functional")]
    is_public = any(m is not None and hasattr(m, operation.name) for m in offered)
    return operation.name if is_public else operation.label


def _listed(operation: Operation, name: str, values: Any) -> list[Any]:
    """`values` as a list. Raises: TypeError for what is none."""
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise TypeError(
            f"{_title(operation)}: expected a list or tuple of tensors as {name}. Got "
            f"{type(values).__name__}."
        )
    return list(values)


def _require_tensors(operation: Operation, name: str, values: list[Any]) -> None:
    """Raises: TypeError for what is no tensor, RuntimeError for none at all."""
    if not values:
        raise RuntimeError(
            f"{_title(operation)}: expected at least one tensor in {name}. Got none."
        )
    for k, value in enumerate(values):
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{_title(operation)}: expected a tensor as {name}[{k}]. Got "
                f"{type(value).__name__}."
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


OF_NUMBERS = {"add", "sub", "mul", "div", "trunc_divide", "floor_divide"}
"""Operations that take two numbers, too, and give a tensor then."""


def _common_device(
    operation: Operation, arguments: dict[str, Any], tensors: list[Tensor]
) -> device:
    """The device of the `tensors` among the arguments; 0-d CPU tensors go where the others are."""
    if not tensors:
        names = ", ".join(operation.array_names)
        found = ", ".join(type(arguments[n]).__name__ for n in operation.array_names)
        raise TypeError(
            f"{_title(operation)}: expected a tensor among {names}. Got {found}. Use "
            "torch.tensor(...)."
        )
    return one_device(_title(operation), tensors)


def _common_dtype(
    operation: Operation, mains: dict[str, Any], arguments: dict[str, Any]
) -> dtypes.dtype:
    if not mains or operation.mixes:
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
            f"{_title(operation)}: expected tensors of one dtype. Got {listed}. Convert one with "
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
            seen = seen_wide(operation, value, dtype)
            value = operations["cast"].function(value, dtype=dtype) if seen is None else seen
        return value
    if not isinstance(value, NUMBERS):
        raise TypeError(
            f"{_title(operation)}: expected a tensor or a number as {name}. Got "
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
            f"{_title(operation)}: expected another dtype. Got {mains}. Convert with .to()."
        )
    return error


def as_spec(tensor: Tensor) -> Spec:
    """What is known of `tensor` without its values."""
    return Spec(tuple(tensor._array.shape), tensor.dtype, tensor.stride())
