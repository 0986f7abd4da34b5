"""Activation checkpointing: compute a part of the network again instead of keeping its insides.

Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import random
from ..autograd.grad_mode import enable_grad, is_grad_enabled
from ..autograd.graph import saved_tensors_hooks
from ..core.tensor import Tensor

__all__ = ["checkpoint", "checkpoint_sequential"]


class _Recomputation:
    """What one checkpointed call saved, as numbers until the backward pass asks for values."""

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, keeps: bool) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.random_state = _random_state() if keeps else []
        self.count = 0
        self.values: list[Tensor] = []

    def pack(self, tensor: Tensor) -> int:
        """The number of this saved tensor."""
        self.count += 1
        return self.count - 1

    def unpack(self, number: int) -> Tensor:
        """The saved tensor; the first request computes all."""
        if not self.values:
            self._compute()
        if number >= len(self.values):
            raise RuntimeError(
                f"checkpoint: expected the function to save {self.count} tensors each time. The "
                f"second time it saved {len(self.values)}. It must do the same twice."
            )
        return self.values[number]

    def _compute(self) -> None:
        def keep(tensor: Tensor) -> int:
            self.values.append(tensor)
            return len(self.values) - 1

        before = _random_state()
        _go_on_from(self.random_state)
        try:
            with enable_grad(), saved_tensors_hooks(keep, lambda k: self.values[k]):
                self.function(*self.args, **self.kwargs)
        finally:
            _go_on_from(before)


def _random_state() -> list[tuple[random.Generator, Tensor]]:
    """Where the generators of all devices stand."""
    return [(g, g.get_state()) for g in random.generators()]


def _go_on_from(states: list[tuple[random.Generator, Tensor]]) -> None:
    for generator, state in states:
        generator.set_state(state)


def get_device_states(*args: Any) -> tuple[list[int], list[Tensor]]:
    """The GPUs that tensors among `args` are on, and the states of their random streams."""
    from .. import cuda

    found = {a.device.index for a in args if isinstance(a, Tensor) and a.device.type == "cuda"}
    numbers = sorted(found)
    return numbers, [cuda.get_rng_state(number) for number in numbers]


def set_device_states(
    devices: list[int], states: list[Tensor], *, device_type: str | None = None
) -> None:
    """Take the random streams of GPUs back to where `get_device_states` found them."""
    from .. import cuda

    for number, state in zip(devices, states, strict=True):
        cuda.set_rng_state(state, number)


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Any = None,
    determinism_check: str = "default",
    preserve_rng_state: bool = True,
    debug: bool = False,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), whose insides are computed again in the backward pass instead of
    being kept. Random numbers repeat if `preserve_rng_state`.

    Raises: RuntimeError in the backward pass if the function does something else the second time.
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    again = _Recomputation(function, args, kwargs, preserve_rng_state)
    with saved_tensors_hooks(again.pack, again.unpack):
        return function(*args, **kwargs)


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """The functions (or the children of a Sequential) one after the other, each of `segments`
    parts but the last as a checkpoint."""
    chain = list(functions.children()) if hasattr(functions, "children") else list(functions)
    size = max(len(chain) // segments, 1)

    def run(first: int, last: int) -> Callable[[Any], Any]:
        def part(value: Any) -> Any:
            for function in chain[first:last]:
                value = function(value)
            return value

        return part

    start = 0
    for _ in range(segments - 1):
        input = checkpoint(run(start, start + size), input, **kwargs)
        start += size
    return run(start, len(chain))(input)
