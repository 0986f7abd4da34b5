"""RNN, GRU and LSTM, in one or both directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.tensor import Tensor
from .registry import operator, torch

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], State]
"""From the input's share of the gates and the states before to the states."""

ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "affine": lambda x, a=1.0, b=0.0: a * x + b,
    "leakyrelu": lambda x, a=0.01: torch.nn.functional.leaky_relu(x, a),
    "thresholdedrelu": lambda x, a=1.0: torch.nn.functional.threshold(x, a, 0.0),
    "scaledtanh": lambda x, a=1.0, b=1.0: a * torch.tanh(b * x),
    "hardsigmoid": lambda x, a=0.2, b=0.5: torch.clamp(a * x + b, 0, 1),
    "elu": lambda x, a=1.0: torch.nn.functional.elu(x, a),
    "softsign": torch.nn.functional.softsign,
    "softplus": torch.nn.functional.softplus,
}
TAKES = {"affine": 2, "leakyrelu": 1, "thresholdedrelu": 1, "scaledtanh": 2, "hardsigmoid": 2,
         "elu": 1}  # fmt: skip
"""How many numbers activations take; the rest take none."""


class _Layer:
    """What the three operators have in common."""

    def __init__(
        self, x: Tensor, hidden: int, states: list[Tensor | None], lens: Tensor | None,
        direction: str, layout: int, activations: list[Callable[..., Tensor]], clip: float | None,
    ) -> None:  # fmt: skip
        self.x = x.transpose(0, 1) if layout else x
        self.layout, self.hidden, self.clip, self.lens = layout, hidden, clip, lens
        self.backwards = {"forward": [False], "reverse": [True]}.get(direction, [False, True])
        self.activations = activations
        shape = (len(self.backwards), self.x.shape[1], hidden)
        given = [s if s is None or not layout else s.transpose(0, 1) for s in states]
        self.states = [torch.zeros(shape, dtype=x.dtype) if s is None else s for s in given]

    def functions(self, direction: int, count: int) -> list[Callable[..., Tensor]]:
        """The activations of a direction, on clipped gates."""
        chosen = self.activations[direction * count : (direction + 1) * count]
        if self.clip is None:
            return chosen
        limit = self.clip
        return [lambda x, f=f: f(x.clamp(-limit, limit)) for f in chosen]  # type: ignore[misc]

    def run(self, gates: list[Tensor], steps: list[Step], outputs: int) -> Any:
        """All directions; (steps, directions, batch, hidden), and the last states."""
        rows, last = [], []
        for k, is_backwards in enumerate(self.backwards):
            out, states = self._direction(
                gates[k], steps[k], tuple(s[k] for s in self.states), is_backwards
            )
            rows.append(out)
            last.append(states)
        out = torch.stack(rows, 1)
        finals = [torch.stack(list(parts), 0) for parts in zip(*last, strict=True)]
        if self.layout:
            out, finals = out.permute(2, 0, 1, 3), [f.transpose(0, 1) for f in finals]
        results = (out, *finals)[:outputs]
        return results if outputs > 1 else out

    def _direction(self, gates: Tensor, step: Step, state: State, is_backwards: bool) -> Any:
        count = gates.shape[0]
        rows: list[Any] = [None] * count
        for t in reversed(range(count)) if is_backwards else range(count):
            new = step(gates[t], state)
            if self.lens is None:
                state = new
                rows[t] = new[0]
            else:
                goes_on = (t < self.lens).reshape(-1, 1)
                state = tuple(torch.where(goes_on, a, b) for a, b in zip(new, state, strict=True))
                rows[t] = torch.where(goes_on, new[0], torch.zeros_like(new[0]))
        return torch.stack(rows), state


