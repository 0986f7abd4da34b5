"""Runs cells one after the other, while the next ones are being typed."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from .cell import Abandoned, Cell
from .client import Client, Content, KernelDiedError
from .keeper import Keeper
from .prompt import LinePrompt, ask
from .screen import Screen
from .stage import Stage


class Runner:
    """Takes cells and runs them in the order in which they came.

    `on_start(code, waited)` hears when a cell begins and whether it stood in the queue, `on_reply`
    gets each reply once its output is shown, `on_return` the cells that shall not run: those that
    waited behind one that failed.
    """

    def __init__(
        self,
        keeper: Keeper,
        screen: Screen,
        stage: Stage,
        on_start: Callable[[str, bool], None],
        on_reply: Callable[[Content], Awaitable[None]],
        on_return: Callable[[list[str]], None],
    ) -> None:
        self._keeper = keeper
        self._screen = screen
        self._stage = stage
        self._lines = LinePrompt()
        self._on_start = on_start
        self._on_reply = on_reply
        self._on_return = on_return
        self._queue: deque[tuple[str, bool]] = deque()
        self._came = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._starting: asyncio.Future[Client] | None = None
        self._done: list[str] = []  # cells that this kernel has run, to be run again if it dies
        self.cell: Cell | None = None  # the one under way
        self.last_took: float | None = None  # s

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return self._is_idle.is_set()

    @property
    def waiting(self) -> int:
        """How many cells stand in the queue."""
        return len(self._queue)

    def submit(self, code: str) -> None:
        """Run `code` after the cells before it."""
        self._queue.append((code, not self.is_idle))
        self._is_idle.clear()
        self._came.set()

    def replay(self) -> None:
        """Run the cells of this session once more."""
        cells, self._done = self._done, []
        for code in cells:
            self._queue.append((code, True))
        if cells:
            self._is_idle.clear()
            self._came.set()

    def forget(self) -> None:
        """Another kernel begins: what the old one has run is not its past."""
        self._done.clear()

    def press_interrupt(self) -> None:
        """Ctrl-C: stop the cell, or do not wait any longer for the kernel to start."""
        if self.cell is not None:
            self.cell.press_interrupt()
        elif self._starting is not None:
            self._starting.cancel()

    async def idle(self) -> None:
        """Wait until nothing runs or waits."""
        await self._is_idle.wait()

    async def serve(self) -> None:
        """Run what comes, for as long as the session lasts."""
        while True:
            if not self._queue:
                self._is_idle.set()
                self._came.clear()
                await self._came.wait()
            code, waited = self._queue.popleft()
            await self._run(code, waited)

    async def _run(self, code: str, waited: bool) -> None:
        client = await self._client()
        if client is None:
            self._return_queue(code)
            return
        try:
            reply = await self._execute(code, waited)
        except Abandoned:
            self._return_queue()
            if self._keeper.kernel.is_ours:
                await self._keeper.replace()
            return
        except KernelDiedError as error:
            self._return_queue()
            self.report(str(error))
            await self.offer_restart()
            return
        if reply["status"] == "ok":
            self._done.append(code)
        else:
            self._return_queue()
        await self._on_reply(reply)

    async def _execute(self, code: str, waited: bool) -> Content:
        began = time.monotonic()
        self._screen.start_row()
        self._on_start(code, waited)
        await self._screen.drain()
        self._screen.mark()
        self.cell = Cell(self._keeper.kernel, code, self._screen, self._lines, self._stage)
        try:
            return await self.cell.finished()
        finally:
            self.cell = None
            self.last_took = time.monotonic() - began
            self._screen.start_row()
            await self._screen.drain()

    def _return_queue(self, *first: str) -> None:
        cells = [*first, *(code for code, _ in self._queue)]
        self._queue.clear()
        if cells:
            self._on_return(cells)

    async def _client(self) -> Client | None:
        """The client of a kernel that is ready, or None if there shall be none."""
        if self._keeper.how_it_ended is not None and not await self.offer_restart():
            return None
        if self._keeper.client is not None:
            return self._keeper.client
        self._starting = asyncio.ensure_future(self._keeper.ready())
        try:
            await asyncio.wait({self._starting})
            return self._starting.result()
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise  # it is the session that ends
            return None
        except KernelDiedError as error:
            self.report(str(error))
            return None
        finally:
            self._starting = None

    async def offer_restart(self) -> bool:
        """Ask whether to start a new kernel, and do so."""
        async with self._stage.taken():
            wanted = await ask("Start a new kernel?", default=True)
            count = len(self._done)
            again = wanted and count > 0 and await ask(_offer(count), default=False)
            if wanted:
                await self._keeper.replace()
            if again:
                self.replay()  # before the prompt is back: what is typed there comes after
        return wanted

    def report(self, text: str) -> None:
        """Say what went wrong, on a row of its own."""
        self._screen.start_row()
        self._screen.warn(text)


def _offer(count: int) -> str:
    cells = "the cell" if count == 1 else f"the {count} cells"
    return f"Run {cells} of this session again in it?"
