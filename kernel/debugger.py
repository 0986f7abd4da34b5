"""The debugger of `%debug` and `%pdb`."""

from __future__ import annotations

from types import FrameType
from typing import Any

from IPython.core.debugger import Pdb

from .tracebacks import are_users


class Debugger(Pdb):
    """Begins at the user's line; `down` leads into the runtime below it."""

    def get_stack(self, f: Any, t: Any) -> tuple[list[tuple[FrameType, int]], int]:
        """The frames, the outermost first, and at which one to begin."""
        stack, begin = super().get_stack(f, t)
        users = [k for k, user in enumerate(are_users(frame for frame, _ in stack)) if user]
        return stack, users[-1] if t is not None and users else begin