def _activations(names: Any, alpha: Any, beta: Any, default: list[str], count: int) -> Any:
    """The functions by name, with their numbers."""
    alphas, betas = list(alpha or []), list(beta or [])
    found = []
    for name in names or default * count:
        key = name.lower()
        function = ACTIVATIONS[key]
        numbers = [*alphas[:1]] if TAKES.get(key, 0) > 0 else []
        del alphas[: len(numbers)]
        if TAKES.get(key, 0) > 1:
            numbers += betas[:1]
            del betas[:1]
        if numbers:
            function = lambda x, f=function, n=tuple(numbers): f(x, *n)  # noqa: E731
        found.append(function)
    return found


BLOCKS = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn_tanh": (0,), "rnn_relu": (0,)}
"""Where our blocks of gates stand in ONNX: i, f, g, o among i, o, f, c; r, z, n among z, r, h."""


def _by_layer(
    name: str, x: Tensor, w: Tensor, r: Tensor, bias: Tensor | None, states: list[Tensor | None],
    direction: str, outputs: int,
) -> Any:  # fmt: skip
    """The layer by our own function of that name, which runs all steps at once."""
    count, hidden = w.shape[0], r.shape[-1]
    is_reverse = direction == "reverse"

    def ordered(part: Tensor) -> Tensor:
        blocks = [part[k * hidden : (k + 1) * hidden] for k in BLOCKS[name]]
        return torch.cat(blocks) if len(blocks) > 1 else part  # type: ignore[no-any-return]

    weights: list[Tensor] = []
    for k in range(count):
        weights += [ordered(w[k]), ordered(r[k])]
        if bias is not None:
            weights += map(ordered, bias[k].chunk(2))
    zeros = torch.zeros((count, x.shape[1], hidden), dtype=x.dtype, device=x.device)
    initial = [zeros if s is None else s for s in states]
    out, *last = getattr(torch, name)(
        x.flip(0) if is_reverse else x, tuple(initial) if name == "lstm" else initial[0], weights,
        bias is not None, 1, 0.0, False, count == 2, False,
    )  # fmt: skip
    out = (out.flip(0) if is_reverse else out).unflatten(-1, (count, hidden)).transpose(1, 2)
    results = (out, *last)[:outputs]
    return results if outputs > 1 else out


