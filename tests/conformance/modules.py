"""`python -m tests.conformance.modules [NAME ...]`: every module against PyTorch's.

For each input of PyTorch's database of modules, in training and in evaluation: the same repr, the
same initial values from the same seed, PyTorch's state dict loaded (so the same keys and shapes),
the same outputs, buffers afterwards, and gradients of inputs and parameters. Where the database
expects an error, so do we. Prints a line per module and form that fails, and the share of modules
without one. Install PyTorch and expecttest by hand first; the product and its tests never do.
"""

from __future__ import annotations

import argparse
import copy
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.testing._internal.common_modules import (
    FunctionInput,
    ModuleErrorEnum,
    ModuleInfo,
    module_db,
)

import flambeau

from . import crossing
from .forms import TOLERANCE, Mismatch

NEVER_OURS = ("nn.Bnb", "quantized", "sparse")


def our_module(module: torch.nn.Module) -> Any:
    """A Transformer layer of PyTorch's, which other modules are made of, as one of ours."""
    if not isinstance(module, torch.nn.TransformerEncoderLayer):
        raise TypeError(f"no counterpart of the argument {type(module).__name__}")
    attention = module.self_attn
    made = flambeau.nn.TransformerEncoderLayer(
        attention.embed_dim,
        attention.num_heads,
        module.linear1.out_features,
        module.dropout.p,
        crossing.ours(module.activation),
        module.norm1.eps,
        attention.batch_first,
        module.norm_first,
        module.linear1.bias is not None,
    )
    made.load_state_dict(crossing.ours(dict(module.state_dict())))
    return made


