"""`%why` and `%%why`: why a gradient is None, zero, or as it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from IPython.core.magic import line_cell_magic, magics_class

from flambeau import Tensor
from flambeau.core import observers
from flambeau.nn import Module

from ..base import Instrument, UsageError
from .account import account
from .flow import FlowRecorder
from .standing import explain, state


@magics_class
class WhyMagics(Instrument):
    """Explains gradients."""

    @line_cell_magic("why")
    def why(self, line: str, cell: str | None = None) -> None:
        """Explain a gradient that is None or zero: no leaf, detached where, under no_grad, no path
        from any loss, cleared after the backward pass, or no backward pass at all.

        As a line it looks at what is there and at the text of past cells. On top of a cell it runs
        the cell and follows the values, through detach() too, to where the way back is cut or the
        gradient becomes zero. A module stands for all its parameters.
        Examples: %why x.grad, %why net, and %%why x.grad above a training step
        """
        expression = line.strip().removesuffix(".grad")
        if not expression:
            raise UsageError("%why: expected a tensor or a module, as in %why x.grad. Got nothing.")
        if cell is not None:
            self._run(expression, cell)
            return
        print("\n".join(self._standing(expression)))

    def _standing(self, expression: str) -> list[str]:
        value = self.evaluate("%why", expression)
        history: Any = self.namespace.get("In", self.namespace.get("_ih", []))
        cells: Sequence[str] = list(history)
        if isinstance(value, Module):
            return self._of_module(value, expression, cells)
        tensor = _tensor(value)
        return explain(tensor, expression, self.namespace, cells)

    def _of_module(self, module: Module, name: str, cells: Sequence[str]) -> list[str]:
        """One explanation for all parameters that share it."""
        found: dict[str, list[str]] = {}
        for path, parameter in module.named_parameters():
            full = f"{name}.{path}"
            unused = unmentioned(module, path) if parameter.grad is None else ""
            text = unused or "\n".join(explain(parameter, full, self.namespace, cells))
            text = "is there" if ".grad is there" in text else text.replace(full, "it")
            found.setdefault(text, []).append(full)
        lines = []
        for text, names in found.items():
            listed = ", ".join(names[:6]) + (f" and {len(names) - 6} more" * (len(names) > 6))
            if text == "is there":
                lines.append(f"{listed}: the gradient is there.")
            else:
                text = text.replace("%%why it.grad", f"%%why {names[0]}.grad")
                lines += [f"{listed}:", *(f"  {part}" for part in text.splitlines())]
        return lines or [f"{name} has no parameters."]

    def _run(self, expression: str, cell: str) -> None:
        """Run the cell, recording it, and account for the tensor that `expression` then means."""
        flow = FlowRecorder()
        with observers.observing(flow):
            succeeded = self.run_cell(cell)
        if succeeded:
            tensor = _tensor(self.evaluate("%%why", expression))
            lines = [state(tensor, expression), *account(flow, tensor, expression)]
            print("\n".join(lines))


def unmentioned(module: Module, path: str) -> str:
    """In words, that the forward pass of a class of the user's does not mention the part of
    `module` that the parameter at `path` is in; empty if it does, or its source is not known."""
    owner: Any = module
    for part in path.split("."):
        kind = type(owner)
        if not kind.__module__.startswith("flambeau."):
            try:
                source = inspect.getsource(kind.forward)
            except (OSError, TypeError):
                return ""
            if not re.search(rf"\b{re.escape(part)}\b", source) and "getattr" not in source:
                return f"it.grad is None: {kind.__name__}.forward does not mention {part}."
        owner = getattr(owner, part)
    return ""


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise UsageError(
            f"%why: expected a tensor or a module, as in %why x.grad. Got {type(value).__name__}."
        )
    return value
