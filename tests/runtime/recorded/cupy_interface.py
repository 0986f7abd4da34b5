"""CuPy's interface: parameters of its functions and methods, and the dtypes that its ufuncs take.

`python -m tests.runtime.recorded.cupy_interface`, in an environment that has CuPy and cuBLAS (a
driver or a GPU is not needed), writes cupy_interface.json anew. The stand-in for CuPy refuses what
the record does not allow; where CuPy is installed, a test compares the record with it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")

MODULES = (
    "cupy",
    "cupy.linalg",
    "cupy.fft",
    "cupy.lib.stride_tricks",
    "cupy.cuda",
    "cupy.cuda.runtime",
    "cupy.cuda.nvtx",
    "cupy.cuda.device",
    "cupyx",
    "cupyx.scipy.special",
    "cupy_backends.cuda.libs.cublas",
)
"""Modules of which every public function is recorded."""

CLASSES = (
    "cupy.ndarray",
    "cupy.ufunc",
    "cupy.random.Generator",
    "cupy.cuda.Device",
    "cupy.cuda.Event",
    "cupy.cuda.ExternalStream",
    "cupy.cuda.Graph",
    "cupy.cuda.MemoryPointer",
    "cupy.cuda.PinnedMemory",
    "cupy.cuda.Stream",
    "cupy.cuda.UnownedMemory",
)
"""Classes of which the constructor, every public method and attribute are recorded."""

INNER_UFUNCS = {
    "cupy.where": "cupy._sorting.search._where_ufunc",
    "cupy.clip": "cupy._core._routines_math._clip",
}
"""Functions that leave the work to a ufunc of their own, whose dtypes bind them."""


def described() -> dict[str, Any]:
    """The record: `version`, `parameters` and `ufuncs` by full name, and the `names` that are
    neither."""
    import cupy

    parameters: dict[str, str] = {}
    ufuncs: dict[str, list[str]] = {}
    names: list[str] = []
    for place in (*MODULES, *CLASSES):
        module, _, last = place.rpartition(".")
        if place in MODULES:
            owner = importlib.import_module(place)
        else:
            owner = getattr(importlib.import_module(module), last)
            parameters[place] = text_of(owner) or ""
        for name in sorted(n for n in dir(owner) if n[0] != "_" and n[:4] != "cuda"):
            found = getattr(owner, name)
            full = f"{place}.{name}"
            if isinstance(found, cupy.ufunc):
                ufuncs[full] = list(found.types)
            elif callable(found) and (text := text_of(found)) is not None:
                parameters[full] = text
            else:
                names.append(full)
    for full, path in INNER_UFUNCS.items():
        module, _, last = path.rpartition(".")
        ufuncs[full] = list(getattr(importlib.import_module(module), last).types)
    return {
        "version": cupy.__version__,
        "parameters": parameters,
        "ufuncs": ufuncs,
        "names": names,
    }


def text_of(function: Any) -> str | None:
    """The parameters of a function in Python's syntax, without types and with None for defaults;
    None if nothing is known of them."""
    line = (inspect.getdoc(function) or "").split("\n", 1)[0].replace("\\", "")
    written = re.match(r"[\w.]+\((.*)\)( -> .*)?$", line)
    if written is not None:
        return ", ".join(filter(None, map(_plain, _parted(written[1]))))
    try:
        found = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return None
    if isinstance(function, type) and all(p.name in ("args", "kwargs") for p in found):
        return None
    blank = inspect.Parameter.empty
    found = [p.replace(annotation=blank, default=p.default if p.default is blank else None)
             for p in found]  # fmt: skip
    return str(inspect.Signature(found))[1:-1]


def _parted(text: str) -> list[str]:
    """The parameters of a list, parted at the commas outside of brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _plain(parameter: str) -> str:
    """A parameter of Cython, such as `int axis=-1`, without its type."""
    name, given, _ = parameter.partition("=")
    name = name.split(":")[0].split()[-1] if name.strip() else ""
    if name == "self":
        return ""
    return f"{name}=None" if given else name


if __name__ == "__main__":
    RECORD.write_text(json.dumps(described(), indent=0, sort_keys=True) + "\n")
