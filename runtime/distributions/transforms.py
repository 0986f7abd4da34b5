"""Invertible maps of random variables, with the logarithms of their volume changes."""

from .joined_transforms import *  # noqa: F403 - PyTorch has all transforms in one module
from .joined_transforms import __all__ as _joined
from .scalar_transforms import *  # noqa: F403
from .scalar_transforms import __all__ as _scalar
from .vector_transforms import *  # noqa: F403
from .vector_transforms import __all__ as _vector

__all__ = [*_joined, *_scalar, *_vector]
