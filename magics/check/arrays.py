"""NumPy in the abstract run: arrays as shapes and dtypes, like tensors on meta.

An array is a tensor on meta with NumPy's dtypes and manners around it: floats are float64, true
division of ints is too, and what an array gives is an array.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np

import flambeau
from flambeau.core.tensor import Tensor

from .calls import Calls, Handler
from .values import UNKNOWN, Stream

METHODS = frozenset(
    "reshape transpose sum mean std var min max argmax argmin prod cumsum flatten ravel copy "
    "squeeze clip round dot repeat swapaxes any all".split()
)
"""Methods of arrays that tensors have too."""

FUNCTIONS = frozenset(
    "sum mean std var min max argmax argmin prod cumsum exp log log1p sqrt abs sin cos tan tanh "
    "sign floor ceil maximum minimum clip stack concatenate vstack hstack expand_dims squeeze "
    "transpose reshape dot matmul einsum where outer flip roll sort argsort square cumprod isnan "
    "power round tile swapaxes".split()
)
"""Functions of NumPy that the runtime has by the same name, or by one of `RENAMED`."""

MOST_NUMBERS = 1000  # in a list that NumPy's own functions are given

RENAMED = {"concatenate": "cat", "expand_dims": "unsqueeze", "transpose": "permute", "power": "pow"}


class Array:
    """An array of which shape and dtype are known: those of `tensor`, which lies on meta."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()

    def __repr__(self) -> str:
        return f"array of shape {tuple(self.tensor.shape)}, {self.tensor.dtype}"


def tensor_dtype(kind: Any) -> Any:
    """The runtime's dtype of what NumPy takes as one; UNKNOWN if there is none."""
    try:
        return getattr(flambeau, np.dtype(kind).name, UNKNOWN)
    except TypeError:
        return UNKNOWN


def made(shape: Any, kind: Any = np.float64) -> Any:
    """An array of `shape` and dtype `kind`; UNKNOWN if these are not known."""
    dtype = tensor_dtype(kind)
    sizes = (shape,) if isinstance(shape, int) else shape
    if dtype is UNKNOWN or not isinstance(sizes, tuple | list):
        return UNKNOWN
    if not all(isinstance(n, int) and n >= 0 for n in sizes):
        return UNKNOWN
    return Array(flambeau.empty(tuple(sizes), dtype=dtype))


def attribute(run: Calls, owner: Array, name: str) -> Any:
    """`owner.name`."""
    tensor = owner.tensor
    if name == "shape":
        return tuple(tensor.shape)
    if name in ("ndim", "size"):
        return tensor.ndim if name == "ndim" else tensor.numel()
    if name == "dtype":
        return np.dtype(str(tensor.dtype).removeprefix("torch."))
    if name == "T":
        return Array(tensor.permute(*reversed(range(tensor.ndim))))
    if name == "astype":
        return Method(lambda kind, **k: made(tuple(tensor.shape), kind))
    if name in METHODS:
        return Method(lambda *a, **k: called(run, name, [owner, *a], k))
    return UNKNOWN


def forwards(shape: tuple[int, ...], index: Any) -> Any:
    """An index that takes as much as `index`, whose slices may go backwards; UNKNOWN if nobody can
    tell. Tensors have no slices that go backwards, arrays do."""
    parts = list(index) if isinstance(index, tuple) else [index]
    dim = 0
    for k, part in enumerate(parts):
        backwards = isinstance(part, slice) and isinstance(part.step, int) and part.step < 0
        if backwards and dim < len(shape):
            try:
                parts[k] = slice(0, len(range(*part.indices(shape[dim]))))
            except TypeError:
                return UNKNOWN
        elif part is Ellipsis:
            dim = len(shape) - sum(p is not None for p in parts[k:])
        elif isinstance(part, Tensor) and part.dtype is flambeau.bool and part.ndim > 1:
            return UNKNOWN
        dim += part is not None
    return tuple(parts) if isinstance(index, tuple) else parts[0]


class Method:
    """A method of an array, as something that can be called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function


def called(run: Calls, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """NumPy's function `name`, by the runtime's on meta."""
    if run.is_opaque(args) or run.is_opaque(kwargs) or "out" in kwargs:
        return UNKNOWN
    if name in ("reshape", "transpose", "permute") and len(args) == 1:
        args = [args[0], tuple(reversed(range(args[0].tensor.ndim)))]
    if name == "where" and len(args) == 1 and isinstance(args[0], Array):
        count = run.symbols.fresh("?")
        return tuple(made(count, np.int64) for _ in args[0].tensor.shape)
    if name == "where" and len(args) != 3:
        return UNKNOWN
    if name == "dot":
        name = "matmul"
    function = getattr(flambeau, RENAMED.get(name, name), None) or getattr(
        Tensor, RENAMED.get(name, name), None
    )
    if function is None:
        return UNKNOWN
    kwargs = {k: v for k, v in kwargs.items() if k != "dtype"}
    operands = [_unwrapped(a) for a in args]
    if name in ("mean", "std", "var") and not operands[0].is_floating_point():
        operands[0] = operands[0].double()
    value = run.quietly(function, *operands, **kwargs)
    if isinstance(value, tuple) and value and isinstance(value[0], Tensor):
        value = value[0]
    return wrapped(value, args)


def wrapped(value: Any, inputs: Any = ()) -> Any:
    """A result on meta as an array, with NumPy's dtype where that differs."""
    if not isinstance(value, Tensor):
        return UNKNOWN
    floats = [t.tensor.dtype for t in _arrays(inputs) if t.tensor.is_floating_point()]
    if value.is_floating_point() and not floats:
        value = value.double()
    return Array(value)


