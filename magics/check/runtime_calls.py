"""Functions and methods of the runtime that the abstract run answers itself, as they depend on
values, have effects, or tell of a mistake."""

from __future__ import annotations

import ast
from typing import Any

import flambeau
from flambeau import serialization
from flambeau.amp import GradScaler
from flambeau.core.tensor import Tensor
from flambeau.nn import Module
from flambeau.nn.utils import rnn
from flambeau.optim import Optimizer

from .arrays import Array
from .calls import Handler
from .devices import CPU
from .recurrent import pack, unpack
from .training import LOSSES, Training
from .values import SOME_FLOAT, SOME_INT, UNKNOWN, Stream, with_numbers

Args = list[Any]
Kwargs = dict[str, Any]


def nothing(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """A call that has an effect outside of the run, which has none here."""
    return None


def unknown(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """A call whose result depends on values."""
    return UNKNOWN


def same(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """A decorator or wrapper that the run looks through."""
    return args[0] if args else same_again


def same_again(value: Any) -> Any:
    """The decorator that `compile(...)` without a function gives."""
    return value


def _returned(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return args[0]


def _to(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """`.to(...)` of tensors and modules: devices by the names that the run gives them."""
    owner, *rest = args
    if run.is_opaque(rest) or run.is_opaque(kwargs):
        return owner if isinstance(owner, Module) else UNKNOWN
    if rest and isinstance(rest[0], str):
        rest[0] = run.attempt(node, flambeau.device, rest[0])
    if isinstance(owner, Module):
        run.will_write_modules(owner)
    return run.native(type(owner).to.__get__(owner), rest, kwargs, node)


def _to_cuda(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    index = args[1] if len(args) > 1 and isinstance(args[1], int) else 0
    place = flambeau.device("cuda", index)
    return _to(run, [args[0], place], {}, node)


def _to_cpu(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return _to(run, [args[0], flambeau.device("cpu")], {}, node)


def _item(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if args[0].numel() != 1:
        error = RuntimeError(
            f"item: expected a tensor with one element. Got shape {tuple(args[0].shape)}. "
            "Use tolist() for all elements."
        )
        run.fail(node, error, "shape", (flambeau.Tensor.item.__get__(args[0]), (), {}))
    return SOME_FLOAT if args[0].is_floating_point() else SOME_INT


def _numpy(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    owner = args[0]
    if not kwargs.get("force") and owner.requires_grad:
        error = RuntimeError(
            "numpy: expected a tensor that requires no gradient. Got one that does. "
            "Use tensor.detach().numpy()."
        )
        run.fail(node, error, "gradient", (flambeau.Tensor.numpy.__get__(owner), (), {}))
    if not kwargs.get("force") and owner.device != CPU:
        error = RuntimeError(
            "numpy: expected a tensor in the CPU's memory. Got one on a GPU. "
            "Use tensor.cpu() first."
        )
        run.fail(node, error, "device", (flambeau.Tensor.numpy.__get__(owner), (), {}))
    return run.array_of(owner)


def _tensor(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """`torch.tensor(data)`: numbers that are not known still have a shape, if a list holds them."""
    data = args[0] if args else kwargs.get("data", UNKNOWN)
    if run.is_open(data):
        return UNKNOWN
    data = with_numbers(data)
    if run.is_opaque(data) or run.is_opaque(kwargs) or isinstance(data, Stream):
        return UNKNOWN
    if isinstance(data, Array):
        data = data.tensor
    args = [data, *args[1:]]
    kwargs.pop("data", None)
    return run.native(flambeau.tensor, args, kwargs, node)


def _places(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """Where a tensor is not zero: indices whose number is not known."""
    if not args or len(args) > 1 or not isinstance(args[0], Tensor) or args[0].ndim == 0:
        return run.native(flambeau.where, args, kwargs, node) if len(args) == 3 else UNKNOWN
    count = run.symbols.fresh("?")
    return tuple(flambeau.empty(count, dtype=flambeau.int64) for _ in range(args[0].ndim))


def _is_available(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return flambeau.cuda.is_available()


def _backward(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return run.backward(args[0], args[1:], kwargs, node)


def _step(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return run.step(args[0], args[1:], kwargs, node)


def _zero_grad(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    owner = args[0]
    if isinstance(owner, Module):
        parameters = list(owner.parameters())
    elif run.is_opaque(owner.param_groups):
        run.gradients.clear()
        return None
    else:
        parameters = [p for group in owner.param_groups for p in group["params"]]
    run.zeroed(parameters)
    for parameter in parameters:
        parameter.grad = None
    return None


def _zero_(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """`p.grad.zero_()`, which is how gradients are zeroed by hand."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        inner = node.func.value
        while isinstance(inner, ast.Attribute) and inner.attr == "data":
            inner = inner.value
        if isinstance(inner, ast.Attribute) and inner.attr == "grad":
            owner = run.evaluate(inner.value)
            run.zeroed([owner] if isinstance(owner, Tensor) else [])
    return run.native(Tensor.zero_.__get__(args[0]), [], {}, node)


def _scaler_step(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return run.step(args[1], [], {}, node) if isinstance(args[1], Optimizer) else UNKNOWN


def _scaled(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return args[1]


def _loss(name: str) -> Handler:
    function = getattr(flambeau.nn.functional, name)

    def call(run: Training, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
        if run.is_opaque(args) or run.is_opaque(kwargs):
            return UNKNOWN
        run.before_loss(name, args, kwargs, node)
        return run.native(function, args, kwargs, node)

    return call


JIT = (
    flambeau.jit.script,
    flambeau.jit.trace,
    flambeau.jit.ignore,
    flambeau.jit.unused,
    flambeau.jit.export,
    flambeau.jit.script_if_tracing,
    flambeau.compiler.disable,
)
"""Functions that give back the function or module that they are given."""

RUNTIME: dict[Any, Handler] = {
    flambeau.manual_seed: _returned,
    flambeau.seed: unknown,
    flambeau.set_default_dtype: nothing,
    serialization.save: nothing,
    serialization.load: unknown,
    flambeau.compile: same,
    same_again: same,
    **dict.fromkeys(JIT, same),
    flambeau.tensor: _tensor,
    flambeau.as_tensor: _tensor,
    flambeau.where: _places,
    flambeau.cuda.is_available: _is_available,
    rnn.pack_padded_sequence: pack,
    rnn.pad_packed_sequence: unpack,
    **{getattr(flambeau.nn.functional, name): _loss(name) for name in set(LOSSES.values())},
}
METHODS: dict[tuple[type, str], Handler] = {
    (Tensor, "to"): _to,
    (Module, "to"): _to,
    (Tensor, "cuda"): _to_cuda,
    (Module, "cuda"): _to_cuda,
    (Tensor, "cpu"): _to_cpu,
    (Module, "cpu"): _to_cpu,
    (Tensor, "item"): _item,
    (Tensor, "numpy"): _numpy,
    (Tensor, "tolist"): unknown,
    (flambeau.Generator, "manual_seed"): _returned,
    (Tensor, "zero_"): _zero_,
    (Tensor, "backward"): _backward,
    (Optimizer, "step"): _step,
    (Optimizer, "zero_grad"): _zero_grad,
    (Module, "zero_grad"): _zero_grad,
    (GradScaler, "step"): _scaler_step,
    (GradScaler, "scale"): _scaled,
    (GradScaler, "unscale_"): nothing,
    (GradScaler, "update"): nothing,
}
