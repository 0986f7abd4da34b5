"""What magics share: the session they look into, its names, and their tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, magics_class

from flambeau import Tensor

__all__ = ["Instrument", "UsageError", "counted", "named_tensors", "shape_text", "table"]


@magics_class
class Instrument(Magics):
    """Base of the magics. Any IPython shell is session enough: a namespace and a display."""

    @property
    def namespace(self) -> dict[str, Any]:
        """The names of the session."""
        names: dict[str, Any] = self.shell.user_ns
        return names

    def evaluate(self, magic: str, expression: str) -> Any:
        """The value of `expression` in the session. Raises: UsageError for one that has none."""
        try:
            return self.shell.ev(expression)
        except Exception as error:
            raise UsageError(
                f"{magic}: expected an expression that can be evaluated. Got {expression!r}, which "
                f"raised {type(error).__name__}: {error}"
            ) from error

    def run_cell(self, cell: str) -> bool:
        """Run `cell` as if typed; whether it succeeded. Its traceback is shown as always."""
        return bool(self.shell.run_cell(cell).success)

    def unload(self) -> None:
        """Undo what outlasts a cell; most instruments have nothing of the kind."""


def named_tensors(namespace: dict[str, Any]) -> dict[int, str]:
    """Names of the tensors that the session knows, by id: parameters and buffers by their dotted
    path below the module's name, then plain variables."""
    names: dict[int, str] = {}
    for name, value in _user_items(namespace):
        if hasattr(value, "named_parameters") and not isinstance(value, type):
            for path, tensor in (*value.named_parameters(), *value.named_buffers()):
                names.setdefault(id(tensor), f"{name}.{path}")
    for name, value in _user_items(namespace):
        if isinstance(value, Tensor):
            names.setdefault(id(value), name)
    return names


def _user_items(namespace: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(namespace.items()):
        if not name.startswith("_"):
            yield name, value


def shape_text(shape: Any) -> str:
    """`64×10`, or `scalar`; `?` where the shape is no longer known."""
    if shape is None:
        return "?"
    return "×".join(str(n) for n in shape) or "scalar"


def counted(count: int, one: str, many: str) -> str:
    """`1 leaf`, `1,200 leaves`."""
    return f"{count:,} {one if count == 1 else many}"


def table(rows: Sequence[tuple[str, ...]], align: str) -> list[str]:
    """Lines with columns as wide as needed; `align` has `<` or `>` for each column."""
    if not rows:
        return []
    widths = [max(len(row[k]) for row in rows) for k in range(len(align))]
    return [
        "  ".join(f"{cell:{a}{w}}" for cell, a, w in zip(row, align, widths, strict=True)).rstrip()
        for row in rows
    ]
