"""What the kernel says of a cell while it is typed: faults, shapes, the call under the cursor."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import fragment_list_len
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments

from .settings import Settings
from .terminal import width_of

PAUSE = 0.12  # s without a key before the kernel is asked
ROWS = 3  # that advice may take
LONGEST = 20_000  # characters; a pasted file is not checked at every key

Ask = Callable[..., Awaitable[Any]]  # question, arguments -> the answer, None if there is none


@dataclass
class Advice:
    """Answers, and the lines that they were about: on lines changed since they are not shown."""

    lines: Sequence[str] = ()
    faults: dict[int, list[dict[str, Any]]] = field(default_factory=dict)  # by line, from 0
    hints: dict[int, str] = field(default_factory=dict)

    def holds(self, number: int, text: str) -> bool:
        """Whether line `number` still is what it was."""
        return number < len(self.lines) and self.lines[number] == text


class Advisor:
    """Asks the kernel after every pause in the typing, and keeps its last answers."""

    def __init__(self, ask: Ask, settings: Callable[[], Settings]) -> None:
        self._ask = ask
        self._settings = settings
        self._asking: asyncio.Task[None] | None = None
        self.advice = Advice()
        self._signature: dict[str, Any] | None = None
        self._summary: str | None = None  # of the completion that is chosen
        self._asked_of = Document()
        self._renew: Callable[[], object] = lambda: None

    def watch(self, buffer: Buffer, refresh: Callable[[], object]) -> None:
        """Follow what is typed into `buffer`."""

        def changed(_: Buffer) -> None:
            if self._asking is not None:
                self._asking.cancel()
            self._asking = asyncio.ensure_future(self._ask_after_pause(buffer, refresh))

        def renew() -> None:
            self.advice = Advice()
            changed(buffer)

        buffer.on_text_changed += changed
        buffer.on_cursor_position_changed += changed
        self._renew = renew

    def renew(self) -> None:
        """Ask again: the kernel knows more than before."""
        self._renew()

    async def _ask_after_pause(self, buffer: Buffer, refresh: Callable[[], object]) -> None:
        await asyncio.sleep(PAUSE)
        self._asked_of = document = buffer.document
        text, cursor = document.text, document.cursor_position
        self._signature = self._summary = None
        if not text.strip() or len(text) > LONGEST:
            self.advice = Advice()
        else:
            menu = buffer.complete_state
            if menu is not None and menu.current_completion is not None:
                self._summary = await self._ask("summary", source=text, cursor=cursor)
            self._signature = await self._ask("signature", source=text, cursor=cursor)
            refresh()
            if list(self.advice.lines) != text.split("\n"):
                self.advice = await self._advice(text)
        refresh()

    async def _advice(self, text: str) -> Advice:
        settings, advice = self._settings(), Advice(text.split("\n"))
        if not settings.diagnostics and not settings.hints:
            return advice
        report = await self._ask("check", source=text) or {}
        for fault in report.get("findings", ()) if settings.diagnostics else ():
            advice.faults.setdefault(fault["line"] - 1, []).append(fault)
        for hint in report.get("hints", ()) if settings.hints else ():
            line = hint["line"] - 1
            before = advice.hints.get(line)
            words = f"{hint['name']} {hint['text']}"
            advice.hints[line] = f"{before}, {words}" if before else words
        return advice

    def rows(self, document: Document) -> StyleAndTextTuples:
        """About the chosen completion, else the fault on the cursor's line, else the signature of
        the call that the cursor is in."""
        return wrapped(self._row(document), shutil.get_terminal_size().columns - 1)

    def _row(self, document: Document) -> StyleAndTextTuples:
        is_current = self._asked_of.text == document.text
        if self._summary and is_current:
            return [("class:hint", self._summary)]
        number = document.cursor_position_row
        if self.advice.holds(number, document.current_line):
            for fault in self.advice.faults.get(number, ()):
                if not is_being_typed(fault, document):
                    return [(_style(fault), fault["message"])]
        return _signature_row(self._signature) if self._signature and is_current else []


def _style(fault: dict[str, Any]) -> str:
    return "class:fault" if fault["severity"] == "error" else "class:doubt"


def is_being_typed(fault: dict[str, Any], document: Document) -> bool:
    """Whether the fault ends in the word that the cursor stands behind: it is half a word yet."""
    at_cursor = fault["end_line"] - 1, fault["end_column"]
    is_here = at_cursor == (document.cursor_position_row, document.cursor_position_col)
    return is_here and re.search(r"\w$", document.text_before_cursor) is not None


def wrapped(fragments: StyleAndTextTuples, columns: int, most: int = ROWS) -> StyleAndTextTuples:
    """The text in rows that break between words; what does not fit into the last is left out."""
    result: StyleAndTextTuples = []
    column, row = 0, 1
    for style, text, *_ in fragments:
        for word in re.findall(r"\s*\S+\s*", text):
            room = columns if row < most else columns - 2
            if column and column + width_of(word.rstrip()) > room:
                if row == most:
                    return [*result, (style, "…")]
                result.append(("", "\n"))
                column, row, word = 0, row + 1, word.lstrip()
            result.append((style, word))
            column += width_of(word)
    return result


def _signature_row(signature: dict[str, Any]) -> StyleAndTextTuples:
    row: StyleAndTextTuples = [("class:signature", f"{signature['name']}(")]
    for k, parameter in enumerate(signature["parameters"]):
        active = " class:signature.active" if k == signature["active"] else ""
        row += [("class:signature", ", " if k else ""), (f"class:signature{active}", parameter)]
    summary = f"  {signature['summary']}" if signature["summary"] else ""
    return [*row, ("class:signature", ")"), ("class:hint", summary)]


class Marks(Processor):
    """Underlines faults and puts hints behind the ends of their lines."""

    def __init__(self, advisor: Advisor) -> None:
        self._advisor = advisor

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """The line with its marks."""
        document, number = transformation_input.document, transformation_input.lineno
        fragments = transformation_input.fragments
        advice = self._advisor.advice
        if not advice.holds(number, document.lines[number]):
            return Transformation(fragments)
        for fault in advice.faults.get(number, ()):
            if is_being_typed(fault, document):
                continue
            fragments = _underlined(fragments, fault, transformation_input)
        hint = advice.hints.get(number)
        buffer = transformation_input.buffer_control.buffer
        is_suggesting = bool(buffer.suggestion and buffer.suggestion.text)
        if hint and not (number == document.cursor_position_row and is_suggesting):
            room = transformation_input.width - fragment_list_len(fragments) - 3
            if room > 8:
                fragments = [*fragments, ("class:hint", f"  {_shortened(hint, room)}")]
        return Transformation(fragments)


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _underlined(
    fragments: StyleAndTextTuples, fault: dict[str, Any], where: TransformationInput
) -> StyleAndTextTuples:
    style = f"{_style(fault)}.mark"
    many = fault["end_line"] != fault["line"]
    end = len(where.document.lines[where.lineno]) if many else fault["end_column"]
    start, end = where.source_to_display(fault["column"]), where.source_to_display(end)
    exploded = explode_text_fragments(fragments)
    for k in range(start, min(max(end, start + 1), len(exploded))):
        exploded[k] = (f"{exploded[k][0]} {style}", exploded[k][1])
    return exploded
