"""Non-maximum suppression of ranked boxes, a vector of boxes against one that stays."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np

from .language import Position, Program
from .machine import Code


@cache
def _code(real: str) -> Code:
    """From row begin to end: where the row still stands, the rows behind it that it overlaps
    fall."""
    program = Program("suppression", real)
    x1, y1, x2, y2, areas, stands = (program.array(k) for k in range(6))
    threshold, count = program.number(6), program.word(7)
    with program.loop(program.begin, program.end) as row:
        mine = [program.load(a, row, real) for a in (x1, y1, x2, y2, areas)]
        with program.when(program.load(stands, row, "bool")):

            def body(at: Position) -> None:
                left, top, right, bottom, area = (at.load(a, real) for a in (x1, y1, x2, y2, areas))
                right = program.where(right < mine[2], right, mine[2])
                bottom = program.where(bottom < mine[3], bottom, mine[3])
                width = right - program.where(left > mine[0], left, mine[0])
                height = bottom - program.where(top > mine[1], top, mine[1])
                shared = program.where(width > 0, width, 0.0) * program.where(
                    height > 0, height, 0.0
                )
                falls = shared > (area + mine[4] - shared) * threshold
                at.store(stands, at.load(stands, "bool") & ~falls)

            program.across(row + 1, count, body)
    return Code(program.name, program.text())


def kept(boxes: Any, threshold: float) -> Any:
    """Whether each of the ranked boxes (N, 4) stays, (N,) bool."""
    x1, y1, x2, y2 = columns = np.ascontiguousarray(boxes.T)
    areas = (x2 - x1) * (y2 - y1)
    stands = np.ones(len(boxes), bool)
    arrays = (*columns, areas, stands)
    words = struct.pack("=6qdq", *map(id, arrays), threshold, len(boxes))
    _code(boxes.dtype.name).call(words, 0, len(boxes))
    return stands
