"""The name that was meant, where an error says that there is none of the name in the code."""

from __future__ import annotations

import builtins
import re
import sys
from types import ModuleType

from flambeau import Tensor
from flambeau.magics.check.spelling import closest, meant_attribute
from flambeau.nn import Module

ALIKE = 0.76  # how alike the two must be, as difflib counts; `foo` is not meant to be `floor`

_IMPORTED = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")


def meant_name(error: BaseException) -> str | None:
    """The name most like the one that `error` misses, if one is much like it."""
    match error:
        case AttributeError():
            return meant_attribute(error, ALIKE)[1] if _is_harmless(error.obj) else None
        case NameError(name=str(name)):
            return closest(name, _names(error), ALIKE)
        case ImportError() if found := _IMPORTED.match(str(error)):
            return closest(found[1], dir(sys.modules.get(found[2])), ALIKE)
    return None


def _is_harmless(owner: object) -> bool:
    """Whether no code of the user runs when its attributes are listed."""
    known = isinstance(owner, Tensor | Module | ModuleType | type)
    return known or type(owner).__module__ == "builtins"


def _names(error: BaseException) -> list[str]:
    """What could have been written where `error` was raised."""
    names, level = list(vars(builtins)), error.__traceback__
    while level is not None and level.tb_next is not None:
        level = level.tb_next
    if level is not None:
        names += [*level.tb_frame.f_globals, *level.tb_frame.f_locals]
    return [name for name in names if not name.startswith("_")]
