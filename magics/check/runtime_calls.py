"""Functions and methods of the runtime that the abstract run answers itself, as they depend on
values, have effects, or tell of a mistake."""

from __future__ import annotations

import ast
from typing import Any

import flambeau
from flambeau import serialization
from flambeau.core.tensor import Tensor
from flambeau.nn import Module, RNNBase
from flambeau.optim import Optimizer

from .calls import Calls, Handler
from .devices import CPU, shadow_device
from .values import UNKNOWN, Stream

Args = list[Any]
Kwargs = dict[str, Any]


def nothing(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """A call that has an effect outside of the run, which has none here."""
    return None


def unknown(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """A call whose result depends on values."""
    return UNKNOWN


def same(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """A decorator or wrapper that the run looks through."""
    return args[0] if args else same_again


def same_again(value: Any) -> Any:
    """The decorator that `compile(...)` without a function gives."""
    return value


def _returned(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return args[0]


def _to(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """`.to(...)` of tensors and modules: devices by the names that the run gives them."""
    owner, *rest = args
    if run.is_opaque(rest) or run.is_opaque(kwargs):
        return owner if isinstance(owner, Module) else UNKNOWN
    if rest and isinstance(rest[0], str):
        rest[0] = run.attempt(node, shadow_device, rest[0])
    if isinstance(owner, Module):
        run.will_write_modules(owner)
    return run.native(type(owner).to.__get__(owner), rest, kwargs, node)


def _to_cuda(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    index = args[1] if len(args) > 1 and isinstance(args[1], int) else 0
    place = flambeau.device("cuda", index)
    return _to(run, [args[0], place], {}, node)


def _to_cpu(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return _to(run, [args[0], flambeau.device("cpu")], {}, node)


def _item(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    if args[0].numel() != 1:
        error = RuntimeError(
            f"item: expected a tensor with one element. Got shape {tuple(args[0].shape)}. "
            "Use tolist() for all elements."
        )
        run.fail(node, error, "shape", (flambeau.Tensor.item.__get__(args[0]), (), {}))
    return UNKNOWN


def _numpy(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
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


def _tensor(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    """`torch.tensor(data)`: numbers that are not known still have a shape, if a list holds them."""
    data = args[0] if args else kwargs.get("data", UNKNOWN)
    if run.is_opaque(data):
        return UNKNOWN
    if isinstance(data, Stream):
        return UNKNOWN
    return run.native(flambeau.tensor, args, kwargs, node)


def _size(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return run.native(flambeau.Tensor.size.__get__(args[0]), args[1:], kwargs, node)


def _is_available(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    return flambeau.cuda.is_available()


def _deepcopy(run: Calls, args: Args, kwargs: Kwargs, node: ast.AST) -> Any:
    import copy

    if run.is_opaque(args):
        return UNKNOWN
    return run.attempt(node, copy.deepcopy, args[0])


def _recurrent(run: Calls, module: RNNBase, args: Args, node: ast.AST) -> Any:
    """A recurrent layer on its first two steps, its output stretched to all of them: shapes do not
    depend on the number of steps, time does."""
    x = args[0]
    dim = 1 if module.batch_first and x.ndim == 3 else 0
    steps = x.shape[dim]
    value = run.native(module, [x.narrow(dim, 0, 2), *args[1:]], {}, node)
    if not isinstance(value, tuple):
        return value
    output = value[0]
    shape = list(output.shape)
    shape[dim] = steps
    return (output.narrow(dim, 0, 1).expand(shape).contiguous(), *value[1:])


RUNTIME: dict[Any, Handler] = {
    flambeau.manual_seed: _returned,
    flambeau.seed: unknown,
    flambeau.set_default_dtype: nothing,
    serialization.save: nothing,
    serialization.load: unknown,
    flambeau.compile: same,
    flambeau.jit.script: same,
    flambeau.tensor: _tensor,
    flambeau.cuda.is_available: _is_available,
    flambeau.from_numpy: unknown,
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
    (Optimizer, "step"): nothing,
}
