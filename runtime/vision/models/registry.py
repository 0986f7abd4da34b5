"""The models by name: `get_model("resnet18")`, `list_models()`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from types import ModuleType
from typing import Any, TypeVar

from ... import get_default_device, nn
from .weights import ENUMS, WeightsEnum, options_in, state_dict_of

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
    inspect.Parameter("weights", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None,
                      annotation=Any),
    inspect.Parameter("progress", inspect.Parameter.KEYWORD_ONLY, default=True, annotation=bool),
]  # fmt: skip


def register_model(make: Callable[..., Model]) -> Callable[..., Model]:
    """The builder of a model, which can be found by its name, and takes `weights` beside the
    options of `make`: None, one of the model's published weights, or the path of a file.

    A `make` that has `weights_backbone` builds upon another model: with weights of its own that one
    gets none. If it has `trained`, it is told whether either has weights.
    """
    takes = inspect.signature(make).parameters

    @functools.wraps(make)
    def build(
        weights: Any = None, *, progress: bool = True, pretrained: bool = False, **options: Any
    ) -> Model:
        weights = "DEFAULT" if pretrained or weights is True else weights or None
        if weights is None or get_default_device().type == "meta":  # which keeps no values
            return make(**options)
        state = state_dict_of(make.__name__, weights)
        for name, value in options_in(make.__name__, weights, state).items():
            if name == "num_classes" or name in takes:
                options.setdefault(name, value)
        if "weights_backbone" in takes:
            options["weights_backbone"] = None
        if "trained" in takes:
            options["trained"] = True
        model = make(**options)
        model.load_state_dict(state)
        return model

    own = [p for p in takes.values() if p.name != "trained"]
    kept = [p.replace(kind=p.KEYWORD_ONLY) for p in own if p.kind is not p.VAR_KEYWORD]
    rest = [p for p in own if p.kind is p.VAR_KEYWORD]
    signature = inspect.signature(make).replace(parameters=[*OPTIONS, *kept, *rest])
    build.__signature__ = signature  # type: ignore[attr-defined]
    BUILDERS[make.__name__] = build
    return build


def backbone_of(name: str, weights: Any, **options: Any) -> nn.Module:
    """A model for others to build upon, with published weights, those of a file, or none. Raises:
    FileNotFoundError if they are not there."""
    try:
        return get_model_builder(name)(weights=weights, **options)
    except FileNotFoundError as error:
        error.add_note(f"weights_backbone=None begins with a {name} that has learned nothing.")
        raise


def weights_of_module(module: str) -> Callable[[str], Any]:
    """A module's `__getattr__` for the weights of the models that it builds: ResNet18_Weights and
    its kin in `models.resnet`, those of a package in all its modules."""

    def look_up(name: str) -> Any:
        for model, enum in ENUMS.items():
            if enum.__name__ == name and BUILDERS[model].__module__.startswith(module):
                return enum
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return look_up


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
    found = ENUMS.get(name.lower())
    if found is None:
        raise ValueError(f"get_model_weights: {name} has no published weights that are known.")
    return found


def get_weight(name: str) -> WeightsEnum:
    """The published weights called "ResNet18_Weights.IMAGENET1K_V1" or the like."""
    enum, _, member = name.partition(".")
    for found in ENUMS.values():
        if found.__name__ == enum and member in found.__members__:
            return found[member]
    raise ValueError(f"get_weight: expected a name such as ResNet18_Weights.DEFAULT. Got {name!r}.")
