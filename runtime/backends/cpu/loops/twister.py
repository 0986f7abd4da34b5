"""The Mersenne Twister, a vector at a time: the words of NumPy's MT19937, and its state after them.

Source: Matsumoto and Nishimura, "Mersenne Twister" (1998), section 2.
"""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import numpy as np

from .language import Position, Program, Value
from .machine import Code

STATE, DISTANCE = 624, 397
MATRIX, UPPER, LOWER = 0x9908B0DF - 2**32, -(2**31), 2**31 - 1  # as signed numbers
TEMPERING_B, TEMPERING_C = 0x9D2C5680 - 2**32, 0xEFC60000 - 2**32


def _twisted(this: Value, following: Value, other: Value) -> Value:
    y = (this & UPPER) | (following & LOWER)
    odd = (y & 1).compare("!=", 0)
    return other ^ y.shifted_right(1) ^ y.program.where(odd, MATRIX, y & 0)


def _tempered(y: Value) -> Value:
    y = y ^ y.shifted_right(11)
    y = y ^ ((y << 7) & TEMPERING_B)
    y = y ^ ((y << 15) & TEMPERING_C)
    return y ^ y.shifted_right(18)


@cache
def _code() -> Code:
    program = Program("mersenne_twister")
    state, out = program.array(0), program.array(1)
    number = program.constant

    def twist(begin: int, end: int, distance: int) -> None:
        """New words from `begin` to `end`, with those `distance` further on."""

        def body(at: Position) -> None:
            this, following, other = (
                program.load(state, at.index + k, "int32", at.lanes, at.mask)
                for k in (0, 1, distance)
            )
            at.store(state, _twisted(this, following, other))

        program.across(number(begin), number(end), body)

    with program.loop(program.begin, program.end) as block:
        twist(0, STATE - DISTANCE, DISTANCE)
        twist(STATE - DISTANCE, STATE - 1, DISTANCE - STATE)
        last = [program.load(state, number(k), "int32") for k in (STATE - 1, 0, DISTANCE - 1)]
        program.store(_twisted(*last), state, number(STATE - 1))
        target = out + block * (STATE * 4)

        def temper(at: Position) -> None:
            at.store(target, _tempered(at.load(state, "int32")))

        program.across(number(0), number(STATE), temper)
    return Code(program.name, program.text())


def words(bits: Any, count: int) -> Any:
    """The next `count` words of NumPy's bit generator `bits`, as uint32."""
    out = np.empty(count, np.uint32)
    before = bits.state
    head = min(count, STATE - before["state"]["pos"])
    out[:head] = bits.random_raw(head)
    blocks = (count - head) // STATE
    if blocks:
        state = bits.state
        key = np.ascontiguousarray(state["state"]["key"], np.uint32)
        whole = out[head : head + blocks * STATE]
        _code().call(struct.pack("=2q", id(key), id(whole)), 0, blocks)
        state["state"].update(key=key, pos=STATE)
        bits.state = state
    tail = head + blocks * STATE
    out[tail:] = bits.random_raw(count - tail)
    return out
