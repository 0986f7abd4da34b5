"""What `%mem` shows: holders by size, one holder in detail, and advice when memory ran out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flambeau import cuda

from ..base import TextReport, counted, joined, shape_text, table
from .holders import ROLES, Block, Census
from .pins import bytes_text, peak_bytes, resident_bytes
from .roots import unclaimed_holders

LIMIT = 20  # holders listed unless told otherwise
WORTH = 100_000  # bytes held elsewhere, from which it is told: constants and caches always are
ADVISED = 4  # holders named when memory ran out


@dataclass
class MemoryReport(TextReport):
    """All holders of tensor memory, the largest first."""

    census: Census
    limit: int = LIMIT

    def __str__(self) -> str:
        found = self.census
        lines = [self._summary(), _process()]
        rows = self._rows()
        if rows:
            lines += ["", *table([("holds", "alone", "who", "what", "cell"), *rows], ">><<>")]
            left = len(self._holders()) - len(rows)
            lines += [f"... and {counted(left, 'holder', 'holders')} more"] if left > 0 else []
        lines += self._elsewhere()
        hints = [hint(found, root.name) for root in found.roots if not root.is_pin]
        hints = [words for words in hints if words]
        lines += ["", *hints[:ADVISED]] if hints else []
        if found.is_cut:
            lines.append("The session holds more objects than were looked at.")
        return "\n".join(lines)

    __repr__ = __str__

    def _summary(self) -> str:
        found = self.census
        pinned = found.only_held_by(r.name for r in found.roots if r.is_pin)
        blocks = counted(len(found.blocks), "block", "blocks")
        text = f"{bytes_text(found.nbytes)} of tensors in {blocks}"
        return f"{text}; {bytes_text(pinned)} only the session holds: %free" if pinned else text

    def _holders(self) -> list[tuple[int, Any]]:
        held = []
        for root in self.census.roots:
            size = sum(b.nbytes for b in self.census.blocks.values() if root.name in b.holders)
            if size:
                held.append((size, root))
        return sorted(held, key=lambda pair: -pair[0])

    def _rows(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for size, root in self._holders()[: self.limit]:
            alone = self.census.only_held_by([root.name])
            cell = f"[{root.cell}]" if root.cell is not None else ""
            what = _what(self.census.held_by(root.name), root.name)
            rows.append((bytes_text(size), bytes_text(alone), root.name, what, cell))
        return rows

    def _elsewhere(self) -> list[str]:
        whole = sum(b.nbytes for b in self.census.unclaimed)
        if whole < WORTH:
            return []
        explained = unclaimed_holders(self.census)
        lines = ["", f"{bytes_text(whole)} held elsewhere:"]
        rows = [(bytes_text(b.nbytes), shape_text(b.shape), b.dtype, w) for b, w in explained]
        return lines + ["  " + line for line in table(rows, "><<<")]


@dataclass
class HolderReport(TextReport):
    """The blocks of one holder: size, kind, way to it, and who else holds it."""

    census: Census
    name: str
    limit: int = LIMIT

    def __str__(self) -> str:
        blocks = self.census.held_by(self.name)
        if not blocks:
            return f"{self.name} holds no tensor memory."
        rows = [("size", "shape", "dtype", "device", "role", "path", "also held by")]
        for b in blocks[: self.limit]:
            role, path = b.holders[self.name]
            others = ", ".join(n for n in b.holders if n != self.name)
            role = "" if role == "value" else role
            rows.append(
                (bytes_text(b.nbytes), shape_text(b.shape), b.dtype, b.device, role, path, others)
            )
        lines = table(rows, "><<<<<<")
        if len(blocks) > self.limit:
            lines.append(f"... and {counted(len(blocks) - self.limit, 'block', 'blocks')} more")
        words = hint(self.census, self.name)
        return "\n".join([*lines, words] if words else lines)

    __repr__ = __str__


def _what(blocks: list[Block], root: str) -> str:
    """The roles of the blocks with their sizes; for a single tensor its shape and dtype."""
    if len(blocks) == 1 and blocks[0].holders[root][0] == "value":
        path = blocks[0].holders[root][1].removeprefix(root).strip(", ")
        facts = (shape_text(blocks[0].shape), blocks[0].dtype, blocks[0].device, path)
        return " ".join(fact for fact in facts if fact)
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for b in blocks:
        role = b.holders[root][0]
        sizes[role] += b.nbytes
        counts[role] += 1
    words: list[str] = []
    for role in ROLES:
        if counts[role]:
            name = counted(counts[role], "tensor", "tensors") if role == "value" else role
            words.append(f"{name} {bytes_text(sizes[role])}")
    return ", ".join(words)


def hint(census: Census, root: str) -> str:
    """What to do about a holder that most likely holds more than its owner wants; empty if none.

    A list of losses keeps the graph of each; a single loss that keeps its graph is the normal case
    between forward and backward, and gets no hint.
    """
    blocks = census.held_by(root)
    graph = sum(b.nbytes for b in blocks if b.holders[root][0] == "graph")
    kept = {path.split(", saved by")[0] for b in blocks for _, path in [b.holders[root]]
            if path.startswith("graph of ")}  # fmt: skip
    if len(kept) < 2 or 2 * graph < sum(b.nbytes for b in blocks):
        return ""
    return (
        f"{root} keeps {len(kept)} graphs alive ({bytes_text(graph)}): store loss.item() or "
        "loss.detach() instead of the tensor."
    )


def largest(census: Census, device: str, text: Callable[[int], str] = bytes_text) -> str:
    """The largest holders of a device's memory, in a sentence, with sizes as `text` writes them;
    empty if nothing is held there."""
    rows = []
    for root in census.roots:
        held = [b for b in census.held_by(root.name) if b.device == device]
        if held:
            rows.append((sum(b.nbytes for b in held), root.name))
    rows.sort(key=lambda row: -row[0])
    words = [f"{name} {text(size)}" for size, name in rows[:ADVISED]]
    return f"Largest holders: {joined(words)}." if words else ""


def advice(census: Census) -> str:
    """After memory ran out: what holds most of it, and the command that drops it."""
    lines = [f"{bytes_text(census.nbytes)} of tensors are alive. What would come back:"]
    pinned = [r.name for r in census.roots if r.is_pin]
    size = census.only_held_by(pinned)
    rows = []
    if size:
        largest = max(pinned, key=lambda name: census.only_held_by([name]))
        rows.append((size, "%free", f"what the session itself holds, most by {largest}"))
    for root in census.roots:
        if not root.is_pin:
            alone = census.only_held_by([*pinned, root.name]) - size
            rows.append((alone, f"%free {root.name}", _what(census.held_by(root.name), root.name)))
    rows = sorted((row for row in rows if row[0]), key=lambda row: (row[1] != "%free", -row[0]))
    lines += table([(bytes_text(n), command, why) for n, command, why in rows[:ADVISED]], "><<")
    return "\n  ".join(lines) + "\n%mem shows all holders."


def _process() -> str:
    """Memory of the process and of the pools of the GPUs in use."""
    now, peak = resident_bytes(), peak_bytes()
    words = [f"process {bytes_text(now)}"] if now is not None else []
    words += [f"peak {bytes_text(peak)}"] if peak is not None else []
    count = cuda.device_count()
    for k in range(count):
        used, reserved = cuda.memory_allocated(k), cuda.memory_reserved(k)
        if reserved or count == 1:
            name = "GPU" if count == 1 else f"GPU {k}:"
            words.append(f"{name} {bytes_text(used)} used, {bytes_text(reserved)} reserved")
    return ", ".join(words)
