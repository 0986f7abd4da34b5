"""Steps by sparse gradients, as `Embedding(sparse=True)` gives them: other rows do not change.

SGD and Adagrad take them, each by a rule of its own here; `SparseAdam` is made for them; the
others refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.sparse import sparse_key
from ..core.creation import scalar_tensor
from ..core.sparse_arrays import SparseArray, module_of
from ..core.tensor import Tensor, wrap

Rule = Callable[[dict[str, Any], dict[str, Any], Tensor, SparseArray], None]


def step_sparse(optimizer: Any, group: dict[str, Any], parameters: list[Tensor]) -> list[Tensor]:
    """Change those of `parameters` whose gradients are sparse; the rest is returned.

    Raises: RuntimeError if the optimizer has no rule for sparse gradients.
    """
    if optimizer.takes_sparse_gradients:
        return parameters
    rest = []
    for p in parameters:
        g = p._grad._array  # type: ignore[union-attr]
        if g.__class__ is not SparseArray:
            rest.append(p)
            continue
        rule = next(
            (RULES[c.__name__] for c in type(optimizer).__mro__ if c.__name__ in RULES), None
        )
        if rule is None:
            raise RuntimeError(
                f"{type(optimizer).__name__}: expected dense gradients. Got a sparse one for a "
                f"parameter of shape {tuple(p.shape)}. Use SparseAdam, SGD or Adagrad, or "
                "sparse=False in the embedding."
            )
        if group["weight_decay"]:
            raise RuntimeError(
                f"{type(optimizer).__name__}: expected no weight_decay with sparse gradients, as "
                f"it would change all rows. Got {group['weight_decay']}."
            )
        with p._key.guard:
            rule(group, optimizer.state[p], p, g * -1.0 if group["maximize"] else g)
    return rest


def _sgd(group: dict[str, Any], state: dict[str, Any], p: Tensor, g: SparseArray) -> None:
    """As SGD does it; the momentum is a sparse tensor of all rows that ever had a gradient."""
    momentum = group["momentum"]
    if momentum:
        before = state.get("momentum_buffer")
        if before is None:
            velocity = g.copy()
        else:
            velocity = before._array * momentum + g * (1 - group["dampening"])
        velocity = velocity.coalesced()  # or it grows from step to step
        state["momentum_buffer"] = wrap(velocity, sparse_key(p.device, p.dtype))
        g = g + velocity * momentum if group["nesterov"] else velocity
    add_to(p._array, g * -float(group["lr"]))


def _adagrad(group: dict[str, Any], state: dict[str, Any], p: Tensor, g: SparseArray) -> None:
    """As Adagrad does it, in the rows of the gradient."""
    g = g.coalesced()
    rows = tuple(g.indices)
    xp = module_of(g.values)
    if "sum" not in state:
        start = group["initial_accumulator_value"]
        state["sum"] = wrap(xp.full(p.shape, start, g.values.dtype), p._key)
        state["step"] = scalar_tensor(0.0)
    state["step"] += 1
    rate = float(group["lr"]) / (1 + (float(state["step"]) - 1) * group["lr_decay"])
    total = state["sum"]._array
    total[rows] += g.values * g.values
    p._array[rows] -= rate * g.values / (xp.sqrt(total[rows]) + group["eps"])


RULES: dict[str, Rule] = {"SGD": _sgd, "Adagrad": _adagrad}


def add_to(array: Any, g: SparseArray) -> None:
    """Add a sparse array to another array in place."""
    if array.__class__ is SparseArray:
        array += g
        return
    found = g.coalesced()
    array[tuple(found.indices)] += found.values
