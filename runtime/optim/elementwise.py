"""Steps that go element by element: one rule, read into one loop over the memory of all parameters.

A rule changes a parameter and its state arrays in place, given the gradient. It reads only numbers
besides, so that it may be run on symbols of a fused loop, and over any part of the arrays: over
blocks of large ones, over real and imaginary parts, over float32 copies of half types.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..backends.cpu import loops
from ..backends.cuda import launch
from ..core import dtypes
from ..core.creation import full_like, scalar_tensor
from ..core.dispatch import DispatchKey
from ..core.tensor import Tensor
from ..ops.arithmetic import abs, sign
from ..ops.clamping import maximum
from ..ops.complex_numbers import view_as_complex, view_as_real
from ..ops.elementary import sqrt
from .optimizer import Group, Optimizer

BLOCK = 24_576
"""Elements updated at a time: 96 KiB in float32. Parameter, gradient, two moments and what a rule
computes between stay in a core's L2 cache (1 MiB), and those temporaries below the 128 KiB from
which glibc maps fresh pages each time (measured with Adam: 65,536 elements took five times as
long)."""

HALVES = (dtypes.float16, dtypes.bfloat16)

SINGLE = (dtypes.float32, dtypes.complex64, *HALVES)
"""Types whose steps are computed in float32."""


def _maximum(x: Tensor, y: Tensor, out: Tensor) -> Tensor:
    return out.copy_(maximum(x.clone(), y))


def _clip(x: Tensor, least: float, largest: float, out: Tensor) -> Tensor:
    return out.copy_(x.clone().clamp(least, largest))


TENSORS = SimpleNamespace(absolute=abs, clip=_clip, maximum=_maximum, sign=sign, sqrt=sqrt)
"""What a rule finds in `xp` when it runs on tensors: what is written over is not saved."""

Rule = Callable[..., None]

LOOPED = (dtypes.float32, dtypes.float64)
WORTH_A_LOOP = 2048
"""Elements of all parameters together, from which on a fused loop pays: its call takes 6 us."""


def run_rules(rule: Rule, steps: list[tuple[Any, Tensor, list[Any]]]) -> None:
    """`rule(*given, xp, *arrays)` for each (given, p, arrays): the parameter `p`, `arrays` are its
    own, its gradient's and its state's.

    Steps with equal `given` go through memory together, in one fused loop or launch.
    """
    together: dict[Any, list[tuple[Tensor, list[Any]]]] = {}
    numbers: dict[Any, Any] = {}
    for given, p, arrays in steps:
        what = _identity(given) if p.is_cuda else given, p._key
        numbers[what] = given
        together.setdefault(what, []).append((p, arrays))
    for what, members in together.items():
        given = numbers[what]
        with members[0][0]._key.guard:
            rest = _run_loop(rule, given, members)
            values = constants(given, rest[0][0]) if rest else None
            for p, arrays in rest:
                _run_rule(rule, values, p, arrays)


def _identity(given: Any) -> Any:
    """What tells numbers from others: those on the GPU are arrays, told apart by address."""
    if isinstance(given, tuple):
        return tuple(map(_identity, given))
    return ("at", id(given)) if hasattr(given, "dtype") else given


def _run_loop(
    rule: Rule, given: Any, members: list[tuple[Tensor, list[Any]]]
) -> list[tuple[Tensor, list[Any]]]:
    """Run what one loop or launch for all can; the other ones are returned."""
    key = members[0][0]._key
    steps = _steps(key, sum([arrays[0].size for _, arrays in members]))
    if steps is None:
        return members
    fit, rest = [], []
    for p, arrays in members:
        is_fit = _are_alike(arrays)
        if not is_fit:
            arrays = _flattened(arrays)
            is_fit = _are_alike(arrays)
        if key.dtype.is_complex:  # pairs of real numbers
            arrays = [a.reshape(-1).view(a.real.dtype) for a in arrays]
        (fit if is_fit else rest).append((p, arrays))
    if fit:
        steps.run(rule, given, [arrays for _, arrays in fit])
    return rest


def _are_alike(arrays: list[Any]) -> bool:
    """Whether all are contiguous and of one dtype."""
    dtype = arrays[0].dtype
    for a in arrays:  # noqa: SIM110 - a third of the time of `all`
        if not a.flags.c_contiguous or a.dtype != dtype:
            return False
    return True


def _steps(key: DispatchKey, size: int) -> Any:
    """The module whose `run` takes parameters of `key`, so many elements, together; or None."""
    if key.device.type == "cuda" and launch.driver.is_available():
        from ..backends.cuda import steps as launches

        return launches
    is_looped = key.backend.xp is np and key.dtype in LOOPED and size >= WORTH_A_LOOP
    if is_looped and loops.is_available():
        from ..backends.cpu.loops import steps

        return steps
    return None


def _run_rule(rule: Rule, given: tuple[Any, ...], p: Tensor, arrays: list[Any]) -> None:
    """`rule(*given, xp, *arrays)`.

    Complex parameters are pairs of real ones. Half types are computed in float32 and rounded once.
    """
    xp = p._key.backend.xp
    dtype = p._key.dtype
    if p.is_meta:  # there are no values
        return
    if not arrays[0].ndim:  # of which operators would make scalars
        arrays = [a.reshape(1) for a in arrays]
    if dtype.is_complex:
        rule(*given, xp, *[a.real for a in arrays])
        rule(*given, xp, *[a.imag for a in arrays])
    elif dtype in HALVES:
        wide = [a.astype(xp.float32) for a in arrays]
        rule(*given, xp, *wide)
        for k, (array, result) in enumerate(zip(arrays, wide, strict=True)):
            if k != 1:  # the gradient
                array[...] = result
    elif xp is np and arrays[0].size > BLOCK:
        _run_blocks(rule, given, arrays)
    else:
        rule(*given, xp, *arrays)


def _run_blocks(rule: Rule, given: tuple[Any, ...], arrays: list[Any]) -> None:
    arrays = _flattened(arrays)
    length = len(arrays[0])
    rows = max(1, BLOCK * length // arrays[0].size)
    for start in range(0, length, rows):
        rule(*given, np, *[a[start : start + rows] for a in arrays])


def _flattened(arrays: list[Any]) -> list[Any]:
    """One-dimensional views of the arrays, in the order of their memory; the arrays themselves if
    there are gaps or their orders differ."""
    strides = arrays[0].strides
    if any(a.strides != strides for a in arrays):
        return arrays
    axes = sorted(range(len(strides)), key=lambda k: -strides[k])
    ordered = [a.transpose(axes) for a in arrays]
    return [a.reshape(-1) for a in ordered] if ordered[0].flags.c_contiguous else arrays


def run_recorded(
    rule: Rule, given: tuple[Any, ...], p: Tensor, state: dict[str, Any], names: list[str]
) -> None:
    """`rule` on copies of the tensors, so that gradients flow through the step.

    The state goes on as new tensors: what the graph has saved of the old ones stays.
    """
    tensors = [p, p.grad, *[state[name] for name in names]]
    if p.is_complex():
        tensors = [view_as_real(t) for t in tensors]
    tensors = [t.clone() for t in tensors]
    rule(*given, TENSORS, *tensors)
    if p.is_complex():
        tensors = [view_as_complex(t) for t in tensors]
    p.copy_(tensors[0])
    state.update(zip(names, tensors[2:], strict=True))


def constants(given: Any, p: Tensor) -> Any:
    """A tree of tuples with its numbers as 0-d arrays of the type that a rule on `p` computes in.

    NumPy takes them in half the time of Python numbers, which is 4 us of the 10 us of an Adam step
    for a small parameter. CuPy passes Python numbers to its kernels as they are.
    """
    if isinstance(given, tuple):
        return tuple([constants(g, p) for g in given])
    if given is None or isinstance(given, bool):
        return given
    if p._key.backend.xp is not np:  # an array is that of a recorded step, see `Elementwise`
        return given.astype(np.float32) if hasattr(given, "dtype") else given
    return np.asarray(given, np.float32 if p._key.dtype in SINGLE else np.float64)


def number(group: Group, option: str) -> Any:
    """The value of an option that may be a tensor; a tensor only where gradients flow to it."""
    value = group[option]
    if not isinstance(value, Tensor):
        return value
    if value.is_cuda and is_recording(value):
        return value._array.reshape(())
    return value.reshape(()) if group.get("differentiable") else value.item()


def is_recording(p: Tensor) -> bool:
    """Whether steps of `p` are recorded into a graph, and not done."""
    return bool(getattr(p._key.backend, "is_recording", False))


def _as_number(t: Any, p: Tensor) -> Any:
    """The number of a step of `p`, on the GPU while a graph is recorded."""
    if not isinstance(t, Tensor):
        return t
    return t._array.astype(np.float64) if is_recording(p) else t.item()


def counter(value: float = 0.0) -> Tensor:
    """A 0-d tensor for the number of steps and its like: float32, or the default if that is
    float64."""
    wide = dtypes.get_default_dtype() == dtypes.float64
    return scalar_tensor(value, dtype=dtypes.float64 if wide else dtypes.float32)


class Elementwise(Optimizer):
    """Base of optimizers whose rule goes element by element.

    Subclasses give `state_arrays`, `rule` and, where a step needs numbers besides its own,
    `numbers`. When a step is recorded into a CUDA graph, the number of steps moves to the GPU, one
    for all parameters that have made as many, and so do the numbers that follow from it: each
    replay counts.
    """

    def state_arrays(self, group: Group) -> dict[str, float]:
        """The state arrays in PyTorch's names, with the values they begin with."""
        raise NotImplementedError

    def scalars(self, group: Group) -> dict[str, float]:
        """0-d state besides the step number, with the values it begins with."""
        return {}

    def numbers(self, group: Group, state: dict[str, Any], t: float) -> tuple[Any, ...]:
        """What the rule needs besides arrays in step number `t`."""
        raise NotImplementedError

    def rule(self, numbers: tuple[Any, ...], xp: Any, p: Any, g: Any, *state: Any) -> None:
        """Change `p` and `state` in place by the gradient `g`, which has the weight decay in it.

        With `differentiable` these are tensors: use operators and what TENSORS has, and write over
        nothing that was an operand of more than sums.
        """
        raise NotImplementedError

    def start(self, group: Group, p: Tensor) -> dict[str, Any]:
        """The state before the first step."""
        state = self.state[p]
        state["step"] = counter()
        for name, value in self.scalars(group).items():
            state[name] = counter(value)
        for name, value in self.state_arrays(group).items():
            state[name] = full_like(p, complex(value, value) if p.is_complex() else value)
        return state

    def update(self, group: Group, parameters: list[Tensor]) -> None:
        names = list(self.state_arrays(group))
        known: dict[Any, tuple[Any, ...]] = {}
        steps = []
        clocks: dict[Any, Tensor] = {}
        for p in parameters:
            state = self.state[p] or self.start(group, p)
            step, t = self._advanced(state, p, clocks)
            given = known.get(step)
            if given is None:
                with p._key.guard:
                    given = self._given(group, state, _as_number(t, p))
                if not self.scalars(group):  # which may differ from parameter to parameter
                    known[step] = given
            if group["differentiable"]:
                run_recorded(self._decayed, given, p, state, names)
            else:
                arrays = [p._array, p._grad._array]  # type: ignore[union-attr]
                steps.append((given, p, arrays + [state[n]._array for n in names]))
        run_rules(self._decayed, steps)

    def _advanced(
        self, state: dict[str, Any], p: Tensor, clocks: dict[Any, Tensor]
    ) -> tuple[Any, Any]:
        """Count a step: what tells it from others, and its number, a tensor if it is kept on the
        GPU. `clocks` are the counts on the GPU that this step has met."""
        count = state["step"]
        if not count.is_cuda:
            if not (p.is_cuda and is_recording(p)):
                array = count._array
                array += 1
                return float(array), float(array)
            at = count.item(), p.device
            if at not in clocks:
                clocks[at] = count.to(p.device)
            count = state["step"] = clocks[at]
        if id(count) not in clocks:
            clocks[id(count)] = count
            with count._key.guard:
                count._array += 1
        return id(count), count

    def _given(
        self, group: Group, state: dict[str, Any], t: float
    ) -> tuple[bool, tuple[Any, ...], tuple[Any, ...]]:
        """Whether to go uphill, the weight decay (its share of the gradient, what it leaves of the
        parameter), and the rule's numbers."""
        decay = number(group, "weight_decay") if "weight_decay" in group else 0
        decays: tuple[Any, Any] = (decay, None) if decay else (None, None)
        if decay and group.get("decoupled_weight_decay"):
            decays = None, 1 - number(group, "lr") * decay
        return group["maximize"], decays, self.numbers(group, state, t)

    def _decayed(
        self, uphill: bool, decays: Any, numbers: Any, xp: Any, p: Any, g: Any, *arrays: Any
    ) -> None:
        """The rule on a gradient with its sign and weight decay."""
        share, rest = decays
        if uphill:
            g = -g
        if rest is not None:
            p *= rest
        elif share is not None:
            g = g + p * share
        self.rule(numbers, xp, p, g, *arrays)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for values in self.state.values():  # PyTorch once kept plain numbers there
            for name, value in values.items():
                if isinstance(value, int | float):
                    values[name] = counter(float(value))
