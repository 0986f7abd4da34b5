"""What would make a failed call work: candidates, run by the shape rules on the meta device.

A remedy is only named if the call with it runs; nothing of the user's is computed or changed.
"""

from __future__ import annotations

import copy
import inspect
import re
import warnings
from collections.abc import Iterator
from itertools import chain, combinations
from time import perf_counter
from typing import Any

import flambeau as torch
from flambeau import Tensor, nn

from .failures import FailedCall
from .naming import Operand

MOST = 3  # remedies that are named
PATIENCE = 0.3  # s for trying
LAYER_SIZES = ("in_features", "in_channels", "num_features", "input_size", "normalized_shape",
               "num_channels", "embed_dim", "d_model")  # fmt: skip
"""Arguments of layers that say what inputs they take."""


class Trial:
    """Runs variants of a failed call on meta tensors."""

    def __init__(self, call: FailedCall) -> None:
        self.call = call
        self.ends = perf_counter() + PATIENCE
        self._module = None if call.module is None else on_meta(call.module)

    def works(self, replaced: dict[str, Any], module: nn.Module | None = None) -> bool:
        """Whether the call runs with some of its tensors replaced, by role; or on another layer."""
        if perf_counter() > self.ends:
            return False
        values = {role: _as_meta(v, role, replaced) for role, v in self.call.arguments.items()}
        target = module or self._module
        try:
            with torch.no_grad(), torch.random.fork_rng(), warnings.catch_warnings():
                warnings.simplefilter("error")  # what is warned of is no remedy
                if target is None:
                    self.call.run(values)
                else:
                    target.forward(**values)
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
    """A meta tensor of the same shape and dtype, or of others."""
    return torch.empty(tuple(shape or tensor.shape), dtype=dtype or tensor.dtype, device="meta")


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
                    return f"{_dimension(one, k)}, {_dimension(other, m)}"
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
        return _working(trial, _moves(call, given))
    likely = chain(
        _conversions(call, given), _layers(call), *map(_turns, given), _sizes(call, given)
    )
    return _working(trial, likely) or _working(trial, chain(*map(_reshapes, given)))


Candidate = tuple[str, dict[str, Any], nn.Module | None]
"""What to say, tensors in place of operands (by role), a layer in place of the one that failed."""


def _working(trial: Trial, candidates: Iterator[Candidate]) -> list[str]:
    found: list[str] = []
    for text, replaced, module in candidates:
        if text not in found and trial.works(replaced, module):
            found.append(text)
        if len(found) == MOST or perf_counter() > trial.ends:
            break
    return found


def _moves(call: FailedCall, given: list[Operand]) -> Iterator[Candidate]:
    """All operands on one device: the GPU if there is one, else that of the first."""
    places = [str(o.tensor.device) for o in call.operands]
    target = next((p for p in places if p.startswith("cuda")), places[0])
    moved = [o for o in given if str(o.tensor.device) != target]
    if moved:
        yield "; ".join(f"{_name(o)}.to({target!r})" for o in moved), {}, None


def _conversions(call: FailedCall, given: list[Operand]) -> Iterator[Candidate]:
    """Other dtypes: those of the other operands, indices, numbers."""
    for operand in given:
        others = [o.tensor.dtype for o in call.operands]
        for dtype in dict.fromkeys([*others, torch.int64, torch.float32]):
            if dtype != operand.tensor.dtype:
                short = {torch.int64: "long()", torch.float32: "float()"}.get(dtype, f"to({dtype})")
                twin = meta_like(operand.tensor, dtype=dtype)
                yield f"{_name(operand)}.{short}", {operand.role: twin}, None


def _layers(call: FailedCall) -> Iterator[Candidate]:
    """The layer with another size of input, taken from its input."""
    module = call.module
    if module is None:
        return
    sizes = [n for o in call.operands if o.is_given for n in reversed(o.tensor.shape)]
    parameters = inspect.signature(type(module)).parameters
    place = f" as {call.module_name}" if call.module_name else ""
    for name in LAYER_SIZES:
        if name in parameters and hasattr(module, name):
            for size in dict.fromkeys(sizes):
                twin = _rebuilt(module, name, size)
                if twin is not None:
                    yield f"{type(module).__name__}({name}={size}){place}", {}, twin


def _rebuilt(module: nn.Module, name: str, size: int) -> nn.Module | None:
    """A layer of the same kind on meta, with one argument of its constructor changed."""
    options = {}
    for key in inspect.signature(type(module)).parameters:
        value = getattr(module, key, None)
        if key == "bias":
            value = value is not None and value is not False
        if value is not None and key not in ("device", "dtype"):
            options[key] = value
    try:
        return type(module)(**{**options, name: size, "device": "meta"}).train(module.training)
    except Exception:
        return None  # its constructor keeps its arguments under other names


def _turns(operand: Operand) -> Iterator[Candidate]:
    """What people forget: transposing, channels first, flattening images."""
    twin = meta_like(operand.tensor)
    if twin.ndim >= 2:
        yield f"{_name(operand)}.mT", {operand.role: twin.mT}, None
    if twin.ndim == 4:
        code = f"{_name(operand)}.permute(0, 3, 1, 2)"
        yield code, {operand.role: twin.permute(0, 3, 1, 2)}, None
    if twin.ndim > 2:
        yield f"{_name(operand)}.flatten(1)", {operand.role: twin.flatten(1)}, None


def _reshapes(operand: Operand) -> Iterator[Candidate]:
    """Dimensions of size 1 taken away or put in, any two dimensions swapped."""
    twin, name, role = meta_like(operand.tensor), _name(operand), operand.role
    for k in range(twin.ndim):
        if twin.shape[k] == 1:
            yield f"{name}.squeeze({k})", {role: twin.squeeze(k)}, None
    for k in (0, 1, -1) if 0 < twin.ndim < 4 else ():
        yield f"{name}.unsqueeze({k})", {role: twin.unsqueeze(k)}, None
    for a, b in combinations(range(twin.ndim), 2):
        yield f"{name}.transpose({a}, {b})", {role: twin.transpose(a, b)}, None


def _sizes(call: FailedCall, given: list[Operand]) -> Iterator[Candidate]:
    """A shape that was asked for, with one of its sizes left open."""
    for role, value in call.arguments.items():
        sizes = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        if not isinstance(sizes, list | tuple) or any(type(n) is not int for n in sizes):
            continue
        for k in range(len(sizes)):
            opened = (*sizes[:k], -1, *sizes[k + 1 :])
            text = ", ".join(str(n) for n in opened)
            yield f"{_name(given[0])}.{call.label}({text})", {role: opened}, None


def _name(operand: Operand) -> str:
    """The operand as code that a method can be called on."""
    text = operand.name or operand.role
    return text if re.fullmatch(r"[\w.]+", text) else f"({text})"
