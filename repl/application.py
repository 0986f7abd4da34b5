"""The session at the terminal: ask for a cell, run it, show what comes, until the person leaves."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from . import completeness
from .cell import Abandoned, Cell
from .client import Client, Content, KernelDiedError, Message
from .completer import KernelCompleter
from .history import DiskHistory, history_path
from .keeper import Keeper
from .kernels import Kernel
from .output import Output
from .pager import page
from .prompt import CodePrompt, LinePrompt, ask
from .screen import Screen
from .terminal import typing_held
from .toolbar import Toolbar

TOOLBAR_REFRESH = 0.5  # s between two looks whether it still says the truth
FAREWELLS = {"exit", "quit", "exit()", "quit()"}


class Repl:
    """One front end and the kernel it keeps."""

    def __init__(self, kernel: Kernel) -> None:
        self._number: int | None = 1 if kernel.is_ours else None  # of the next cell, if known
        self._draft = ""  # what the next prompt holds already
        self._cell: Cell | None = None  # the one under way
        self._screen = Screen()
        self._own_output = Output(self._screen)
        self._other_output = Output(self._screen, marked=True)
        self._toolbar = Toolbar(self._busy_since)
        self._history = DiskHistory(history_path())
        self._prompt = CodePrompt(
            lambda: "*" if self._number is None else str(self._number),
            self._toolbar,
            KernelCompleter(self._complete),
            self._history,
        )
        self._lines = LinePrompt()
        self._on_interrupt: Callable[[], object] = self._prompt.clear
        self._background: list[asyncio.Task[Any]] = []
        self._keeper = Keeper(kernel, self._on_output, self._on_question, self._on_change)

    async def run(self) -> None:
        """Serve the terminal until Ctrl-D, `exit` or a hangup; leave no kernel of ours behind."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        loop.add_signal_handler(signal.SIGINT, lambda: self._on_interrupt())
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        loop.add_signal_handler(signal.SIGHUP, task.cancel)
        self._spawn(asyncio.to_thread(completeness.transformer))
        self._spawn(self._keep_toolbar())
        if self._history.fault:
            self._screen.note(f"History will not be kept: {self._history.fault}")
        try:
            await self._serve()
        finally:
            for work in self._background:
                work.cancel()
            await self._screen.drain()
            await self._keeper.close()

    async def _serve(self) -> None:
        while True:
            draft, self._draft = self._draft, ""
            try:
                code = await self._prompt.read(draft)
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if code.strip() in FAREWELLS:
                return
            if code.strip() and await self._run(code) == "exit":
                return

    async def _run(self, code: str) -> str | None:
        """Run one cell; "exit" if it asked to leave."""
        self._screen.start_row()
        await self._screen.drain()
        self._screen.mark()
        with typing_held():
            client = await self._client()
            if client is None:
                self._draft = code
                return None
            try:
                return await self._finish(await self._execute(code))
            except Abandoned:
                await self._abandon()
            except KernelDiedError as error:
                self._report(str(error))
                await self._offer_restart()
            return None

    async def _execute(self, code: str) -> Content:
        began = time.monotonic()
        self._cell = Cell(self._keeper.kernel, code, self._screen, self._lines)
        try:
            with self._interrupt_means(self._cell.press_interrupt):
                return await self._cell.finished()
        finally:
            self._cell = None
            self._toolbar.last_cell = time.monotonic() - began
            self._screen.start_row()
            await self._screen.drain()

    async def _finish(self, reply: Content) -> str | None:
        if reply["status"] == "aborted":
            self._report("The kernel passed this cell over, because one before it had failed.")
        self._number = reply.get("execution_count", self._number or 0) + 1
        verdict = None
        for payload in reply.get("payload", ()):
            match payload["source"]:
                case "page":
                    with self._interrupt_means(lambda: None):  # it belongs to the pager
                        await page(payload["data"].get("text/plain", ""), self._screen)
                case "set_next_input":
                    self._draft = payload["text"]
                case "ask_exit":
                    verdict = "exit"
        if verdict is None:
            self._screen.write("\n")
            await self._screen.drain()
        return verdict

    async def _client(self) -> Client | None:
        """The client of a kernel that is ready, or None if there shall be none."""
        if self._keeper.how_it_ended is not None and not await self._offer_restart():
            return None
        if self._keeper.client is not None:
            return self._keeper.client
        self._screen.write("waiting for the kernel to start ...")
        waiting = asyncio.ensure_future(self._keeper.ready())
        try:
            with self._interrupt_means(waiting.cancel):
                await asyncio.wait({waiting})
                self._screen.erase_from(0)
                return waiting.result()
        except asyncio.CancelledError:
            return None
        except KernelDiedError as error:
            self._report(str(error))
            return None

    async def _offer_restart(self) -> bool:
        if not await ask("Start a new kernel?", default=True):
            return False
        await self._replace_kernel()
        return True

    async def _abandon(self) -> None:
        if self._keeper.kernel.is_ours:
            await self._replace_kernel()

    async def _replace_kernel(self) -> None:
        self._number = 1
        await self._keeper.replace()

    def _report(self, text: str) -> None:
        self._screen.start_row()
        self._screen.warn(text)

    async def _complete(self, code: str, cursor: int) -> Content | None:
        client = self._keeper.client
        return await client.complete(code, cursor) if client else None

    def _busy_since(self) -> float | None:
        client = self._keeper.client
        return client.busy_since if client else None

    def _on_output(self, message: Message) -> None:
        source = message["parent_header"].get("session")
        is_own = source in (None, self._keeper.kernel.client.session_id)
        if message["header"]["msg_type"] == "execute_input" and not is_own:
            self._number = message["content"]["execution_count"] + 1
        output = self._own_output if is_own else self._other_output
        output.show(message["header"]["msg_type"], message["content"])

    def _on_question(self, question: Message) -> None:
        if self._cell is not None:
            self._cell.ask_person(question)

    def _on_change(self, state: str) -> None:
        self._toolbar.state = state
        if state == "ended" and self._cell is None and self._keeper.how_it_ended:
            self._report(self._keeper.how_it_ended)
        if state == "ready" and self._number is None:
            self._spawn(self._learn_number())
        self._prompt.refresh()

    async def _learn_number(self) -> None:
        assert self._keeper.client is not None
        count = await self._keeper.client.count_cells()
        if self._number is None and count is not None:
            self._number = count + 1
            self._prompt.refresh()

    async def _keep_toolbar(self) -> None:
        shown = self._toolbar()
        while True:
            await asyncio.sleep(TOOLBAR_REFRESH)
            if self._toolbar() != shown:
                shown = self._toolbar()
                self._prompt.refresh()

    @contextmanager
    def _interrupt_means(self, action: Callable[[], object]) -> Iterator[None]:
        before, self._on_interrupt = self._on_interrupt, action
        try:
            yield
        finally:
            self._on_interrupt = before

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        self._background.append(asyncio.ensure_future(work))
