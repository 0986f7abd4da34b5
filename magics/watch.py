"""`%watch`: live values of a cell that runs, asked for from another subshell."""

from __future__ import annotations

import time
from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

from flambeau import Tensor

from .base import Instrument, UsageError, shape_text
from .source import running_frames
from .statistics import Statistics, values_of


def live_value(expression: str, namespace: dict[str, Any]) -> Any:
    """The value of `expression` now: with the local variables of the functions that run in the
    main thread, the innermost first, then those of the session.

    Raises: what the expression raises.
    """
    code = compile(expression, "<watch>", "eval")
    names = set(code.co_names)
    for frame in running_frames():
        local = frame.f_locals
        if names & local.keys() and frame.f_code.co_name != "<module>":
            return eval(code, namespace, dict(local))
    return eval(code, namespace)


def described(value: Any) -> str:
    """A tensor in one line: shape, dtype, range; other values by their repr."""
    if not isinstance(value, Tensor):
        text = repr(value)
        return text if len(text) <= 200 else text[:199] + "…"
    if value.is_meta:
        return f"{shape_text(value.shape)} {value.dtype} on meta"
    if value.numel() == 1:
        return f"{value.item():.6g}" if value.is_floating_point() else str(value.item())
    found = Statistics.of(values_of(value))
    trouble = f", {found.trouble()}" if found.trouble() else ""
    return (
        f"{shape_text(value.shape)} {value.dtype}: mean {found.mean:.4g}, "
        f"{found.low:.4g} to {found.high:.4g}{trouble}"
    )


@magics_class
class WatchMagics(Instrument):
    """Looks at running cells."""

    @magic_arguments()
    @argument("expression", nargs="+", help="one or more, each without spaces")
    @argument("-n", "--times", type=int, default=1, help="how often to look (1)")
    @argument("--every", type=float, default=1.0, help="seconds between looks (1)")
    @line_magic("watch")
    def watch(self, line: str) -> None:
        """Show values as they are now, also of variables inside the function that the main thread
        runs. Asked from a subshell (the REPL's while a cell trains), it does not wait for the cell.

        Examples: %watch loss step, %watch -n 5 --every 0.5 loss
        """
        arguments = self.arguments(self.watch, line)
        if arguments.times < 1 or arguments.every < 0:
            raise UsageError("%watch: expected at least one look, and no negative pause.")
        for k in range(arguments.times):
            if k:
                time.sleep(arguments.every)
            words = [f"{e} = {self._look(e)}" for e in arguments.expression]
            print("   ".join(words), flush=True)

    def _look(self, expression: str) -> str:
        try:
            return described(live_value(expression, self.namespace))
        except Exception as error:
            return f"({type(error).__name__}: {error})"
