"""The graph behind a tensor, as text and as SVG.

Example:
    >>> from flambeau.magics.graph import graph
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> print(graph(x**2 + 3 * x, names={id(x): "x"}))
"""

from .diff import GraphDiff, graph_diff
from .folding import folded, readable
from .nodes import Graph, GraphNode, graph

__all__ = ["Graph", "GraphDiff", "GraphNode", "folded", "graph", "graph_diff", "readable"]
