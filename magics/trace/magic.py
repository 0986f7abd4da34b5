"""`%trace`: gradients of a cell, or of the whole session."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from IPython.core.magic import line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ..base import Instrument, UsageError, named_tensors
from ..modules import named_modules
from .report import LIMIT, TraceReport, trace_report
from .sampling import SHARE, SampledTrace
from .watch import GradientTrace, tracing


@magics_class
class TraceMagics(Instrument):
    """Traces gradients."""

    session: SampledTrace | None = None

    @magic_arguments()
    @argument("state", nargs="?", metavar="on|off", help="trace the whole session by samples")
    @argument("--nodes", type=int, default=LIMIT, help=f"backward nodes to list ({LIMIT})")
    @argument("--share", type=float, default=SHARE, help=f"of the time it may take ({SHARE})")
    @argument("-o", "--output", metavar="FILE", help="write the plot to an .svg file")
    @line_cell_magic("trace")
    def trace(self, line: str, cell: str | None = None) -> None:
        """Show gradients: what they tell in words, for each parameter norm, mean, extremes, zeros,
        NaN, the ratio of update to weight and the flow over passes; then what arrived at each
        backward node, with its module and line.

        On top of a cell it watches that cell. %trace on watches the whole session, some steps of
        every optimizer; %trace shows what was seen, %trace off ends it.
        Examples: %%trace above a training step, %trace on, %trace, %trace off
        """
        arguments = self.arguments(self.trace, line)
        if cell is not None:
            modules = named_modules(self.namespace)
            with tracing(modules) as found:
                self.run_cell(cell)
            self._show(found, arguments)
        elif arguments.state == "on":
            self._start(arguments.share)
        elif arguments.state == "off":
            self._stop()
        elif arguments.state is not None:
            raise UsageError(f"%trace: expected on, off or nothing. Got {arguments.state!r}.")
        elif self.session is None:
            print("Tracing is off. %trace on watches the session, %%trace a cell.")
        else:
            print(self.session)
            self._show(self.session.trace, arguments)

    def _start(self, share: float) -> None:
        if not 0 < share <= 1:
            raise UsageError(f"%trace: expected a share between 0 and 1. Got {share:g}.")
        if self.session is not None:
            self.session.stop()
        self.session = SampledTrace(named_modules(self.namespace), share)
        self.session.start()
        print(self.session)

    def _stop(self) -> None:
        if self.session is not None:
            self.session.stop()
            self.session = None
        print("Tracing is off.")

    def _show(self, found: GradientTrace, arguments: Any) -> None:
        report = trace_report(found, parameters_of(self.namespace), arguments.nodes)
        if arguments.output is None:
            display(report)
        else:
            _write(report, Path(arguments.output))

    def unload(self) -> None:
        """Trace no more."""
        if self.session is not None:
            self.session.stop()
            self.session = None


def _write(report: TraceReport, path: Path) -> None:
    if path.suffix != ".svg":
        raise UsageError(f"%trace: expected a file that ends in .svg. Got {path}.")
    if not report.parameters:
        raise UsageError("%trace: no gradients to plot yet.")
    path.write_text(report.svg())
    print(f"{path}: gradient norms of {len(report.parameters)} parameters")


def parameters_of(namespace: dict[str, Any]) -> dict[int, str]:
    """Names of the session's tensors that can get a gradient, by id."""
    buffers = {
        id(buffer)
        for value in list(namespace.values())
        if hasattr(value, "named_buffers") and not isinstance(value, type)
        for buffer in value.buffers()
    }
    return {key: name for key, name in named_tensors(namespace).items() if key not in buffers}
