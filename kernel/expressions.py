"""What the text before the cursor names: a live value, or what an expression would be."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from flambeau import Tensor

MISSING = object()

TOKEN = re.compile(
    r"(?s)#[^\n]*|[rbfuRBFU]{0,2}('''.*?(?:'''|\Z)|\"\"\".*?(?:\"\"\"|\Z)|'(?:\\.|[^'\\\n])*'?|"
    r"\"(?:\\.|[^\"\\\n])*\"?)|[()\[\]{},]"
)
"""Comments, strings, brackets and commas."""

PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")
_ATTRIBUTE = re.compile(r"\.([^\W\d]\w*)?\Z")
_WORD = re.compile(r"[\w.]+\Z")
_NAME = "_inferred_"  # what the expression is assigned to
_ONE_TENSOR = re.compile(r"\([^()]*\) \w+\Z")


def owner_before(source: str, cursor: int) -> tuple[int, int] | None:
    """Where the expression stands whose attribute is being typed at `cursor`: start and end."""
    before = source[:cursor]
    attribute = _ATTRIBUTE.search(before)
    if attribute is None:
        return None
    partners: dict[int, int] = {}  # the end of a string or of a bracketed part -> its start
    open_brackets: list[int] = []
    for token in TOKEN.finditer(before, 0, attribute.start()):
        text = token.group()
        if text in "([{":
            open_brackets.append(token.start())
        elif text in ")]}":
            if open_brackets:
                partners[token.end()] = open_brackets.pop()
        elif text.startswith("#") and token.end() == attribute.start():
            return None
        elif text != ",":
            partners[token.end()] = token.start()
    start = attribute.start()
    while True:
        word = _WORD.search(before, 0, start)
        step = partners.get(start, start if word is None else word.start())
        if step == start:
            break
        start = step
    return (start, attribute.start()) if start < attribute.start() else None


def is_tensor(namespace: Mapping[str, Any], source: str, owner: tuple[int, int]) -> bool:
    """Whether the expression at `owner` is a tensor as far as the checker sees; nothing runs.

    The cell's lines before it count: `h = net(x)` above makes `h` a tensor before the cell runs.
    """
    from flambeau.magics.check import infer_shapes

    start, end = owner
    line = source.rfind("\n", 0, start) + 1
    indent = source[line : len(source) - len(source[line:].lstrip())]
    assignment = f"{_NAME} = {source[start:end]}"
    for text in dict.fromkeys((f"{source[:line]}{indent}{assignment}\n", f"{assignment}\n")):
        for hint in infer_shapes(text, dict(namespace)):
            if hint.name == _NAME:
                return _ONE_TENSOR.match(hint.text) is not None
    return False


@dataclass(frozen=True, slots=True)
class Found:
    """A value, and whether it is a function that its instance is bound to."""

    path: str
    value: Any
    is_bound: bool


def found_before(namespace: Mapping[str, Any], source: str, end: int) -> Found | None:
    """What the dotted path that ends at `end` names, found without running user code; the path may
    follow an expression that is a tensor."""
    path = PATH.search(source[:end].rstrip())
    if path is None:
        return None
    owner_path, _, name = path[0].rpartition(".")
    if source.endswith(".", 0, path.start()):
        owner = None if owner_path else owner_before(source, path.end())
        if owner is None or not is_tensor(namespace, source, owner):
            return None
        value = attribute(Tensor, name)
        bound = isinstance(value, FunctionType)
    else:
        value = resolve(namespace, path[0])
        bound = bool(owner_path) and is_bound(resolve(namespace, owner_path), value)
    return None if value is MISSING else Found(path[0], value, bound)


def resolve(namespace: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path such as `model.fc1.weight`, found without running user code;
    MISSING if there is none, or not so."""
    first, *rest = path.split(".")
    value = namespace.get(first, MISSING)
    for name in rest:
        value = attribute(value, name)
    return value


def attribute(value: Any, name: str) -> Any:
    """The attribute as it is stored; of modules also children, parameters and buffers."""
    if value is MISSING:
        return MISSING
    own = getattr(value, "__dict__", None) or {}
    for table in (own, *(own.get(t) or {} for t in ("_parameters", "_modules", "_buffers"))):
        if type(table) is dict or hasattr(table, "keys"):
            found = table.get(name, MISSING)
            if found is not MISSING:
                return found
    if isinstance(value, ModuleType):
        return own.get(name, MISSING)
    return inspect.getattr_static(value, name, MISSING)


def is_bound(owner: Any, found: Any) -> bool:
    """Whether `found`, looked up statically on `owner`, would be bound to it."""
    if isinstance(owner, ModuleType | type) or not isinstance(found, FunctionType):
        return False
    return all(found is not own for own in (getattr(owner, "__dict__", None) or {}).values())
