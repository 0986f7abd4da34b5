"""`%profile`: where the time of a statement, a cell or the session went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from IPython.core.magic import line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from flambeau.profiler.chrome import write_chrome_trace

from ..base import Instrument, UsageError
from ..modules import named_modules
from .measure import Profiler, profiling
from .report import BY, LIMIT, SORTS, ProfileReport, profile_report

FILES = (".svg", ".json", ".csv")


@magics_class
class ProfileMagics(Instrument):
    """Measures statements, cells and the session."""

    session: Profiler | None = None
    last: Profiler | None = None

    @magic_arguments()
    @argument("--by", choices=BY, default="operation", help="what rows are (operation)")
    @argument("--top", type=int, default=LIMIT, help=f"rows to list ({LIMIT})")
    @argument("--sort", choices=SORTS, default="total", help="what to sort by (total)")
    @argument("--compare", action="store_true", help="beside the profile before this one")
    @argument("-o", "--output", metavar="FILE", help="flame graph .svg, Chrome trace .json, .csv")
    @argument("statement", nargs="*", metavar="on|off|STATEMENT", help="what to run")
    @line_cell_magic("profile")
    def profile(self, line: str, cell: str | None = None) -> None:
        """Run a statement or the cell, then show for each operation, source line or module: calls,
        time forward and backward, bytes moved, rates achieved and their share of what this machine
        can do; the dearest first. Backward time stands where the forward call was.

        %profile on measures the session from then on; %profile shows it, %profile off ends it.
        Examples: %profile net(x).sum().backward(), %profile on, and
        %%profile --by line -o flame.svg above a training step
        """
        arguments = self.arguments(self.profile, line)
        statement = " ".join(arguments.statement)
        self._check(arguments)
        if cell is not None:
            if statement:
                raise UsageError(f"%%profile: expected options only. Got {statement!r}.")
            self._run(cell, arguments)
        elif statement == "on":
            self._start()
        elif statement == "off":
            self._stop(arguments)
        elif statement:
            self._run(statement, arguments)
        elif self.session is None:
            print("Profiling is off. %profile on measures the session, %%profile a cell.")
        else:
            self.session.stop()
            self._show(self.session, arguments)
            self.session.start()

    def _check(self, arguments: Any) -> None:
        if arguments.output is not None and Path(arguments.output).suffix not in FILES:
            raise UsageError(
                f"%profile: expected a file that ends in {', '.join(FILES)}. Got "
                f"{arguments.output}."
            )
        if arguments.compare and self.last is None:
            raise UsageError("%profile: there is no earlier profile to compare with.")

    def _run(self, source: str, arguments: Any) -> None:
        with profiling(named_modules(self.namespace)) as profiler:
            self.run_cell(source)
        self._show(profiler, arguments)
        self.last = profiler

    def _start(self) -> None:
        if self.session is not None:
            self.session.stop()
        self.session = Profiler(named_modules(self.namespace))
        self.session.start()
        print("Profiling is on.")

    def _stop(self, arguments: Any) -> None:
        if self.session is None:
            print("Profiling is off.")
            return
        profiler, self.session = self.session, None
        profiler.stop()
        self._show(profiler, arguments)
        self.last = profiler

    def _show(self, profiler: Profiler, arguments: Any) -> None:
        before = self.last if arguments.compare else None
        report = profile_report(profiler, arguments.top, arguments.sort, arguments.by, before)
        if arguments.output is None:
            display(report)
        else:
            _write(Path(arguments.output), report, profiler)

    def unload(self) -> None:
        """Measure no more."""
        if self.session is not None:
            self.session.stop()
        self.session = self.last = None


def _write(path: Path, report: ProfileReport, profiler: Profiler) -> None:
    if path.suffix == ".json":
        write_chrome_trace(path, profiler.events)
    else:
        path.write_text(report.flame if path.suffix == ".svg" else report.csv())
    print(f"{path}: {len(profiler.events)} events in {report.seconds:.3f} s")
