"""The language server bound to live sessions: hover and hints know values, while a cell runs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.connect import write_connection_file

from flambeau.kernel import Session
from flambeau.kernel.launch import manager
from flambeau.kernel.lsp import knowledge
from flambeau.kernel.lsp.knowledge import FileKnowledge, KernelKnowledge, SessionKnowledge
from flambeau.kernel.lsp.transport import serve_in_thread

from .conftest import PATIENCE, editor_of_port, editor_of_streams, run


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    """A kernel that trains for ever in its only cell."""
    started = manager()
    started.start_kernel()
    client: Any = started.client()
    client.start_channels()
    client.wait_for_ready(timeout=PATIENCE)
    client.execute("lin = nn.Linear(3, 4); x = torch.zeros(7, 5)", reply=True, timeout=PATIENCE)
    started.test_client = client
    yield started
    client.stop_channels()
    started.shutdown_kernel(now=True)


def train_forever(client: Any) -> str:
    identity: str = client.execute("import time\nwhile True: time.sleep(0.01)")
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        if message["parent_header"].get("msg_id") == identity:
            return identity


def test_a_kernel_that_trains_answers_an_editor(kernel: Any) -> None:
    train_forever(kernel.test_client)

    async def work() -> None:
        async with editor_of_streams("--existing", kernel.connection_file) as editor:
            editor.open("y = lin(x)\nz = x.T")
            assert "Tensor (7, 5) float32 cpu" in await editor.hover(1, 4)
            assert (await editor.hints())[1] == "(5, 7) float32"
            found = await editor.told(bool)
            assert [f.range.start.line for f in found] == [0]

    run(work())
    kernel.interrupt_kernel()
    kernel.test_client.execute("1", reply=True, timeout=PATIENCE)


def test_a_comm_opens_the_server_in_the_kernel_itself(kernel: Any) -> None:
    client = kernel.test_client
    content = {"comm_id": "c1", "target_name": "flambeau.lsp", "data": {}}
    client.shell_channel.send(client.session.msg("comm_open", content))
    while True:
        message = client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "comm_msg":
            break
    answer = message["content"]["data"]
    assert answer["method"] == "server_started"

    async def work() -> None:
        async with editor_of_port(answer["port"]) as editor:
            editor.open("x")
            assert "Tensor (7, 5) float32 cpu" in await editor.hover(0, 0)

    run(work())


def test_a_server_takes_one_client_after_another_and_two_at_once() -> None:
    session = Session()
    session.execute("x = torch.zeros(2, 3)")
    port = serve_in_thread(SessionKnowledge(session))

    async def work() -> None:
        async with editor_of_port(port) as first, editor_of_port(port) as second:
            first.open("x")
            second.open("  x")
            assert "(2, 3)" in await first.hover(0, 0)
            assert "(2, 3)" in await second.hover(0, 2)
        async with editor_of_port(port) as third:
            third.open("x")
            assert "(2, 3)" in await third.hover(0, 0)

    run(work())
    session.close()


REQUEST = json.dumps(
    {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}
).encode()

MALFORMED = [
    b"",
    b"GET / HTTP/1.1\r\n\r\n",
    b"Content-Length: 5\r\n\r\n{{{{{",
    b"Content-Length: 999999\r\n\r\n{}",
    b"Content-Length: -1\r\n\r\n",
    b"Content-Length: x\r\n\r\n{}",
    b"Content-Length: 4\r\n\r\nnull",
    b"Content-Length: 2\r\n\r\n[]",
    b'Content-Length: 16\r\n\r\n{"jsonrpc": "9"}',
    b"Content-Length: 3\r\n\r\n\xff\xfe\xfd",
    b"\x00" * 5000,
    b"Content-Length: %d\r\n\r\n" % len(REQUEST) + REQUEST[:20],
]


def test_malformed_messages_hurt_nobody_but_their_sender() -> None:
    port = serve_in_thread(FileKnowledge())
    for noise in MALFORMED:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as raw:
            raw.sendall(noise)

    async def work() -> None:
        async with editor_of_port(port) as editor:
            editor.open("import torch\nx = torch.ones(2, 3)")
            assert (await editor.hints())[1] == "(2, 3) float32"
            for line, column in ((99, 0), (0, 999), (1, 2**31 - 1)):
                await editor.hover(line, column)
            assert (await editor.hints())[1] == "(2, 3) float32"

    run(work())


async def read_message(reader: asyncio.StreamReader) -> dict[str, Any]:
    length = 0
    while (line := await reader.readline()).strip():
        name, _, value = line.partition(b":")
        length = int(value) if name == b"Content-Length" else length
    message: dict[str, Any] = json.loads(await reader.readexactly(length))
    return message


def test_requests_that_make_no_sense_are_answered_with_an_error() -> None:
    port = serve_in_thread(FileKnowledge())
    wrong: list[Any] = [{}, {"textDocument": {"uri": 3}}, {"position": "here"}, [], "x", None]

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"Content-Length: %d\r\n\r\n" % len(REQUEST) + REQUEST)
        assert "capabilities" in (await read_message(reader))["result"]
        for identity, params in enumerate(wrong, 2):
            request = {"jsonrpc": "2.0", "id": identity, "method": "textDocument/hover"}
            body = json.dumps({**request, "params": params}).encode()
            writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            while "id" not in (answer := await read_message(reader)):
                pass  # what the server shows to its user
            assert (answer["id"], "error" in answer) == (identity, True)
            assert answer["error"]["message"]
        writer.close()

    run(work())


def test_a_silent_kernel_is_waited_for_at_length_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = write_connection_file(str(tmp_path / "kernel.json"), transport="ipc")
    asked = KernelKnowledge(file)
    monkeypatch.setattr(knowledge, "SILENCE_PATIENCE", 0.01)
    replies: Any = asyncio.Queue()

    async def request(*arguments: Any) -> dict[str, Any]:
        reply: dict[str, Any] = await replies.get()
        return reply

    monkeypatch.setattr(asked, "_request", request)

    async def work() -> None:
        monkeypatch.setattr(knowledge, "PATIENCE", 0.01)
        assert await asked.ask("hover") is None
        monkeypatch.setattr(knowledge, "PATIENCE", 9 * PATIENCE)
        assert await asked.ask("hover") is None
        replies.put_nowait({"subshell_id": "s"})
        replies.put_nowait({"answer": 7})
        assert await asked.ask("hover") == 7
        await asked.close()
        asked._client.context.destroy()

    run(work())
