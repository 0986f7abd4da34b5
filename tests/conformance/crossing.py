"""Values and functions between PyTorch and the runtime."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import flambeau

NUMPY_LACKS = {torch.bfloat16: torch.float32, torch.complex32: torch.complex64}


def ours(value: Any) -> Any:
    """PyTorch's tensors in `value` as tensors of the runtime, with the same strides where NumPy can
    have them, sharing memory where they share it; dtypes and devices by name."""
    return _ours(value, {})


def _ours(value: Any, storages: dict[Any, Any]) -> Any:
    """`storages` keeps what was made of the tensors and storages met."""
    if isinstance(value, torch.Tensor):
        if id(value) not in storages:
            storages[id(value)] = _tensor(value, storages)
        return storages[id(value)]
    if isinstance(value, torch.Size):
        return flambeau.Size(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(_ours(v, storages) for v in value)
    if isinstance(value, tuple | list):
        return type(value)(_ours(v, storages) for v in value)
    if isinstance(value, dict):
        return {k: _ours(v, storages) for k, v in value.items()}
    if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
        name = str(value).removeprefix("torch.")
        return getattr(flambeau, name, name)
    if getattr(value, "__module__", None) in ("torch.nn.functional", "torch._C._nn"):
        return getattr(flambeau.nn.functional, value.__name__)
    if isinstance(value, torch.nn.PairwiseDistance):
        options = {"p": value.norm, "eps": value.eps, "keepdim": value.keepdim}
        return functools.partial(flambeau.nn.functional.pairwise_distance, **options)
    if isinstance(value, torch.nn.LinearCrossEntropyOptions):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return flambeau.nn.LinearCrossEntropyOptions(**ours(fields))
    if isinstance(value, torch.device):
        return flambeau.device(str(value))
    if isinstance(value, slice):
        return slice(*(_ours(v, storages) for v in (value.start, value.stop, value.step)))
    return value


def _tensor(tensor: torch.Tensor, storages: dict[Any, Any]) -> Any:
    if tensor.layout is torch.sparse_coo:
        return _sparse(tensor)
    if tensor.layout is not torch.strided:
        raise NotImplementedError(f"layout {tensor.layout}")
    if _has_memory(tensor):
        found = _in_storage(tensor, storages)
    else:
        found = flambeau.from_numpy(as_numpy(tensor))
    if tensor.dtype is torch.bfloat16:
        found = found.to(flambeau.bfloat16)
    return found.requires_grad_() if tensor.requires_grad else found


def _sparse(tensor: torch.Tensor) -> Any:
    """A sparse tensor of copies of its parts."""
    parts = [flambeau.from_numpy(as_numpy(p)) for p in (tensor._indices(), tensor._values())]
    found = flambeau.sparse_coo_tensor(
        *parts, tuple(tensor.shape), is_coalesced=tensor.is_coalesced()
    )
    return found.requires_grad_() if tensor.requires_grad else found


def _has_memory(tensor: torch.Tensor) -> bool:
    """Whether NumPy can show the tensor's memory as it is."""
    lazy = tensor.is_conj() or tensor.is_neg() or tensor._is_zerotensor()
    return not (lazy or tensor.dtype in NUMPY_LACKS or tensor.device.type != "cpu")


def _in_storage(tensor: torch.Tensor, storages: dict[Any, Any]) -> Any:
    """The tensor in a copy of its whole storage; a view if it does not fill it."""
    memory = _storage(tensor)
    place = memory.data_ptr(), memory.dtype
    if place not in storages:
        storages[place] = memory.numpy().copy()
    array = storages[place]
    size, stride = tuple(tensor.shape), tensor.stride()
    if tensor.numel() == array.size and tensor.storage_offset() == 0:
        steps = tuple(s * array.itemsize for s in stride)
        return flambeau.from_numpy(np.lib.stride_tricks.as_strided(array, size, steps))
    return flambeau.from_numpy(array).as_strided(size, stride, tensor.storage_offset())


def _storage(tensor: torch.Tensor) -> torch.Tensor:
    """All elements of the tensor's storage in a row."""
    storage = tensor.untyped_storage()
    return torch.empty(0, dtype=tensor.dtype).set_(storage)  # type: ignore[call-overload]


def leaf(value: Any) -> Any:
    """A tensor's copy, with one of all its storage, so that writing leaves the sample as it is."""
    if not isinstance(value, torch.Tensor):
        return value
    found = value.detach().clone()
    if value.layout is torch.strided and _has_memory(value):
        memory = _storage(value).clone()
        found = memory.as_strided(value.shape, value.stride(), value.storage_offset()).detach()
    return found.requires_grad_(value.requires_grad)


def as_numpy(tensor: Any) -> Any:
    """A copy of the tensor's values; dimensions keep their order in memory."""
    plain = tensor.detach().to_dense().resolve_conj().resolve_neg()
    if plain._is_zerotensor():
        plain = torch.zeros(plain.shape, dtype=plain.dtype)
    plain = plain.to(NUMPY_LACKS.get(plain.dtype, plain.dtype))
    return plain.numpy().copy(order="K")


