"""`python -m tests.conformance [NAME ...]`: every operation against PyTorch's, on its own samples.

Install PyTorch and expecttest by hand first; the product and its tests never do. Prints a line per
operation and form that fails, and the share of operations without one.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db

from . import forms

DTYPES = [torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64]
UNAVAILABLE = ("chalf",)
"""NumPy has no complex numbers of halves."""
OTHER_PROJECTS = ("sparse.", "masked.", "torch.ops", "jiterator")
NO_SECOND = ("chunked", "chunked_none")
"""Variants that PyTorch documents to have no second derivative, where it gives zeros instead."""


def checks(operation: Any, limit: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """Name and function of each comparison that applies to the operation."""
    dtypes = [d for d in DTYPES if d in operation.dtypes]
    for dtype in dtypes:
        name = str(dtype)[6:]
        yield f"forward {name}", lambda d=dtype: forms.forward(operation, d, limit)
        differentiable = dtype.is_floating_point or dtype.is_complex
        if differentiable and operation.supports_autograd and dtype in operation.backward_dtypes:
            yield f"gradient {name}", lambda d=dtype: forms.gradient(operation, d, limit)
    chunked = operation.variant_test_name in NO_SECOND
    if torch.float64 in dtypes and operation.supports_gradgrad and not chunked:
        yield "second", lambda: forms.gradient(operation, torch.float64, limit, second=True)
    plain = torch.float32 if torch.float32 in dtypes else dtypes[0] if dtypes else None
    if plain is not None:
        yield "method", lambda: forms.method(operation, plain, limit)
        yield "in place", lambda: forms.in_place(operation, plain, limit)
    yield "errors", lambda: forms.errors(operation, plain, limit)


def failures(operation: Any, limit: int) -> dict[str, str]:
    """What differs, by form."""
    found = {}
    for form, check in checks(operation, limit):
        try:
            check()
        except forms.Mismatch as error:
            found[form] = str(error)
        except Exception as error:
            text = str(error).split("\n")[0][:220]
            found[form] = f"{type(error).__name__}: {text}"
    return found


def label(operation: Any) -> str:
    """The name with its variant."""
    variant = operation.variant_test_name
    return f"{operation.name}{f' ({variant})' if variant else ''}"


def main() -> int:
    """Compare; 1 if an operation fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="operations, or beginnings such as linalg.")
    parser.add_argument("--limit", type=int, default=12, help="samples per operation and dtype")
    parser.add_argument("--json", type=Path, help="file for the failures")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    results: dict[str, dict[str, str]] = {}
    for operation in op_db:
        wanted = options.names
        if operation.name.startswith(OTHER_PROJECTS) or operation.name in UNAVAILABLE:
            continue
        if wanted and not any(
            operation.name == n or (n.endswith(".") and operation.name.startswith(n))
            for n in wanted
        ):
            continue
        name = label(operation)
        results[name] = failures(operation, options.limit)
        for form, words in results[name].items():
            print(f"{name:40s} {form:18s} {words}", flush=True)
    good = sum(not f for f in results.values())
    print(f"{good} of {len(results)} operations without a difference")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return int(good < len(results))


if __name__ == "__main__":
    sys.exit(main())
