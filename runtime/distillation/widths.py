"""Students that begin as the strongest units inside of their teacher's blocks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..core.creation import tensor
from ..nn.modules import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    Conv1d,
    Conv2d,
    Conv3d,
    Flatten,
    Identity,
    Linear,
    PReLU,
    Sequential,
    activation,
    dropout,
    pooling,
)
from ..nn.modules.module import Module
from ..nn.parameter import Parameter

__all__ = ["shrink_units", "shrink_width"]

CONVOLUTIONS = (Conv1d, Conv2d, Conv3d)
BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d)


class Chain(NamedTuple):
    """A layer that makes units, those that treat each by itself, and the one that reads them."""

    producer: Any
    between: Sequence[Any]
    consumer: Any


def shrink_width(model: Module, keep: float) -> Any:
    """A copy of `model` with a part `keep` of the hidden units of its blocks, the strongest ones.

    These are units that only the next layer reads: of a linear layer or convolution that another
    one follows in a Sequential that is run as a whole (with batch norms, activations, dropout,
    pooling or a Flatten, and convolutions of single channels, between them); linear1 of transformer
    layers; conv1, and conv2 of three, in residual blocks named as torchvision's. What passes
    through residual sums keeps its width, and so do inputs and outputs. A unit is as strong as the
    sum of |weights| that make it.
    Raises: ValueError unless 0 < keep <= 1, or if there are no such units.
    Source: arXiv:1608.08710, section 3.1.

    Example:
        >>> student = distillation.shrink_width(teacher, 0.5)
    """
    if not 0 < keep <= 1:
        raise ValueError(f"shrink_width: expected a part from above 0 to 1. Got {keep}.")
    student = copy.deepcopy(model)
    chains = list(_chains(student))
    if not chains:
        raise ValueError(
            f"shrink_width: expected a {type(model).__name__} with hidden units that only the next "
            "layer reads. Found none; name them yourself to shrink_units."
        )
    for chain in chains:
        count = _outputs(chain.producer)
        shrink_units(chain.producer, chain.consumer, max(1, round(keep * count)), chain.between)
    return student


def shrink_units(
    producer: Module, consumer: Module, keep: int | Sequence[int], between: Sequence[Module] = ()
) -> list[int]:
    """Leave only some of the units that `producer` makes and `consumer` reads, in place, and give
    their numbers.

    Both are Linear or convolutions in one group; `between` are batch norms and convolutions of
    single channels, which lose the same units. `keep` are numbers, or how many of the strongest.
    A Linear that reads flattened images has several inputs for each unit.
    Raises: TypeError for other layers, ValueError for sizes that do not fit.
    """
    _require_sizes(producer, consumer)
    for layer in between:
        _require_unit_by_unit(layer)
    weight: Any = producer.weight
    count = weight.shape[0]
    if isinstance(keep, int):
        strength = weight.detach().abs().flatten(1).sum(1)
        kept = sorted(strength.topk(keep)[1].tolist()) if 1 <= keep <= count else []
    else:
        kept = [int(k) for k in keep]
    if not kept or not all(0 <= k < count for k in kept):
        raise ValueError(f"shrink_units: expected to keep some of {count} units. Got {keep}.")
    _select(producer, "weight", kept, 0)
    _select(producer, "bias", kept, 0)
    _set_size(producer, "out_features", "out_channels", len(kept))
    for layer in between:
        _narrow_between(layer, kept)
    per_unit = consumer.weight.shape[1] // count
    columns = [k * per_unit + j for k in kept for j in range(per_unit)]
    _select(consumer, "weight", columns, 1)
    _set_size(consumer, "in_features", "in_channels", len(columns))
    return kept


def _require_sizes(producer: Any, consumer: Any) -> None:
    for layer in (producer, consumer):
        if not _is_dense(layer):
            raise TypeError(
                "shrink_units: expected Linear layers or convolutions in one group. Got "
                f"{type(layer).__name__}."
            )
    makes, reads = _outputs(producer), consumer.weight.shape[1]
    if reads % makes or (reads != makes and not isinstance(consumer, Linear)):
        raise ValueError(
            f"shrink_units: expected a consumer that reads the producer's {makes} units. Got one "
            f"that reads {reads}."
        )


def _require_unit_by_unit(layer: Any) -> None:
    if not (isinstance(layer, BATCH_NORMS) or _is_depthwise(layer)):
        raise TypeError(
            "shrink_units: expected batch norms and convolutions of single channels between. Got "
            f"{type(layer).__name__}."
        )


def _is_dense(layer: Any) -> bool:
    """Whether all outputs read all inputs by a weight of the layer's own."""
    if not isinstance(layer, (Linear, *CONVOLUTIONS)) or "weight" not in layer._parameters:
        return False
    return isinstance(layer, Linear) or layer.groups == 1