def tensors_of(value: Any) -> list[Any]:
    """All tensors of either library in `value`, in order."""
    if isinstance(value, torch.Tensor | flambeau.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [t for v in value for t in tensors_of(v)]
    return []


PUBLIC = {"slice": "slice_copy", "_segment_reduce": "segment_reduce"}
"""Public functions that compute what an internal one does."""


def counterpart(operation: Any) -> Callable[..., Any]:
    """The runtime's function for the OpInfo. Raises: AttributeError if there is none."""
    function = operation.op
    if is_of_tests(function):
        return rebound(function)
    name = PUBLIC.get(operation.name, operation.name)
    if not name.startswith("__") and _has(flambeau, name) and callable(found(name)):
        return found(name)
    member = getattr(flambeau.Tensor, name)
    return member.fget if isinstance(member, property) else member  # type: ignore[no-any-return]


def variant(function: Any) -> Callable[..., Any]:
    """The runtime's form of a method, or of a function with `inplace=True`."""
    if is_of_tests(function):
        return rebound(function)
    if isinstance(function, functools.partial):
        inner = getattr(flambeau.nn.functional, function.func.__name__)
        return functools.partial(inner, *function.args, **function.keywords)
    return getattr(flambeau.Tensor, function.__name__)  # type: ignore[no-any-return]


def is_of_tests(function: Any) -> bool:
    """Whether this is Python code of PyTorch's tests that calls the library."""
    return (
        isinstance(function, types.FunctionType)
        and str(function.__module__).startswith("torch.testing")
        and "torch" in _names(function.__code__)
    )


def _names(code: types.CodeType) -> set[str]:
    """The names that the code and the functions inside it use."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*map(_names, inner))


@functools.cache
def rebound(function: types.FunctionType) -> Callable[..., Any]:
    """A Python function of PyTorch's tests that sees the runtime where it says torch."""
    names = {**function.__globals__, "torch": flambeau}
    for name in _names(function.__code__):  # helpers such as the one that sets the seed
        helper = names.get(name)
        if is_of_tests(helper) and helper.__code__ is not function.__code__:
            names[name] = rebound(helper)
    made = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def found(name: str) -> Callable[..., Any]:
    """`flambeau.<name>`, dots followed."""
    place: Any = flambeau
    for part in name.split("."):
        place = getattr(place, part)
    return place  # type: ignore[no-any-return]


def _has(place: Any, name: str) -> bool:
    for part in name.split("."):
        if not hasattr(place, part):
            return False
        place = getattr(place, part)
    return True


def difference(mine: Any, theirs: Any, tolerance: float, exact_dtype: bool = True) -> str | None:
    """What differs between two results, or None."""
    a, b = tensors_of(mine), tensors_of(theirs)
    if not a and not b:
        same = mine == theirs or (mine != mine and theirs != theirs)
        same = same or (isinstance(mine, float) and np.isclose(mine, theirs, rtol=1e-3))
        return None if same else f"got {mine!r}, expected {theirs!r}"
    if len(a) != len(b):
        return f"{len(a)} tensors instead of {len(b)}"
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        if not isinstance(x, flambeau.Tensor):
            return f"output {k} is no tensor of ours"
        if x.layout is flambeau.sparse_coo and y.layout is not torch.sparse_coo:
            return f"output {k} is sparse"
        if exact_dtype and str(x.dtype) != str(y.dtype):
            return f"output {k} has {x.dtype}, not {y.dtype}"
        if tuple(x.shape) != tuple(y.shape):
            return f"output {k} has shape {tuple(x.shape)}, not {tuple(y.shape)}"
        words = _values(x, y, tolerance)
        if words:
            return f"output {k} {words}"
    return None


def without_phases(mine: Any, theirs: Any, dims: tuple[int | None, ...]) -> Any:
    """Both results with their vectors turned so that the largest element of ours is positive."""
    a, b = tensors_of(mine), tensors_of(theirs)
    if len(a) != len(dims) or len(b) != len(dims):
        return mine, theirs
    turned: tuple[list[Any], list[Any]] = ([], [])
    for x, y, dim in zip(a, b, dims, strict=True):
        values = x.detach().numpy(), as_numpy(y)
        if dim is not None and values[0].size and values[0].shape == values[1].shape:
            place = np.abs(values[0]).argmax(dim, keepdims=True)
            values = tuple(_turned(v, place, dim) for v in values)  # type: ignore[assignment]
        turned[0].append(flambeau.from_numpy(values[0]))
        turned[1].append(torch.from_numpy(values[1]))
    return turned


def _turned(vectors: Any, place: Any, dim: int) -> Any:
    largest = np.take_along_axis(vectors, place, dim)
    size = np.abs(largest)
    phase = np.where(size == 0, 1, largest / np.where(size == 0, 1, size))
    return (vectors / phase).astype(vectors.dtype)


def _values(x: Any, y: Any, tolerance: float) -> str | None:
    wanted = as_numpy(y)
    got = x.detach().to_dense()
    got = (got.float() if x.dtype is flambeau.bfloat16 else got).numpy()
    if wanted.size == 0:
        return None
    if wanted.dtype.kind in "biu":
        return None if np.array_equal(got, wanted) else _worst(got, wanted)
    finite = np.abs(wanted[np.isfinite(wanted)])
    scale = float(finite.max(initial=1.0))
    close = np.isclose(got, wanted, tolerance, tolerance * min(scale, 1e4), equal_nan=True)
    return None if close.all() else _worst(got, wanted)


def _worst(got: Any, wanted: Any) -> str:
    k = np.unravel_index(np.argmax(got != wanted), wanted.shape)
    return f"differs at {tuple(int(i) for i in k)}: {got[k]} instead of {wanted[k]}"
