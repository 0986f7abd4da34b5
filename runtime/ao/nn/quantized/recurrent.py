"""Recurrent layers with weights of 8 bits: both products of each step by codes, the gates in
float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....core.tensor import Tensor
from ....nn.modules.module import Module
from ....nn.utils.rnn import PackedSequence
from ....ops.activations import relu
from ....ops.elementary import sigmoid, tanh
from ....ops.int8_recurrent import int8_gru_steps, int8_lstm_steps
from ....ops.joins import cat, stack
from ..weights import quantized_weight
from .linear import DynamicLinear, weight_observer

__all__ = ["GRU", "LSTM", "GRUCell", "LSTMCell", "RNNCell"]

States = tuple[Tensor, ...]


class _Dynamic(Module):
    """Made by `from_float` of the layer of `nn`, whose products become a `DynamicLinear` each."""

    count = 1  # of states

    def __init__(self, mod: Any) -> None:
        super().__init__()
        self.hidden_size = mod.hidden_size
        self.training = mod.training
        self._description = mod.extra_repr()

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """The dynamic layer of `mod`."""
        return cls(mod)

    def _take(self, mod: Any, name: str, side: str, suffix: str = "") -> None:
        """Make `name` the product by the weight and bias of mod's `side`, ih or hh."""
        weight, bias = (getattr(mod, f"{kind}_{side}{suffix}", None) for kind in ("weight", "bias"))
        made = DynamicLinear(weight.shape[1], weight.shape[0], bias is not None)
        made.set_weight_bias(quantized_weight(weight, weight_observer(mod)), bias)
        self.add_module(name, made)

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        return self._description

    def _get_name(self) -> str:
        return f"DynamicQuantized{type(self).__name__}"


# -- layers ----------------------------------------------------------------------------------------


class _Recurrent(_Dynamic):
    """What the layers share. Inputs and results as those of the layers of `nn`, packed sequences
    among them. Dropout is off, as the layer is for evaluation."""

    steps: Callable[..., States]

    def __init__(self, mod: Any) -> None:
        super().__init__(mod)
        if getattr(mod, "proj_size", 0):
            raise NotImplementedError(
                f"{type(self).__name__}: expected a layer without a projection. Got proj_size "
                f"{mod.proj_size}. Leave it out: quantize_dynamic(model, {{nn.Linear}})."
            )
        for name in ("input_size", "num_layers", "batch_first", "bidirectional"):
            setattr(self, name, getattr(mod, name))
        first = [names[0] for names in mod._all_weights]
        self._suffixes = [name[name.index("_l") :] for name in first]
        for suffix in self._suffixes:
            for side in ("ih", "hh"):
                self._take(mod, f"product_{side}{suffix}", side, suffix)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """(T, B, I), (B, T, I) if batch_first, (T, I) or packed -> outputs and last states."""
        if isinstance(input, PackedSequence):
            return self._packed(input, hx)
        own: Any = self
        is_batched, turns = input.ndim == 3, own.batch_first and input.ndim == 3
        rows = input if is_batched else input.unsqueeze(1)
        rows = rows.transpose(0, 1) if turns else rows
        times, batch = rows.shape[:2]
        given = None if hx is None else (hx if self.count > 1 else (hx,))
        if given is not None and not is_batched:
            given = [s.unsqueeze(1) for s in given]
        out, last = self._layers(rows.reshape(times * batch, -1), given, (batch,) * times)
        out = out.reshape(times, batch, out.shape[-1])
        if not is_batched:
            return out.squeeze(1), self._joined([s.squeeze(1) for s in last])
        return out.transpose(0, 1) if turns else out, self._joined(last)

    def _packed(self, input: PackedSequence, hx: Any) -> Any:
        order, back = input.sorted_indices, input.unsorted_indices
        given = None if hx is None else list(hx if self.count > 1 else (hx,))
        if given is not None and order is not None:
            given = [s.index_select(1, order) for s in given]
        out, last = self._layers(input.data, given, tuple(input.batch_sizes.tolist()))
        if back is not None:
            last = [s.index_select(1, back) for s in last]
        return PackedSequence(out, input.batch_sizes, order, back), self._joined(last)

    def _joined(self, states: list[Tensor]) -> Any:
        return tuple(states) if self.count > 1 else states[0]

    def _layers(
        self, rows: Tensor, given: Any, sizes: tuple[int, ...]
    ) -> tuple[Tensor, list[Tensor]]:
        """Packed rows -> packed outputs, and the last states of all layers and directions."""
        own: Any = self
        if given is None:
            shape = (len(self._suffixes), max(sizes, default=0), self.hidden_size)
            given = [rows.new_zeros(shape)] * self.count
        ends: list[States] = []
        directions = 2 if own.bidirectional else 1
        for layer in range(own.num_layers):
            outs = []
            for k in range(layer * directions, (layer + 1) * directions):
                begin = [state[k].contiguous() for state in given]
                out, *end = self._over_time(rows, k, begin, sizes)
                outs.append(out)
                ends.append(tuple(end))
            rows = outs[0] if len(outs) == 1 else cat(outs, -1)
        return rows, [stack([end[k] for end in ends]) for k in range(self.count)]

    def _over_time(
        self, rows: Tensor, k: int, states: list[Tensor], sizes: tuple[int, ...]
    ) -> States:
        own: Any = self
        by_input, by_state = (
            own._modules[f"product_{side}{self._suffixes[k]}"] for side in ("ih", "hh")
        )
        weight = by_state._weight
        weight.announce()
        return type(self).steps(
            by_input(rows), *(s.detach().float() for s in states), weight.codes, weight.scale,
            by_state.bias(), batch_sizes=sizes, reverse=own.bidirectional and k % 2 == 1,
        )  # fmt: skip


