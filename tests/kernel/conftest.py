"""A real kernel process, and a client that waits for whole answers."""

from __future__ import annotations

import queue
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from flambeau.kernel.launch import manager

PATIENCE = 60.0  # s; a loaded machine may be slow, a hang is longer
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Outcome:
    """All that came of one cell."""

    def __init__(self) -> None:
        self.stdout = ""
        self.stderr = ""
        self.data: list[dict[str, Any]] = []
        self.error: dict[str, Any] | None = None
        self.reply: dict[str, Any] = {}

    @property
    def text(self) -> str:
        """What a person would see of results, without colours."""
        return "\n".join(ESCAPES.sub("", d.get("text/plain", "")) for d in self.data)

    @property
    def traceback(self) -> str:
        assert self.error is not None, "the cell did not fail"
        return ESCAPES.sub("", "\n".join(self.error["traceback"]))


class LiveKernel:
    """A kernel that runs, for the length of a test module."""

    def __init__(self) -> None:
        self.manager = manager()
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def send(self, code: str, **options: Any) -> str:
        return str(self.client.execute(code, **options))

    def outcome(self, identity: str) -> Outcome:
        found = Outcome()
        deadline = time.monotonic() + PATIENCE
        while True:
            try:  # a negative time would be for ever
                message = self.client.get_iopub_msg(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"The cell does not end. Until now: {vars(found)}")
            if message["parent_header"].get("msg_id") != identity:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                setattr(found, content["name"], getattr(found, content["name"]) + content["text"])
            elif kind in ("execute_result", "display_data"):
                found.data.append(content["data"])
            elif kind == "error":
                found.error = content
            elif kind == "status" and content["execution_state"] == "idle":
                break
        found.reply = self.reply(identity)
        return found

    def reply(self, identity: str) -> dict[str, Any]:
        while True:
            try:
                message = self.client.get_shell_msg(timeout=PATIENCE)
            except queue.Empty:
                pytest.fail("The kernel sent no reply.")
            if message["parent_header"].get("msg_id") == identity:
                return dict(message["content"])

    def run(self, code: str, **options: Any) -> Outcome:
        return self.outcome(self.send(code, **options))

    def wait_for_output(self, identity: str, text: str) -> None:
        """Until the cell has printed `text`."""
        seen = ""
        while text not in seen:
            try:
                message = self.client.get_iopub_msg(timeout=PATIENCE)
            except queue.Empty:
                pytest.fail(f"{text!r} was not printed. Until now: {seen!r}")
            if message["parent_header"].get("msg_id") == identity:
                seen += message["content"].get("text", "")

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel() -> Iterator[LiveKernel]:
    found = LiveKernel()
    yield found
    found.close()
