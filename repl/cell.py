"""One cell under way: its output, what it asks the person, and Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from flambeau.kernel.conversation import END_OF_FILE, OUTPUT_PRECEDES

from .client import Client, Content, Execution, Message
from .kernels import Kernel
from .prompt import LinePrompt, ask
from .screen import Screen
from .stage import Stage

INSISTENCE = 2.0  # s within which a second Ctrl-C means more than the first
START_PATIENCE = 0.5  # s for a cell to begin, before which an interrupt would miss it

_T = TypeVar("_T")


class Abandoned(Exception):
    """The person no longer waits for the cell."""


class Cell:
    """Waits with the person for a cell to end."""

    def __init__(
        self, kernel: Kernel, code: str, screen: Screen, lines: LinePrompt, stage: Stage
    ) -> None:
        self._kernel = kernel
        self._client: Client = kernel.client
        self._execution: Execution = self._client.execute(code)
        self._screen = screen
        self._lines = lines
        self._stage = stage
        self._last_press: float | None = None
        self._insisted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def finished(self) -> Content:
        """The reply's content, once all is shown.

        Raises:
            Abandoned: after Ctrl-C twice, and yes to the question whether to go on without.
            KernelDiedError: the kernel ended.
        """
        finished = asyncio.ensure_future(self._execution.finished())
        try:
            while not finished.done():
                await _first(finished, self._insisted.wait())
                if self._insisted.is_set() and not finished.done():
                    self._insisted.clear()
                    if await _first(finished, self._gives_up()):
                        raise Abandoned
            return finished.result()
        finally:
            finished.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def press_interrupt(self) -> None:
        """Ctrl-C: stop the cell; a second time soon after, without effect, ask what to do."""
        now = asyncio.get_running_loop().time()
        if self._last_press is not None and now - self._last_press < INSISTENCE:
            self._insisted.set()
        else:
            self._spawn(self._interrupt())
        self._last_press = now

    def ask_person(self, question: Message) -> None:
        """The cell calls input() or getpass()."""
        self._spawn(self._answer(question))

    async def _interrupt(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._execution.has_started.wait(), START_PATIENCE)
        await self._kernel.interrupt()
        await asyncio.sleep(INSISTENCE)
        self._screen.note("The interrupt has not been answered yet. Ctrl-C twice to give up.")

    async def _gives_up(self) -> bool:
        async with self._stage.taken():
            self._screen.start_row()
            await self._screen.drain()
            if self._kernel.is_ours:
                return await ask("The kernel does not answer. Restart it?", default=False)
            return await ask("The kernel does not answer. Leave the cell running?", default=False)

    async def _answer(self, question: Message) -> None:
        await asyncio.sleep(OUTPUT_PRECEDES)
        content = question["content"]
        try:
            async with self._stage.taken():
                message = self._screen.take_row() + content["prompt"]
                text = await self._lines.read(message, is_password=content["password"])
                self._screen.extent.feed(message + "\n")
        except EOFError:
            text = END_OF_FILE
        except KeyboardInterrupt:
            self.press_interrupt()
            return
        self._client.answer(question, text)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _first(finished: asyncio.Future[Any], other: Coroutine[Any, Any, _T]) -> _T | None:
    """The result of `other`, or None if `finished` is done before it."""
    task = asyncio.ensure_future(other)
    await asyncio.wait({finished, task}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None
