"""Gradients by finite differences: the oracle that gradient rules are checked against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import dtypes
from ..core.dispatch import operations
from ..core.tensor import Tensor
from ..errors import GradientError
from . import engine
from .grad_mode import no_grad

__all__ = ["gradcheck", "gradgradcheck"]


def _outputs(function: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    result = function(*inputs)
    found = list(result) if isinstance(result, tuple | list) else [result]
    numbers = [t for t in found if isinstance(t, Tensor) and t.dtype.category >= dtypes.FLOAT]
    return [operations["view_as_real"].function(t) if t.is_complex() else t for t in numbers]


def _of_real_numbers(
    function: Callable[..., Any], inputs: list[Any]
) -> tuple[Callable[..., Any], list[Any]]:
    """`function` and its inputs with those complex ones that require a gradient as pairs of real
    numbers, which gradients are defined by."""
    paired = [isinstance(x, Tensor) and x.is_complex() and x.requires_grad for x in inputs]
    if not any(paired):
        return function, inputs
    pairs, joined = operations["view_as_real"].function, operations["view_as_complex"].function

    def of_pairs(*values: Any) -> Any:
        given = zip(values, paired, strict=False)
        return function(*[joined(x) if p else x for x, p in given], *values[len(paired) :])

    def leaf(x: Tensor) -> Tensor:
        found: Any = pairs(x.detach().clone())
        return found.detach().clone().requires_grad_()

    return of_pairs, [leaf(x) if p else x for x, p in zip(inputs, paired, strict=True)]


def _numeric(
    function: Callable[..., Any], inputs: Sequence[Any], x: Tensor, v: list[Any], eps: float
) -> Any:
    """d sum(outputs * v) / dx by central differences, in the shape of x."""

    def weighted() -> float:
        with no_grad():
            values = [t.numpy_values() for t in _outputs(function, inputs)]
        return float(sum((a * w).sum() for a, w in zip(values, v, strict=True)))

    gradient = np.zeros(tuple(x.shape))
    array = x._array
    for place in np.ndindex(*array.shape):
        before = array[place]
        array[place] = before + eps
        above = weighted()
        array[place] = before - eps
        below = weighted()
        array[place] = before
        gradient[place] = (above - below) / (2 * eps)
    return gradient


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of `func` at float64 or complex128 `inputs` agree with central
    differences.

    Each output is weighted by fixed pseudo-random numbers, so that one backward pass checks all of
    them. The options about how to check are PyTorch's: forward mode is derived from the backward
    pass here, so checking that checks both.
    Raises: GradientError that says which input differs and how, unless `raise_exception` is off.
    """
    inputs = list(inputs) if isinstance(inputs, tuple | list) else [inputs]
    func, inputs = _of_real_numbers(func, inputs)
    checked = [x for x in inputs if isinstance(x, Tensor) and x._edge is not None]
    for x in checked:
        if x.dtype.itemsize != 8:
            raise GradientError(f"gradcheck: expected float64 inputs. Got {x.dtype}.")
    outputs = _outputs(func, inputs)
    stream = np.random.RandomState(0)
    v = [stream.uniform(0.5, 1.5, tuple(t.shape)) for t in outputs]
    recorded = [(t, w) for t, w in zip(outputs, v, strict=True) if t._edge is not None]
    weights = [
        x.new_tensor(w) for x, (_, w) in zip([outputs[0]] * len(recorded), recorded, strict=True)
    ]
    analytic = engine.grad([t for t, _ in recorded], checked, weights, allow_unused=True)
    for k, (x, g) in enumerate(zip(checked, analytic, strict=True)):
        found = np.zeros(tuple(x.shape)) if g is None else g.numpy_values()
        expected = _numeric(func, inputs, x, v, eps)
        if not np.allclose(found, expected, rtol, atol, equal_nan=True):
            if not raise_exception:
                return False
            raise GradientError(
                f"gradcheck: expected the gradient of input {k}, shape {tuple(x.shape)}, to be "
                "near "
                f"{expected.tolist()}, by differences. The rule gives {found.tolist()}."
            )
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    **options: Any,
) -> bool:
    """`gradcheck` of the gradients of `func`, as functions of the inputs and of the incoming
    gradient."""
    inputs = list(inputs) if isinstance(inputs, tuple | list) else [inputs]
    func, inputs = _of_real_numbers(func, inputs)
    checked = [x for x in inputs if isinstance(x, Tensor) and x._edge is not None]
    stream = np.random.RandomState(1)
    outputs = [t for t in _outputs(func, inputs) if t._edge is not None]
    weights = [t.new_tensor(stream.uniform(0.5, 1.5, tuple(t.shape))) for t in outputs]
    for w in weights:
        w.requires_grad = True

    def first_order(*values: Any) -> tuple[Tensor, ...]:
        given = values[: len(inputs)]
        results = [t for t in _outputs(func, given) if t._edge is not None]
        grads = engine.grad(
            results, checked, values[len(inputs) :], create_graph=True, materialize_grads=True
        )
        return tuple(g for g in grads if g is not None)  # all are there: zeros if unused

    with_graph = _always_recorded(first_order)
    return gradcheck(with_graph, [*inputs, *weights], eps, atol, rtol, raise_exception, **options)


def _always_recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with recording on, as a gradient inside needs it even under no_grad."""
    from .grad_mode import enable_grad

    recorded: Callable[..., Any] = enable_grad(function)
    return recorded
