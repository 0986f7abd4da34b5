"""The blocks of GGUF files: weights of 2 to 8 bits with a scale, and perhaps an offset, for each
group of 16 or 32.

A group's codes q stand for q * scale + offset. All types are read into that form, whose codes are
of 4 bits (0 to 15) or 8 (-128 to 127).
Source: the structures of https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

WIDE = 256
"""Elements of a block whose groups have scales of a few bits."""


class Groups(NamedTuple):
    """Codes (groups, size): uint8 below 16, or int8; scales (groups,) and offsets of float32."""

    codes: Any
    scales: Any
    offsets: Any = None

    def values(self) -> Any:
        """The numbers that the codes stand for, float32 (groups * size,)."""
        found = self.codes.astype(np.float32)
        found *= self.scales[:, None]
        if self.offsets is not None:
            found += self.offsets[:, None]
        return found.reshape(-1)

    def packed(self, rows: int) -> dict[str, Any]:
        """The weight (rows, columns) as `ops.grouped` has it: by name codes, two of 4 bits in a
        byte, scales and offsets."""
        codes = self.codes.reshape(rows, -1)
        if codes.dtype == np.uint8:
            low, high = np.moveaxis(codes.reshape(rows, -1, 2, 16), 2, 0)
            codes = (low | high << 4).reshape(rows, -1)
        found = {"codes": np.ascontiguousarray(codes), "scales": self.scales.reshape(rows, -1)}
        if self.offsets is not None:
            found["offsets"] = self.offsets.reshape(rows, -1)
        return found


def _halves(stored: Any, start: int) -> Any:
    """The float16 at byte `start` of each block, as float32."""
    return stored[:, start : start + 2].copy().view(np.float16)[:, 0].astype(np.float32)


def _nibbles(packed: Any) -> Any:
    """4-bit numbers (..., 2 n) of bytes (..., n): the low halves, then the high ones."""
    return np.concatenate([packed & 15, packed >> 4], -1)


def _pairs_of_bits(packed: Any) -> Any:
    """2-bit numbers (..., 4, n) of bytes (..., n), the lowest first."""
    return packed[..., None, :] >> np.array([[0], [2], [4], [6]], np.uint8) & 3


def _single_bits(packed: Any) -> Any:
    """Bits (..., 8, n) of bytes (..., n), the lowest first."""
    return packed[..., None, :] >> np.arange(8, dtype=np.uint8)[:, None] & 1


def _fifth_bits(stored: Any, start: int) -> Any:
    """A fifth bit for each of the 32 codes of a block, in its place: 16 or 0."""
    return np.unpackbits(stored[:, start : start + 4], axis=1, bitorder="little") << 4


def _q4_0(stored: Any) -> Groups:
    scale = _halves(stored, 0)
    return Groups(_nibbles(stored[:, 2:]), scale, -8 * scale)


def _q4_1(stored: Any) -> Groups:
    return Groups(_nibbles(stored[:, 4:]), _halves(stored, 0), _halves(stored, 2))


def _q5_0(stored: Any) -> Groups:
    codes = _nibbles(stored[:, 6:]) | _fifth_bits(stored, 2)
    return Groups(codes.view(np.int8) - np.int8(16), _halves(stored, 0))


def _q5_1(stored: Any) -> Groups:
    codes = _nibbles(stored[:, 8:]) | _fifth_bits(stored, 4)
    return Groups(codes.view(np.int8), _halves(stored, 0), _halves(stored, 2))


def _q8_0(stored: Any) -> Groups:
    return Groups(stored[:, 2:].view(np.int8), _halves(stored, 0))


def _q2_k(stored: Any) -> Groups:
    """16 groups of 16, scales and offsets of 4 bits."""
    packed = stored[:, :16]
    scale = _halves(stored, 80)[:, None] * (packed & 15)
    offset = -_halves(stored, 82)[:, None] * (packed >> 4)
    codes = _pairs_of_bits(stored[:, 16:80].reshape(-1, 2, 32))
    return Groups(codes.reshape(-1, 16), scale.reshape(-1), offset.reshape(-1))


def _q3_k(stored: Any) -> Groups:
    """16 groups of 16, scales of 6 bits; a code's third bit stands apart."""
    low, high = _nibbles(stored[:, 96:104]), _pairs_of_bits(stored[:, 104:108]).reshape(-1, 16)
    scale = _halves(stored, 108)[:, None] * ((low | high << 4).view(np.int8) - np.int8(32))
    codes = _pairs_of_bits(stored[:, 32:96].reshape(-1, 2, 32)).reshape(-1, 8, 32)
    codes = codes | _single_bits(stored[:, :32]) << 2
    scale = scale.reshape(-1)
    return Groups(codes.reshape(-1, 16), scale, -4 * scale)