def _is_usual(
    activations: Any, default: list[str], clip: Any, lens: Any, layout: int, *others: Any
) -> bool:
    """Whether a layer is what our functions do."""
    names = [n.lower() for n in activations or default]
    plain = [n.lower() for n in default] * (len(names) // len(default))
    return names == plain and clip is None and lens is None and not layout and not any(others)


def _biases(bias: Tensor | None, k: int, width: int) -> tuple[Any, Any]:
    """The halves for the input and for the state; zeros if there is none."""
    if bias is None:
        return 0.0, 0.0
    return bias[k, :width], bias[k, width:]


@operator("RNN")
def rnn(
    x: Tensor, w: Tensor, r: Tensor, bias: Tensor | None = None, lens: Tensor | None = None,
    state: Tensor | None = None, *, hidden_size: int | None = None, direction: str = "forward",
    activations: Any = None, activation_alpha: Any = None, activation_beta: Any = None,
    clip: float | None = None, layout: int = 0, output_sequence: int = 1, outputs: int,
) -> Any:  # fmt: skip
    """h = f(x W + h R + b)."""
    for kind in ("Tanh", "Relu"):
        if _is_usual(activations or ["Tanh"], [kind], clip, lens, layout):
            name = f"rnn_{kind.lower()}"
            return _by_layer(name, x, w, r, bias, [state], direction, outputs)
    hidden = r.shape[-1]
    functions = _activations(activations, activation_alpha, activation_beta, ["Tanh"], w.shape[0])
    layer = _Layer(x, hidden, [state], lens, direction, layout, functions, clip)
    gates, steps = [], []
    for k in range(w.shape[0]):
        b_in, b_state = _biases(bias, k, hidden)
        (f,) = layer.functions(k, 1)
        gates.append(layer.x @ w[k].t() + b_in + b_state)
        steps.append(lambda g, s, k=k, f=f: (f(g + s[0] @ r[k].t()),))
    return layer.run(gates, steps, outputs)


@operator("GRU")
def gru(
    x: Tensor, w: Tensor, r: Tensor, bias: Tensor | None = None, lens: Tensor | None = None,
    state: Tensor | None = None, *, hidden_size: int | None = None, direction: str = "forward",
    activations: Any = None, activation_alpha: Any = None, activation_beta: Any = None,
    clip: float | None = None, layout: int = 0, linear_before_reset: int = 0,
    output_sequence: int = 1, outputs: int,
) -> Any:  # fmt: skip
    """The gates z and r, and the new state h."""
    usual = ["Sigmoid", "Tanh"]
    if linear_before_reset and _is_usual(activations, usual, clip, lens, layout):
        return _by_layer("gru", x, w, r, bias, [state], direction, outputs)
    hidden = r.shape[-1]
    functions = _activations(activations, activation_alpha, activation_beta, usual, w.shape[0])
    layer = _Layer(x, hidden, [state], lens, direction, layout, functions, clip)
    gates, steps = [], []
    for k in range(w.shape[0]):
        b_in, b_state = _biases(bias, k, 3 * hidden)
        f, g = layer.functions(k, 2)
        gates.append(layer.x @ w[k].t() + b_in)

        def step(
            given: Tensor, s: State, k: int = k, f: Any = f, g: Any = g, b: Any = b_state
        ) -> State:
            h = s[0]
            rest = h @ r[k, : 2 * hidden].t()
            rest = rest + b[: 2 * hidden] if isinstance(b, Tensor) else rest
            z, reset = f(given[..., : 2 * hidden] + rest).chunk(2, -1)
            inner = h if linear_before_reset else reset * h
            product = inner @ r[k, 2 * hidden :].t()
            product = product + b[2 * hidden :] if isinstance(b, Tensor) else product
            product = reset * product if linear_before_reset else product
            new = g(given[..., 2 * hidden :] + product)
            return ((1 - z) * new + z * h,)

        steps.append(step)
    return layer.run(gates, steps, outputs)


@operator("LSTM")
def lstm(
    x: Tensor, w: Tensor, r: Tensor, bias: Tensor | None = None, lens: Tensor | None = None,
    state: Tensor | None = None, cell: Tensor | None = None, peepholes: Tensor | None = None, *,
    hidden_size: int | None = None, direction: str = "forward", activations: Any = None,
    activation_alpha: Any = None, activation_beta: Any = None, clip: float | None = None,
    layout: int = 0, input_forget: int = 0, output_sequence: int = 1, outputs: int,
) -> Any:  # fmt: skip
    """The gates i, o, f and c, with looks at the cell if there are peepholes."""
    usual, looks_in = ["Sigmoid", "Tanh", "Tanh"], peepholes is not None
    if _is_usual(activations, usual, clip, lens, layout, input_forget, looks_in):
        return _by_layer("lstm", x, w, r, bias, [state, cell], direction, outputs)
    hidden = r.shape[-1]
    functions = _activations(activations, activation_alpha, activation_beta, usual, w.shape[0])
    layer = _Layer(x, hidden, [state, cell], lens, direction, layout, functions, clip)
    gates, steps = [], []
    for k in range(w.shape[0]):
        b_in, b_state = _biases(bias, k, 4 * hidden)
        f, g, h = layer.functions(k, 3)
        gates.append(layer.x @ w[k].t() + b_in + b_state)
        looks = [0.0] * 3 if peepholes is None else list(peepholes[k].chunk(3, -1))

        def step(
            given: Tensor, s: State, k: int = k, f: Any = f, g: Any = g, h: Any = h, p: Any = looks
        ) -> State:
            before, c = s
            i, o, forget, new = (given + before @ r[k].t()).chunk(4, -1)
            i = f(i + p[0] * c)
            forget = 1 - i if input_forget else f(forget + p[2] * c)
            c = forget * c + i * g(new)
            return f(o + p[1] * c) * h(c), c

        steps.append(step)
    return layer.run(gates, steps, outputs)
