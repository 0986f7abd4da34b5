"""The session at the terminal: cells are typed, run and shown, until the person leaves."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

from . import completeness
from .advice import Advisor
from .client import Client, Content, KernelDiedError, Message
from .completer import KernelCompleter
from .front_end import FrontEnd
from .history import DiskHistory, history_path
from .keeper import Keeper
from .kernels import Kernel, OwnKernel
from .output import Output
from .pager import page
from .peeking import Peek, is_peek
from .prompt import CodePrompt, ask
from .runner import Runner
from .screen import Screen
from .settings import load, settings_path
from .stage import Stage
from .toolbar import Toolbar

TOOLBAR_REFRESH = 0.5  # s between two looks whether it still says the truth
PROMPT_RETURNS = 0.3  # s that a cell may take before the prompt comes back below its output
FAREWELLS = {"exit", "quit", "exit()", "quit()"}


class Repl:
    """One front end and the kernel it keeps."""

    def __init__(self, kernel: Kernel) -> None:
        self._number: int | None = 1 if kernel.is_ours else None  # of the next cell, if known
        self._leaving = False
        self._screen = Screen()
        self._own_output = Output(self._screen)
        self._other_output = Output(self._screen, marked=True)
        self._history = DiskHistory(history_path())
        path = settings_path()
        settings, self._fault = load(path)
        self._advisor = Advisor(self._question, lambda: self._front_end.settings)
        self._toolbar = Toolbar(
            self._busy_since,
            lambda: self._runner.waiting,
            lambda: self._advisor.rows(self._prompt.document),
        )
        self._prompt = CodePrompt(
            self._prompt_number,
            self._screen,
            self._toolbar,
            KernelCompleter(self._complete, lambda word: self._front_end.commands.beginning(word)),
            self._history,
            self._advisor,
            lambda: self._runner.press_interrupt(),
            settings,
        )
        self._stage = Stage(self._prompt, self._screen)
        self._background: list[asyncio.Task[Any]] = []
        self._keeper = Keeper(kernel, self._on_output, self._on_question, self._on_change)
        self._runner = Runner(
            self._keeper,
            self._screen,
            self._stage,
            self._on_start,
            self._on_reply,
            self._on_return,
        )
        self._front_end = FrontEnd(
            self._keeper, self._runner, self._prompt, self._screen, path, self._leave
        )

    async def run(self) -> None:
        """Serve the terminal until Ctrl-D, `exit` or a hangup; leave no kernel of ours behind."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        loop.add_signal_handler(signal.SIGINT, self._on_interrupt)
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up, task)
        self._spawn(self._warm_up())
        self._spawn(self._keep_status())
        self._spawn(self._keep_toolbar())
        self._spawn(self._runner.serve())
        if self._history.fault:
            self._screen.note(f"History will not be kept: {self._history.fault}")
        if self._fault:
            self._screen.note(self._fault)
        try:
            await self._serve()
        finally:
            for work in self._background:
                work.cancel()
            await asyncio.gather(*self._background, return_exceptions=True)
            await self._screen.drain()
            await self._keeper.close()

    async def _serve(self) -> None:
        while not self._leaving:
            try:
                code = await self._stage.read_cell()
            except KeyboardInterrupt:
                continue
            except EOFError:
                if self._leaving or await self._may_leave():
                    return
                continue
            if code is not None and code.strip() and not await self._take(code):
                return

    async def _take(self, code: str) -> bool:
        """Run, queue or answer what was typed; False if it says farewell."""
        if code.strip() in FAREWELLS and self._runner.is_idle:
            return False
        if found := self._front_end.commands.find(code):
            command, argument = found
            await command.action(argument)
            self._screen.write("\n")
            return not self._leaving
        if words := self._front_end.commands.help(code):
            self._screen.write(words + "\n\n")
            return True
        if not self._runner.is_idle and is_peek(code):
            self._spawn(self._peek(Peek(code)))
            return True
        self._runner.submit(code)
        with contextlib.suppress(TimeoutError):
            patience = PROMPT_RETURNS if self._screen.has_cursor else None
            await asyncio.wait_for(self._runner.idle(), patience)
        return True

    async def _may_leave(self) -> bool:
        if self._runner.is_idle or not self._keeper.kernel.is_ours:
            return True
        async with self._stage.taken():
            return await ask("A cell is running. Stop it and leave?", default=False)

    async def _peek(self, peek: Peek) -> None:
        client = self._keeper.client
        if client is not None:
            with contextlib.suppress(KernelDiedError):
                await peek.answer(client, self._screen, self._own_output)

    # -- what the runner says --------------------------------------------------------------------

    def _on_start(self, code: str, waited: bool) -> None:
        if waited:  # it was taken off the screen when it was queued
            self._screen.write(self._prompt.echo(code, str(self._number or "*")))
        self._prompt.refresh()

    def _on_return(self, cells: list[str]) -> None:
        if len(cells) > 1 or not self._runner.is_idle:
            self._screen.note("What waited is back at the prompt.")
        self._prompt.put_back("\n".join(cells))

    async def _on_reply(self, reply: Content) -> None:
        if reply["status"] == "aborted":
            self._runner.report("The kernel passed this cell over, because one before it failed.")
        self._number = reply.get("execution_count", self._number or 0) + 1
        for payload in reply.get("payload", ()):
            match payload["source"]:
                case "page":
                    async with self._stage.taken():
                        await page(payload["data"].get("text/plain", ""), self._screen)
                case "set_next_input":
                    self._prompt.put_back(payload["text"])
                case "ask_exit":
                    self._leave()
                    return
        self._toolbar.last_cell = self._runner.last_took
        self._advisor.renew()
        self._screen.write("\n")
        await self._screen.drain()
        self._prompt.refresh()

    def _leave(self) -> None:
        self._leaving = True
        self._prompt.close()

    # -- what the kernel says --------------------------------------------------------------------

    async def _question(self, question: str, **arguments: Any) -> Any:
        client = self._keeper.client
        return await client.question(question, **arguments) if client else None

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
        if self._runner.cell is not None:
            self._runner.cell.ask_person(question)

    def _on_change(self, state: str) -> None:
        self._toolbar.state = state
        if state == "starting":
            self._number = 1 if self._keeper.kernel.is_ours else None
        if state == "ended" and self._runner.cell is None and self._keeper.how_it_ended:
            self._runner.report(self._keeper.how_it_ended)
        if state == "ready":
            self._advisor.renew()
            if self._number is None:
                self._spawn(self._learn_number())
        self._prompt.refresh()

    async def _learn_number(self) -> None:
        client: Client | None = self._keeper.client
        assert client is not None
        count = await client.count_cells()
        if self._number is None and count is not None:
            self._number = count + 1
            self._prompt.refresh()

    # -- the prompt ------------------------------------------------------------------------------

    def _prompt_number(self) -> str:
        return str(self._number) if self._number and self._runner.is_idle else "*"

    async def _warm_up(self) -> None:
        """Import what the first Enter needs, once the kernel's process has begun to do the same."""
        await self._keeper.kernel.has_process.wait()
        await asyncio.to_thread(completeness.transformer)

    async def _keep_status(self) -> None:
        """Ask what the toolbar says of the session, while a cell runs and after each."""
        asked_after: float | None = -1.0  # the last cell that the status is newer than
        answers = False  # a kernel of another kind never does
        while True:
            await asyncio.sleep(TOOLBAR_REFRESH)
            if not self._prompt.settings.status:
                self._toolbar.status = None
            elif not self._runner.is_idle or asked_after != self._runner.last_took:
                last = self._runner.last_took
                status = self._toolbar.status = await self._question("status")
                if status is not None or not answers:
                    asked_after, answers = last, status is not None

    async def _keep_toolbar(self) -> None:
        shown = self._toolbar()
        while True:
            await asyncio.sleep(TOOLBAR_REFRESH)
            if self._toolbar() != shown:
                shown = self._toolbar()
                self._prompt.refresh()

    def _hang_up(self, task: asyncio.Task[Any]) -> None:
        """The terminal has gone: training goes on without it. A kernel that is idle ends, and so
        does one whose cell asks a person, who will not answer."""
        is_training = not self._runner.is_idle and not self._stage.is_taken
        if is_training and isinstance(self._keeper.kernel, OwnKernel):
            self._keeper.kernel.let_go()
        task.cancel()

    def _on_interrupt(self) -> None:
        """SIGINT, which Ctrl-C is while no prompt stands."""
        if self._runner.is_idle:
            self._prompt.clear()
        else:
            self._runner.press_interrupt()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        self._background = [task for task in self._background if not task.done()]
        self._background.append(asyncio.ensure_future(work))
