"""An optimizer that works on other parameters for a while."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from ..core.tensor import Tensor
from .optimizer import Optimizer


@contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer, swapin_parameters: dict[str, Tensor], swapin_optim_state: dict[str, Any]
) -> Iterator[None]:
    """Within the block `optimizer` has these parameters, in the order of its own, and this state,
    as `state_dict()` gives it; afterwards all is as before.

    A step within the block writes to the tensors given; tensors and options that it makes anew are
    dropped with the block.
    Raises: RuntimeError if the optimizer has no state yet, or the one given does not fit it.
    """
    if not optimizer.state:
        raise RuntimeError("Expected an optimizer with state. Got one before its first step.")
    state, groups = _fitting(optimizer, swapin_optim_state)
    parameters = iter(swapin_parameters.values())
    swapped: defaultdict[Any, Any] = defaultdict(dict)
    replaced = []
    for group in groups:
        tensors = list(islice(parameters, len(group["params"])))
        if len(tensors) < len(group["params"]):
            raise RuntimeError(
                f"Expected {sum(len(g['params']) for g in groups)} parameters. Got "
                f"{len(swapin_parameters)}."
            )
        for number, tensor in zip(group["params"], tensors, strict=True):
            swapped[tensor] = dict(state.get(number, {}))
        replaced.append({**group, "params": tensors})
    own_state, own_groups = optimizer.state, [dict(g) for g in optimizer.param_groups]
    try:
        optimizer.state = swapped
        _replace(optimizer, replaced)
        yield
    finally:
        optimizer.state = own_state
        _replace(optimizer, own_groups)


def _replace(optimizer: Optimizer, contents: list[dict[str, Any]]) -> None:
    """Give the groups, which others may hold, these contents."""
    for group, content in zip(optimizer.param_groups, contents, strict=True):
        group.clear()
        group.update(content)


def _fitting(optimizer: Optimizer, given: Any) -> tuple[dict[Any, Any], list[dict[str, Any]]]:
    """State and groups of `given`. Raises: RuntimeError unless they fit the optimizer's."""
    state, groups = (
        (given.get("state"), given.get("param_groups")) if isinstance(given, dict) else (None, None)
    )
    if not isinstance(state, dict) or not isinstance(groups, list):
        raise RuntimeError(
            "Expected a state as `state_dict()` gives it, with 'state' and 'param_groups'."
        )
    ours = [(len(g["params"]), set(g)) for g in optimizer.param_groups]
    theirs = [(len(g["params"]), set(g)) if isinstance(g, dict) else None for g in groups]
    if ours != theirs:
        raise RuntimeError(
            "Expected groups with as many parameters and the same options as the optimizer's. Got "
            "others."
        )
    numbers = {number for group in groups for number in group["params"]}
    strangers = [key for key in state if key not in numbers]
    if strangers:
        raise RuntimeError(f"Expected a state for the groups' parameters. Got keys {strangers}.")
    return state, groups
