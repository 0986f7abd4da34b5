"""Which native callables the abstract run may call: those that compute and do nothing else."""

from __future__ import annotations

import abc
import argparse
import bisect
import builtins
import collections
import copy
import dataclasses
import enum
import functools
import heapq
import importlib
import itertools
import json
import math
import operator
import re
import string
import types
import typing
from collections.abc import Callable
from typing import Any

import flambeau
from flambeau import nn

from .values import UNKNOWN

MODULES = (
    "math", "cmath", "operator", "itertools", "functools", "collections", "dataclasses", "copy",
    "typing", "enum",
    "types", "abc", "string", "fractions", "numbers", "statistics", "contextlib",
    "collections.abc", "__future__",
    "random", "time", "warnings", "typing_extensions",
    "argparse", "bisect", "heapq", "json", "re", "textwrap", "inspect",
)  # fmt: skip
"""Modules of the standard library that the run imports; not all of their functions it calls."""

RUNTIME = (
    "flambeau.ops", "flambeau.nn", "flambeau.core", "flambeau.optim", "flambeau.distributions",
    "flambeau.autograd", "flambeau.vision.models", "flambeau.vision.ops",
    "flambeau.utils.data", "flambeau.amp", "flambeau.transforms", "flambeau.signal",
    "flambeau.sparse", "flambeau.fft",
    "flambeau.linalg", "flambeau.special", "flambeau.symbols", "flambeau.utils.checkpoint",
    "flambeau.utils._pytree",
    "flambeau.cuda.amp", "flambeau.distillation.logits", "flambeau.distillation.sequences",
    "flambeau.distillation.features", "flambeau.distillation.attention",
    "flambeau.distillation.relations",
)  # fmt: skip
"""Packages of the runtime whose functions compute on meta tensors and do nothing else."""

EFFECTS = frozenset(
    "manual_seed manual_seed_all seed set_default_dtype set_default_device "
    "set_default_tensor_type set_rng_state "
    "set_num_threads set_printoptions use_deterministic_algorithms set_flush_denormal "
    "fork_rng "
    "set_detect_anomaly register_module_forward_hook register_module_forward_pre_hook "
    "default_generator "
    "register_module_full_backward_hook register_optimizer_step_pre_hook "
    "register_optimizer_step_post_hook "
    "choose_device load save empty_cache synchronize from_numpy set_warn_always".split()
)
"""Names of runtime functions that change more than what they return."""

CLASSES: set[Any] = {
    int, float, complex, bool, str, bytes, bytearray, list, tuple, dict, set, frozenset, slice,
    object,
    collections.OrderedDict, collections.defaultdict, collections.Counter, collections.deque,
    types.SimpleNamespace,
    functools.partial, staticmethod, classmethod, property, functools.cached_property, enum.auto,
    itertools.product, itertools.repeat, itertools.count, itertools.cycle, itertools.combinations,
    itertools.permutations, itertools.combinations_with_replacement, itertools.accumulate,
    typing.TypeVar, flambeau.Generator,
    functools.partialmethod, operator.itemgetter, operator.attrgetter, operator.methodcaller,
    argparse.ArgumentParser,
}  # fmt: skip

FUNCTIONS: set[Any] = {
    abs, round, divmod, pow, ord, chr, hex, bin, oct, hash, repr, ascii, format, callable, id,
    dataclasses.field, dataclasses.dataclass, dataclasses.asdict, dataclasses.replace,
    dataclasses.astuple,
    dataclasses.is_dataclass, dataclasses.fields, functools.reduce, functools.wraps,
    functools.lru_cache,
    functools.cache, functools.update_wrapper, functools.total_ordering, collections.namedtuple,
    copy.copy,
    copy.deepcopy, typing.cast, typing.NamedTuple, typing.overload, typing.final,
    typing.runtime_checkable, abc.abstractmethod, enum.unique, json.loads, json.dumps,
    re.compile, re.match, re.search, re.fullmatch, re.split, re.findall, re.sub, re.escape,
    string.capwords, heapq.nlargest, heapq.nsmallest,
}  # fmt: skip
FUNCTIONS |= {
    f
    for m in (math, operator, bisect)
    for f in vars(m).values()
    if isinstance(f, types.BuiltinFunctionType)
}
CLASSES |= {
    e for e in vars(builtins).values() if isinstance(e, type) and issubclass(e, BaseException)
}

FUNCTIONS |= {
    flambeau.cuda.is_available, flambeau.cuda.device_count,  # no other leaves the GPU alone
    flambeau.accelerator.is_available, flambeau.accelerator.current_accelerator,
    flambeau.accelerator.device_count, flambeau.cpu.is_available, flambeau.jit.is_scripting,
    flambeau.jit.is_tracing, flambeau.compiler.is_compiling, flambeau.get_num_threads,
    flambeau.distributed.is_available, flambeau.distributed.is_initialized,
    flambeau.backends.mps.is_available, flambeau.backends.mps.is_built,
    flambeau.backends.cudnn.is_available, flambeau.initial_seed,
    flambeau.get_float32_matmul_precision, flambeau.overrides.is_tensor_like,
}  # fmt: skip

SIZED = frozenset(
    "zeros ones empty full rand randn randint randperm arange linspace eye normal broadcast_shapes "
    "zeros_like ones_like Size".split()
)
"""Functions of sizes alone that make no values on meta."""

PARTING = frozenset(("unbind", "split", "chunk", "tensor_split"))
"""Functions that make a number of tensors that depends on sizes."""

NAMING = frozenset(("add_module", "register_module", "register_buffer", "register_parameter"))
"""Methods of a module that set an attribute whose name they are given."""

