"""Registers all magics in an IPython shell."""

from __future__ import annotations

from functools import partial
from typing import Any

from .base import Instrument
from .bench import BenchMagics
from .check.magic import CheckMagics
from .clip import ClipMagics
from .export import ExportMagics
from .graph.magic import GraphMagics
from .lr_find import LearningRateMagics
from .memory.magic import MemoryMagics
from .nan import NanMagics
from .parallel import ParallelMagics
from .plot import PlotMagics
from .profile.magic import ProfileMagics
from .safe import SafeMagics
from .settings import SettingMagics
from .summary import SummaryMagics
from .trace.magic import TraceMagics
from .watch import WatchMagics
from .why.magic import WhyMagics

INSTRUMENTS: tuple[type[Instrument], ...] = (
    CheckMagics,
    GraphMagics,
    TraceMagics,
    ProfileMagics,
    ClipMagics,
    MemoryMagics,
    NanMagics,
    SummaryMagics,
    WhyMagics,
    SafeMagics,
    BenchMagics,
    LearningRateMagics,
    PlotMagics,
    SettingMagics,
    WatchMagics,
    ExportMagics,
    ParallelMagics,
)


def load(shell: Any) -> None:
    """Register every instrument, once, with the completion of its arguments."""
    for instrument in INSTRUMENTS:
        known = shell.magics_manager.registry.get(instrument.__name__)
        if known is not None:
            known.resume()
        else:
            shell.register_magics(instrument)
            registered = shell.magics_manager.registry[instrument.__name__]
            for name in _names(registered):
                completer = partial(_complete, registered, name)
                shell.set_hook("complete_command", completer, str_key=name)


def unload(shell: Any) -> None:
    """Let every instrument undo what outlasts its cell."""
    for instrument in INSTRUMENTS:
        registered = shell.magics_manager.registry.get(instrument.__name__)
        if registered is not None:
            registered.unload()


def _names(instrument: Instrument) -> list[str]:
    """The magics of an instrument, as they are written."""
    lines, cells = instrument.magics["line"], instrument.magics["cell"]
    return [*(f"%{name}" for name in lines), *(f"%%{name}" for name in cells)]


def _complete(instrument: Instrument, name: str, shell: Any, event: Any) -> list[str]:
    """In the form that IPython calls."""
    return instrument.complete(name, event)
