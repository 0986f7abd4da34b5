"""Questions that our front ends ask beside Jupyter's own, as `flambeau_request` messages.

The content names the `question` and gives its arguments; the reply has `status` and `answer`. They
are for a subshell: they are answered while a cell runs, without touching a device.

    status                 what the status row shows: device, memory, gradient mode, clip rule, seed
    check        source    about a cell that has not run: `findings`, what is wrong with it, and
                           `hints`, shapes and dtypes at the ends of its assignments
    signature    source, cursor    the call that the cursor is in, and its parameters
    hover        source, cursor    Markdown about the name at the cursor
    complete     source, cursor    what could stand there: text, start, end, type, detail
    summary  source, cursor      one line about what the path before the cursor names
    stay                   outlive the front end
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from .session import Session
from .signature import summary_at

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def answer(session: Session, content: dict[str, Any]) -> dict[str, Any]:
    """The reply's content. What goes wrong is in it, never raised."""
    asked = content.get("question")
    known = _ANSWERS.get(str(asked))
    if known is None:
        expected = ", ".join(_ANSWERS)
        return {"status": "error", "evalue": f"Expected one of {expected}. Got {asked!r}."}
    try:
        return {"status": "ok", "answer": known(session, content)}
    except Exception as error:
        return {"status": "error", "ename": type(error).__name__, "evalue": str(error)}


def _status(session: Session, content: dict[str, Any]) -> dict[str, Any]:
    return asdict(session.status)


def _check(session: Session, content: dict[str, Any]) -> dict[str, Any]:
    return asdict(session.report(content["source"]))


def _signature(session: Session, content: dict[str, Any]) -> dict[str, Any] | None:
    found = session.signature(content["source"], content["cursor"])
    return None if found is None else asdict(found)


def _hover(session: Session, content: dict[str, Any]) -> str | None:
    found = session.inspect(content["source"], content["cursor"])
    if found is None:
        return None
    text = _ESCAPES.sub("", found.get("text/plain", "")).strip()
    return f"```text\n{text}\n```" if text else None


def _complete(session: Session, content: dict[str, Any]) -> list[dict[str, Any]]:
    return [asdict(c) for c in session.complete(content["source"], content["cursor"])]


def _summary(session: Session, content: dict[str, Any]) -> str | None:
    return summary_at(session.namespace, content["source"], content["cursor"])


def _stay(session: Session, content: dict[str, Any]) -> None:
    """The kernel itself has noted it."""


_ANSWERS: dict[str, Callable[[Session, dict[str, Any]], Any]] = {
    "status": _status,
    "check": _check,
    "signature": _signature,
    "hover": _hover,
    "complete": _complete,
    "summary": _summary,
    "stay": _stay,
}
