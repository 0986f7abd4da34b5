"""What a process says it is doing: the first bytes of every exchange, which both ends compare."""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEAD = struct.Struct("<4sHIQ")  # what it is, bytes of the words, number of the call, of the payload
MAGIC = b"flbu"


@dataclass(frozen=True, slots=True)
class Call:
    """A collective call: its number in the group, and its words, as in
    `all_reduce(SUM) of float32 (3, 4)`. All processes must say the same."""

    number: int
    words: str

    def greeting(self, nbytes: int) -> bytes:
        """What goes before `nbytes` of payload."""
        words = self.words.encode()[:2000]
        return HEAD.pack(MAGIC, len(words), self.number, nbytes) + words

    def __str__(self) -> str:
        return f"call {self.number}, {self.words}"


def words_behind(head: bytes) -> int:
    """How many bytes of words follow a head; -1 if it is none."""
    magic, length, _, _ = HEAD.unpack(head)
    return int(length) if magic == MAGIC else -1


def parsed(greeting: bytes) -> tuple[Call, int]:
    """The call of a whole greeting, and the bytes of payload behind it."""
    _, _, number, nbytes = HEAD.unpack(greeting[: HEAD.size])
    return Call(number, greeting[HEAD.size :].decode(errors="replace")), nbytes
