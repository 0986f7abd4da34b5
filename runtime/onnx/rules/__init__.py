"""How operations that are no formulas are written in ONNX, by family."""

from . import (  # noqa: F401
    indexing,
    layers,
    losses,
    movement,
    pooling,
    products,
    quantized,
    recurrent,
    reductions,
    searching,
)
from .registry import RULES as RULES
