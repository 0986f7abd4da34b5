"""Reading pickles without running them.

A pickle is a program for a small stack machine, and Python's own reader lets it import and call
anything. This one knows the instructions that build data; where the program names something
importable, it gets what an allow-list holds under that name, or is refused.
Source: the protocol as `pickletools` of Python's standard library documents it.
"""

from __future__ import annotations

import ast
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ..errors import CheckpointError

MARK = object()

Lookup = Callable[[str, str], "Global"]
Persistent = Callable[[Any], Any]


class Global:
    """What an allow-list holds under an importable name: a value, or a function to build one."""

    __slots__ = ("build", "name", "value")

    def __init__(self, name: str, build: Callable[..., Any] | None = None, value: Any = None):
        self.name, self.build, self.value = name, build, value


class Built:
    """An object that takes its state later, in `set_state`; `value` is what it then stands for."""

    value: Any

    def set_state(self, state: Any) -> None:
        """Take `state`, of whatever kind the writer gave."""
        raise NotImplementedError


def read_pickle(
    data: memoryview, start: int, lookup: Lookup, persistent: Persistent
) -> tuple[Any, int]:
    """The value of the pickle in `data` from `start` on, and where it ends.

    `lookup(module, name)` gives the Global of that name; `persistent(id)` what the file keeps
    elsewhere under an id. Raises: CheckpointError for a pickle that is broken, or asks for more.
    """
    machine = _Machine(data, start, lookup, persistent)
    try:
        return machine.run(), machine.position
    except CheckpointError:
        raise
    except (RecursionError, MemoryError):
        raise CheckpointError("load: expected a pickle of sane size.") from None
    except Exception as error:
        raise CheckpointError(
            f"load: expected a pickle that is whole. Byte {machine.position}: "
            f"{type(error).__name__} {error}"
        ) from None


class _Machine:
    def __init__(
        self, data: memoryview, start: int, lookup: Lookup, persistent: Persistent
    ) -> None:
        self.data, self.position = data, start
        self.lookup, self.persistent = lookup, persistent
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = self.take(1)[0]
            if code == 0x2E:  # STOP
                return plain(self.stack.pop())
            instruction = INSTRUCTIONS.get(code)
            if instruction is None:
                raise CheckpointError(
                    f"load: expected a pickle of data. Byte {self.position - 1} is the instruction "
                    f"{bytes([code])!r}, which data do without."
                )
            instruction(self)

    # -- input -----------------------------------------------------------------------------------

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise CheckpointError(f"load: the pickle ends before byte {end}.")
        found = bytes(self.data[self.position : end])
        self.position = end
        return found

    def number(self, format: str) -> int:
        return int(struct.unpack(format, self.take(struct.calcsize(format)))[0])

    def line(self) -> bytes:
        rest = bytes(self.data[self.position : self.position + 65_536])
        length = rest.find(b"\n")
        if length < 0:
            raise CheckpointError(f"load: expected a line to end after byte {self.position}.")
        self.position += length + 1
        return rest[:length]

    # -- stack -----------------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def above_mark(self) -> list[Any]:
        """What was pushed since the last mark, which goes too."""
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:
            place -= 1
            if place < 0:
                raise CheckpointError("load: expected a mark on the pickle's stack.")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    # -- building --------------------------------------------------------------------------------

    def find(self, module: str, name: str) -> None:
        self.push(self.lookup(module, name))

    def call(self, what: Any, args: Any, options: Any = None) -> None:
        if not isinstance(what, Global) or what.build is None or not isinstance(args, tuple):
            raise CheckpointError(
                f"load: expected something to build with. Got {type(what).__name__}."
            )
        self.push(what.build(*[plain(a) for a in args], **(options or {})))

    def set_items(self, target: Any, items: list[Any]) -> None:
        target = target.value if isinstance(target, Built) else target
        if not isinstance(target, dict) or len(items) % 2:
            raise CheckpointError(f"load: expected pairs for a dict. Got {type(target).__name__}.")
        for k in range(0, len(items), 2):
            target[_key(items[k])] = plain(items[k + 1])

    def extend(self, target: Any, items: list[Any]) -> None:
        target = target.value if isinstance(target, Built) else target
        if not isinstance(target, list):
            raise CheckpointError(f"load: expected a list to add to. Got {type(target).__name__}.")
        target.extend([plain(item) for item in items])

    def add(self, target: Any, items: list[Any]) -> None:
        if not isinstance(target, set):
            raise CheckpointError(f"load: expected a set to add to. Got {type(target).__name__}.")
        target.update([_key(item) for item in items])

    def set_state(self) -> None:
        state = plain(self.stack.pop())
        target = self.stack[-1]
        if isinstance(target, Built):
            target.set_state(state)
        elif isinstance(target, OrderedDict) and isinstance(state, dict):
            target.__dict__.update({k: v for k, v in state.items() if k == "_metadata"})
        else:
            raise CheckpointError(f"load: expected no state for a {type(target).__name__}.")

    def remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]


