"""What magics share: the session they look into, its names, and their tables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, magics_class
from IPython.core.magic_arguments import parse_argstring

from flambeau import Tensor

__all__ = [
    "Instrument",
    "TextReport",
    "UsageError",
    "count_text",
    "counted",
    "joined",
    "named_tensors",
    "preformatted",
    "report_html",
    "shape_text",
    "table",
    "time_text",
]


@magics_class
class Instrument(Magics):
    """Base of the magics. Any IPython shell is session enough: a namespace and a display."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for function in vars(cls).values():
            if getattr(function, "has_arguments", False):
                function.__doc__ = _purpose_first(function.__doc__)

    @property
    def namespace(self) -> dict[str, Any]:
        """The names of the session."""
        names: dict[str, Any] = self.shell.user_ns
        return names

    def arguments(self, magic: Any, line: str) -> Any:
        """The arguments of `magic`, a decorated method: expressions as they are written, files
        without the quotes that a space in their names takes. Raises: UsageError."""
        try:
            found = parse_argstring(magic, line)
        except UsageError as error:  # argparse's, which does not say whose
            name = magic.parser.prog
            name = ("%" if name in self.magics["line"] else "%%") + name
            raise UsageError(f"{name}: {error}. {name}? explains.") from None
        except ValueError as error:  # of the splitting into words
            raise UsageError(f"Cannot read the arguments {line!r}: {error}.") from None
        for action in magic.parser._actions:
            value = getattr(found, action.dest, None)
            if action.metavar == "FILE" and value and value[0] == value[-1] in "'\"":
                setattr(found, action.dest, value[1:-1])
        return found

    def evaluate(self, magic: str, expression: str) -> Any:
        """The value of `expression` in the session. Raises: UsageError for one that has none."""
        try:
            return self.shell.ev(expression)
        except Exception as error:
            raise UsageError(
                f"{magic}: expected an expression that can be evaluated. Got {expression!r}, which "
                f"raised {type(error).__name__}: {error}"
            ) from error

    def run_cell(self, cell: str) -> bool:
        """Run `cell` as if typed; whether it succeeded. Its traceback is shown as always.

        A comment stands in for the line of the magic, so that lines keep the numbers they have
        for the user; not before another magic, which must come first. The cell also keeps its own
        number, in tracebacks and before results: IPython, which has counted on already, reads it
        once before the event and once after it.
        """
        first = "" if cell.lstrip().startswith("%%") else "#\n"
        shell = self.shell
        following = shell.execution_count

        def count_on() -> None:
            shell.execution_count = following

        shell.execution_count = len(self.namespace.get("In", ())) - 1 or following
        shell.events.register("pre_execute", count_on)
        try:
            return bool(shell.run_cell(first + cell).success)
        finally:
            shell.events.unregister("pre_execute", count_on)
            count_on()

    def complete(self, name: str, event: Any) -> list[str]:
        """What may stand at the cursor in a line of the magic `name`: options, their choices,
        words that the arguments allow, and names of the session."""
        words = event.text_until_cursor.split()
        if not event.text_until_cursor.endswith(tuple(" \t")):
            words.pop()
        function = self.magics["cell" if name.startswith("%%") else "line"][name.lstrip("%")]
        found = completions(getattr(function, "parser", None), words[1:], event.symbol)
        return found or self._expressions(event.symbol)

    def _expressions(self, symbol: str) -> list[str]:
        """Names and attributes; Jedi, where it is on, does not read lines with magics."""
        if symbol.startswith("-"):
            return []
        if "." in symbol:
            return list(self.shell.Completer.attr_matches(symbol))
        return sorted(name for name, _ in _user_items(self.namespace) if name.startswith(symbol))

    def resume(self) -> None:
        """Do again what `unload` undid, when the extension is loaded once more."""

    def unload(self) -> None:
        """Undo what outlasts a cell; most instruments have nothing of the kind."""


def completions(parser: Any, words: list[str], symbol: str) -> list[str]:
    """Options of an argparse `parser` that begin with `symbol`, the choices of an option just
    given in `words`, and those of positional arguments."""
    actions = parser._actions if parser is not None else []
    by_option = {option: action for action in actions for option in action.option_strings}
    pending = by_option.get(words[-1]) if words else None
    if pending is not None and pending.nargs != 0:
        found = [str(choice) for choice in pending.choices or ()]
    elif symbol.startswith("-"):
        found = [option for option in by_option if option not in words]
    else:
        positional = [action for action in actions if not action.option_strings]
        found = [word for action in positional for word in words_of(action)]
    return [word for word in found if word.startswith(symbol)]


