"""What models return: results by name, by key or by place."""

from __future__ import annotations

from typing import Any


class ModelOutput(dict[str, Any]):
    """A dict of the results that are there, read as attributes too: `out.logits`, `out["logits"]`,
    and as a tuple, in order: `out[0]`, `loss, logits = out.to_tuple()`. A result that was not asked
    for is None as an attribute, and is not among the keys."""

    NAMES = (
        "loss",
        "logits",
        "start_logits",
        "end_logits",
        "last_hidden_state",
        "pooler_output",
        "past_key_values",
        "hidden_states",
        "sequences",
        "scores",
        "sequences_scores",
    )

    def __init__(self, *args: Any, **results: Any) -> None:
        given = dict(*args, **results)
        super().__init__({name: value for name, value in given.items() if value is not None})

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return dict.__getitem__(self, name)
        if name in self.NAMES:
            return None
        raise AttributeError(f"ModelOutput has no {name!r}. It has {', '.join(self)}.")

    def __getitem__(self, key: Any) -> Any:
        return dict.__getitem__(self, key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """The results in order."""
        return tuple(self.values())
