"""`%graph`: the graph behind an expression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from flambeau import Tensor

from ..base import Instrument, UsageError, named_tensors
from .nodes import graph


@magics_class
class GraphMagics(Instrument):
    """Draws graphs."""

    @magic_arguments()
    @argument("expression", nargs="+", help="a tensor, or a list of tensors")
    @argument("-d", "--depth", type=int, help="at most this many steps from the tensor")
    @argument("-o", "--output", metavar="FILE", help="write the drawing to an .svg or .txt file")
    @line_magic("graph")
    def graph(self, line: str) -> None:
        """Show the graph behind a tensor: text in a terminal, a drawing in a notebook.

        Operations stand with the shape of their result, the youngest first; leaves with the names
        they have in the session. Example: %graph loss
        """
        arguments = self.arguments(self.graph, line)
        value = self.evaluate("%graph", " ".join(arguments.expression))
        found = graph(_tensors(value), named_tensors(self.namespace), arguments.depth)
        if arguments.output is None:
            display(found)
            return
        path = Path(arguments.output)
        if path.suffix not in (".svg", ".txt"):
            raise UsageError(f"%graph: expected a file that ends in .svg or .txt. Got {path}.")
        path.write_text(found._repr_svg_() if path.suffix == ".svg" else f"{found}\n")
        print(f"{path}: {found.summary()}")


def _tensors(value: Any) -> Any:
    """`value` as tensors with a past. Raises: UsageError for anything else."""
    tensors = list(value) if isinstance(value, tuple | list) else [value]
    if not tensors or not all(isinstance(t, Tensor) for t in tensors):
        kind = type(value).__name__
        advice = " Call it on an input and take what it returns." if callable(value) else ""
        raise UsageError(f"%graph: expected a tensor, or a list of them. Got {kind}.{advice}")
    if not all(t.requires_grad for t in tensors):
        shape = next(tuple(t.shape) for t in tensors if not t.requires_grad)
        raise UsageError(
            "%graph: expected a tensor computed from one with requires_grad=True. Got one of shape "
            f"{shape} that was not (or was made under no_grad, or detached)."
        )
    return tensors
