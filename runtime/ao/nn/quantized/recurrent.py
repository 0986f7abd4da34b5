"""Recurrent layers with weights of 8 bits: both products of each step by `DynamicLinear`, the gates
in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....core.tensor import Tensor
from ....nn.modules.module import Module
from ....nn.utils.rnn import PackedSequence
from ....ops.activations import relu
from ....ops.elementary import sigmoid, tanh
from ....ops.joins import cat, stack
from ..weights import quantized_weight
from .linear import DynamicLinear, weight_observer

__all__ = ["GRU", "LSTM", "GRUCell", "LSTMCell", "RNNCell"]

States = tuple[Tensor, ...]
Step = Callable[[Tensor, Tensor, States], States]


def _lstm(x: Tensor, h: Tensor, states: States) -> States:
    i, f, g, o = (x + h).chunk(4, -1)
    c = sigmoid(f) * states[1] + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def _gru(x: Tensor, h: Tensor, states: States) -> States:
    (xr, xz, xn), (hr, hz, hn) = x.chunk(3, -1), h.chunk(3, -1)
    n, z = tanh(xn + sigmoid(xr + hr) * hn), sigmoid(xz + hz)
    return (n + z * (states[0] - n),)


def _tanh(x: Tensor, h: Tensor, states: States) -> States:
    return (tanh(x + h),)


def _relu(x: Tensor, h: Tensor, states: States) -> States:
    return (relu(x + h),)


def _product(weight: Tensor, bias: Tensor | None, observer: Any) -> DynamicLinear:
    made = DynamicLinear(weight.shape[1], weight.shape[0], bias is not None)
    made.set_weight_bias(quantized_weight(weight, observer), bias)
    return made


class _Recurrent(Module):
    """What the layers share; made by `from_float` of the layer of `nn`. Inputs and results as
    there, but for packed sequences. Dropout is off, as the layer is for evaluation."""

    step: Step
    count = 1  # of states

    def __init__(self, mod: Any) -> None:
        super().__init__()
        if getattr(mod, "proj_size", 0):
            raise NotImplementedError(
                f"{type(self).__name__}: expected a layer without a projection. Got proj_size "
                f"{mod.proj_size}. Leave it out: quantize_dynamic(model, {{nn.Linear}})."
            )
        for name in ("input_size", "hidden_size", "num_layers", "batch_first", "bidirectional"):
            setattr(self, name, getattr(mod, name))
        self._description = mod.extra_repr()
        self._names = []
        for names in mod._all_weights:
            found = {n[: n.index("_l")]: n for n in names}
            suffix = names[0][names[0].index("_l") :]
            for side in ("ih", "hh"):
                weight = getattr(mod, found[f"weight_{side}"])
                bias = getattr(mod, found[f"bias_{side}"]) if mod.bias else None
                product = _product(weight, bias, weight_observer(mod))
                self.add_module(f"product_{side}{suffix}", product)
            self._names.append(suffix)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The dynamic layer of `mod`."""
        made = cls(mod)
        made.training = mod.training
        return made

    def forward(self, input: Any, hx: Any = None) -> Any:
        """(T, B, I), (B, T, I) if batch_first, or (T, I) -> outputs and last states."""
        if isinstance(input, PackedSequence):
            raise TypeError(
                f"{self._get_name()}: expected a tensor. Got a packed sequence. Pad it with "
                "torch.nn.utils.rnn.pad_packed_sequence."
            )
        own: Any = self
        is_batched, first = input.ndim == 3, own.batch_first
        rows = input if is_batched else input.unsqueeze(1)
        rows = rows.transpose(0, 1) if first and is_batched else rows
        states = self._begin(rows, hx, is_batched)
        out, last = self._layers(rows, states)
        out = out.transpose(0, 1) if first and is_batched else out
        if not is_batched:
            out, last = out.squeeze(1), [s.squeeze(1) for s in last]
        return out, tuple(last) if self.count > 1 else last[0]

    def _begin(self, rows: Tensor, hx: Any, is_batched: bool) -> list[Tensor]:
        own: Any = self
        if hx is None:
            shape = (len(self._names), rows.shape[1], own.hidden_size)
            return [rows.new_zeros(shape)] * self.count
        states = list(hx) if self.count > 1 else [hx]
        return states if is_batched else [s.unsqueeze(1) for s in states]

    def _layers(self, rows: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        own: Any = self
        ends: list[States] = []
        directions = 2 if own.bidirectional else 1
        for layer in range(own.num_layers):
            outs = []
            for direction in range(directions):
                k = layer * directions + direction
                begin = tuple(state[k] for state in states)
                out, end = self._over_time(rows, self._names[k], begin, direction == 1)
                outs.append(out)
                ends.append(end)
            rows = outs[0] if len(outs) == 1 else cat(outs, -1)
        return rows, [stack([end[k] for end in ends]) for k in range(self.count)]

    def _over_time(
        self, rows: Tensor, suffix: str, states: States, is_reversed: bool
    ) -> tuple[Tensor, States]:
        own: Any = self
        by_input = own._modules[f"product_ih{suffix}"](rows)
        by_state = own._modules[f"product_hh{suffix}"]
        outs = []
        times = range(len(rows))
        for t in reversed(times) if is_reversed else times:
            states = type(self).step(by_input[t], by_state(states[0]), states)
            outs.append(states[0])
        return stack(outs[::-1] if is_reversed else outs), states

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        return self._description

    def _get_name(self) -> str:
        return f"DynamicQuantized{type(self).__name__}"


class LSTM(_Recurrent):
    """`nn.LSTM` with weights of 8 bits."""

    step = staticmethod(_lstm)
    count = 2


class GRU(_Recurrent):
    """`nn.GRU` with weights of 8 bits."""

    step = staticmethod(_gru)


class _Cell(Module):
    """One step; made by `from_float` of the cell of `nn`."""

    step: Step
    count = 1

    def __init__(self, mod: Any) -> None:
        super().__init__()
        self.hidden_size = mod.hidden_size
        self._description = mod.extra_repr()
        observer = weight_observer
        self.product_ih = _product(mod.weight_ih, mod.bias_ih, observer(mod))
        self.product_hh = _product(mod.weight_hh, mod.bias_hh, observer(mod))

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The dynamic cell of `mod`."""
        made = cls(mod)
        made.training = mod.training
        return made

    def _step(self) -> Step:
        return type(self).step

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """(B, I) or (I,), and states (B, H) or (H,) -> the next states."""
        if hx is None:
            zeros = input.new_zeros((*input.shape[:-1], self.hidden_size))
            hx = (zeros,) * self.count if self.count > 1 else zeros
        states = tuple(hx) if self.count > 1 else (hx,)
        found = self._step()(self.product_ih(input), self.product_hh(states[0]), states)
        return found if self.count > 1 else found[0]

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        return self._description

    def _get_name(self) -> str:
        return f"DynamicQuantized{type(self).__name__}"


class LSTMCell(_Cell):
    """`nn.LSTMCell` with weights of 8 bits."""

    step = staticmethod(_lstm)
    count = 2


class GRUCell(_Cell):
    """`nn.GRUCell` with weights of 8 bits."""

    step = staticmethod(_gru)


class RNNCell(_Cell):
    """`nn.RNNCell` with weights of 8 bits."""

    def __init__(self, mod: Any) -> None:
        super().__init__(mod)
        self.nonlinearity = mod.nonlinearity

    def _step(self) -> Step:
        return _relu if self.nonlinearity == "relu" else _tanh
