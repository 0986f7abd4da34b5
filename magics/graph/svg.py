"""The graph as SVG: operations as boxes, leaves as ovals, data flowing downwards to the roots."""

from __future__ import annotations

import math
from collections import defaultdict
from html import escape
from itertools import pairwise
from typing import Any

from ..base import count_text, counted, shape_text
from ..memory.pins import bytes_text
from .nodes import Graph, GraphNode

CHARACTER = 7.0  # px, mean width of a letter at 12 px
BOLD = 7.6  # px, that of a bold one, in DejaVu Sans
HEIGHT = 36.0  # px of a box
LAYER_GAP = 26.0  # px between layers
GAP = 18.0  # px between boxes of a layer
MARGIN = 14.0  # px around everything
SMALL = 6.0  # px, mean width of a letter at 10 px
LEGEND_WIDTH, LEGEND_HEIGHT = 240.0, 20.0  # px
DUMMY_WIDTH = 4.0  # px of an edge that passes through a layer
LIMIT = 1500
"""Nodes up to which a drawing can be read (and a browser scrolls it)."""

COLOURS = {"leaf": ("#e7f5e4", "#4c9a45"), "root": ("#fdecd8", "#e07a1f"),
           "operation": ("#eef2f9", "#6b86b3"), "module": ("#efe7f7", "#8e6bb0")}  # fmt: skip
"""Fill and line, light enough for dark text on light and on dark pages."""

HEAT = ("#dbe9f6", "#fff3b0", "#f6a67a", "#ee8b80")
"""Of gradient norms, from the smallest of the graph to the largest, on a logarithmic scale."""

Point = tuple[float, float]


def graph_svg(graph: Graph, panels: str = "") -> str:
    """An SVG document. Graphs beyond LIMIT nodes are drawn as a note that says how to fold them.

    Where a leaf has a gradient, boxes are coloured by its norm. With `panels`, a click on a module
    unfolds the element of the page whose id is `panels` and the node's key.
    """
    if len(graph.nodes) > LIMIT:
        return _note(f"{graph.summary()}: too many to draw. Use %graph --depth N, or the text.")
    heat = _Heat(graph)
    widths = {key: _width(node) for key, node in graph.nodes.items()}
    places, lines = _laid_out(graph, widths)
    right = max(x + widths[key] / 2 for key, (x, _) in places.items()) + MARGIN
    bottom = max(y for _, y in places.values()) + HEIGHT / 2 + MARGIN
    body = [_line(points) for points in lines]
    for key, place in places.items():
        body.append(_box(graph, graph.nodes[key], place, widths[key], heat, panels))
    if heat.is_shown:
        body.append(heat.legend(bottom))
        right, bottom = max(right, LEGEND_WIDTH), bottom + LEGEND_HEIGHT
    return _document(right, bottom, "".join(body), graph.summary())


class _Heat:
    """Colours of gradient norms."""

    def __init__(self, graph: Graph) -> None:
        norms = (n.grad_norm for n in graph.nodes.values())
        logs = [math.log10(n) for n in norms if n is not None and 0 < n < math.inf]
        self.low, self.high = (min(logs), max(logs)) if logs else (0.0, 0.0)
        self.is_shown = bool(logs)

    def legend(self, top: float) -> str:
        """The colours, between the smallest norm and the largest."""
        first = f"gradient norm {10**self.low:.2g}"
        x = MARGIN + len(first) * SMALL + 4
        squares = "".join(
            f'<rect x="{x + 14 * k:.1f}" y="{top:.1f}" width="14" height="10" fill="{fill}"/>'
            for k, fill in enumerate(HEAT)
        )
        end = x + 14 * len(HEAT) + 4
        return (
            f'<g class="l"><text x="{MARGIN}" y="{top + 9:.1f}" class="s">{first}</text>{squares}'
            f'<text x="{end:.1f}" y="{top + 9:.1f}" class="s">{10**self.high:.2g}</text></g>'
        )

    def fill(self, norm: float | None) -> str | None:
        """The colour of `norm`; None where there is none. NaN and infinity are as hot as it gets,
        zero as cold."""
        if norm is None:
            return None
        if not norm < math.inf:
            return HEAT[-1]
        span = self.high - self.low
        share = (math.log10(norm) - self.low) / span if norm > 0 and span else 0.0
        return HEAT[round(share * (len(HEAT) - 1))]


def _width(node: GraphNode) -> float:
    return max(len(node.label) * BOLD, len(_second_line(node)) * SMALL) + 18


def _second_line(node: GraphNode) -> str:
    words = [shape_text(node.shape), node.dtype]
    if node.is_folded:
        words = [counted(node.operations, "op", "ops"), shape_text(node.shape)]
        words += [f"{count_text(node.parameters)} par."] if node.parameters else []
    return " ".join(w for w in words if w)


# -- places ----------------------------------------------------------------------------------------


def _laid_out(graph: Graph, widths: dict[int, float]) -> tuple[dict[int, Point], list[list[Point]]]:
    """Centres of the boxes and the points of each line, by Sugiyama's layered layout."""
    numbers = {key: k for k, key in enumerate(graph.nodes)}
    keys = list(graph.nodes)
    edges = [
        (numbers[source], numbers[key])
        for key, node in graph.nodes.items()
        for source in dict.fromkeys(node.inputs)
    ]
    if not edges:
        return _in_a_row(keys, widths), []
    from fast_sugiyama import from_edges

    components: Any = from_edges(edges, vertex_spacing=1, dummy_vertices=True)
    places: dict[int, Point] = {}
    lines: list[list[Point]] = []
    left = MARGIN
    for positions, _, top, drawn in components:
        layers = defaultdict(list)
        for vertex, (x, y) in positions:
            layers[round(top - y)].append((x, vertex))
        sizes = {v: widths[keys[v]] if v < len(keys) else DUMMY_WIDTH for v, _ in positions}
        centres, left = _spread(layers, sizes, left)
        lines += _chains(drawn, centres, len(keys))
        places.update((keys[v], place) for v, place in centres.items() if v < len(keys))
    return places, lines


