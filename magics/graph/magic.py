"""`%graph`: the graph behind an expression, and what changed in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from flambeau import Tensor, enable_grad
from flambeau.nn import Module
from flambeau.random import fork_rng

from ..base import Instrument, UsageError, named_tensors
from ..modules import named_modules
from ..summary import as_input
from ..twins import twins_of
from .diff import graph_diff
from .export import graph_dot, graph_json, graph_mermaid
from .folding import readable
from .folding_html import graph_html
from .modules import placed
from .nodes import Graph, graph
from .svg import graph_svg

WRITERS: dict[str, Callable[[Graph], str]] = {
    ".txt": lambda found: f"{found}\n",
    ".svg": graph_svg,
    ".html": graph_html,
    ".mmd": graph_mermaid,
    ".dot": graph_dot,
    ".json": graph_json,
}
"""By the ending of the file's name."""


@magics_class
class GraphMagics(Instrument):
    """Draws graphs, and remembers the last one of each expression for comparison."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.last: dict[str, Graph] = {}

    @magic_arguments()
    @argument("expression", nargs="+", help="a tensor or a list; or a module and its input")
    @argument("-d", "--depth", help="of modules: 0 folds the outermost, all folds nothing")
    @argument("-s", "--steps", type=int, help="at most this many steps from the tensor")
    @argument("--diff", action="store_true", help="against the last time, or of two tensors")
    @argument("-o", "--output", metavar="FILE", help="to .svg .html .txt .mmd .dot or .json")
    @line_magic("graph")
    def graph(self, line: str) -> None:
        """Show the graph behind a tensor: text in a terminal, a drawing in a notebook.

        Operations stand with the shape of their result, the youngest first; leaves with the names
        they have in the session. Large graphs are folded by module; in a notebook a click unfolds
        them. After a backward pass boxes are coloured by the norm of gradients. A module and its
        input run a forward pass first.
        Examples: %graph loss, %graph net x, %graph -d 1 loss -o loss.svg, %graph --diff loss
        """
        arguments = self.arguments(self.graph, line)
        expression = " ".join(arguments.expression)
        if arguments.diff:
            self._diff(arguments.expression, expression, arguments.steps)
            return
        whole = self._graph(expression, arguments.steps)
        self.last[expression] = whole
        found = _folded(whole, arguments.depth)
        if arguments.output is None:
            display(found)
            return
        path = Path(arguments.output)
        if path.suffix not in WRITERS:
            endings = ", ".join(WRITERS)
            raise UsageError(f"%graph: expected a file that ends in {endings}. Got {path}.")
        path.write_text(WRITERS[path.suffix](found))
        print(f"{path}: {found.summary()}")

    def _graph(self, expression: str, steps: int | None) -> Graph:
        model, _, given = expression.partition(" ")
        if given and isinstance(self.namespace.get(model.partition(".")[0]), Module):
            value = self.evaluate("%graph", model)
            if isinstance(value, Module):
                return self._of_call(value, given, steps)
        value = self.evaluate("%graph", expression)
        return graph(_tensors(value), named_tensors(self.namespace), steps)

    def _of_call(self, model: Module, given: str, steps: int | None) -> Graph:
        """The graph of `model` called on the expression `given`, gradients of the input too. A twin
        is called: running statistics, random streams and what trains beside it stay."""
        value = as_input(model, self.evaluate("%graph", given))
        inputs = [_leaf(x) for x in (value if isinstance(value, tuple) else (value,))]
        twins = twins_of(model, own_buffers=True)
        modules = named_modules(self.namespace)
        modules.update({id(twin): modules.get(id(m), "") for m, twin in twins.items()})
        alone = threading.current_thread() is threading.main_thread()  # else it may draw meanwhile
        with placed(modules), enable_grad(), fork_rng(enabled=alone):
            out = twins[model](*inputs)
        names = named_tensors(self.namespace)
        names.update({id(x): f"input {k}" for k, x in enumerate(inputs) if isinstance(x, Tensor)})
        found = [t for t in _flat(out) if t.requires_grad]
        if not found:
            raise UsageError("%graph: expected a module whose result depends on a parameter.")
        return graph(found, names, steps)

    def _diff(self, words: list[str], expression: str, steps: int | None) -> None:
        if len(words) == 2 and all(_is_expression(word) for word in words):
            before, after = (self._graph(word, steps) for word in words)
            display(graph_diff(before, after))
            return
        if expression not in self.last:
            raise UsageError(
                f"%graph: expected an expression that %graph has shown before, or two. Got "
                f"{expression!r}."
            )
        after = self._graph(expression, steps)
        display(graph_diff(self.last[expression], after))
        self.last[expression] = after


def _is_expression(text: str) -> bool:
    try:
        compile(text, "<graph>", "eval")
    except SyntaxError:
        return False
    return True


def _folded(found: Graph, depth: str | None) -> Graph:
    if depth == "all":
        return found
    if depth is None:
        return readable(found)
    if not depth.isdecimal():
        raise UsageError(f"%graph: expected a depth from 0 up, or all. Got {depth!r}.")
    return readable(found, int(depth))


def _leaf(value: Any) -> Any:
    """A tensor that the graph can end in, over the same memory."""
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.detach().requires_grad_()
    return value


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for x in value for t in _flat(x)] if isinstance(value, list | tuple) else []


def _tensors(value: Any) -> Any:
    """`value` as tensors with a past. Raises: UsageError for anything else."""
    tensors = list(value) if isinstance(value, tuple | list) else [value]
    if not tensors or not all(isinstance(t, Tensor) for t in tensors):
        kind = type(value).__name__
        advice = " Give its input too: %graph model input." if isinstance(value, Module) else ""
        raise UsageError(f"%graph: expected a tensor, or a list of them. Got {kind}.{advice}")
    if not all(t.requires_grad for t in tensors):
        shape = next(tuple(t.shape) for t in tensors if not t.requires_grad)
        raise UsageError(
            "%graph: expected a tensor computed from one with requires_grad=True. Got one of shape "
            f"{shape} that was not (or was made under no_grad, or detached)."
        )
    return tensors
