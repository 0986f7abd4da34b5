"""Named tuples that operations return, as PyTorch names and prints them."""

from __future__ import annotations

import collections
from typing import Any


def return_type(name: str, *fields: str) -> Any:
    """A named tuple that prints as PyTorch's `torch.return_types.<name>`."""

    def shown(self: Any) -> str:
        parts = ",\n".join(f"{f}={v!r}" for f, v in zip(fields, self, strict=True))
        return f"torch.return_types.{name}(\n{parts})"

    base: Any = collections.namedtuple(name, fields)  # type: ignore[misc]
    return type(name, (base,), {"__slots__": (), "__repr__": shown})


SELECTIONS = {
    n: return_type(n, "values", "indices")
    for n in """
    max min sort topk median nanmedian mode kthvalue cummax cummin
    """.split()
}
"""What selections along a dimension return, by name."""
