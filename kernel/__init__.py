"""The session and its doors: Jupyter, scripts, and the installation of the kernelspec.

`Session` is imported when first asked for, so that the doors which only talk to a kernel in another
process stay light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import Session as Session

__all__ = ["Session"]


def __getattr__(name: str) -> Any:
    if name == "Session":
        from .session import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