def words_of(action: Any) -> list[str]:
    """Words that a positional argument knows: its choices, or those in its metavar, as in
    `on|off`."""
    if action.choices:
        return [str(choice) for choice in action.choices]
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    return [word for word in metavar.split("|") if word.islower()] if "|" in metavar else []


def named_tensors(namespace: dict[str, Any]) -> dict[int, str]:
    """Names of the tensors that the session knows, by id: parameters and buffers by their dotted
    path below the module's name, then plain variables."""
    names: dict[int, str] = {}
    for name, value in _user_items(namespace):
        if hasattr(value, "named_parameters") and not isinstance(value, type):
            for path, tensor in (*value.named_parameters(), *value.named_buffers()):
                names.setdefault(id(tensor), f"{name}.{path}")
    for name, value in _user_items(namespace):
        if isinstance(value, Tensor):
            names.setdefault(id(value), name)
    return names


def _user_items(namespace: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(namespace.items()):
        if not name.startswith("_"):
            yield name, value


def shape_text(shape: Any) -> str:
    """`64×10`, or `scalar`; `?` where the shape is no longer known."""
    if shape is None:
        return "?"
    return "×".join(str(n) for n in shape) or "scalar"


def counted(count: int, one: str, many: str) -> str:
    """`1 leaf`, `1,200 leaves`."""
    return f"{count:,} {one if count == 1 else many}"


def count_text(count: float) -> str:
    """`1.23 M`, in powers of 1000."""
    for unit in ("", "k", "M", "G", "T"):
        if count < 999.5 or unit == "T":
            return f"{count:.3g} {unit}".rstrip()
        count /= 1000
    raise AssertionError


def time_text(seconds: float) -> str:
    """`12.3 ms`: three digits, in the unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            digits = max(0, 2 - math.floor(math.log10(seconds / size)))
            return f"{seconds / size:.{min(digits, 2)}f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def joined(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), *words[-1:]] if len(words) > 1 else words)


def _purpose_first(text: str) -> str:
    """The help that IPython makes of a magic's arguments, which begins with the usage, with what
    the magic does before it."""
    parts = re.fullmatch(
        r"::\n\n(?P<usage>(?: {2}[^\n]*\n)+)\n(?P<purpose>.*?)"
        r"(?P<rest>(?:\n\n(?:positional arguments|options):\n.*)?)",
        text,
        re.DOTALL,
    )
    if parts is None:
        return text
    return f"{parts['purpose'].strip()}\n\nusage:\n{parts['usage'].rstrip()}{parts['rest']}"


def preformatted(text: str, breaks: bool = False) -> str:
    """`text` as HTML that keeps its columns: notebooks would break long lines and indent it. With
    `breaks` they may break them."""
    space = "pre-wrap" if breaks else "pre"
    style = f"white-space:{space};overflow-x:auto;margin:0;padding:0"
    start = "\n" * text.startswith("\n")  # of which HTML drops the first
    return f'<pre style="{style}">{start}{escape(text)}</pre>'


def report_html(text: str) -> str:
    """The text of a report as HTML: tables keep their columns, sentences are broken to fit."""
    blocks = groupby(text.split("\n"), lambda line: not line or "  " in line.strip())
    return "".join(preformatted("\n".join(lines), not is_table) for is_table, lines in blocks)


class TextReport:
    """A report whose text, `str(self)`, stands in columns; in a notebook, too."""

    def _repr_html_(self) -> str:
        return report_html(str(self))


def table(rows: Sequence[tuple[str, ...]], align: str) -> list[str]:
    """Lines with columns as wide as needed; `align` has `<` or `>` for each column."""
    if not rows:
        return []
    widths = [max(len(row[k]) for row in rows) for k in range(len(align))]
    return [
        "  ".join(f"{cell:{a}{w}}" for cell, a, w in zip(row, align, widths, strict=True)).rstrip()
        for row in rows
    ]