def _in_a_row(keys: list[int], widths: dict[int, float]) -> dict[int, Point]:
    places, x = {}, MARGIN
    for key in keys:
        places[key] = (x + widths[key] / 2, MARGIN + HEIGHT / 2)
        x += widths[key] + GAP
    return places


def _spread(
    layers: dict[int, list[tuple[float, int]]], sizes: dict[int, float], left: float
) -> tuple[dict[int, Point], float]:
    """Centres with the layout's order and proportions, stretched until no two boxes overlap."""
    stretch = 1.0
    for layer in layers.values():
        layer.sort()
        for (x0, v0), (x1, v1) in pairwise(layer):
            needed = (sizes[v0] + sizes[v1]) / 2 + GAP
            stretch = max(stretch, needed / max(x1 - x0, 1e-3))
    first = min(x * stretch - sizes[v] / 2 for layer in layers.values() for x, v in layer)
    centres = {
        v: (left + x * stretch - first, MARGIN + HEIGHT / 2 + rank * (HEIGHT + LAYER_GAP))
        for rank, layer in layers.items()
        for x, v in layer
    }
    return centres, max(centres[v][0] + sizes[v] / 2 for v in centres) + 2 * GAP


def _chains(
    edges: list[tuple[int, int]], centres: dict[int, Point], real: int
) -> list[list[Point]]:
    """The points of each line, through the dummy vertices (numbered from `real` on)."""
    following = {a: b for a, b in edges if a >= real}
    lines = []
    for a, b in edges:
        if a >= real:
            continue
        points = [centres[a], centres[b]]
        while b >= real:
            b = following[b]
            points.append(centres[b])
        lines.append(points)
    return lines


# -- drawing ---------------------------------------------------------------------------------------


def _line(points: list[Point]) -> str:
    """A smooth curve from the lower side of the first box to the upper side of the last."""
    (x, y), (last_x, last_y) = points[0], points[-1]
    points = [(x, y + HEIGHT / 2), *points[1:-1], (last_x, last_y - HEIGHT / 2 - 2)]
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        path += f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
    return f'<path d="{path}" class="e"/>'


def _kind(graph: Graph, node: GraphNode) -> str:
    if node.is_leaf:
        return "leaf"
    if node.is_folded:
        return "module"
    return "root" if node.key in graph.roots else "operation"


def _title(node: GraphNode) -> str:
    """All that is known of a node, shown when it is pointed at."""
    facts = [node.backward_name, node.attributes, shape_text(node.shape), node.dtype, node.device]
    if node.is_folded:
        facts.append(counted(node.operations, "operation", "operations"))
        facts += [f"{node.parameters:,} parameters"] if node.parameters else []
    facts += [f"saves {bytes_text(node.saved)}"] if node.saved else []
    facts += [f"gradient norm {node.grad_norm:.3g}"] if node.grad_norm is not None else []
    facts += [node.path[-1]] if node.path and not node.is_folded else []
    return escape(" · ".join(fact for fact in [*facts, node.line] if fact))


def _box(
    graph: Graph, node: GraphNode, place: Point, width: float, heat: _Heat, panels: str
) -> str:
    kind = _kind(graph, node)
    fill, line = COLOURS[kind]
    fill = heat.fill(node.grad_norm) or fill
    x, y = place[0] - width / 2, place[1] - HEIGHT / 2
    radius = HEIGHT / 2 if node.is_leaf else 6
    click = ""
    if kind == "module" and panels:
        toggled = f"var d=document.getElementById('{panels}{abs(node.key)}');if(d)d.open=!d.open"
        click = f' style="cursor:pointer" onclick="{toggled}"'
    return (
        f"<g{click}><title>{_title(node)}</title>"
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{HEIGHT}" rx="{radius}" '
        f'fill="{fill}" stroke="{line}"/>'
        f'<text x="{place[0]:.1f}" y="{place[1] - 3:.1f}" class="n">{escape(node.label)}</text>'
        f'<text x="{place[0]:.1f}" y="{place[1] + 11:.1f}" class="s">'
        f"{escape(_second_line(node))}</text></g>"
    )


STYLE = (
    ".flambeau-graph text{text-anchor:middle}"
    ".flambeau-graph .l text{text-anchor:start}"
    ".flambeau-graph .n{font:600 12px system-ui,sans-serif;fill:#1d2733}"
    ".flambeau-graph .s{font:10px system-ui,sans-serif;fill:#5a6675}"
    ".flambeau-graph .e{fill:none;stroke:#8a97a8;stroke-width:1.2;marker-end:url(#flambeau-arrow)}"
)
"""A style holds for the whole page that the drawing stands in, so it names the drawing."""


def _document(width: float, height: float, body: str, summary: str) -> str:
    marker = (
        '<marker id="flambeau-arrow" viewBox="0 0 8 8" refX="7" refY="4" '
        'markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#8a97a8"/></marker>'
    )
    return (
        f'<svg class="flambeau-graph" xmlns="http://www.w3.org/2000/svg" '
        f'width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(summary)}">'
        f"<style>{STYLE}</style><defs>{marker}</defs>"
        f'<rect width="100%" height="100%" fill="#ffffff" rx="8"/>{body}</svg>'
    )


def _note(text: str) -> str:
    width: Any = len(text) * CHARACTER + 2 * MARGIN
    return _document(
        width, 40, f'<text x="{width / 2}" y="25" class="s">{escape(text)}</text>', text
    )
