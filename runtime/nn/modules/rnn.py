"""Recurrent layers, and their single steps."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ...core.creation import empty
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...ops import recurrent_layers
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "RNNBase",
    "RNNCell",
    "RNNCellBase",
]

GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
FUNCTIONS = {
    "LSTM": recurrent_layers.lstm,
    "GRU": recurrent_layers.gru,
    "RNN_TANH": recurrent_layers.rnn_tanh,
    "RNN_RELU": recurrent_layers.rnn_relu,
}


def _start(module: Module, hidden_size: int) -> None:
    """Draw all parameters uniformly from +-1 / sqrt(hidden_size)."""
    bound = 1.0 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


class RNNBase(Module):
    """What the recurrent layers share: parameters, and the forms of their inputs.

    For layer k, and again with `_reverse`: weight_ih_l{k} (gates * H, I), weight_hh_l{k}
    (gates * H, P), bias_ih_l{k} and bias_hh_l{k} (gates * H,), weight_hr_l{k} (P, H) with a
    projection; all start uniform in +-1 / sqrt(H). I is the input's size, or that of the outputs of
    the layer below.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self._check_options(mode, input_size, hidden_size, num_layers, dropout, proj_size)
        for which, flag in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(flag, bool):
                raise TypeError(
                    f"{mode}: expected True or False as {which}. Got {type(flag).__name__}."
                )
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional = float(dropout), bidirectional
        self.proj_size = proj_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                shapes = self._shapes(layer)
                names = [f"{name}_l{layer}{suffix}" for name in shapes]
                for name, shape in zip(names, shapes.values(), strict=True):
                    setattr(self, name, Parameter(empty(shape, device=device, dtype=dtype)))
                self._all_weights.append(names)
        self.reset_parameters()

    def _check_options(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int, dropout: float,
        proj_size: int,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        if mode not in GATES:
            raise ValueError(f"{name}: expected a mode of {', '.join(GATES)}. Got {mode!r}.")
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(f"{name}: expected dropout from 0 to 1. Got {dropout!r}.")
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for which, size in sizes.items():
            if not isinstance(size, int):
                raise TypeError(f"{name}: expected an int as {which}. Got {type(size).__name__}.")
            if size <= 0:
                raise ValueError(f"{name}: expected {which} above 0. Got {size}.")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"{name}: expected proj_size from 0 to below hidden_size {hidden_size}. Got "
                f"{proj_size}."
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"{name}: dropout {dropout} comes between layers, of which there is only one.",
                stacklevel=4,
            )

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _state_size(self) -> int:
        return self.proj_size or self.hidden_size

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """The shapes of a layer's parameters, by their names' beginnings."""
        rows = GATES[self.mode] * self.hidden_size
        below = self._state_size * self._directions if layer else self.input_size
        shapes: dict[str, tuple[int, ...]]
        shapes = {"weight_ih": (rows, below), "weight_hh": (rows, self._state_size)}
        if self.bias:
            shapes.update(bias_ih=(rows,), bias_hh=(rows,))
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        _start(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Nothing: the parameters need not lie in one piece here."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [weight for weights in self.all_weights for weight in weights]

    # -- forward ---------------------------------------------------------------------------------

    def _state_sizes(self) -> list[int]:
        """The sizes of the states."""
        return [self._state_size]

    def _checked_states(self, input: Tensor, hx: Any, batch: int, is_batched: bool) -> list[Tensor]:
        """States (layers * directions, batch, size), zeros if none are given.

        Raises: RuntimeError for other shapes.
        """
        rows, sizes = self.num_layers * self._directions, self._state_sizes()
        if hx is None:
            return [input.new_zeros(rows, batch, size) for size in sizes]
        states = list(hx) if len(sizes) > 1 else [hx]
        for state, size in zip(states, sizes, strict=True):
            wanted = (rows, batch, size) if is_batched else (rows, size)
            if tuple(state.shape) != wanted:
                raise ShapeError(
                    f"{type(self).__name__}: expected a state of shape {wanted}. Got "
                    f"{tuple(state.shape)}."
                )
        return states if is_batched else [state.unsqueeze(1) for state in states]

    def _check_input(self, input: Tensor, *ndim: int) -> None:
        name, weight = type(self).__name__, self._flat_weights[0]
        if input.ndim not in ndim:
            raise ValueError(
                f"{name}: expected input with {' or '.join(map(str, ndim))} dimensions. Got shape "
                f"{tuple(input.shape)}."
            )
        if input.dtype is not weight.dtype:
            raise ValueError(
                f"{name}: expected input of {weight.dtype}, as the weights are. Got {input.dtype}. "
                f"Convert it with input.to({weight.dtype})."
            )
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: expected input (..., {self.input_size}), as input_size says. Got "
                f"{tuple(input.shape)}."
            )

    def _run(self, input: Tensor, *args: Any, **options: Any) -> tuple[Tensor, list[Tensor]]:
        how = (self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        *begin, states = args
        hx = states if len(states) > 1 else states[0]
        call: Any = FUNCTIONS[self.mode]
        out, *last = call(input, *begin, hx, self._flat_weights, *how, **options)
        return out, last

    def forward(self, input: Any, hx: Any = None) -> Any:
        """(T, B, I), (B, T, I) if batch_first, (T, I) or packed -> the last layer's outputs in the
        same form, of size directions * P, and the last states (layers * directions, B, P).

        Raises: RuntimeError or ValueError for shapes or dtypes that do not fit.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        self._check_input(input, 2, 3)
        is_batched = input.ndim == 3
        axis = 0 if self.batch_first else 1
        rows = input if is_batched else input.unsqueeze(axis)
        states = self._checked_states(rows, hx, rows.shape[axis], is_batched)
        out, last = self._run(rows, states, batch_first=self.batch_first)
        if not is_batched:
            out, last = out.squeeze(axis), [state.squeeze(1) for state in last]
        return out, self._joined(last)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> Any:
        data, batch_sizes, order, inverse = input
        self._check_input(data, 2)
        states = self._checked_states(data, hx, int(batch_sizes[0]), True)
        if hx is not None and order is not None:
            states = [state.index_select(1, order) for state in states]
        out, last = self._run(data, batch_sizes, states)
        if inverse is not None:
            last = [state.index_select(1, inverse) for state in last]
        return PackedSequence(out, batch_sizes, order, inverse), self._joined(last)

    def _joined(self, states: list[Tensor]) -> Any:
        return states[0]

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        words = [f"{self.input_size}, {self.hidden_size}"]
        plain = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False}
        for name, usual in {**plain, "dropout": 0, "bidirectional": False}.items():
            value = getattr(self, name)
            if value != usual:
                words.append(f"{name}={value}")
        return ", ".join(words)


class RNN(RNNBase):
    """h = tanh(x @ weight_ih.mT + bias_ih + h @ weight_hh.mT + bias_hh) at each time, or relu.

    Arguments: input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True,
    batch_first=False, dropout=0.0 (between layers), bidirectional=False, device, dtype. See
    `RNNBase`. Source: Elman 1990, doi:10.1207/s15516709cog1402_1.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(self, kwargs)
        if len(args) > 3:
            self.nonlinearity = args[3]
            args = args[:3] + args[4:]
        else:
            self.nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"RNN: expected nonlinearity 'tanh' or 'relu'. Got {self.nonlinearity!r}."
            )
        super().__init__(f"RNN_{self.nonlinearity.upper()}", *args, **kwargs)


