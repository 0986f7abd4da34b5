"""Event files: records of protocol buffers.

A record is the length of an event, the event, and a checksum of each. Only the few messages that
summaries are made of are written here.
Sources: TensorFlow's event.proto, summary.proto and record_writer.h; RFC 3720 appendix B.4 for the
checksum CRC-32C; https://protobuf.dev/programming-guides/encoding for the encoding.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

CASTAGNOLI = 0x82F63B78  # the polynomial of CRC-32C, reflected
MASK = 0xA282EAD8  # added to the rotated checksum, so that checksums of checksums differ
STRING = 7  # DT_STRING of TensorFlow's types


def _table() -> list[int]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (CASTAGNOLI if value & 1 else 0)
        found.append(value)
    return found


TABLE = _table()


def crc32c(data: bytes) -> int:
    """The checksum of `data`."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF)


def record(event: bytes) -> bytes:
    """`event` as it stands in a file."""
    length = struct.pack("<Q", len(event))
    return length + _masked(length) + event + _masked(event)


# -- protocol buffers ------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers in two's complement
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(field: int, value: int) -> bytes:
    """A field that is a whole number."""
    return _varint(field << 3) + _varint(value)


def double(field: int, value: float) -> bytes:
    """A field of 64 bits."""
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def single(field: int, value: float) -> bytes:
    """A field of 32 bits."""
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def message(field: int, content: bytes | str) -> bytes:
    """A field that is text, bytes or a message of its own."""
    data = content.encode() if isinstance(content, str) else content
    return _varint(field << 3 | 2) + _varint(len(data)) + data


# -- messages --------------------------------------------------------------------------------------


def event(wall_time: float, step: int, value: bytes) -> bytes:
    """An event at `step` with one value of a summary."""
    return double(1, wall_time) + integer(2, step) + message(5, message(1, value))


def version(wall_time: float) -> bytes:
    """The event that a file begins with."""
    return double(1, wall_time) + message(3, "brain.Event:2")


def scalar(tag: str, value: float) -> bytes:
    """A number under `tag`."""
    return message(1, tag) + single(2, value)


def text(tag: str, words: str) -> bytes:
    """Markdown under `tag`."""
    plugin = message(1, message(1, "text"))
    tensor = integer(1, STRING) + message(2, message(2, integer(1, 1))) + message(8, words)
    return message(1, f"{tag}/text_summary") + message(9, plugin) + message(8, tensor)


def image(tag: str, pixels: Any) -> bytes:
    """Pixels (H, W, 1, 3 or 4) of uint8 under `tag`, as PNG."""
    height, width, channels = pixels.shape
    content = integer(1, height) + integer(2, width) + integer(3, channels)
    return message(1, tag) + message(4, content + message(4, png(pixels)))


def png(pixels: Any) -> bytes:
    """The pixels as a PNG file. Source: the PNG specification, third edition, 11.2."""
    height, width, channels = pixels.shape
    kind = {1: 0, 3: 2, 4: 6}[channels]  # grey, colours, colours with opacity

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with its filter, none
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + chunk(b"IEND", b"")
    )


def histogram(tag: str, values: Any, limits: Sequence[float]) -> bytes:
    """How often `values` (n,) lie between the ascending `limits`, under `tag`."""
    counts, edges = np.histogram(values, bins=np.asarray(limits, np.float64))
    full = np.flatnonzero(counts)
    first, last = (int(full[0]), int(full[-1])) if full.size else (0, 0)
    # The bucket below the first full one is kept, empty, for its limit is where that one begins.
    kept = np.concatenate([[0], counts[first : last + 1]]).astype(np.float64)
    upper = edges[first : last + 2]
    content = double(1, values.min()) + double(2, values.max()) + double(3, values.size)
    content += double(4, values.sum()) + double(5, (values * values).sum())
    content += message(6, upper.astype("<f8").tobytes()) + message(7, kept.astype("<f8").tobytes())
    return message(1, tag) + message(5, content)
