"""Who holds memory, and how to get it back: `%mem` and `%free`.

Example:
    >>> from flambeau.magics.memory import MemoryReport, session_census
    >>> print(MemoryReport(session_census(get_ipython())))
"""

from .holders import Block, Census, Root, census
from .pins import Freed, bytes_text, free, tensor_bytes
from .report import HolderReport, MemoryReport
from .roots import session_census

__all__ = [
    "Block",
    "Census",
    "Freed",
    "HolderReport",
    "MemoryReport",
    "Root",
    "bytes_text",
    "census",
    "free",
    "session_census",
    "tensor_bytes",
]
