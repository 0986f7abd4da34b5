"""Sessions on disk: the variables that can be kept, in PyTorch's file format.

Nothing in such a file is ever run, so a session from anywhere can be loaded. Kept are tensors,
arrays, plain values and containers of them; of modules and optimizers the state, which a session
that has built them again takes up with `load_state_dict`. What cannot be kept is named.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

import flambeau as torch
from flambeau.errors import CheckpointError
from flambeau.serialization import load as load_file
from flambeau.serialization import save as save_file

FORMAT = "flambeau session 1"
STATES = "saved_states"
"""The variable in which a loaded session holds the states of modules and optimizers, by name."""

ARRAY = "numpy array"  # marks an array that is stored as a tensor

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
"""Types of plain values that the format has a place for."""


def save(namespace: Mapping[str, Any], path: str) -> list[str]:
    """Write the variables to `path`, a name that ends in .pt; returns what is not in it, each as
    `name (type)`, objects of which only the state is there included.

    Raises: ValueError for another name, OSError if the file cannot be written.
    """
    if not path.endswith(".pt"):
        raise ValueError(f"Expected a session's file to end in .pt. Got {path!r}.")
    kept: dict[str, Any] = {}
    states: dict[str, Any] = {}
    left = []
    for name, value in namespace.items():
        try:
            if hasattr(value, "state_dict") and not isinstance(value, type):
                states[name] = stored(value.state_dict())
                left.append(f"{name} ({type(value).__name__}: only its state, in {STATES})")
            elif not isinstance(value, ModuleType):  # those are imported again
                kept[name] = stored(value)
        except (TypeError, RecursionError):
            left.append(f"{name} ({type(value).__name__})")
    generator = torch.get_rng_state()
    content = {"format": FORMAT, "variables": kept, "states": states, "generator": generator}
    save_file(content, path)
    return left


def stored(value: Any) -> Any:
    """The value with its arrays as tensors. Raises: TypeError if it cannot be kept."""
    kind = type(value)
    if isinstance(value, torch.Tensor) or kind in PLAIN:
        return value
    if kind is np.ndarray and value.dtype.kind in "biufc":
        return {ARRAY: torch.from_numpy(np.ascontiguousarray(value))}
    if kind in (list, tuple, set, frozenset):
        return kind(stored(v) for v in value)
    if kind in (dict, OrderedDict):
        return kind((stored(key), stored(v)) for key, v in value.items())
    raise TypeError(f"Expected tensors, arrays and plain values. Got {kind.__name__}.")


def load(path: str) -> dict[str, Any]:
    """The variables that `save` wrote, and below `saved_states` the states; the random stream goes
    on where it was.

    Raises: OSError, or CheckpointError for a file that is no saved session.
    """
    content = load_file(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"Expected a saved session. Got {path!r}, which holds other things.")
    variables = {name: restored(value) for name, value in content["variables"].items()}
    if content["states"]:
        variables[STATES] = restored(content["states"])
    torch.set_rng_state(content["generator"])
    return variables


def restored(value: Any) -> Any:
    """What `stored` was given."""
    kind = type(value)
    if kind is dict and list(value) == [ARRAY]:
        return value[ARRAY].numpy()
    if kind in (list, tuple, set, frozenset):
        return kind(restored(v) for v in value)
    if kind in (dict, OrderedDict):
        return kind((key, restored(v)) for key, v in value.items())
    return value
