"""Keeping the checker's work apart from the user's: same thread and runtime, nothing disturbed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import flambeau
from flambeau.autograd import grad_mode
from flambeau.core import observers

from .devices import CPU


@contextmanager
def apart(gradients: bool) -> Iterator[None]:
    """New tensors of this thread lie on meta, observers and warnings are not told, and whether
    operations are recorded is `gradients` at first and what it was again at the end."""
    before = grad_mode.is_grad_enabled()
    with warnings.catch_warnings(), observers.unobserved(), CPU:
        warnings.simplefilter("ignore")
        flambeau.set_grad_enabled(gradients)
        try:
            yield
        finally:
            flambeau.set_grad_enabled(before)
