"""Messages between the prompt and its kernel."""

import asyncio
import time

import zmq
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.session import Session

from flambeau.repl.client import Client, post

from .test_known_faults import Wire, reply


def test_a_reply_that_comes_while_something_is_sent_is_received() -> None:
    asyncio.run(_send_as_a_reply_comes())


async def _send_as_a_reply_comes() -> None:
    session = Session(key=b"key")
    with zmq.Context() as kernel_side, zmq.asyncio.Context() as own_side:
        kernel, socket = kernel_side.socket(zmq.ROUTER), own_side.socket(zmq.DEALER)
        socket.connect(f"tcp://127.0.0.1:{kernel.bind_to_random_port('tcp://127.0.0.1')}")
        channel = AsyncZMQSocketChannel(socket, session)
        post(channel, session.msg("execute_request", {}))
        identity = await asyncio.to_thread(lambda: kernel.recv_multipart()[0])
        received = asyncio.ensure_future(channel.get_msg())
        await asyncio.sleep(0.05)  # it waits on the descriptor now
        session.send(kernel, "execute_reply", {"status": "ok"}, ident=identity)
        time.sleep(0.05)  # it arrives while the loop does something else, as drawing
        post(channel, session.msg("is_complete_request", {"code": ""}))
        try:
            message = await asyncio.wait_for(received, 10)
        finally:
            kernel.close(linger=0)
            socket.close(linger=0)
    assert message["content"] == {"status": "ok"}


async def _ask_while_the_subshell_opens() -> object:
    client = Client(wire := Wire(), print, print)  # type: ignore[arg-type]
    client.busy_since = time.monotonic()
    client._opening = asyncio.ensure_future(client._open_subshell())
    asked = asyncio.ensure_future(client.question("status"))
    for answer in (
        reply("create_subshell_request", subshell_id="aside"),
        reply("flambeau_request", answer=7),
    ):
        sent = [message["header"]["msg_id"] for message in wire.sent]
        while not asked.done() and answer["parent_header"]["msg_id"] not in sent:
            await asyncio.sleep(0)
            sent = [message["header"]["msg_id"] for message in wire.sent]
        client._take_reply(answer)
    assert wire.sent[-1]["header"]["subshell_id"] == "aside"
    return await asked


def test_a_question_beside_a_cell_waits_for_the_subshell_that_opens() -> None:
    assert asyncio.run(_ask_while_the_subshell_opens()) == 7