JOINING = frozenset("cat concat concatenate stack hstack vstack dstack column_stack".split())
"""Functions of a sequence of tensors; they take a tensor for the sequence of its rows."""

STEPWISE = frozenset("interpolate upsample grid_sample affine_grid stft istft unfold fold".split())
"""Functions that compute something for each step of a size, on meta too."""

VALUED = frozenset(
    "add sub mul div pow clamp lerp where masked_fill add_ sub_ mul_ div_ clamp_ lerp_ fill_ "
    "masked_fill_ dropout leaky_relu full full_like".split()
)
"""Functions whose numbers decide values alone, no shapes."""

SIZED_CLASSES = (
    nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d,
    nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm,
    nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d,
    nn.InstanceNorm2d, nn.PReLU, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention,
    nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.Parameter, nn.Flatten, nn.Unflatten,
)  # fmt: skip
"""Classes that make nothing but parameters of the sizes that they are given."""

CONTAINERS = (list, dict, set, collections.deque)
WRITING = frozenset(
    "append extend insert pop remove clear update setdefault add discard sort reverse popitem "
    "appendleft popleft "
    "extendleft rotate move_to_end subtract intersection_update difference_update".split()
)
"""Methods that change their container."""

TRANSPARENT = frozenset(
    "append appendleft insert add setdefault get items keys values copy pop popleft popitem clear "
    "reverse update "
    "extend".split()
)
"""Methods of containers that do not look into the items they are given."""

VALUES: tuple[type, ...] = (
    str,
    bytes,
    int,
    float,
    complex,
    tuple,
    frozenset,
    range,
    slice,
    type({}.keys()),
    re.Pattern,
    re.Match,
)
"""Types all of whose methods only compute."""

GETTERS = (operator.itemgetter, operator.attrgetter)
"""Types whose objects only look something up when they are called."""

PARSERS = (argparse.ArgumentParser, argparse._ArgumentGroup, argparse._MutuallyExclusiveGroup)
"""Types of which some methods do nothing but note what they are given."""

NOTING = frozenset("set_defaults add_argument_group add_mutually_exclusive_group".split())


def not_known(parser: argparse._ActionsContainer) -> None:
    """Note that a parser, or one that a group belongs to, may have more arguments than is known."""
    actions: list[Any] = parser._actions
    actions.append(None)


MOST_ROUNDS = 10_000  # of a range that native code goes through, and of a product of numbers
LONGEST_TEXT = 1_000_000  # that native code makes


def takes_long(function: Any, given: list[Any]) -> bool:
    """Whether a native function would go through very many numbers, or make a very long text."""
    if any(value.__class__ is range and len(value) > MOST_ROUNDS for value in given):
        return True
    numbers = [value for value in given if value.__class__ is int]
    if function in (math.factorial, math.comb, math.perm):
        return any(value > MOST_ROUNDS for value in numbers)
    owner = getattr(function, "__self__", None)
    makes_text = function in (bytes, bytearray) or isinstance(owner, str | bytes | int)
    return makes_text and any(value > LONGEST_TEXT for value in numbers)


def is_runtime(function: Callable[..., Any]) -> bool:
    """Whether `function` is one of the runtime's that only computes."""
    module = getattr(function, "__module__", None)
    if not isinstance(module, str) or getattr(function, "__name__", "") in EFFECTS:
        return False
    return any(module == name or module.startswith(name + ".") for name in RUNTIME) or (
        module == "flambeau"
    )


BASES = ("builtins", "enum", "abc", "typing", "collections", "collections.abc", "types")
"""Modules whose classes the user's may have as bases: their methods only compute."""


def is_base(kind: Any) -> bool:
    """Whether classes made from `kind` do nothing but compute in what they inherit from it."""
    return getattr(kind, "__module__", "") in BASES or is_runtime(kind)


def takes_sizes(kind: type) -> bool:
    """Whether objects of a runtime's class are made in no time whatever their sizes are."""
    return issubclass(kind, SIZED_CLASSES)


def is_runtime_class(kind: Any) -> bool:
    """Whether `kind` is a class of the runtime whose objects the run may make."""
    return isinstance(kind, type) and is_runtime(kind)


def is_dtype_method(function: Any) -> bool:
    """Whether `function` belongs to a dtype, device or size."""
    owner = getattr(function, "__self__", None)
    return isinstance(owner, flambeau.dtype | flambeau.device | flambeau.Size)


def is_runtime_module(name: str) -> bool:
    """Whether `name` is the runtime under one of its names."""
    return name.partition(".")[0] in ("torch", "flambeau", "torchvision")


def runtime_module(name: str) -> Any:
    """The runtime's module called `name`, as PyTorch calls it; UNKNOWN if there is none."""
    package, _, rest = name.partition(".")
    if package == "torchvision":
        rest = f"vision.{rest}".rstrip(".")
    if rest.partition(".")[0] in ("kernel", "magics", "repl"):
        return UNKNOWN
    try:
        return importlib.import_module("flambeau" + ("." + rest if rest else ""))
    except ImportError:
        return UNKNOWN


MIRRORING = ("reflect", "replicate", "circular")
"""Modes of padding that look up every element of a line."""


def is_mirroring(given: list[Any]) -> bool:
    return any(value.__class__ is str and value in MIRRORING for value in given)


def is_stepwise(module: nn.Module) -> bool:
    """Whether a layer computes something for each step of a size, on meta too."""
    kind = type(module).__name__
    if isinstance(module, nn.Upsample | nn.Fold | nn.Unfold) or kind.startswith(
        ("ReflectionPad", "ReplicationPad", "CircularPad")
    ):
        return True
    return vars(module).get("padding_mode", "zeros") in MIRRORING
