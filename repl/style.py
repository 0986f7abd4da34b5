"""Colours: of the edited code, of prompts and of what is written above them.

Only the sixteen named colours are used, so every light or dark theme of a terminal stays legible.
"""

from __future__ import annotations

from prompt_toolkit.styles import Style

STYLE = Style.from_dict(
    {
        "prompt.in": "ansigreen",
        "prompt.number": "ansigreen bold",
        "prompt.continuation": "ansigreen",
        "prompt.question": "bold",
        "auto-suggestion": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar.busy": "ansiyellow",
        "matching-bracket.cursor": "",
        "matching-bracket.other": "bold underline",
        "completion-menu.meta.completion": "bg:ansibrightblack ansiwhite",
        "pygments.keyword": "ansigreen bold",
        "pygments.keyword.constant": "ansigreen",
        "pygments.keyword.type": "ansigreen",
        "pygments.name.builtin": "ansigreen",
        "pygments.name.class": "ansiblue bold",
        "pygments.name.decorator": "ansimagenta",
        "pygments.name.exception": "ansired",
        "pygments.name.function": "ansiblue",
        "pygments.name.function.magic": "ansiblue",
        "pygments.name.namespace": "ansiblue bold",
        "pygments.operator.word": "ansimagenta bold",
        "pygments.literal.number": "ansicyan",
        "pygments.literal.string": "ansiyellow",
        "pygments.literal.string.escape": "ansiyellow bold",
        "pygments.literal.string.interpol": "ansimagenta",
        "pygments.comment": "ansibrightblack italic",
        "pygments.error": "",
    }
)

PROMPT, RESULT, RESULT_NUMBER, DIM, WARNING = "32", "31", "1;31", "2", "33"  # SGR parameters


def paint(text: str, sgr: str) -> str:
    """`text` between the escape sequence that selects `sgr` and the one that ends it."""
    return f"\x1b[{sgr}m{text}\x1b[0m"
