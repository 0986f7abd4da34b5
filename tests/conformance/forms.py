"""The forms in which an operation is compared: forward, gradients, method, in place, errors."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from typing import Any

import torch

import flambeau

from . import crossing, ties

TOLERANCE = {
    torch.float32: 2e-4, torch.float64: 1e-7, torch.complex64: 2e-4, torch.complex128: 1e-7,
    torch.float16: 2e-2, torch.bfloat16: 5e-2,
}  # fmt: skip


class Mismatch(Exception):
    """The two libraries differ; the text says how."""


def samples(operation: Any, dtype: Any, requires_grad: bool, limit: int) -> list[Any]:
    """Up to `limit` of PyTorch's sample inputs, spread over all of them."""
    torch.manual_seed(0)
    found = list(operation.sample_inputs("cpu", dtype, requires_grad=requires_grad))
    step = max(1, len(found) // limit)
    return found[::step][:limit]


def _arguments(sample: Any) -> tuple[Any, ...]:
    return (sample.input, *sample.args)


def _both(
    sample: Any, mine: Callable[..., Any], theirs: Callable[..., Any]
) -> tuple[Any, Any, Any, Any]:
    """Results and arguments of the two; a failure of PyTorch itself skips the sample."""
    args, kwargs = crossing.ours((_arguments(sample), sample.kwargs))
    arguments = [crossing.leaf(t) for t in _arguments(sample)]
    flambeau.manual_seed(0)
    torch.manual_seed(0)
    wanted = theirs(*arguments, **sample.kwargs)
    got = mine(*args, **kwargs)
    return got, wanted, (args, kwargs), (arguments, sample.kwargs)


def forward(operation: Any, dtype: Any, limit: int) -> None:
    """Values, shapes and dtypes. Raises: Mismatch."""
    mine = crossing.counterpart(operation)
    for sample in samples(operation, dtype, False, limit):
        got, wanted, (args, _), (arguments, _) = _both(sample, mine, operation.op)
        got, wanted = _fair(operation.name, sample, (got, args[0]), (wanted, arguments[0]))
        _require(got, wanted, dtype, sample, "empty" not in operation.name)


def _fair(name: str, sample: Any, mine: Any, theirs: Any) -> tuple[Any, Any]:
    """The results of the two, given with their inputs, without what the operation leaves open."""
    got, wanted = (ties.by_value(name, result, sample, x) for result, x in (mine, theirs))
    if name in VECTORS:
        got, wanted = crossing.without_phases(got, wanted, VECTORS[name])
    return got, wanted


VECTORS = {
    "linalg.eig": (None, -2), "linalg.eigh": (None, -2), "linalg.svd": (-2, None, -1),
    "svd": (-2, None, -2), "svd_lowrank": (-2, None, -2), "pca_lowrank": (-2, None, -2),
}  # fmt: skip
"""Results whose vectors, along the dimension given, are free up to a sign or phase."""


def _require(got: Any, wanted: Any, dtype: Any, sample: Any, has_values: bool = True) -> None:
    if not has_values:
        got, wanted = (
            [t.new_zeros(t.shape) for t in crossing.tensors_of(x)] for x in (got, wanted)
        )
    words = crossing.difference(got, wanted, TOLERANCE.get(dtype, 1e-5))
    if words:
        raise Mismatch(f"{words}; {_shown(sample)}")


def _shown(sample: Any) -> str:
    def brief(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return f"T{tuple(value.shape)}{str(value.dtype)[6:]}"
        if isinstance(value, tuple | list):
            return type(value)(brief(v) for v in value) if not hasattr(value, "_fields") else "..."
        return value

    kwargs = {k: brief(v) for k, v in sample.kwargs.items()}
    return f"for {brief(sample.input)}, {brief(sample.args)}, {kwargs}"[:200]


WRONG_GRADIENTS = ("as_strided_scatter",)
"""PyTorch lets the gradient of input through where src was written and stops it elsewhere; its own
numeric check of it is marked as an expected failure."""


def gradient(operation: Any, dtype: Any, limit: int, second: bool = False) -> None:
    """First gradients, or second ones. Raises: Mismatch."""
    if operation.name in WRONG_GRADIENTS:
        return
    mine = crossing.counterpart(operation)
    for sample in samples(operation, dtype, True, limit):
        got, wanted, (args, kwargs), (arguments, options) = _both(sample, mine, operation.op)
        if sample.output_process_fn_grad is not None:
            function = sample.output_process_fn_grad
            with contextlib.suppress(Exception):
                wanted = function(wanted)
                rebuilt = crossing.rebound(function) if hasattr(function, "__code__") else function
                got = rebuilt(got)
        inputs = [t for t in crossing.tensors_of([arguments, options]) if t.requires_grad]
        own = [t for t in crossing.tensors_of([args, kwargs]) if t.requires_grad]
        if not inputs or not [t for t in crossing.tensors_of(wanted) if t.requires_grad]:
            continue
        try:
            theirs = _gradients(torch, wanted, inputs, second)
        except RuntimeError as error:
            if second and "is not implemented" in str(error):
                continue  # PyTorch has no second derivative there
            raise
        found = _gradients(flambeau, got, own, second)
        _require(found, theirs, dtype, sample)


def _gradients(library: Any, result: Any, inputs: list[Any], second: bool) -> list[Any]:
    total = _weighed(library, crossing.tensors_of(result))
    if isinstance(total, int):  # nothing that depends on the inputs
        return [library.zeros_like(x) for x in inputs]
    grads = library.autograd.grad(total, inputs, allow_unused=True, create_graph=second)
    if second:
        parts = [g for g in grads if g is not None and g.requires_grad]
        if not parts:
            return [library.zeros_like(x) for x in inputs]
        total = _weighed(library, parts)
        grads = library.autograd.grad(total, inputs, allow_unused=True)
    zeros = library.zeros_like
    return [zeros(x) if g is None else g for g, x in zip(grads, inputs, strict=True)]


def _weighed(library: Any, tensors: list[Any]) -> Any:
    """One number of all outputs, each element with a weight of its own."""
    total: Any = 0
    for k, t in enumerate(tensors):
        if not t.requires_grad:
            continue
        if t.is_complex():
            t = library.view_as_real(t.resolve_conj())
        weights = library.cos(library.arange(t.numel(), dtype=t.dtype) + k).reshape(t.shape)
        total = total + (t * weights).sum()
    return total


def method(operation: Any, dtype: Any, limit: int) -> None:
    """`x.name(...)`. Raises: Mismatch."""
    theirs = operation.get_method()
    if theirs is None:
        return
    own = crossing.variant(theirs)
    for sample in samples(operation, dtype, False, limit):
        got, wanted, (args, _), (arguments, _) = _both(sample, own, theirs)
        got, wanted = _fair(operation.name, sample, (got, args[0]), (wanted, arguments[0]))
        _require(got, wanted, dtype, sample, "empty" not in operation.name)


def in_place(operation: Any, dtype: Any, limit: int) -> None:
    """`x.name_(...)`, its result and what it left in x. Raises: Mismatch."""
    theirs = operation.get_inplace()
    if theirs is None:
        return
    own = crossing.variant(theirs)
    for sample in samples(operation, dtype, False, limit):
        sample = copy.copy(sample)
        sample.input = sample.input.clone()
        try:
            theirs(sample.input.clone(), *sample.args, **sample.kwargs)
        except RuntimeError:
            continue  # a result that does not fit into its input
        got, wanted, (args, _), (arguments, _) = _both(sample, own, theirs)
        _require([got, args[0]], [wanted, arguments[0]], dtype, sample)


def errors(operation: Any, dtype: Any, limit: int) -> None:
    """Where PyTorch raises, so do we. Raises: Mismatch."""
    if operation.error_inputs_func is None:
        return
    mine = crossing.counterpart(operation)
    for error in operation.error_inputs("cpu"):
        sample = error.sample_input
        if operation.name.startswith("__") and not isinstance(sample.input, torch.Tensor):
            continue  # Python itself refuses to call a method of C on another object
        try:
            args, kwargs = crossing.ours((_arguments(sample), sample.kwargs))
        except (TypeError, NotImplementedError, RuntimeError, ValueError):
            continue  # what NumPy cannot hold, such as 65 dimensions
        try:
            operation.op(*_arguments(sample), **sample.kwargs)
        except Exception:
            pass
        else:
            continue
        try:
            mine(*args, **kwargs)
        except Exception:
            continue
        raise Mismatch(f"no error, expected {error.error_regex[:60]!r}; {_shown(sample)}")
