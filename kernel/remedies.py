"""What would make a failed call work: candidates, run by the shape rules on the meta device.

A remedy is only named if the call with it runs; nothing of the user's is computed or changed.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator
from itertools import chain, combinations
from time import thread_time
from typing import Any

import flambeau as torch
from flambeau import Tensor, nn
from flambeau.magics.check.apart import apart
from flambeau.magics.check.devices import shadow_device
from flambeau.magics.check.fixes import layer_size, verified_fixes

from .failures import FailedCall
from .naming import Operand

MOST = 3  # remedies that are named
TRIED = 12  # rearrangements that are looked at for those that people mean
PATIENCE = 0.5  # s of processor time for trying
RARE = re.compile(r"\.(un)?squeeze\(|\.transpose\(|\.reshape\(|\.permute\(2")
"""Rearrangements that make many a call run and are seldom meant."""


class Trial:
    """Runs variants of a failed call on meta tensors."""

    def __init__(self, call: FailedCall) -> None:
        self.call = call
        self.ends = thread_time() + PATIENCE
        self._module = None if call.module is None else on_meta(call.module)

    def run(self, replaced: dict[str, Any]) -> Any:
        """The call's result with some of its arguments replaced, by role.

        Raises: whatever the call raises; what it warns of is no remedy either.
        """
        if thread_time() > self.ends:
            raise TimeoutError
        values = {role: _as_meta(v, role, replaced) for role, v in self.call.arguments.items()}
        with torch.random.fork_rng(), apart(gradients=False):
            warnings.simplefilter("error")
            if self._module is not None:
                return self._module.forward(**values)
            return self.call.run(values)

    def works(self, replaced: dict[str, Any]) -> bool:
        """Whether the call runs with some of its arguments replaced."""
        try:
            self.run(replaced)
        except Exception:
            return False
        return True


def _as_meta(value: Any, role: str, replaced: dict[str, Any]) -> Any:
    if role in replaced:
        return replaced[role]
    if isinstance(value, Tensor):
        return meta_like(value)
    if isinstance(value, list | tuple):
        items = [_as_meta(v, f"{role}[{k}]", replaced) for k, v in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    return value


def meta_like(tensor: Any, shape: Any = None, dtype: Any = None) -> Any:
    """A tensor without memory, on the shadow of the tensor's device, of the same shape and dtype,
    or of others."""
    place = shadow_device(tensor.device)
    return torch.empty(tuple(shape or tensor.shape), dtype=dtype or tensor.dtype, device=place)


def on_meta(module: nn.Module) -> nn.Module:
    """A copy of a layer with meta parameters and no hooks; the layer itself is not touched."""
    twin = copy.copy(module)
    state = dict(twin.__dict__)
    for table in ("_parameters", "_buffers"):
        state[table] = {n: None if t is None else meta_like(t) for n, t in state[table].items()}
    state["_modules"] = {n: None if m is None else on_meta(m) for n, m in state["_modules"].items()}
    twin.__dict__ = state
    return twin


def clash(trial: Trial) -> str:
    """The two dimensions that do not fit, if giving one the other's size would make it work."""
    operands = trial.call.operands
    for a, b in combinations(operands, 2):
        for i, j in _pairs(a, b):
            for one, k, other, m in ((a, i, b, j), (b, j, a, i)):
                if not one.is_given:
                    continue
                shape = list(one.tensor.shape)
                shape[k] = other.tensor.shape[m]
                if trial.works({one.role: meta_like(one.tensor, shape)}):
                    return f"{_dimension(a, i)}, {_dimension(b, j)}"
    return ""


def _pairs(a: Operand, b: Operand) -> Iterator[tuple[int, int]]:
    """Dimensions of different sizes, those at the same place from the end first."""
    left, right = a.tensor.shape, b.tensor.shape
    pairs = [(i, j) for i in range(len(left)) for j in range(len(right)) if left[i] != right[j]]
    pairs.sort(key=lambda p: abs((p[0] - len(left)) - (p[1] - len(right))))
    return iter(pairs)


def _dimension(operand: Operand, k: int) -> str:
    return f"dimension {k} of {operand.name or operand.role} is {operand.tensor.shape[k]}"


def remedies(trial: Trial) -> list[str]:
    """Up to three changes with which the call runs, as code where it can be said in code. Those
    that people rarely mean are only named if there is no other."""
    call = trial.call
    given = [o for o in call.operands if o.is_given]
    if not call.on_one_device:
        return list(_moves(call, given))
    moved = _rearrangements(trial, given)
    likely = chain(
        _conversions(trial, given),
        _layers(call),
        (text for text in moved if not RARE.search(text)),
        _sizes(trial, given),
    )
    found = list(dict.fromkeys(likely))
    return (found or moved)[:MOST]


def _moves(call: FailedCall, given: list[Operand]) -> Iterator[str]:
    """All operands on one device: the GPU if there is one, else that of the first."""
    places = [str(o.tensor.device) for o in call.operands]
    target = next((p for p in places if p.startswith("cuda")), places[0])
    moved = [o for o in given if str(o.tensor.device) != target]
    if moved:
        yield "; ".join(f"{_name(o)}.to({target!r})" for o in moved)


def _conversions(trial: Trial, given: list[Operand]) -> Iterator[str]:
    """Other dtypes: those of the other operands, indices, numbers."""
    others = [o.tensor.dtype for o in trial.call.operands]
    for operand in given:
        if operand.tensor.dtype == torch.bool:
            continue  # a mask is meant as one
        for dtype in dict.fromkeys([*others, torch.int64, torch.float32]):
            twin = meta_like(operand.tensor, dtype=dtype)
            if dtype != operand.tensor.dtype and trial.works({operand.role: twin}):
                short = {torch.int64: "long()", torch.float32: "float()"}.get(dtype, f"to({dtype})")
                yield f"{_name(operand)}.{short}"


def _layers(call: FailedCall) -> Iterator[str]:
    """The layer with the size that its input has."""
    if call.module is None:
        return
    inputs = [o.tensor for o in call.operands if o.is_given]
    found = layer_size(call.module, [meta_like(t) for t in inputs])
    if found is not None:
        name, _, wanted = found
        place = f" as {call.module_name}" if call.module_name else ""
        yield f"{type(call.module).__name__}({name}={wanted}){place}"


def _rearrangements(trial: Trial, given: list[Operand]) -> list[str]:
    """The same elements of an operand in another arrangement."""
    roles = [o.role for o in given]

    def call(*tensors: Any) -> Any:
        return trial.run(dict(zip(roles, tensors, strict=True)))

    tensors, names = [meta_like(o.tensor) for o in given], [_name(o) for o in given]
    found = verified_fixes(call, tensors, names=names, limit=TRIED)
    return [fix.text for fix in found if not fix.text.endswith((".float()", ".long()"))]


def _sizes(trial: Trial, given: list[Operand]) -> Iterator[str]:
    """A shape that was asked for, with one of its sizes left open."""
    for role, value in trial.call.arguments.items():
        sizes = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        if not isinstance(sizes, list | tuple) or any(type(n) is not int for n in sizes):
            continue
        for k in range(len(sizes)):
            opened = (*sizes[:k], -1, *sizes[k + 1 :])
            if trial.works({role: opened}):
                text = ", ".join(str(n) for n in opened)
                yield f"{_name(given[0])}.{trial.call.label}({text})"


def _name(operand: Operand) -> str:
    """The operand as code that a method can be called on."""
    text = operand.name or operand.role
    return text if re.fullmatch(r"[\w.]+", text) else f"({text})"
