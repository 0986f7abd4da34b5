"""Colours: of the edited code, of prompts and of what is written above them.

By default only the sixteen named colours are used, so every light or dark theme of a terminal stays
legible.
"""

from __future__ import annotations

from functools import cache

from prompt_toolkit.styles import BaseStyle, Style, merge_styles

from .settings import SettingsError

STYLE = Style.from_dict(
    {
        "prompt.in": "ansigreen",
        "prompt.number": "ansigreen bold",
        "prompt.continuation": "ansigreen",
        "prompt.question": "bold",
        "auto-suggestion": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar.busy": "ansiyellow",
        "line": "ansibrightblack",
        "hint": "ansibrightblack",
        "fault": "ansired",
        "fault.mark": "underline",
        "doubt": "ansiyellow",
        "doubt.mark": "underline",
        "signature": "noreverse",
        "signature.active": "bold",
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


THEMES = {"dark": "github-dark", "light": "default"}
"""Names of ours for styles of pygments; any other of its names will do too."""


@cache
def style_of(theme: str) -> BaseStyle:
    """The style of a theme. Raises: SettingsError if there is none of that name."""
    if theme == "terminal":
        return STYLE
    from prompt_toolkit.styles.pygments import style_from_pygments_cls
    from pygments.styles import get_all_styles, get_style_by_name  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        chosen = get_style_by_name(THEMES.get(theme, theme))
    except ClassNotFound:
        known = ", ".join(["terminal", *THEMES, *sorted(get_all_styles())])
        raise SettingsError(f"theme: expected one of {known}. Got {theme!r}.") from None
    return merge_styles([STYLE, style_from_pygments_cls(chosen)])