def _arrays(inputs: Any) -> list[Array]:
    found = []
    for item in inputs:
        if isinstance(item, Array):
            found.append(item)
        elif isinstance(item, list | tuple):
            found += _arrays(item)
    return found


def _unwrapped(value: Any) -> Any:
    if isinstance(value, Array):
        return value.tensor
    if isinstance(value, list | tuple) and any(isinstance(item, Array) for item in value):
        return [_unwrapped(item) for item in value]
    return value


# -- functions -------------------------------------------------------------------------------------


def _named(name: str) -> Handler:
    def call(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
        if not _arrays(args):
            return _number(run, name, args, kwargs)
        return called(run, name, args, kwargs)

    return call


def _number(run: Calls, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """NumPy's function of plain numbers, or of sequences of them; UNKNOWN of anything else."""
    if kwargs or name == "tile" or not all(_is_numeric(a) for a in args):
        return UNKNOWN
    value = run.quietly(getattr(np, name), *args)
    if isinstance(value, np.ndarray):
        return made(value.shape, value.dtype)
    return value.item() if isinstance(value, np.generic) else UNKNOWN


def _is_numeric(value: Any) -> bool:
    if value.__class__ in (list, tuple) and len(value) <= MOST_NUMBERS:
        return all(map(_is_numeric, value))
    return value.__class__ in (int, float, bool)


def _filled(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    kind = kwargs.get("dtype", args[1] if len(args) > 1 else np.float64)
    return made(args[0] if args else kwargs.get("shape"), kind)


def _full(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    value = args[1] if len(args) > 1 else kwargs.get("fill_value")
    default = np.int64 if isinstance(value, int) else np.float64
    return made(args[0], kwargs.get("dtype", default))


def _like(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    if not isinstance(args[0], Array):
        return UNKNOWN
    tensor = args[0].tensor
    kind = kwargs.get("dtype", str(tensor.dtype).removeprefix("torch."))
    return made(tuple(tensor.shape), kind)


def _arange(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    if run.is_opaque(args) or run.symbols.any_in(args):
        return UNKNOWN
    value = run.quietly(flambeau.arange, *args)
    if value is UNKNOWN:
        return UNKNOWN
    kind = np.float64 if value.is_floating_point() else np.int64
    return made(tuple(value.shape), kwargs.get("dtype", kind))


def _linspace(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    return made(
        args[2] if len(args) > 2 else kwargs.get("num", 50), kwargs.get("dtype", np.float64)
    )


def _eye(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    return made((args[0], args[0]), kwargs.get("dtype", np.float64)) if len(args) == 1 else UNKNOWN


def _array(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    data = args[0] if args else UNKNOWN
    if isinstance(data, Stream) or run.is_opaque(data):
        return UNKNOWN
    kind = kwargs.get("dtype", args[1] if len(args) > 1 else None)
    if isinstance(data, Array):
        value = data.tensor
    elif isinstance(data, Tensor):
        value = data
    elif _arrays([data]):
        value = run.quietly(flambeau.stack, [_unwrapped(item) for item in data])
    else:
        value = run.quietly(flambeau.tensor, data)
        if isinstance(value, Tensor) and value.is_floating_point():
            value = value.double()
    if not isinstance(value, Tensor):
        return UNKNOWN
    return Array(value) if kind is None else made(tuple(value.shape), kind)


def _by_shape(kind: Any) -> Handler:
    """`randn(2, 3)`."""

    def draw(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
        return made(tuple(args), kind) if args else UNKNOWN

    return draw


def _by_size(position: int, kind: Any) -> Handler:
    """`normal(0, 1, size)`."""

    def draw(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
        size = kwargs.get("size", args[position] if len(args) > position else None)
        return UNKNOWN if size is None else made(size, kwargs.get("dtype", kind))

    return draw


def _permutation(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    return args[0] if isinstance(args[0], Array) else made(args[0], np.int64)


def _nothing(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    return None


def _from_numpy(run: Calls, args: list[Any], kwargs: dict[str, Any], node: ast.AST) -> Any:
    data = args[0] if args else kwargs.get("ndarray")
    return data.tensor.clone() if isinstance(data, Array) else UNKNOWN


class Generator:
    """`np.random.default_rng()`."""


DRAWS: dict[str, Handler] = {
    "random": _by_size(0, np.float64),
    "standard_normal": _by_size(0, np.float64),
    "normal": _by_size(2, np.float64),
    "uniform": _by_size(2, np.float64),
    "integers": _by_size(2, np.int64),
    "permutation": _permutation,
    "shuffle": _nothing,
}
"""Methods of a generator."""

HANDLERS: dict[Any, Handler] = {
    **{getattr(np, name): _named(name) for name in FUNCTIONS},
    **dict.fromkeys((np.zeros, np.ones, np.empty), _filled),
    **dict.fromkeys((np.zeros_like, np.ones_like, np.empty_like), _like),
    **dict.fromkeys((np.array, np.asarray), _array),
    np.full: _full,
    np.arange: _arange,
    np.linspace: _linspace,
    np.eye: _eye,
    np.random.randn: _by_shape(np.float64),
    np.random.rand: _by_shape(np.float64),
    np.random.random: _by_size(0, np.float64),
    np.random.normal: _by_size(2, np.float64),
    np.random.uniform: _by_size(2, np.float64),
    np.random.randint: _by_size(2, np.int64),
    np.random.permutation: _permutation,
    np.random.seed: _nothing,
    np.random.shuffle: _nothing,
    np.random.default_rng: lambda run, args, kwargs, node: Generator(),
    flambeau.from_numpy: _from_numpy,
}
"""NumPy's functions that the run answers."""
