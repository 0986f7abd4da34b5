"""What goes wrong between processes.

DistError (RuntimeError)
  DistBackendError     a collective that cannot go on: a peer is gone, or calls something else
    DistTimeoutError   a peer that does not come
  DistNetworkError     a process that cannot be reached
  DistStoreError       a store that cannot be read or written
    StoreTimeoutError  a key that nobody sets
"""

from __future__ import annotations

from ..errors import FlambeauError

__all__ = [
    "DistBackendError",
    "DistError",
    "DistNetworkError",
    "DistStoreError",
    "DistTimeoutError",
    "StoreTimeoutError",
]


class DistError(FlambeauError, RuntimeError):
    """Base of the errors between processes."""


class DistBackendError(DistError):
    """A collective cannot go on; the group is of no use any more on any of its processes."""


class DistTimeoutError(DistBackendError, TimeoutError):
    """A process did not come in time."""


class DistNetworkError(DistError, ConnectionError):
    """A process cannot be reached."""


class DistStoreError(DistError):
    """A store cannot be read or written."""


class StoreTimeoutError(DistStoreError, TimeoutError):
    """A key was not set in time."""
