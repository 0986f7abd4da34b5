"""How operations that are no formulas are written in ONNX, by family."""

from . import indexing, layers, losses, movement, pooling, products, recurrent, reductions  # noqa: F401
from .registry import RULES as RULES
