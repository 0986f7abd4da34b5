"""How values show in a notebook: a line about the tensor and a picture of it above its values."""

from __future__ import annotations

from html import escape
from typing import Any

STYLE = (
    "font-size:85%;opacity:.75;margin:0 0 .2em 0;font-family:var(--jp-code-font-family,monospace)"
)
UNFOLDED = 100  # elements up to which values are shown at once
STATISTICS_LIMIT = 10_000_000
"""Elements up to which the statistics are worth their time (about 20 ms)."""


def register(formatter: Any) -> None:
    """Teach IPython's display formatter to show tensors as HTML; text stays their own repr."""
    from flambeau import Tensor

    html = formatter.formatters["text/html"]
    html.for_type(Tensor, tensor_html)


def tensor_html(tensor: Any) -> str:
    """A line of facts, a picture, then the values as they print; many values are folded."""
    from flambeau.magics.base import preformatted
    from flambeau.magics.pictures import picture
    from flambeau.nn.parameter import is_lazy

    line = f'<div style="{STYLE}">{escape(" · ".join(facts(tensor)))}</div>'
    values = preformatted(repr(tensor))
    image = "" if is_lazy(tensor) else picture(tensor)
    if not image or tensor.numel() <= UNFOLDED:
        return line + image + values
    return f"{line}{image}<details><summary>values</summary>{values}</details>"


def facts(tensor: Any) -> list[str]:
    """Shape, dtype, device, place in the graph; for long tensors also range and mean."""
    from flambeau.nn.parameter import is_lazy

    if is_lazy(tensor):
        return [type(tensor).__name__, "no shape yet", str(tensor.dtype), str(tensor.device)]
    shape = "×".join(str(n) for n in tensor.shape) or "scalar"
    found = [f"{type(tensor).__name__} {shape}", str(tensor.dtype), str(tensor.device)]
    if tensor.grad_fn is not None:
        found.append(f"grad_fn {tensor.grad_fn.name()}")
    elif tensor.requires_grad:
        found.append("requires_grad")
    return found + statistics(tensor)


def statistics(tensor: Any) -> list[str]:
    """Range, mean and number of NaNs of a real tensor too long to be read whole."""
    if not 1000 < tensor.numel() <= STATISTICS_LIMIT or tensor.device.type != "cpu":
        return []
    if tensor.is_complex():
        return []
    values = tensor.detach()
    if not values.is_floating_point():
        return [f"{values.min().item()} to {values.max().item()}"]
    missing = int(values.isnan().sum())
    if missing:
        return [f"{missing} NaN"]
    low, high, mean = (v.item() for v in (values.min(), values.max(), values.float().mean()))
    return [f"{low:.4g} to {high:.4g}, mean {mean:.4g}"]
