"""How tensors print: PyTorch's layout, decided by PyTorch's rules.

Source: PyTorch's documentation of `torch.set_printoptions`, which names the options and defaults.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes, overriding
from .quantized_arrays import QuantizedArray
from .sparse_arrays import SparseArray

__all__ = ["set_printoptions"]

if TYPE_CHECKING:
    from .tensor import Tensor


@dataclass(frozen=True)
class Options:
    """Digits, when and how far to summarize, characters per line, scientific mode."""

    precision: int = 4
    threshold: int = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": Options(),
    "short": Options(precision=2, edgeitems=2),
    "full": Options(threshold=2**63 - 1),
}
options = PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors print.

    `precision` digits after the point; more than `threshold` elements are summarized to `edgeitems`
    at each end of a dimension; lines hold `linewidth` characters; `sci_mode` forces or forbids
    scientific notation; `profile` ("default", "short", "full") sets all of it first.
    """
    global options
    if profile is not None:
        options = PROFILES[profile]
    given: dict[str, Any] = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    options = replace(options, **{k: v for k, v in given.items() if v is not None})
    options = replace(options, sci_mode=sci_mode)


@contextmanager
def printoptions(**options_within: Any) -> Iterator[None]:
    """A block in which tensors print as `set_printoptions` would have them."""
    global options
    before = options
    set_printoptions(**options_within)
    try:
        yield
    finally:
        options = before


def __getattr__(name: str) -> Any:
    """By PyTorch's name, the options in force."""
    if name == "PRINT_OPTS":
        return options
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _NumberFormat:
    """One format for all elements of a tensor: integer-like, fixed or scientific, and a width."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.is_float = values.dtype.kind == "f"
        self.scientific = False
        self.integral = False
        if not self.is_float:
            self.width = max((len(str(v)) for v in values.ravel().tolist()), default=1)
            return
        finite = values[np.isfinite(values) & (values != 0)].astype(np.float64)
        self.width = 1
        if finite.size == 0:
            self.integral = bool(np.isfinite(values).any()) or values.size == 0
        else:
            self._choose(np.abs(finite), integral=bool((finite == np.ceil(finite)).all()))
        # Like PyTorch's, the columns are as wide as the finite numbers need.
        self.width = max((len(self.plain(v)) for v in finite.tolist()), default=1)

    def _choose(self, magnitudes: np.ndarray[Any, Any], integral: bool) -> None:
        largest, smallest = float(magnitudes.max()), float(magnitudes.min())
        ratio = largest / smallest
        self.integral = integral
        self.scientific = ratio > 1000.0 or largest > 1.0e8
        if not integral:
            self.scientific = self.scientific or smallest < 1.0e-4
        if options.sci_mode is not None:
            self.scientific = options.sci_mode

    def plain(self, value: Any) -> str:
        if isinstance(value, bool) or not self.is_float:
            return str(value)
        if self.scientific:
            return f"{value:.{options.precision}e}"
        if self.integral:
            return f"{value:.0f}" + ("." if math.isfinite(value) else "")
        return f"{value:.{options.precision}f}"

    def __call__(self, value: Any) -> str:
        return self.plain(value).rjust(self.width)


class _ComplexFormat:
    """Formats of real and imaginary parts, each chosen over all elements."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.real, self.imaginary = _NumberFormat(values.real), _NumberFormat(values.imag)
        self.width = self.real.width + self.imaginary.width + 1

    def __call__(self, value: complex) -> str:
        imaginary = self.imaginary.plain(value.imag).lstrip()
        sign = "" if imaginary.startswith("-") else "+"
        return (self.real(value.real) + sign + imaginary + "j").rjust(self.width)


