"""Completion by the kernel, which knows the live objects."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from typing import Any

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from .commands import Command

Content = dict[str, Any]
Ask = Callable[[str, int], Awaitable[Content | None]]  # code, cursor -> the reply's content

# What makes a menu welcome without being asked for: a name begun, an attribute, a magic and its
# options.
_INVITING = re.compile(r"(?:[^\W\d]\w*|[\w)\]}]\.|(?:^|\n)\s*%{1,2}|(?:^|\n)%.*\s--?[\w-]*)$")
_STRING_OR_COMMENT = re.compile(r"#|'''|\"\"\"|'(?:\\.|[^'\\])*'?|\"(?:\\.|[^\"\\])*\"?")


def invites_completion(before_cursor: str) -> bool:
    """Whether a menu should come by itself: after names and dots, not in strings and comments."""
    if not _INVITING.search(before_cursor):
        return False
    line = before_cursor.rsplit("\n", 1)[-1]
    return not any(_is_open_at_end(found, line) for found in _STRING_OR_COMMENT.finditer(line))


def _is_open_at_end(found: re.Match[str], line: str) -> bool:
    text = found.group()
    closed = len(text) > 1 and text[-1] == text[0] and text not in ("'''", '"""')
    return text == "#" or (found.end() == len(line) and not closed)


class KernelCompleter(Completer):
    """Asks the kernel, and lets typing go on meanwhile; a late answer is dropped by the buffer."""

    def __init__(self, ask: Ask, commands: Callable[[str], list[Command]]) -> None:
        self._ask = ask
        self._commands = commands

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Nothing: the kernel is only asked asynchronously."""
        return ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """The kernel's matches, with their kind and signature beside them."""
        if complete_event.text_inserted and not invites_completion(document.text_before_cursor):
            return
        line = document.text_before_cursor
        if line.startswith("%") and "\n" not in line:
            for command in self._commands(line):
                yield Completion(f"%{command.name}", -len(line), display_meta=command.summary)
        reply = await self._ask(document.text, document.cursor_position)
        for completion in _completions(reply or {}, document.cursor_position):
            yield completion


def _completions(reply: Content, cursor: int) -> Iterator[Completion]:
    described = reply.get("metadata", {}).get("_jupyter_types_experimental") or [
        {"text": match, "start": reply["cursor_start"]} for match in reply.get("matches", ())
    ]
    for match in described:
        text, kind = match["text"], match.get("type") or ""
        yield Completion(
            text,
            start_position=min(0, match["start"] - cursor),
            display=_last_name(text),
            display_meta=_meta(kind, match.get("signature") or ""),
        )


def _meta(kind: str, detail: str) -> str:
    """`function(input, dim)`, `Tensor (2, 3) float32 cpu`, `module`, what a magic does."""
    if kind in ("instance", "magic") and detail:
        return detail
    return "" if kind == "<unknown>" else kind + detail


def _last_name(text: str) -> str:
    """`tensor` of `torch.tensor`; paths and keys stay whole."""
    return text.rsplit(".", 1)[-1] if text.replace(".", "").isidentifier() else text
