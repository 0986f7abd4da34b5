"""Names of PyTorch's compiler that programs look up."""

from ..compiler import allow_in_graph, disable, is_compiling, reset

__all__ = ["allow_in_graph", "disable", "is_compiling", "reset"]