SIMPLE = (str, int, float, bool, complex, bytes, type(None))


def _key(value: Any) -> Any:
    """A dict's key: something simple, or a tuple of such (hashing deeper ones could take for
    ever)."""
    value = plain(value)
    if isinstance(value, SIMPLE) or getattr(value, "is_plain_key", False):
        return value
    if isinstance(value, tuple) and all(isinstance(v, SIMPLE) for v in value):
        return value
    raise CheckpointError(f"load: expected simple keys. Got {type(value).__name__}.")


def plain(value: Any) -> Any:
    """`value` for those who will keep it. Raises: CheckpointError for a function or class."""
    if value is MARK:
        raise CheckpointError("load: a mark stands where a value should.")
    if isinstance(value, Global):
        if value.value is None:
            raise CheckpointError(f"load: expected data. Got {value.name} itself.")
        return value.value
    return value.value if isinstance(value, Built) else value


def _decimal(line: bytes) -> Any:
    if line in (b"00", b"01"):
        return line == b"01"
    return int(line.rstrip(b"L"))


def _quoted(line: bytes) -> str:
    value = ast.literal_eval(line.decode("ascii"))
    if not isinstance(value, str):
        raise CheckpointError("load: expected a quoted string in the pickle.")
    return value


def _long(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _global_line(m: _Machine) -> None:
    module, name = m.line().decode(), m.line().decode()
    m.find(module, name)


def _stack_global(m: _Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise CheckpointError("load: expected the name of a global as text.")
    m.find(module, name)


def _reduce(m: _Machine) -> None:
    args, what = m.stack.pop(), m.stack.pop()
    m.call(what, args)


def _new_with_options(m: _Machine) -> None:
    options, args, what = m.stack.pop(), m.stack.pop(), m.stack.pop()
    m.call(what, args, options)


def _object(m: _Machine) -> None:
    what, *args = m.above_mark()
    m.call(what, tuple(args))


def _instance(m: _Machine) -> None:
    module, name = m.line().decode(), m.line().decode()
    m.call(m.lookup(module, name), tuple(m.above_mark()))


def _tuple_of(count: int) -> Callable[[_Machine], None]:
    def instruction(m: _Machine) -> None:
        items = tuple([plain(v) for v in m.stack[len(m.stack) - count :]])
        if len(items) != count:
            raise CheckpointError("load: expected more on the pickle's stack.")
        del m.stack[len(m.stack) - count :]
        m.push(items)

    return instruction


def _set_item(m: _Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    m.set_items(m.stack[-1], [key, value])


def _set_items(m: _Machine) -> None:
    items = m.above_mark()
    m.set_items(m.stack[-1], items)


def _append(m: _Machine) -> None:
    value = m.stack.pop()
    m.extend(m.stack[-1], [value])


def _extend(m: _Machine) -> None:
    items = m.above_mark()
    m.extend(m.stack[-1], items)


def _add(m: _Machine) -> None:
    items = m.above_mark()
    m.add(m.stack[-1], items)


def _dict(m: _Machine) -> None:
    items = m.above_mark()
    m.push({})
    m.set_items(m.stack[-1], items)


def _list(m: _Machine) -> None:
    m.push([plain(v) for v in m.above_mark()])


def _tuple(m: _Machine) -> None:
    m.push(tuple([plain(v) for v in m.above_mark()]))


INSTRUCTIONS: dict[int, Callable[[_Machine], Any]] = {
    ord(code): instruction
    for code, instruction in {
        "\x80": lambda m: m.take(1),
        "\x95": lambda m: m.take(8),
        "(": lambda m: m.push(MARK),
        "0": lambda m: m.stack.pop(),
        "1": lambda m: m.above_mark(),
        "2": lambda m: m.push(m.stack[-1]),
        "F": lambda m: m.push(float(m.line())),
        "I": lambda m: m.push(_decimal(m.line())),
        "J": lambda m: m.push(m.number("<i")),
        "K": lambda m: m.push(m.number("<B")),
        "L": lambda m: m.push(_decimal(m.line())),
        "M": lambda m: m.push(m.number("<H")),
        "N": lambda m: m.push(None),
        "G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        "P": lambda m: m.push(m.persistent(m.line().decode())),
        "Q": lambda m: m.push(m.persistent(plain(m.stack.pop()))),
        "R": _reduce,
        "S": lambda m: m.push(_quoted(m.line())),
        "T": lambda m: m.push(m.take(m.number("<i")).decode("latin-1")),
        "U": lambda m: m.push(m.take(m.number("<B")).decode("latin-1")),
        "V": lambda m: m.push(m.line().decode("raw-unicode-escape")),
        "X": lambda m: m.push(_text(m.take(m.number("<I")))),
        "\x8c": lambda m: m.push(_text(m.take(m.number("<B")))),
        "\x8d": lambda m: m.push(_text(m.take(m.number("<Q")))),
        "B": lambda m: m.push(m.take(m.number("<I"))),
        "C": lambda m: m.push(m.take(m.number("<B"))),
        "\x8e": lambda m: m.push(m.take(m.number("<Q"))),
        "\x96": lambda m: m.push(bytearray(m.take(m.number("<Q")))),
        "a": _append,
        "b": lambda m: m.set_state(),
        "c": _global_line,
        "\x93": _stack_global,
        "d": _dict,
        "}": lambda m: m.push({}),
        "e": _extend,
        "g": lambda m: m.push(m.memo[int(m.line())]),
        "h": lambda m: m.push(m.memo[m.number("<B")]),
        "j": lambda m: m.push(m.memo[m.number("<I")]),
        "p": lambda m: m.remember(int(m.line())),
        "q": lambda m: m.remember(m.number("<B")),
        "r": lambda m: m.remember(m.number("<I")),
        "\x94": lambda m: m.remember(len(m.memo)),
        "i": _instance,
        "o": _object,
        "\x81": _reduce,  # a new object is built as by a call
        "\x92": _new_with_options,
        "l": _list,
        "]": lambda m: m.push([]),
        "s": _set_item,
        "u": _set_items,
        "t": _tuple,
        ")": lambda m: m.push(()),
        "\x85": _tuple_of(1),
        "\x86": _tuple_of(2),
        "\x87": _tuple_of(3),
        "\x88": lambda m: m.push(True),
        "\x89": lambda m: m.push(False),
        "\x8a": lambda m: m.push(_long(m.take(m.number("<B")))),
        "\x8b": lambda m: m.push(_long(m.take(m.number("<i")))),
        "\x8f": lambda m: m.push(set()),
        "\x90": _add,
        "\x91": lambda m: m.push(frozenset([_key(v) for v in m.above_mark()])),
    }.items()
}
"""What each instruction that builds data does."""
