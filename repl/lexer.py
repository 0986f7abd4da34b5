"""Highlighting of a cell: Python, `%magic`, `!command` and `help?`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

_MAGIC = r"(?m)^(\s*)(%{1,2}[A-Za-z_]\w*|!{1,2})(.*)$"
_HELP = r"(?m)^(\s*)(\?{1,2})([\w.*%]+)|([\w.*%\]\[]+)(\?{1,2})(\s*)$"


@cache
def _cell_lexer() -> Lexer:
    from prompt_toolkit.lexers import PygmentsLexer
    from pygments.lexer import bygroups, inherit  # type: ignore[import-untyped]
    from pygments.lexers.python import PythonLexer  # type: ignore[import-untyped]
    from pygments.token import Name, Operator, Text, Whitespace  # type: ignore[import-untyped]

    class CellLexer(PythonLexer):  # type: ignore[misc]
        name = "Python"  # by this name prompt-toolkit finds safe points to start from
        tokens = {  # noqa: RUF012 - pygments reads a plain dict
            "root": [
                (_MAGIC, bygroups(Whitespace, Name.Function.Magic, Text)),
                (
                    _HELP,
                    bygroups(Whitespace, Operator.Word, Text, Text, Operator.Word, Whitespace),
                ),
                inherit,
            ]
        }

    return PygmentsLexer(CellLexer)


class LazyLexer(Lexer):
    """Imports pygments at the first character typed, so that the first prompt need not wait."""

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        if document.text:
            return _cell_lexer().lex_document(document)
        return lambda line: []