def _scales_and_offsets(stored: Any) -> tuple[Any, Any]:
    """Of 8 groups, of 6 bits each; the upper two of the last four stand with those of the first."""
    a, b, c = (stored[:, 4 + 4 * k : 8 + 4 * k] for k in range(3))
    scale = np.concatenate([a & 63, c & 15 | a >> 6 << 4], 1)
    offset = np.concatenate([b & 63, c >> 4 | b >> 6 << 4], 1)
    scales, offsets = _halves(stored, 0)[:, None] * scale, -_halves(stored, 2)[:, None] * offset
    return scales.reshape(-1), offsets.reshape(-1)


def _q4_k(stored: Any) -> Groups:
    codes = _nibbles(stored[:, 16:].reshape(-1, 4, 32))
    return Groups(codes.reshape(-1, 32), *_scales_and_offsets(stored))


def _q5_k(stored: Any) -> Groups:
    codes = _nibbles(stored[:, 48:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    codes = codes | _single_bits(stored[:, 16:48]) << 4
    return Groups(codes.reshape(-1, 32).view(np.int8), *_scales_and_offsets(stored))


def _q6_k(stored: Any) -> Groups:
    """16 groups of 16, scales of 8 bits."""
    low = stored[:, :128].reshape(-1, 2, 64)
    low = np.concatenate([low & 15, low >> 4], -1).reshape(-1, WIDE)
    high = _pairs_of_bits(stored[:, 128:192].reshape(-1, 2, 32)).reshape(-1, WIDE)
    codes = (low | high << 4).view(np.int8) - np.int8(32)
    scale = _halves(stored, 208)[:, None] * stored[:, 192:208].view(np.int8)
    return Groups(codes.reshape(-1, 16), scale.reshape(-1))


LEVELS = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8
)
"""What the codes of IQ4 stand for, closer where weights are more: kvalues_iq4nl."""


def _iq4_nl(stored: Any) -> Groups:
    return Groups(LEVELS[_nibbles(stored[:, 2:])], _halves(stored, 0))


def _iq4_xs(stored: Any) -> Groups:
    """8 groups of 32, scales of 6 bits."""
    low = stored[:, 4:8, None] >> np.array([0, 4], np.uint8) & 15
    high = stored[:, 2:4].copy().view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16) & 3
    steps = (low.reshape(-1, 8) | high.astype(np.uint8) << 4).view(np.int8) - np.int8(32)
    codes = LEVELS[_nibbles(stored[:, 8:].reshape(-1, 8, 16))]
    return Groups(codes.reshape(-1, 32), (_halves(stored, 0)[:, None] * steps).reshape(-1))


BLOCKS: dict[int, tuple[str, int, int, Callable[[Any], Groups]]] = {
    2: ("Q4_0", 32, 18, _q4_0),
    3: ("Q4_1", 32, 20, _q4_1),
    6: ("Q5_0", 32, 22, _q5_0),
    7: ("Q5_1", 32, 24, _q5_1),
    8: ("Q8_0", 32, 34, _q8_0),
    10: ("Q2_K", WIDE, 84, _q2_k),
    11: ("Q3_K", WIDE, 110, _q3_k),
    12: ("Q4_K", WIDE, 144, _q4_k),
    13: ("Q5_K", WIDE, 176, _q5_k),
    14: ("Q6_K", WIDE, 210, _q6_k),
    20: ("IQ4_NL", 32, 18, _iq4_nl),
    23: ("IQ4_XS", WIDE, 136, _iq4_xs),
}
"""By GGML type: name, elements and bytes of a block, and what makes groups of blocks (blocks,
bytes)."""
