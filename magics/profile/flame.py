"""The flame graph of a profile as SVG: lines below, then modules, operations on top."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from flambeau.profiler import Event
from flambeau.profiler.recording import BACKWARD, RANGE, STEP

from ..source import line_at
from .measure import Profiler

WIDTH = 960.0  # px
ROW = 18.0  # px of a level
CHARACTER = 7.0  # px, width of a letter at 11 px in wide fonts
THINNEST = 0.4  # px; what is thinner is left out
FILLS = {"line": "#dfe6f1", "module": "#e7f5e4", "forward": "#f6c28b", "backward": "#e59a8f",
         "step": "#cdb8e4"}  # fmt: skip
"""By kind of frame, light enough for dark text."""


@dataclass
class Frame:
    """A box: its seconds with all above it."""

    name: str
    kind: str
    seconds: float = 0.0
    above: dict[tuple[str, str], Frame] = field(default_factory=dict)

    def child(self, name: str, kind: str) -> Frame:
        """The frame `name` above this one."""
        return self.above.setdefault((name, kind), Frame(name, kind))

    @property
    def height(self) -> int:
        """Levels from this one up."""
        return 1 + max((f.height for f in self.above.values()), default=0)


def frames(profiler: Profiler) -> Frame:
    """All operations as a tree: the user's lines from the outermost in, modules, the operation."""
    root = Frame("all operations", "line")
    for event, weight in profiler.weighted():
        if event.kind == RANGE:
            continue
        spent = event.seconds if event.device_seconds is None else event.device_seconds
        seconds = weight * spent
        root.seconds += seconds
        frame = root
        for name, kind in _path(event):
            frame = frame.child(name, kind)
            frame.seconds += seconds
    return root


def _path(event: Event) -> list[tuple[str, str]]:
    path = [(str(line_at(*place)), "line") for place in reversed(event.stack)]
    path += [(name, "module") for name in event.module or ()]
    kind = event.kind if event.kind in (BACKWARD, STEP) else "forward"
    return [*path, (event.name, kind)]


def flame_svg(profiler: Profiler) -> str:
    """An SVG document; each box tells its name, time and share when pointed at."""
    root = frames(profiler)
    levels = root.height
    height = levels * ROW + 26
    body: list[str] = []
    if root.seconds:
        _draw(root, 0.0, 0, WIDTH / root.seconds, root.seconds, height - 22, body)
    legend = "".join(
        f'<rect x="{10 + 92 * k}" y="{height - 14:.0f}" width="10" height="10" fill="{fill}"/>'
        f'<text x="{24 + 92 * k}" y="{height - 5:.0f}">{kind}</text>'
        for k, (kind, fill) in enumerate(FILLS.items())
    )
    return (
        f'<svg class="flambeau-flame" xmlns="http://www.w3.org/2000/svg" '
        f'width="{WIDTH:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="Flame graph">'
        "<style>.flambeau-flame text{font:11px system-ui,sans-serif;fill:#1d2733}"
        ".flambeau-flame rect{stroke:#fff}</style>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(body)}{legend}</svg>'
    )


def _draw(
    frame: Frame, left: float, level: int, scale: float, whole: float, base: float, body: list[str]
) -> None:
    """The frame and all above it; deeper than Python's recursion no stack of a user's is."""
    width = frame.seconds * scale
    if width < THINNEST:
        return
    y = base - (level + 1) * ROW
    title = f"{frame.name}: {frame.seconds * 1e3:.3f} ms, {frame.seconds / whole:.1%}"
    room = int((width - 6) / CHARACTER)
    text = frame.name if len(frame.name) <= room else frame.name[: max(0, room - 1)] + "…"
    label = f'<text x="{left + 3:.1f}" y="{y + 13:.1f}">{escape(text)}</text>' * (room > 3)
    body.append(
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{ROW}" '
        f'fill="{FILLS[frame.kind]}"/>{label}</g>'
    )
    for above in sorted(frame.above.values(), key=lambda f: -f.seconds):
        _draw(above, left, level + 1, scale, whole, base, body)
        left += above.seconds * scale
