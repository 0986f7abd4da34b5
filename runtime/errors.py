"""The runtime's exceptions.

    FlambeauError
      ShapeError (RuntimeError)         sizes that do not fit
      DTypeError (RuntimeError)         element types that do not fit
      DeviceError (RuntimeError)        tensors on different devices, or a device that is absent
      DivisionError (RuntimeError)      integers divided by 0
      LinAlgError (RuntimeError)        matrices without the factors or inverse asked for
      GradientError (RuntimeError)      a backward pass that cannot be run
      BatchingError (RuntimeError)      what cannot be done for a whole batch at once
      OutOfBoundsError (IndexError)     an index outside its dimension
      CheckpointError (RuntimeError)    a file that cannot be loaded, or not without running it
      OutOfMemoryError (RuntimeError, MemoryError)  a GPU whose memory is full
      CompilationError (RuntimeError)   a GPU kernel that does not compile, or no compiler for it
      DatasetError (AssertionError)     data sets that cannot be joined, or tensors that make none

Each also is what PyTorch raises in its place, so that `except RuntimeError` goes on working.
"""

from __future__ import annotations

import pickle

__all__ = [
    "BatchingError",
    "CheckpointError",
    "CompilationError",
    "DTypeError",
    "DatasetError",
    "DeviceError",
    "DivisionError",
    "FlambeauError",
    "GradientError",
    "LayoutError",
    "LinAlgError",
    "OutOfBoundsError",
    "OutOfMemoryError",
    "ShapeError",
]


class FlambeauError(Exception):
    """Base of all errors that the runtime raises on its own account."""


class ShapeError(FlambeauError, RuntimeError):
    """Sizes or numbers of dimensions do not fit the operation."""


class DTypeError(FlambeauError, RuntimeError):
    """An element type does not fit the operation."""


class LayoutError(FlambeauError, NotImplementedError):
    """An operation that only dense tensors have meets a sparse one, or the opposite."""


class DeviceError(FlambeauError, RuntimeError):
    """Tensors live on different devices, or the device is not there."""


class DivisionError(FlambeauError, RuntimeError, ZeroDivisionError):
    """Integers are divided by 0, for which they have no infinity."""


class LinAlgError(FlambeauError, RuntimeError):
    """A matrix lacks the factors or the inverse asked for: it is singular, or not positive."""


class GradientError(FlambeauError, RuntimeError):
    """A backward pass cannot be run, or would give wrong gradients."""


class BatchingError(FlambeauError, RuntimeError):
    """A function given to vmap does what has no meaning for all slices of a batch at once."""


class OutOfBoundsError(FlambeauError, IndexError):
    """An index lies outside its dimension."""


class OutOfMemoryError(FlambeauError, RuntimeError, MemoryError):
    """The GPU has no memory left, even after all that is unused was given back."""


class CompilationError(FlambeauError, RuntimeError):
    """A GPU kernel does not compile, or there is no compiler for it."""


class CheckpointError(FlambeauError, RuntimeError, ValueError, pickle.UnpicklingError):
    """A file is no checkpoint, is broken, or would have to be run to be loaded."""


class DatasetError(FlambeauError, RuntimeError, ValueError, AssertionError):
    """Data sets cannot be joined, or tensors of different lengths make none."""
