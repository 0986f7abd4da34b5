"""`torch.fx`: graphs of calls, modules that run them, and symbolic tracing."""

from . import node as node
from .graph import Graph as Graph
from .graph_module import GraphModule as GraphModule
from .interpreter import Interpreter as Interpreter
from .interpreter import Transformer as Transformer
from .node import Node as Node
from .node import map_arg as map_arg
from .proxy import Proxy as Proxy
from .proxy import TraceError as TraceError
from .subgraph_rewriter import replace_pattern as replace_pattern
from .tracer import Tracer as Tracer
from .tracer import symbolic_trace as symbolic_trace
from .tracer import wrap as wrap

__all__ = [
    "Graph", "GraphModule", "Interpreter", "Node", "Proxy", "TraceError", "Tracer",
    "Transformer", "map_arg", "replace_pattern", "symbolic_trace", "wrap",
]  # fmt: skip
