"""`torch.compile` of what stands between products: how near to one pass over memory.

The floor of a row is the bytes that must be read and written once over the bandwidth of memory. A
tensor of 4M float32 numbers has 17 MB: `gelu` moves two of them forward and five with its gradient,
`block` three and eight.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .case import Case, Rival, Step

ROWS, COLUMNS = 8192, 512
RIVALS = (Rival(1.0, "eager", {"compiles": False}), Rival(1.0, "torch.compile"))


def gelu(torch: Any, x: Any, bias: Any, rest: Any) -> Any:
    """The tanh form, written out."""
    return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


def softmax(torch: Any, x: Any, bias: Any, rest: Any) -> Any:
    """Of scaled and shifted rows."""
    return torch.softmax(x * 0.125 + bias, -1)


def block(torch: Any, x: Any, bias: Any, rest: Any) -> Any:
    """Bias, gelu, residual and layer norm, as between the products of a transformer."""
    F = torch.nn.functional
    return F.layer_norm(F.gelu(x + bias) + rest, (COLUMNS,), bias, bias)


def loss(torch: Any, x: Any, bias: Any, rest: Any) -> Any:
    """A Charbonnier loss made by hand."""
    return torch.sqrt((x - rest) ** 2 + 1e-6).mean()


def forward(torch: Any, function: Callable[..., Any], compiles: bool = True) -> Step:
    """`function` of 4M numbers, without recording."""
    arguments = torch.randn(ROWS, COLUMNS), torch.randn(COLUMNS), torch.randn(ROWS, COLUMNS)
    called = partial(function, torch)
    if compiles:
        called = torch.compile(lambda *tensors: function(torch, *tensors))

    def step() -> Any:
        with torch.no_grad():
            return called(*arguments)

    return step


def both(torch: Any, function: Callable[..., Any], compiles: bool = True) -> Step:
    """`function` of 4M numbers and its gradients."""
    arguments = torch.randn(ROWS, COLUMNS), torch.randn(COLUMNS), torch.randn(ROWS, COLUMNS)
    for tensor in arguments:
        tensor.requires_grad_()
    called = partial(function, torch)
    if compiles:
        called = torch.compile(lambda *tensors: function(torch, *tensors))

    def step() -> Any:
        out = called(*arguments)
        weights = torch.ones_like(out)
        return torch.autograd.grad(out, arguments, weights, allow_unused=True)

    return step


FUNCTIONS = {"gelu chain": gelu, "softmax": softmax, "gelu and layer norm": block, "loss": loss}
CASES = [
    Case(f"compiled {name}, 4M elements, {what}", partial(work, function=function), RIVALS)
    for name, function in FUNCTIONS.items()
    for what, work in (("forward", forward), ("with gradients", both))
]
