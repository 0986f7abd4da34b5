"""Random programs of operations, views and writes, differentiated, beside dual numbers in NumPy.

The oracle carries a tangent along with every value, in memory that views share just as values do.
What backward gives, multiplied by the direction in which the leaves move, must be that tangent.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

import flambeau as torch

from .drawing import LAYOUTS, examples, seeds, values

AXIS = st.integers(0, 2)
SHAPE = (3, 2, 4)
LAYOUT = st.sampled_from(sorted(LAYOUTS))


class Dual(NamedTuple):
    tensor: Any
    value: Any
    tangent: Any
    writable: bool


def apart_from(array: Any) -> Any:
    """Zeros in memory of their own, with the strides of `array`."""
    span = sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)) // 8 + 1
    memory = np.zeros(max(span, 1))
    return np.lib.stride_tricks.as_strided(memory, array.shape, array.strides)


class Program(RuleBasedStateMachine):
    """Each rule does one step to a tensor, its value and its tangent."""

    members = Bundle("members")

    def __init__(self) -> None:
        super().__init__()
        self.duals: list[Dual] = []
        self.leaves: list[Any] = []
        self.directions: list[Any] = []

    def keep(self, tensor: Any, value: Any, tangent: Any, writable: bool = True) -> int:
        self.duals.append(Dual(tensor, np.asarray(value), np.asarray(tangent), writable))
        return len(self.duals) - 1

    @initialize(target=members, seed=seeds, layout=LAYOUT)
    def leaf(self, seed: int, layout: str) -> int:
        array = values(SHAPE, torch.float64, seed, -1.0, 1.0)
        direction = values(SHAPE, torch.float64, seed ^ 5, -1.0, 1.0)
        leaf = LAYOUTS[layout](array).detach().requires_grad_()
        self.leaves.append(leaf)
        self.directions.append(direction)
        place = LAYOUTS[layout]
        return self.keep(leaf, place(array).numpy(), place(direction).numpy(), False)

    @rule(target=members, seed=seeds, layout=LAYOUT)
    def constant(self, seed: int, layout: str) -> int:
        array = values(SHAPE, torch.float64, seed, -1.0, 1.0)
        place = LAYOUTS[layout]
        return self.keep(place(array), place(array).numpy(), place(0 * array).numpy())

    # -- views -----------------------------------------------------------------------------------

    def view(self, k: int, of_tensor: Any, of_array: Any) -> int:
        tensor, value, tangent, writable = self.duals[k]
        return self.keep(of_tensor(tensor), of_array(value), of_array(tangent), writable)

    @rule(target=members, k=members, a=AXIS, b=AXIS)
    def transposed(self, k: int, a: int, b: int) -> int:
        a, b = a % max(n := self.duals[k].value.ndim, 1), b % max(n, 1)
        if n < 2:
            return k
        return self.view(k, lambda t: t.transpose(a, b), lambda x: x.swapaxes(a, b))

    @rule(target=members, k=members, a=AXIS, start=st.integers(0, 2), step=st.integers(1, 2))
    def sliced(self, k: int, a: int, start: int, step: int) -> int:
        if self.duals[k].value.ndim == 0:
            return k
        index = (slice(None),) * (a % self.duals[k].value.ndim) + (slice(start, None, step),)
        return self.view(k, lambda t: t[index], lambda x: x[index])

    @rule(target=members, k=members, at=st.integers(0, 1))
    def selected(self, k: int, at: int) -> int:
        value = self.duals[k].value
        if value.ndim == 0 or value.shape[0] <= at:
            return k
        return self.view(k, lambda t: t[at], lambda x: x[at, ...])

    @rule(target=members, k=members)
    def diagonal(self, k: int) -> int:
        if self.duals[k].value.ndim < 2:
            return k

        def of_array(x: Any) -> Any:
            shown = x.diagonal()
            shown.flags.writeable = x.flags.writeable
            return shown

        return self.view(k, lambda t: t.diagonal(), of_array)

    @rule(target=members, k=members)
    def expanded(self, k: int) -> int:
        tensor, value, tangent, _ = self.duals[k]
        if value.ndim > 3:
            return k
        shape = (2, *value.shape)
        return self.keep(tensor.expand(shape), np.broadcast_to(value, shape),
                         np.broadcast_to(tangent, shape), False)  # fmt: skip

    @rule(target=members, k=members)
    def detached(self, k: int) -> int:
        tensor, value, _, writable = self.duals[k]
        return self.keep(tensor.detach(), value, apart_from(value), writable)

    # -- new tensors -----------------------------------------------------------------------------

    @rule(target=members, k=members)
    def sine(self, k: int) -> int:
        tensor, value, tangent, _ = self.duals[k]
        return self.keep(tensor.clone().sin(), np.sin(value), np.cos(value) * tangent)

    @rule(target=members, k=members)
    def copied(self, k: int) -> int:
        tensor, value, tangent, _ = self.duals[k]
        return self.keep(tensor.clone(), value.copy("K"), tangent.copy("K"))

    @rule(target=members, k=members, j=members)
    def product(self, k: int, j: int) -> int:
        (x, value, tangent, _), (y, other, moved, _) = self.duals[k], self.duals[j]
        try:
            np.broadcast_shapes(value.shape, other.shape)
        except ValueError:
            return k
        slope = value * moved + other * tangent
        return self.keep(x.clone() * y.clone(), value * other, slope)

    @rule(target=members, k=members)
    def constant_under_no_grad(self, k: int) -> int:
        tensor, value, _, _ = self.duals[k]
        with torch.no_grad():
            result = tensor + 1.0
        return self.keep(result, value + 1.0, np.zeros_like(value))

    # -- writes ----------------------------------------------------------------------------------

    def pair(self, k: int, j: int) -> Any:
        """Target and source if the one can be written with the other."""
        target, source = self.duals[k], self.duals[j]
        try:
            shape = np.broadcast_shapes(target.value.shape, source.value.shape)
        except ValueError:
            return None
        return (target, source) if target.writable and shape == target.value.shape else None

    @rule(k=members, j=members, recorded=st.booleans())
    def added_in_place(self, k: int, j: int, recorded: bool) -> None:
        if (found := self.pair(k, j)) is None:
            return
        (x, value, tangent, _), (y, other, moved, _) = found
        with nullcontext() if recorded else torch.no_grad():
            x.add_(y)
        value += other.copy()
        if recorded:
            tangent += moved.copy()

    @rule(k=members, j=members)
    def multiplied_in_place(self, k: int, j: int) -> None:
        if (found := self.pair(k, j)) is None:
            return
        (x, value, tangent, _), (y, other, moved, _) = found
        x.mul_(y.clone())
        other, moved = other.copy(), moved.copy()
        tangent *= other
        tangent += value * moved
        value *= other

    @rule(k=members, j=members)
    def overwritten(self, k: int, j: int) -> None:
        if (found := self.pair(k, j)) is None:
            return
        (x, value, tangent, _), (y, other, moved, _) = found
        x.copy_(y)
        value[...] = other.copy()
        tangent[...] = moved.copy()

    @rule(k=members, j=members, start=st.integers(0, 2))
    def assigned(self, k: int, j: int, start: int) -> None:
        (x, value, tangent, writable), (y, other, moved, _) = self.duals[k], self.duals[j]
        if not writable or value.ndim == 0 or other.ndim == 0:
            return
        size = min(len(value[start:]), len(other))
        part = slice(start, start + size)
        try:
            shape = np.broadcast_shapes(value[part].shape, other[:size].shape)
        except ValueError:
            return
        if shape == value[part].shape:
            x[part] = y[:size]
            value[part] = other[:size].copy()
            tangent[part] = moved[:size].copy()

    @rule(k=members, number=st.sampled_from([0.0, 0.5]))
    def filled_where_positive(self, k: int, number: float) -> None:
        x, value, tangent, writable = self.duals[k]
        if not writable:
            return
        mask = value > 0
        x[x > 0] = number
        value[mask] = number
        tangent[mask] = 0

    @rule(k=members)
    def zeroed(self, k: int) -> None:
        x, value, tangent, writable = self.duals[k]
        if writable:
            x.zero_()
            value[...] = 0
            tangent[...] = 0

    # -- reads -----------------------------------------------------------------------------------

    @rule(k=members, create_graph=st.booleans())
    def differentiated(self, k: int, create_graph: bool) -> None:
        tensor, value, tangent, _ = self.duals[k]
        np.testing.assert_allclose(tensor.detach().numpy(), value, rtol=1e-12, atol=1e-12)
        weights = np.asarray(1 + np.arange(value.size).reshape(value.shape) / 7)
        total = (tensor * torch.from_numpy(weights)).sum()
        found = 0.0
        if total.requires_grad:
            grads = torch.autograd.grad(
                total, self.leaves, retain_graph=True, create_graph=create_graph, allow_unused=True
            )
            found = sum(
                float((g.detach().numpy() * d).sum())
                for g, d in zip(grads, self.directions, strict=True)
                if g is not None
            )
        scale = 1 + float(np.abs(weights * tangent).sum())
        assert abs(found - float((weights * tangent).sum())) < 1e-9 * scale

    def teardown(self) -> None:
        for k in range(len(self.duals)):
            self.differentiated(k, False)


TestProgram = Program.TestCase
TestProgram.settings = examples(30, stateful_step_count=20)