class LSTM(_Recurrent):
    """`nn.LSTM` with weights of 8 bits."""

    steps = staticmethod(int8_lstm_steps)
    count = 2


class GRU(_Recurrent):
    """`nn.GRU` with weights of 8 bits."""

    steps = staticmethod(int8_gru_steps)


# -- single steps ----------------------------------------------------------------------------------


class _Cell(_Dynamic):
    """One step; `_step` makes new states of the products and the old ones."""

    def __init__(self, mod: Any) -> None:
        super().__init__(mod)
        for side in ("ih", "hh"):
            self._take(mod, f"product_{side}", side)

    def _step(self, x: Tensor, h: Tensor, states: States) -> States:
        raise NotImplementedError

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """(B, I) or (I,), and states (B, H) or (H,) -> the next states."""
        own: Any = self
        if hx is None:
            zeros = input.new_zeros((*input.shape[:-1], self.hidden_size))
            hx = (zeros,) * self.count if self.count > 1 else zeros
        states = tuple(hx) if self.count > 1 else (hx,)
        found = self._step(own.product_ih(input), own.product_hh(states[0]), states)
        return found if self.count > 1 else found[0]


class LSTMCell(_Cell):
    """`nn.LSTMCell` with weights of 8 bits."""

    count = 2

    def _step(self, x: Tensor, h: Tensor, states: States) -> States:
        i, f, g, o = (x + h).chunk(4, -1)
        c = sigmoid(f) * states[1] + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c


class GRUCell(_Cell):
    """`nn.GRUCell` with weights of 8 bits."""

    def _step(self, x: Tensor, h: Tensor, states: States) -> States:
        (xr, xz, xn), (hr, hz, hn) = x.chunk(3, -1), h.chunk(3, -1)
        n, z = tanh(xn + sigmoid(xr + hr) * hn), sigmoid(xz + hz)
        return (n + z * (states[0] - n),)


class RNNCell(_Cell):
    """`nn.RNNCell` with weights of 8 bits."""

    def __init__(self, mod: Any) -> None:
        super().__init__(mod)
        self.nonlinearity = mod.nonlinearity

    def _step(self, x: Tensor, h: Tensor, states: States) -> States:
        return ((relu if self.nonlinearity == "relu" else tanh)(x + h),)
