"""The instruments of a session: `%load_ext flambeau.magics` in any IPython.

Each is a library function first and a magic second:
`%check` (`flambeau.magics.check`), `%graph` (`flambeau.magics.graph`), `%%trace`, `%%profile`,
`%clip`, `%free` and `%%safe`.
"""

from __future__ import annotations

from typing import Any

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """Register the magics in `shell`; called by IPython."""
    from .extension import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take back what the magics changed beyond their cells; called by IPython."""
    from .extension import unload

    unload(shell)
