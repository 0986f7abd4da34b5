"""Registers all magics in an IPython shell."""

from __future__ import annotations

from typing import Any

from .base import Instrument
from .clip import ClipMagics
from .graph.magic import GraphMagics
from .memory import MemoryMagics
from .profile import ProfileMagics
from .trace import TraceMagics

INSTRUMENTS: tuple[type[Instrument], ...] = (
    GraphMagics,
    TraceMagics,
    ProfileMagics,
    ClipMagics,
    MemoryMagics,
)


def load(shell: Any) -> None:
    """Register every instrument, once."""
    for instrument in INSTRUMENTS:
        if instrument.__name__ not in shell.magics_manager.registry:
            shell.register_magics(instrument)


def unload(shell: Any) -> None:
    """Let every instrument undo what outlasts its cell."""
    for instrument in INSTRUMENTS:
        registered = shell.magics_manager.registry.get(instrument.__name__)
        if registered is not None:
            registered.unload()
