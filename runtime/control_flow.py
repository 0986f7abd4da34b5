"""Branches and loops as functions of functions, which PyTorch's compiler follows; here they run as
the Python statements that they stand for, and gradients follow what ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["cond", "while_loop"]


def cond(
    pred: Any,
    true_fn: Callable[..., Any],
    false_fn: Callable[..., Any],
    operands: Sequence[Any] = (),
) -> Any:
    """`true_fn(*operands)` if `pred`, a bool or a tensor of one, else `false_fn(*operands)`.

    Raises: RuntimeError for a tensor of several elements, TypeError for what is no function.

    Example:
        >>> torch.cond(torch.tensor(True), torch.sin, torch.cos, (torch.zeros(1),))
        tensor([0.])
    """
    if not (callable(true_fn) and callable(false_fn)):
        raise TypeError(
            f"cond: expected two functions. Got {type(true_fn).__name__} and "
            f"{type(false_fn).__name__}."
        )
    return (true_fn if pred else false_fn)(*operands)


def while_loop(
    cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Sequence[Any]
) -> tuple[Any, ...]:
    """`carried_inputs`, replaced by what `body_fn(*carried)` gives as long as `cond_fn(*carried)`.

    Raises: RuntimeError if the body gives another number of values.
    """
    carried = tuple(carried_inputs)
    while cond_fn(*carried):
        found = body_fn(*carried)
        found = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(found) != len(carried):
            raise RuntimeError(
                f"while_loop: expected as many values from body_fn as are carried, {len(carried)}. "
                f"Got {len(found)}."
            )
        carried = found
    return carried
