"""The operations, a family a file."""

from . import methods as methods