def _edges(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The elements that a summary shows; without reading the others."""
    n = options.edgeitems
    for axis, size in enumerate(values.shape):
        if size > 2 * n:
            head = values[(slice(None),) * axis + (slice(n),)]
            tail = values[(slice(None),) * axis + (slice(-n, None),)]
            values = np.concatenate([head, tail], axis)
    return values


def _vector(values: np.ndarray[Any, Any], indent: int, summarize: bool, form: Any) -> str:
    per_line = max(1, (options.linewidth - indent) // (form.width + 2))
    n = options.edgeitems
    if summarize and len(values) > 2 * n:
        shown = [form(v) for v in values[:n].tolist()] + [" ..."]
        shown += [form(v) for v in values[-n:].tolist()]
    else:
        shown = [form(v) for v in values.tolist()]
    lines = [", ".join(shown[i : i + per_line]) for i in range(0, len(shown), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(values: np.ndarray[Any, Any], indent: int, summarize: bool, form: Any) -> str:
    if values.ndim == 0:
        return str(form(values.item()))
    if values.ndim == 1:
        return _vector(values, indent, summarize, form)
    n = options.edgeitems
    if summarize and len(values) > 2 * n:
        parts = [_nested(v, indent + 1, summarize, form) for v in values[:n]] + ["..."]
        parts += [_nested(v, indent + 1, summarize, form) for v in values[-n:]]
    else:
        parts = [_nested(v, indent + 1, summarize, form) for v in values]
    separator = "," + "\n" * (values.ndim - 1) + " " * (indent + 1)
    return "[" + separator.join(parts) + "]"


def values_text(tensor: Tensor, indent: int) -> str:
    """The values as nested lists, as they stand between the brackets of the tensor's repr."""
    array = tensor._array
    summarize = tensor.numel() > options.threshold
    if tensor.is_cuda:
        array = tensor.numpy_values()
    if tensor.dtype in (dtypes.bfloat16, dtypes.float16):
        shown = (_edges(array) if summarize else array).astype(np.float32)
        array = array.astype(np.float32)
    else:
        shown = _edges(array) if summarize else array
    form = _ComplexFormat(shown) if array.dtype.kind == "c" else _NumberFormat(shown)
    return _nested(array, indent, summarize, form)


_tensor_str = values_text


def _suffixes(tensor: Tensor) -> list[str]:
    found = []
    if tensor.device.type != "cpu":
        found.append(f"device='{tensor.device}'")
    default = dtypes.get_default_dtype()
    shows_type = tensor.dtype in (default, default.to_complex(), dtypes.int64, dtypes.bool_)
    if tensor.is_meta or tensor.numel() == 0:
        if tensor.is_meta or tensor.ndim != 1:
            found.append(f"size={tuple(tensor.shape)}")
        shows_type = tensor.dtype is dtypes.get_default_dtype()
    if not shows_type:
        found.append(f"dtype={tensor.dtype}")
    if tensor.grad_fn is not None:
        found.append(f"grad_fn=<{tensor.grad_fn.name()}>")
    elif tensor._edge is not None:
        found.append("requires_grad=True")
    return found


def _joined(prefix: str, values: str, suffixes: list[str], newline: bool = False) -> str:
    """Suffixes follow on the last line while they fit into the line width, else on a new one; the
    first of them on a new one if `newline`."""
    out = prefix + values
    last = len(out) - out.rfind("\n") + 1
    for k, suffix in enumerate(suffixes):
        if last + len(suffix) + 2 > options.linewidth or (newline and not k):
            out += ",\n" + " " * len(prefix) + suffix
            last = len(prefix) + len(suffix)
        else:
            out += ", " + suffix
            last += len(suffix) + 2
    return out + ")"


def tensor_repr(tensor: Tensor) -> str:
    """The text of a tensor at the prompt, as PyTorch prints it."""
    if tensor._key.level:
        return _batched_repr(tensor)
    name = type(tensor).__name__
    overrides = overriding.overrides(type(tensor))
    contains = not overrides and name != "Tensor"  # parameters, and what else is no new kind
    prefix = f"{name}(" if overrides else "tensor("
    if tensor._array.__class__ is SparseArray:
        text = _joined(prefix, _sparse_text(tensor, len(prefix)), _sparse_suffixes(tensor), True)
        return f"{name} containing:\n{text}" if contains else text
    if tensor._array.__class__ is QuantizedArray:
        return _joined(prefix, _quantized_text(tensor, prefix), _quantized_suffixes(tensor))
    if tensor.is_meta:
        values = "..."
    elif tensor.numel() == 0:
        values = "[]"
    else:
        values = values_text(tensor, len(prefix))
    text = _joined(prefix, values, _suffixes(tensor))
    return f"{name} containing:\n{text}" if contains else text


def _quantized_text(tensor: Tensor, prefix: str) -> str:
    """The values that the codes stand for."""
    return values_text(tensor.dequantize(), len(prefix)) if tensor.numel() else "[]"


def _quantized_suffixes(tensor: Tensor) -> list[str]:
    array = tensor._array
    found = [f"device='{tensor.device}'"] if tensor.device.type != "cpu" else []
    found += [f"size={tuple(tensor.shape)}", f"dtype={tensor.dtype}"]
    found.append(f"quantization_scheme={array.scheme}")
    if array.axis is None:
        return [*found, f"scale={array.scale}", f"zero_point={array.zero_point}"]
    scales, zero_points = tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()
    return [*found, f"scale={scales}", f"zero_point={zero_points}", f"axis={array.axis}"]


def _sparse_text(tensor: Tensor, indent: int) -> str:
    """Indices and values, each as a tensor."""
    parts = []
    for name, part in (("indices", tensor._indices()), ("values", tensor._values())):
        prefix = f"{name}=tensor("
        if part.numel():
            text = values_text(part, indent + len(prefix))
        else:
            text = f"[], size={tuple(part.shape)}"
        parts.append(f"{prefix}{text})")
    return (",\n" + " " * indent).join(parts)


def _sparse_suffixes(tensor: Tensor) -> list[str]:
    found = [f"device='{tensor.device}'"] if tensor.device.type != "cpu" else []
    found += [f"size={tuple(tensor.shape)}", f"nnz={tensor._nnz()}"]
    default = dtypes.get_default_dtype()
    if tensor.dtype not in (default, default.to_complex(), dtypes.int64, dtypes.bool_):
        found.append(f"dtype={tensor.dtype}")
    found.append("layout=torch.sparse_coo")
    return found + [s for s in _suffixes(tensor) if "grad" in s]


def _batched_repr(tensor: Tensor) -> str:
    """A tensor inside `vmap`: its level, and what it holds with the batch in front."""
    from .tensor import held  # tensors print by what is here

    dim = 0 if tensor._array.is_batched else None
    inner = "\n".join("    " + line for line in repr(held(tensor)).split("\n"))
    return f"BatchedTensor(lvl={tensor._key.level}, bdim={dim}, value=\n{inner}\n)"
