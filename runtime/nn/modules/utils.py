"""State dicts of wrapped modules."""

from __future__ import annotations

from typing import Any


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Take `prefix` off all keys of `state_dict` that begin with it, in place, as for a model that
    was saved inside of `DataParallel` ("module."). The order of keys is kept."""
    for key in list(state_dict):
        name = key.removeprefix(prefix)
        state_dict[name] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:
        for key in list(metadata):
            if key.startswith(prefix) or key + "." == prefix:
                name = key.removeprefix(prefix) if key.startswith(prefix) else ""
                metadata[name] = metadata.pop(key)
