"""The models by name: `get_model("resnet18")`, `list_models()`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from types import ModuleType
from typing import Any, TypeVar

from ... import get_default_device, nn
from .weights import ENUMS, WeightsEnum, classes_in, state_dict_of

__all__ = [
    "get_model",
    "get_model_builder",
    "get_model_weights",
    "get_weight",
    "list_models",
    "register_model",
]

Model = TypeVar("Model", bound=nn.Module)
Builder = Callable[..., nn.Module]

BUILDERS: dict[str, Builder] = {}

OPTIONS = [
    inspect.Parameter("weights", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Any),
    inspect.Parameter("progress", inspect.Parameter.KEYWORD_ONLY, default=True, annotation=bool),
]


def register_model(make: Callable[..., Model]) -> Callable[..., Model]:
    """The builder of a model, which can be found by its name, and takes `weights` beside the
    options of `make`: None, one of the model's published weights, or the path of a file."""

    @functools.wraps(make)
    def build(
        *, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any
    ) -> Model:
        if weights is None and pretrained:
            weights = "DEFAULT"
        if weights is None or get_default_device().type == "meta":  # which keeps no values
            return make(**options)
        state = state_dict_of(make.__name__, weights)
        options.setdefault("num_classes", classes_in(make.__name__, weights, state))
        model = make(**options)
        model.load_state_dict(state)
        return model

    signature = inspect.signature(make)
    kept = [p for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD]
    build.__signature__ = signature.replace(parameters=[*OPTIONS, *kept])  # type: ignore[attr-defined]
    BUILDERS[make.__name__] = build
    return build


def _patterns(given: Iterable[str] | str | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def list_models(
    module: ModuleType | None = None,
    include: Iterable[str] | str | None = None,
    exclude: Iterable[str] | str | None = None,
) -> list[str]:
    """The names of all models, in order; of those of a `module` alone, or that fit one of the
    patterns `include` ("resnet*") and none of `exclude`."""
    wanted, unwanted = _patterns(include), _patterns(exclude)
    home = None if module is None else module.__name__
    return [
        name
        for name, build in sorted(BUILDERS.items())
        if (home is None or build.__module__.rpartition(".")[0] == home or build.__module__ == home)
        and (not wanted or any(fnmatch(name, p) for p in wanted))
        and not any(fnmatch(name, p) for p in unwanted)
    ]


def get_model_builder(name: str) -> Builder:
    """The function that builds the model. Raises: ValueError for a name that no model has."""
    found = BUILDERS.get(name.lower())
    if found is None:
        from difflib import get_close_matches

        near = get_close_matches(name.lower(), BUILDERS, 3)
        hint = f" Did you mean {' or '.join(near)}?" if near else " list_models() names them all."
        raise ValueError(f"get_model: expected the name of a model. Got {name!r}.{hint}")
    return found


def get_model(name: str, **config: Any) -> nn.Module:
    """The model of that name; `config` as its builder takes it: `weights`, `num_classes`, ..."""
    return get_model_builder(name)(**config)


def get_model_weights(name: Any) -> type[WeightsEnum]:
    """The published weights of the model, by name or builder."""
    name = name if isinstance(name, str) else name.__name__
    get_model_builder(name)
    return ENUMS[name.lower()]


def get_weight(name: str) -> WeightsEnum:
    """The published weights called "ResNet18_Weights.IMAGENET1K_V1" or the like."""
    enum, _, member = name.partition(".")
    for found in ENUMS.values():
        if found.__name__ == enum and member in found.__members__:
            return found[member]
    raise ValueError(f"get_weight: expected a name such as ResNet18_Weights.DEFAULT. Got {name!r}.")
