"""Inspection: what is known of a live value, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from IPython.utils.tokenutil import token_at_cursor

from flambeau import Tensor, nn
from flambeau.magics.memory import bytes_text
from flambeau.magics.statistics import values_of

from .display import STATISTICS_LIMIT
from .expressions import resolve
from .snapshot import Facts, facts_of

if TYPE_CHECKING:
    from .session import Session

LONGEST_REPR = 4000  # characters of a module's own text


def inspect(
    session: Session, source: str, cursor: int, detail_level: int = 0
) -> Mapping[str, str] | None:
    """What is known of the name at `cursor` as text by MIME type; None if it names nothing."""
    name = token_at_cursor(source, cursor)
    value = resolve(session.namespace, name)
    is_known = isinstance(value, Tensor | nn.Module) and not isinstance(value, type)
    bundle: dict[str, str] = {}
    if detail_level or not is_known:
        try:
            bundle = dict(session.shell.object_inspect_mime(name, detail_level=detail_level))
        except KeyError:
            if not is_known:
                return None
        if not session.shell.enable_html_pager:
            bundle.pop("text/html", None)
    if not is_known:
        return bundle
    first = session.facts(name.partition(".")[0])
    facts = facts_of(name, value, first.origin if first else None)
    text = describe(value, facts, session.flow_through(value))
    return {"text/plain": "\n\n".join([text, *bundle.values()])}


def describe(value: Any, facts: Facts, flow: str | None = None) -> str:
    """All that is known of a tensor or module, a line each; `flow` is what a module does to
    shapes."""
    lines = [f"{facts.name}: {facts}"]
    if isinstance(value, Tensor):
        lines += _of_tensor(value, facts)
    else:
        lines += [f"shapes    {flow}"] if flow else []
        lines += _of_module(value, facts)
    if facts.origin is not None:
        lines.append(f"made at   {facts.origin}: {facts.origin.text}")
    return "\n".join(lines)


def _of_tensor(tensor: Any, facts: Facts) -> list[str]:
    if facts.shape is None:
        return []
    lines = [f"layout    {facts.layout}", f"memory    {bytes_text(facts.nbytes or 0)}"]
    gradient = f"made by {facts.grad_fn}" if facts.grad_fn else "a leaf"
    if not facts.requires_grad:
        gradient = "none required"
    elif facts.has_grad:
        gradient += ", with .grad"
    return [*lines, f"gradient  {gradient}", *_values(tensor)]


def _values(tensor: Any) -> list[str]:
    """Range, mean and count of NaN; only of what lies in the CPU's memory and is worth the time."""
    count = tensor.numel()
    if tensor.device.type != "cpu" or tensor.is_sparse or not 0 < count <= STATISTICS_LIMIT:
        return []
    values = values_of(tensor)
    with np.errstate(all="ignore"):
        nan = int(np.isnan(values).sum())
        if tensor.is_complex():
            return [f"values    {nan:,} NaN"]
        if nan == count:
            return [f"values    all {count:,} NaN"]
        low, high = (float(f(values)) for f in (np.nanmin, np.nanmax))
        mean = float(np.nanmean(values, dtype=np.float64))
    return [f"values    {low:.6g} to {high:.6g}, mean {mean:.6g}, {nan:,} NaN"]


def _of_module(module: Any, facts: Facts) -> list[str]:
    if facts.parameters is None:
        return []
    frozen = facts.parameters - (facts.trainable or 0)
    mode = "training" if facts.training else "evaluation"
    text = repr(module)
    if len(text) > LONGEST_REPR:
        text = text[:LONGEST_REPR] + "\n..."
    return [
        f"memory    {bytes_text(facts.nbytes or 0)}",
        f"frozen    {frozen:,} parameters",
        f"mode      {mode}",
        text,
    ]
