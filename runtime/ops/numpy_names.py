"""NumPy's names of arguments, `axis` and `keepdims`, where PyTorch takes them too.

Here `axis` stands for `dim`, and `keepdims` for `keepdim`.
They are parameters of the code that runs, but of no signature that users see.
"""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Iterable
from typing import Any

NAMES = {"dim": "axis", "keepdim": "keepdims"}
"""NumPy's name by PyTorch's."""


class Absent:
    """The default of an argument with two names: under this one nothing was given."""


ABSENT = Absent()

Function = Callable[..., Any]


def instead(operation: str, name: str, value: Any, default: Any, renamed: Any) -> Any:
    """The argument `name` of `operation`, which came as `renamed` under NumPy's name.

    Raises: TypeError if it came under its own name as well.
    """
    if value is not default:
        raise TypeError(f"{operation}: expected {name} or {NAMES[name]}. Got both.")
    return renamed


def missing(operation: str, name: str) -> TypeError:
    """What Python says of a required argument that is not there."""
    return TypeError(f"{operation}() missing 1 required positional argument: '{name}'")


def deferred(parameters: Iterable[inspect.Parameter]) -> set[str]:
    """The required parameters from the first renamed one on: each needs a default, so that it or
    one before it may come under another name."""
    names: set[str] = set()
    for p in parameters:
        if p.default is p.empty and (p.name in NAMES or names) and p.kind is not p.VAR_POSITIONAL:
            names.add(p.name)
    return names


def parameter_words(
    parameters: list[inspect.Parameter], default: Callable[[Any], str]
) -> list[str]:
    """The words of a signature of `parameters` and NumPy's names; `default(p)` is "=source"."""
    late = deferred(parameters)
    words = []
    starred = False
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            words.append(f"*{p.name}")
            starred = True
            continue
        if p.kind is p.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        words.append(p.name + ("=ABSENT" if p.name in late else default(p)))
    extra = [f"{NAMES[p.name]}=ABSENT" for p in parameters if p.name in NAMES]
    return words + (["*"] if extra and not starred else []) + extra


def renaming(
    operation: str, parameters: list[inspect.Parameter], default: Callable[[Any], str]
) -> list[str]:
    """The lines that take what came under NumPy's names and miss what came under neither."""
    late = deferred(parameters)
    lines = []
    for p in parameters:
        if p.name in NAMES:
            usual = "ABSENT" if p.name in late else default(p)[1:]
            given = f"{operation!r}, {p.name!r}, {p.name}, {usual}, {NAMES[p.name]}"
            lines.append(f"    if {NAMES[p.name]} is not ABSENT:")
            lines.append(f"        {p.name} = instead({given})")
        if p.name in late:
            lines.append(f"    if {p.name} is ABSENT:")
            lines.append(f"        raise missing({operation!r}, {p.name!r})")
    return lines


def numpy_names(function: Function) -> Function:
    """`function`, with its `dim` and `keepdim` under NumPy's names as well."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    name = function.__name__
    known: dict[str, Any] = {
        "ABSENT": ABSENT, "instead": instead, "missing": missing, "function_": function,
        "__name__": function.__module__,
    }  # fmt: skip

    def default(p: inspect.Parameter) -> str:
        if p.default is p.empty:
            return ""
        known[f"default_{p.name}"] = p.default
        return f"=default_{p.name}"

    head = f"def {name}({', '.join(parameter_words(parameters, default))}):"
    passed = [_passed(p) for p in parameters]
    lines = [head, *renaming(name, parameters, default)]
    lines.append(f"    return function_({', '.join(passed)})")
    filename = f"<flambeau {name} by NumPy's names>"
    text = "\n".join(lines) + "\n"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), known)
    renamed = known[name]
    renamed.__doc__, renamed.__qualname__ = function.__doc__, function.__qualname__
    renamed.__wrapped__, renamed.__signature__ = function, signature
    return renamed  # type: ignore[no-any-return]


def _passed(p: inspect.Parameter) -> str:
    if p.kind is p.VAR_POSITIONAL:
        return f"*{p.name}"
    return f"{p.name}={p.name}" if p.kind is p.KEYWORD_ONLY else p.name
