"""Compilation: functions whose operations wait, and are then computed together in fused loops.

`compile(fn)` calls `fn` as Python every time. What its operations on large tensors would compute
waits in a graph until a value is read, or the function returns; a graph seen before finds its
program. So control flow by values, `print`, hooks and side effects mean what they always mean.
"""

from .explanation import Explanation, explain
from .functions import (
    allow_in_graph,
    assume_constant_result,
    compile,
    cudagraph_mark_step_begin,
    disable,
    is_compiling,
    list_backends,
    reset,
)
from .modules import CompiledForward, OptimizedModule

__all__ = [
    "CompiledForward",
    "Explanation",
    "OptimizedModule",
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "explain",
    "is_compiling",
    "is_dynamo_compiling",
    "list_backends",
    "reset",
]

is_dynamo_compiling = is_compiling
