"""What broke in other terminal front ends, a test a fault; the numbers are of their issues.

Pictures (jupyter_console 242, euporie 77, 113 and 118) have their own file; interrupts that confuse
the prompt (jupyter_console 296) are in `test_repl` and `test_live_prompt`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from flambeau.kernel.launch import manager
from flambeau.repl.client import Client

from .conftest import Open, Terminal

PASTE = "\x1b[200~", "\x1b[201~"


class Wire:
    """Channels of a client that hand out what a test puts in."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.session = SimpleNamespace(
            msg=lambda kind, content: {"header": {"msg_id": kind}, "content": content}
        )
        socket = SimpleNamespace(get=lambda option: 0)
        channel = SimpleNamespace(send=self.sent.append, socket=socket)
        self.shell_channel = self.control_channel = channel


def reply(to: str, **content: Any) -> dict[str, Any]:
    return {"parent_header": {"msg_id": to}, "content": content}


def test_replies_in_any_order_reach_those_who_asked() -> None:
    """jupyter_console: a late `is_complete` reply ended the session's use of it (40, 44), and the
    completer dropped messages that were not its own."""

    async def converse() -> list[Any]:
        client = Client(Wire(), print, print)  # type: ignore[arg-type]
        requests = [asyncio.ensure_future(client.request(kind, {})) for kind in ("a", "b", "c")]
        await asyncio.sleep(0)
        requests[1].cancel()
        await asyncio.gather(requests[1], return_exceptions=True)
        for message in (reply("c", n=3), reply("b", n=2), reply("nobody's"), reply("a", n=1)):
            client._take_reply(message)
        return [await requests[0], await requests[2]]

    assert asyncio.run(converse()) == [{"n": 1}, {"n": 3}]


def test_a_block_goes_on_while_the_kernel_is_busy(
    terminal: Open, open_gate: Callable[[], None]
) -> None:
    """jupyter_console asked the kernel whether a cell is whole, and ran halves if that was late."""
    repl = terminal()
    repl.run(1, "import gate")
    repl.line("gate.wait()")
    repl.wait_for("In [*]:")
    repl.line("for k in range(2):")
    repl.wait_for("...:")
    repl.line("print('row', k)")
    repl.press("enter")
    repl.wait_for("1 queued")
    open_gate()
    repl.wait_for("\nrow 0", "\nrow 1", "In [4]:")


def test_tab_is_harmless_in_input(terminal: Open) -> None:
    """jupyter_console 47: it froze."""
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.line("name = input('your name? ')")
    repl.wait_for("\nyour name?")
    repl.type("Ad")
    repl.press("tab")
    repl.type("a")
    repl.press("enter")
    repl.run(2, "name.split() in (['Ada'], ['Ad', 'a'])", "Out[2]: True")


@pytest.fixture
def shared() -> Iterator[tuple[Any, Any]]:
    """A kernel of somebody else's and a client of theirs."""
    running = manager()
    running.start_kernel()
    client: Any = running.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield running, client
    client.stop_channels()
    running.shutdown_kernel(now=True)


def test_what_other_clients_run_shows_when_it_happens(
    terminal: Open, shared: tuple[Any, Any]
) -> None:
    """jupyter_console 105 and 275: it came late, or the prompt froze."""
    running, client = shared
    repl = terminal("--existing", running.connection_file)
    repl.wait_for("In [")
    repl.type("half a thought")
    repl.wait_for("half a thought", "kernel ready")
    client.execute("print('from', 'elsewhere')")
    repl.wait_for("│ from elsewhere", "of another client: print", "half a thought")
    repl.press("C-c")
    repl.line("40 + 2")
    repl.wait_for(": 42")


def test_a_completion_that_never_ends_is_given_up(terminal: Open) -> None:
    """euporie 116: the kernel was stuck for ever."""
    repl = terminal()
    repl.wait_for("In [1]:")
    paste(
        repl,
        "import time\nclass Endless:\n    def __dir__(self):\n        time.sleep(9999)\n"
        "endless = Endless(); patient = 1",
    )
    repl.press("enter", "enter")
    repl.wait_for("In [2]:")
    repl.type("endless.whatever")
    repl.wait_for("endless.whatever")
    repl.press("C-c")
    repl.run(2, "6 * 7", "Out[2]: 42")
    for patience in (2, 4, 8, 16, 30):  # until another subshell has taken over
        repl.type("patien")
        repl.wait_for("In [3]: patien")
        ends = time.monotonic() + patience
        while time.monotonic() < ends and "patient  int 1" not in repl.text:
            repl.feed()
        if "patient  int 1" in repl.text:
            return
        repl.press("C-c")
    raise AssertionError(repl.text)


def paste(repl: Terminal, text: str) -> None:
    """As a terminal with bracketed paste sends it."""
    repl.type(PASTE[0] + text.replace("\n", "\r") + PASTE[1])


def test_a_large_paste_is_taken_whole(terminal: Open) -> None:
    """ptpython 119: it hung."""
    repl = terminal()
    repl.wait_for("In [1]:", "kernel ready")
    lines = [f"value_{k} = {k}" for k in range(3000)]
    paste(repl, "\n".join(lines))
    repl.wait_for("value_2999 = 2999")
    repl.press("enter")
    repl.run(2, "value_0 + value_2999", "Out[2]: 2999")


def test_several_commands_are_pasted_as_one_cell_or_run_one_by_one(terminal: Open) -> None:
    """ptpython 69: only the first ran."""
    repl = terminal()
    repl.wait_for("In [1]:")
    paste(repl, "a = 1\nfor k in range(3):\n    a += k\n\nb = a * 2\nb")
    repl.wait_for("b = a * 2")
    repl.press("enter")
    repl.wait_for("Out[1]: 8", "In [2]:")
    repl.type("c = b + 1\rd = c + 1\rd\r")  # from a terminal that brackets nothing
    repl.wait_for("Out[4]: 10", "In [5]:")