class LSTM(RNNBase):
    """i, f, o = sigmoid and g = tanh of x @ weight_ih.mT + bias_ih + h @ weight_hh.mT + bias_hh;
    c = f * c + i * g; h = o * tanh(c), times weight_hr.mT if `proj_size`, at each time.

    Arguments: input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0
    (between layers), bidirectional=False, proj_size=0, device, dtype. States are h and c. See
    `RNNBase`. Source: doi:10.1162/neco.1997.9.8.1735; projections: arXiv:1402.1128.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def _state_sizes(self) -> list[int]:
        return [self._state_size, self.hidden_size]

    def _joined(self, states: list[Tensor]) -> Any:
        return tuple(states)


class GRU(RNNBase):
    """r, z = sigmoid(x @ weight_ih.mT + bias_ih + h @ weight_hh.mT + bias_hh), n = tanh(the input's
    part + r * the state's part), h = (1 - z) * n + z * h at each time.

    Arguments: input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0
    (between layers), bidirectional=False, device, dtype. See `RNNBase`. Source: arXiv:1406.1078.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse_projection(self, kwargs)
        super().__init__("GRU", *args, **kwargs)


def _refuse_projection(module: Module, options: dict[str, Any]) -> None:
    if "proj_size" in options:
        raise ValueError(f"{type(module).__name__}: only LSTM has a proj_size.")


# -- single steps ----------------------------------------------------------------------------------


class RNNCellBase(Module):
    """What the cells share: weight_ih (chunks * H, I), weight_hh (chunks * H, H), bias_ih and
    bias_hh (chunks * H,), uniform in +-1 / sqrt(H) at the start."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        place = {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty(rows, input_size, **place))
        self.weight_hh = Parameter(empty(rows, hidden_size, **place))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, **place)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        _start(self, self.hidden_size)

    def _parameters_in_order(self) -> tuple[Tensor | None, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _require_ranks(self, input: Tensor, *states: Tensor) -> None:
        """Raises: ValueError for what has another number of dimensions than 1 or 2."""
        named = {"input": input, **{f"hx[{k}]": state for k, state in enumerate(states)}}
        for name, x in named.items():
            if x.ndim not in (1, 2):
                raise ValueError(
                    f"{type(self).__name__}: expected {name} with 1 or 2 dimensions. Got shape "
                    f"{tuple(x.shape)}."
                )

    def _zeros(self, input: Tensor) -> Tensor:
        return input.new_zeros((*input.shape[:-1], self.hidden_size))

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        words = [f"{self.input_size}, {self.hidden_size}"]
        words += [] if self.bias else ["bias=False"]
        nonlinearity = getattr(self, "nonlinearity", "tanh")
        return ", ".join(words + ([] if nonlinearity == "tanh" else [f"{nonlinearity=!s}"]))


class RNNCell(RNNCellBase):
    """One step of `RNN`: (B, I) or (I,), and h (B, H) or (H,), zeros unless given -> the next h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(B, I) and (B, H) -> (B, H). Raises: RuntimeError for another nonlinearity or shapes."""
        steps = {"tanh": recurrent_layers.rnn_tanh_cell, "relu": recurrent_layers.rnn_relu_cell}
        if self.nonlinearity not in steps:
            raise RuntimeError(
                f"RNNCell: expected nonlinearity 'tanh' or 'relu'. Got {self.nonlinearity!r}."
            )
        h = self._zeros(input) if hx is None else hx
        self._require_ranks(input, h)
        step: Any = steps[self.nonlinearity]
        return step(input, h, *self._parameters_in_order())


class LSTMCell(RNNCellBase):
    """One step of `LSTM`: (B, I) or (I,), and h and c, (B, H) or (H,) -> the next h and c."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """(B, I), and (h, c), each (B, H) -> (h, c). Raises: RuntimeError for other shapes."""
        states = (self._zeros(input), self._zeros(input)) if hx is None else hx
        self._require_ranks(input, *states)
        step: Any = recurrent_layers.lstm_cell
        return step(input, states, *self._parameters_in_order())


class GRUCell(RNNCellBase):
    """One step of `GRU`: (B, I) or (I,), and h (B, H) or (H,), zeros unless given -> the next h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(B, I) and (B, H) -> (B, H). Raises: RuntimeError for other shapes."""
        step: Any = recurrent_layers.gru_cell
        h = self._zeros(input) if hx is None else hx
        self._require_ranks(input, h)
        return step(input, h, *self._parameters_in_order())