def arguments(given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Our positional and keyword arguments for a `FunctionInput`."""

    def own(value: Any) -> Any:
        return our_module(value) if isinstance(value, torch.nn.Module) else crossing.ours(value)

    return tuple(own(v) for v in given.args), {k: own(v) for k, v in given.kwargs.items()}


def pair(info: ModuleInfo, given: Any, dtype: torch.dtype) -> tuple[Any, Any]:
    """The module in both libraries, made with the same seed."""
    mine = crossing.found(f"nn.{info.module_cls.__name__}")
    args, kwargs = arguments(given)
    options = copy.deepcopy(given)
    torch.manual_seed(0)
    theirs = info.module_cls(*options.args, **options.kwargs).to(dtype)
    flambeau.manual_seed(0)
    made = mine(*args, **kwargs).to(getattr(flambeau, str(dtype)[6:]))
    return made, theirs


def same(name: str, mine: Any, theirs: Any, tolerance: float) -> None:
    """Raises: Mismatch if they differ."""
    words = crossing.difference(mine, theirs, tolerance)
    if words:
        raise Mismatch(f"{name}: {words}")


def _equal(name: str, mine: Any, theirs: Any) -> None:
    if mine != theirs:
        raise Mismatch(f"{name}: got {mine!r}, expected {theirs!r}")


def leaves_of(given: FunctionInput) -> FunctionInput:
    """The same input with every tensor a leaf of its own, once for each place it stands at."""
    args = torch.utils._pytree.tree_map(crossing.leaf, given.args)
    return FunctionInput(*args, **torch.utils._pytree.tree_map(crossing.leaf, given.kwargs))


def is_lazy(module: torch.nn.Module) -> bool:
    """Whether it has parameters without a shape yet."""
    return any(torch.nn.parameter.is_lazy(p) for p in module.parameters())


def compare(info: ModuleInfo, sample: Any, dtype: torch.dtype, training: bool) -> None:
    """One module on one input. Raises: Mismatch."""
    tolerance = TOLERANCE[dtype]
    mine, theirs = pair(info, sample.constructor_input, dtype)
    mine.train(training)
    theirs.train(training)
    _equal("repr", repr(mine), repr(theirs))
    _equal("keys", list(mine.state_dict()), list(theirs.state_dict()))
    if not is_lazy(theirs):
        same("initial values", list(mine.state_dict().values()), list(theirs.state_dict().values()),
             tolerance)  # fmt: skip
        mine.load_state_dict(crossing.ours(dict(theirs.state_dict())))
    given = leaves_of(sample.forward_input)
    args, kwargs = arguments(given)
    torch.manual_seed(1)
    wanted = theirs(*given.args, **given.kwargs)
    flambeau.manual_seed(1)
    got = mine(*args, **kwargs)
    same("output", got, wanted, tolerance)
    _equal("repr after", repr(mine), repr(theirs))
    own, state = mine.state_dict(), theirs.state_dict()
    _equal("keys after", list(own), list(state))
    same("state after", list(own.values()), list(state.values()), tolerance)
    _gradients((got, args, kwargs, mine), (wanted, given.args, given.kwargs, theirs), tolerance)


def _gradients(mine: Any, theirs: Any, tolerance: float) -> None:
    """Those of inputs and parameters, from outputs weighed each with a weight of its own."""
    found = []
    for library, (output, args, kwargs, module) in ((flambeau, mine), (torch, theirs)):
        leaves = [t for t in crossing.tensors_of([args, kwargs]) if t.requires_grad and t.is_leaf]
        leaves += list(module.parameters())
        total: Any = 0
        for k, t in enumerate(crossing.tensors_of(output)):
            if t.requires_grad:
                weights = library.cos(library.arange(t.numel(), dtype=t.dtype) + k)
                total = total + (t * weights.reshape(t.shape)).sum()
        if isinstance(total, int) or not leaves:
            found.append([])
            continue
        grads = library.autograd.grad(total, leaves, allow_unused=True)
        found.append(
            [library.zeros_like(x) if g is None else g for g, x in zip(grads, leaves, strict=True)]
        )
    same("gradients", *found, tolerance)


def refuse(info: ModuleInfo, dtype: torch.dtype, training: bool) -> None:
    """Where PyTorch raises, so do we, with the same kind of error. Raises: Mismatch."""
    samples = info.module_error_inputs_func(
        info, device="cpu", dtype=dtype, requires_grad=False, training=training
    )
    for sample in samples:
        given = sample.module_error_input
        at_call = sample.error_on is ModuleErrorEnum.FORWARD_ERROR
        mine = crossing.found(f"nn.{info.module_cls.__name__}")
        args, kwargs = arguments(given.constructor_input)
        try:
            made = mine(*args, **kwargs)
            if at_call:
                made.train(training)
                args, kwargs = arguments(given.forward_input)
                made(*args, **kwargs)
        except sample.error_type:
            continue
        except Exception as error:
            wanted = sample.error_type.__name__
            raise Mismatch(f"{type(error).__name__} instead of {wanted}: {error}") from None
        raise Mismatch(f"no error, expected {sample.error_regex[:70]!r}")


def checks(info: ModuleInfo) -> Iterator[tuple[str, Callable[[], None]]]:
    """Name and function of each comparison."""
    for dtype in (torch.float32, torch.float64):
        for training in (True, False):
            torch.manual_seed(0)
            samples = info.module_inputs_func(
                info, device="cpu", dtype=dtype, requires_grad=True, training=training
            )
            mode = "train" if training else "eval"
            for k, sample in enumerate(samples):
                name = f"{str(dtype)[6:]} {mode} {k} {sample.desc}"
                yield name, lambda s=sample, d=dtype, t=training: compare(info, s, d, t)
    if info.module_error_inputs_func is not None:
        yield "errors", lambda: refuse(info, torch.float32, True)


def failures(info: ModuleInfo) -> tuple[dict[str, str], int]:
    """What differs, by comparison; the number of comparisons."""
    found = {}
    count = 0
    for name, check in checks(info):
        count += 1
        try:
            check()
        except Mismatch as error:
            found[name] = str(error)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
    return found, count


def main() -> int:
    """Compare; 1 if a module fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="modules, such as Linear")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    good = total = comparisons = wrong = 0
    for info in module_db:
        name = info.module_cls.__name__
        if (options.names and name not in options.names) or info.name.startswith(NEVER_OURS):
            continue
        found, count = failures(info)
        for form, words in found.items():
            print(f"{name:28s} {form:36s} {words[:300]}", flush=True)
        good, total = good + (not found), total + 1
        comparisons, wrong = comparisons + count, wrong + len(found)
    print(f"{good} of {total} modules, {comparisons - wrong} of {comparisons} comparisons")
    return int(good < total)


if __name__ == "__main__":
    sys.exit(main())
