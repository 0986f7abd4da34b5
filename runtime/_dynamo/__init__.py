"""Names of PyTorch's compiler that programs look up."""

from types import SimpleNamespace

from ..compiler import allow_in_graph, disable, explain, is_compiling, reset

__all__ = ["allow_in_graph", "config", "disable", "explain", "is_compiling", "reset"]

config = SimpleNamespace()
"""Settings of PyTorch's compiler: any can be set, and none changes anything."""
