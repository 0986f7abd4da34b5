"""`--log FILE`: a run as JSON lines that another program can read while it goes on.

The first line says what runs (`event` "start"), then comes one for each cell that ended ("cell":
`index`, `line`, `source`, `status`, `outputs` as in a notebook, `time` in s, `receipt`, `error`),
and one for the end ("end": `status`, `time`, `failures` of expectations).
"""

from __future__ import annotations

import json
import time
from typing import IO, Any

from .cells import Cell


class RunLog:
    """Writes the lines; without a file it does nothing."""

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file
        self._started = time.monotonic()

    def start(self, script: str, arguments: list[str], cells: int) -> None:
        """What runs: the file, its arguments, and how many cells it has."""
        self._write(event="start", file=script, arguments=arguments, cells=cells, at=time.time())

    def cell(
        self,
        index: int,
        cell: Cell,
        outputs: list[dict[str, Any]],
        reply: dict[str, Any] | None,
        seconds: float,
    ) -> None:
        """A cell that ended; `reply` is None if the kernel gave none."""
        content = {} if reply is None else reply["content"]
        error = next((o for o in outputs if o["output_type"] == "error"), None)
        self._write(
            event="cell",
            index=index,
            line=cell.first_line,
            source=cell.source,
            status=content.get("status", "aborted"),
            time=seconds,
            outputs=outputs,
            receipt=None if reply is None else receipt_of(reply),
            error=None if error is None else {k: error[k] for k in ("ename", "evalue")},
        )

    def end(self, status: int, failures: list[str]) -> None:
        """The exit status, and the expectations that were not met."""
        seconds = time.monotonic() - self._started
        self._write(event="end", status=status, failures=failures, time=seconds)

    def _write(self, **line: Any) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()


def receipt_of(reply: dict[str, Any]) -> dict[str, Any] | None:
    """The receipt that a kernel's reply carries; None from another kernel."""
    receipt: dict[str, Any] | None = reply["metadata"].get("flambeau", {}).get("receipt")
    return receipt