def _is_depthwise(layer: Any) -> bool:
    return (
        isinstance(layer, CONVOLUTIONS) and layer.groups == layer.in_channels == layer.out_channels
    )


def _outputs(layer: Any) -> int:
    return layer.weight.shape[0]


def _select(layer: Any, name: str, places: list[int], dim: int) -> None:
    """Keep these places of a parameter or buffer, if there is one."""
    held = getattr(layer, name, None)
    if held is None:
        return
    chosen = held.detach().index_select(dim, tensor(places, device=held.device))
    is_parameter = isinstance(held, Parameter)
    setattr(layer, name, Parameter(chosen, held.requires_grad) if is_parameter else chosen)


def _set_size(layer: Any, of_linear: str, of_convolution: str, size: int) -> None:
    setattr(layer, of_linear if isinstance(layer, Linear) else of_convolution, size)


def _narrow_between(layer: Any, kept: list[int]) -> None:
    if isinstance(layer, BATCH_NORMS):
        for name in ("weight", "bias", "running_mean", "running_var"):
            _select(layer, name, kept, 0)
        layer.num_features = len(kept)
    else:
        for name in ("weight", "bias"):
            _select(layer, name, kept, 0)
        layer.in_channels = layer.out_channels = layer.groups = len(kept)


# -- where units are that only one layer reads -----------------------------------------------------


def _chains(model: Module) -> Iterator[Chain]:
    inside: set[int] = set()
    for module in model.modules():
        if isinstance(module, Sequential):
            if id(module) not in inside:
                inside |= {id(m) for m in module.modules() if isinstance(m, Sequential)}
                yield from _in_order(list(_flattened(module)))
        else:
            yield from _named(module)


def _flattened(module: Module) -> Iterator[Any]:
    for child in module.children():
        yield from _flattened(child) if isinstance(child, Sequential) else [child]


def _in_order(layers: list[Any]) -> Iterator[Chain]:
    producer: Any = None
    passed: list[Any] = []
    for layer in layers:
        if _is_dense(layer):
            if producer is not None and _fits(producer, passed, layer):
                between = [m for m in passed if isinstance(m, (*BATCH_NORMS, *CONVOLUTIONS))]
                yield Chain(producer, between, layer)
            producer, passed = layer, []
        elif isinstance(layer, BATCH_NORMS) or _is_depthwise(layer) or _treats_units_alone(layer):
            passed.append(layer)
        else:
            producer = None


def _fits(producer: Any, passed: list[Any], consumer: Any) -> bool:
    """Whether the consumer reads units, not places of images that nothing has flattened."""
    makes, reads = _outputs(producer), consumer.weight.shape[1]
    if isinstance(producer, Linear) or isinstance(consumer, CONVOLUTIONS):
        return reads == makes and isinstance(producer, Linear) is isinstance(consumer, Linear)
    return reads % makes == 0 and any(isinstance(m, Flatten) for m in passed)


def _treats_units_alone(layer: Any) -> bool:
    kind = type(layer)
    if kind is PReLU:
        return layer.num_parameters == 1
    mixing = kind.__name__ in ("GLU", "Softmax", "Softmax2d", "LogSoftmax", "Softmin")
    home = kind.__module__
    known: bool = home in (activation.__name__, dropout.__name__, pooling.__name__)
    return kind in (Flatten, Identity) or (known and not mixing)


def _named(module: Any) -> Iterator[Chain]:
    """Transformer layers and residual blocks, by the names of their parts."""
    parts = module._modules
    if {"linear1", "linear2", "activation"} <= {*parts, *vars(module)} and all(
        _is_dense(parts.get(name)) for name in ("linear1", "linear2")
    ):
        yield Chain(parts["linear1"], [], parts["linear2"])
    for k in (1, 2):
        names = f"conv{k}", f"bn{k}", f"conv{k + 1}"
        has_norm = isinstance(parts.get(names[1]), BATCH_NORMS) and f"bn{k + 1}" in parts
        if has_norm and _is_dense(parts.get(names[0])) and _is_dense(parts.get(names[2])):
            yield Chain(parts[names[0]], [parts[names[1]]], parts[names[2]])
