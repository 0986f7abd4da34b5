"""Outputs of cells as messages bring them: printed as they come, and kept as a notebook keeps
them."""

from __future__ import annotations

import re
import sys
from typing import Any

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LONGEST_STREAM = 10_000_000
"""Characters of one cell's stream that are kept; a flood must not fill the memory."""

DISPLAYS = ("display_data", "update_display_data")


def show(kind: str, content: dict[str, Any]) -> None:
    """Print one output where it belongs: results and text to stdout, errors to stderr."""
    if kind == "stream":
        out = sys.stdout if content["name"] == "stdout" else sys.stderr
        out.write(content["text"])
        out.flush()
    elif kind in ("execute_result", *DISPLAYS):
        print(content["data"].get("text/plain", ""), flush=True)
    elif kind == "error" and content["ename"] != "SystemExit":
        text = "\n".join(content["traceback"])
        sys.stdout.flush()
        print(text if sys.stderr.isatty() else COLOURS.sub("", text), file=sys.stderr)


class Recorder:
    """Keeps the outputs of one cell as notebook format 4 has them."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []
        self._displays: dict[str, dict[str, Any]] = {}
        self._clear_first = False
        self._kept = 0

    def hear(self, kind: str, content: dict[str, Any]) -> None:
        """Take one message of the cell; those that are no output are ignored."""
        if kind == "clear_output":
            self._clear_first = content.get("wait", False)
            if not self._clear_first:
                self.outputs.clear()
            return
        if kind not in ("stream", "execute_result", "error", *DISPLAYS):
            return
        if self._clear_first:
            self.outputs.clear()
            self._clear_first = False
        if kind == "stream":
            self._stream(content["name"], content["text"])
        elif kind == "error":
            self.outputs.append({"output_type": "error", **_only(content, ERROR)})
        else:
            self._display(kind, content)

    def _stream(self, name: str, text: str) -> None:
        text = text[: max(0, LONGEST_STREAM - self._kept)]
        self._kept += len(text)
        last = self.outputs[-1] if self.outputs else {}
        if last.get("output_type") == "stream" and last["name"] == name:
            last["text"] += text
        elif text:
            self.outputs.append({"output_type": "stream", "name": name, "text": text})

    def _display(self, kind: str, content: dict[str, Any]) -> None:
        output = {"output_type": kind, **_only(content, ("data", "metadata"))}
        if kind == "execute_result":
            output["execution_count"] = content["execution_count"]
        identity = content.get("transient", {}).get("display_id")
        if kind == "update_display_data":
            if identity in self._displays:
                self._displays[identity].update(_only(content, ("data", "metadata")))
            return
        if identity is not None:
            self._displays[identity] = output
        self.outputs.append(output)


ERROR = ("ename", "evalue", "traceback")


def _only(content: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: content[name] for name in names if name in content}
