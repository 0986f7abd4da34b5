"""Locks of modules, and what becomes of them in a forked process."""

from __future__ import annotations

import os
import threading


def module_lock() -> threading.Lock:
    """A lock to hold for a moment, which no fork finds held: the child, such as a data loader's
    worker, has none of the threads that would release it, and what it guards is whole there."""
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release
        )
    return lock
