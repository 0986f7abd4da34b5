"""Dimensions that stay open, and runs of a model at several of their sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.creation import as_tensor
from ..core.ranges import arange
from ..core.tensor import Tensor
from .recording import ExportError

__all__ = ["Dim", "OpenDims", "resized", "revalued", "variations"]


class Dim:
    """A dimension that stays open, by its name: `dynamic_shapes={"x": {0: Dim("batch")}}`.

    Dimensions of one name are equal. `min` and `max` bound the sizes that the model is tried at.
    `Dim.AUTO` and `Dim.DYNAMIC` are open dimensions without a name, `Dim.STATIC` is a fixed one.
    """

    AUTO: Any = None
    DYNAMIC: Any = None
    STATIC: Any = None

    def __init__(self, name: str, *, min: int | None = None, max: int | None = None) -> None:
        if not name.isidentifier():
            raise ValueError(f"Dim: expected an identifier as name. Got {name!r}.")
        self.__name__ = name
        self.min = 0 if min is None else min
        self.max = max

    def __repr__(self) -> str:
        return f"Dim({self.__name__!r}, min={self.min}, max={self.max})"


Dim.AUTO, Dim.DYNAMIC, Dim.STATIC = Dim("AUTO"), Dim("DYNAMIC"), Dim("STATIC")


def dims(*names: str, min: int | None = None, max: int | None = None) -> tuple[Dim, ...]:
    """One Dim for each name."""
    return tuple(Dim(name, min=min, max=max) for name in names)


@dataclass
class OpenDims:
    """Which dimensions of the inputs are open: per input, the name by dimension."""

    names: list[dict[int, str]]
    bounds: dict[str, tuple[int, int | None]] = field(default_factory=dict)

    def places(self, name: str) -> Iterator[tuple[int, int]]:
        """The inputs and dimensions called `name`."""
        for k, by_dim in enumerate(self.names):
            for dim, found in by_dim.items():
                if found == name:
                    yield k, dim

    def all_names(self) -> list[str]:
        """Every name once, in order."""
        return list(dict.fromkeys(n for by_dim in self.names for n in by_dim.values()))

    def sizes(self, inputs: Sequence[Tensor]) -> dict[str, int]:
        """The sizes that `inputs` have. Raises: ExportError where equal names have two sizes."""
        found: dict[str, int] = {}
        for name in self.all_names():
            seen = {(k, d): inputs[k].shape[d] for k, d in self.places(name)}
            if len(set(seen.values())) > 1:
                listed = ", ".join(
                    f"{n} (dimension {d} of input {k})" for (k, d), n in seen.items()
                )
                raise ExportError(
                    f"Export: expected dimensions called {name!r} to be equal. Got {listed}. Give "
                    "them different names."
                )
            found[name] = next(iter(seen.values()))
        return found

    def allows(self, name: str, size: int) -> bool:
        """Whether `size` lies between the bounds of the dimension."""
        low, high = self.bounds.get(name, (0, None))
        return max(low, 1) <= size and (high is None or size <= high)


def resized(inputs: Sequence[Tensor], opened: OpenDims, sizes: dict[str, int]) -> list[Tensor]:
    """Copies of the inputs, with open dimensions of other sizes: repeated from the beginning, or
    cut."""
    found = []
    for tensor, by_dim in zip(inputs, opened.names, strict=True):
        for dim, name in by_dim.items():
            here = tensor.shape[dim]
            if here == 0 or here == sizes[name]:
                continue
            places = arange(sizes[name], device=tensor.device) % here
            tensor = tensor.index_select(dim, places)
        found.append(tensor.detach().clone().requires_grad_(tensor.requires_grad))
    return found


def revalued(inputs: Sequence[Tensor], seed: int) -> list[Tensor]:
    """The inputs with other values of the same kind: numbers with signs turned here and there,
    integers in another order, truth values turned."""
    draw = np.random.default_rng(seed)
    found = []
    for tensor in inputs:
        array = tensor.detach().numpy_values()
        turned = draw.random(array.shape) < (0.35, 0.65)[seed % 2]
        if array.dtype.kind == "b":
            array = array ^ turned
        elif tensor.is_floating_point() or tensor.is_complex():
            array = np.where(turned, -array, array).astype(array.dtype)
        else:
            array = draw.permutation(array.reshape(-1)).reshape(array.shape)
        found.append(as_tensor(array, dtype=tensor.dtype, device=tensor.device))
    return found


STEPS: tuple[Callable[[int], tuple[int, int]], ...] = (
    lambda n: (n + 1, n + 3),
    lambda n: (2 * n, 4 * n),  # sizes that must be multiples of something
    lambda n: (n - 1, n - 3),  # sizes that are at their largest
    lambda n: (n // 2, n // 4),
)


def variations(
    opened: OpenDims, first: dict[str, int], run: Callable[[dict[str, int]], Any]
) -> list[tuple[dict[str, int], Any]]:
    """What `run` gives at the sizes `first` and at others: two for each name, and all at once.

    A size of 1 is tried as 2, as 1 means broadcasting to many models.
    Raises: ExportError if the model runs at no other size of a dimension.
    """
    base = {n: 2 if s == 1 and opened.allows(n, 2) else s for n, s in first.items()}
    run(base)  # what a first run leaves for later ones, such as tables of angles, is then there
    runs = [(base, run(base))]
    others: dict[str, int] = {}
    for name, size in base.items():
        failure: Exception | None = None
        for step in STEPS:
            sizes = step(size)
            if not all(opened.allows(name, s) and s > 1 for s in sizes):
                continue
            try:
                found = [({**base, name: s}, run({**base, name: s})) for s in sizes]
            except ExportError:
                raise
            except Exception as error:  # the model's own refusal, whatever it is
                failure = failure or error
                continue
            runs += found
            others[name] = sizes[1]
            break
        else:
            raise _refused(name, size, failure)
    if len(others) > 1:
        runs.append((others, run(others)))
    return runs


def _refused(name: str, size: int, failure: Exception | None) -> ExportError:
    why = (
        "Its bounds allow no other."
        if failure is None
        else f"At another it raised {type(failure).__name__}: {failure}"
    )
    return ExportError(
        f"Export: expected a model that runs at several sizes of the open dimension {name!r}. It "
        f"ran at {size} only. {why} Leave the dimension out of dynamic_shapes (dynamic_axes), or "
        "let the model take its size from the input."
    )
