"""`%mem` and `%free`, and the words that an out-of-memory error gets."""

from __future__ import annotations

import gc
from typing import Any

from IPython.core.magic import line_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display

from ..base import Instrument, UsageError
from ..cells import CellLedger
from .pins import free
from .report import LIMIT, HolderReport, MemoryReport
from .roots import session_census, variables
from .shortage import Shortage


@magics_class
class MemoryMagics(Instrument):
    """Shows and frees memory."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.resume()

    def resume(self) -> None:
        """Remember the cells of names, and show out-of-memory errors with advice."""
        CellLedger.watch(self.shell)
        if MemoryError not in self.shell.custom_exceptions:
            self.shortage = Shortage(self.shell)

    @magic_arguments()
    @argument("name", nargs="?", help="a variable, or Out[3]: each block it holds")
    @argument("-n", "--top", type=int, default=LIMIT, help=f"lines to list ({LIMIT})")
    @line_magic("mem")
    def mem(self, line: str) -> None:
        """Show who holds the memory of tensors: variables with the cell that bound them, Out, the
        last error, graphs of kept losses, optimizers.

        *holds* counts all that a name leads to; *alone* is what would come back without it.
        Examples: %mem, %mem losses, %mem Out[3]
        """
        arguments = self.arguments(self.mem, line)
        gc.collect()
        found = session_census(self.shell)
        if arguments.name is None:
            display(MemoryReport(found, arguments.top))
            return
        names = [root.name for root in found.roots]
        if arguments.name not in names:
            raise UsageError(
                f"%mem: expected a variable of the session, or Out[n]. Got {arguments.name!r}."
            )
        display(HolderReport(found, arguments.name, arguments.top))

    @magic_arguments()
    @argument("name", nargs="*", help="variables to delete as well")
    @line_magic("free")
    def free(self, line: str) -> None:
        """Drop what the session itself holds (Out, _, the last error, dead graphs), empty the
        pools of CPU and GPU, and say how many bytes came back. Variables stay, but those you name.

        Examples: %free, %free losses acts
        """
        names = self.arguments(self.free, line).name
        known = {root.name for root in variables(self.shell)}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UsageError(f"%free: expected variables of the session. Got {', '.join(unknown)}.")
        print(free(self.shell, names))
        self.shortage.reserve.restore()

    def unload(self) -> None:
        """Leave out-of-memory errors as they are."""
        self.shortage.stop()
        CellLedger.watch(self.shell).stop()
