"""Keeps one kernel: opens it behind the prompt, notices its end, opens another when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .client import Client, KernelDiedError, Message
from .kernels import Kernel, OwnKernel


class Keeper:
    """Holds a kernel through its life.

    `on_change(state)` hears "starting", "ready" and "ended". After the last, `how_it_ended` says
    how, and every request under way has failed with the same words.
    """

    def __init__(
        self,
        kernel: Kernel,
        on_output: Callable[[Message], None],
        on_question: Callable[[Message], None],
        on_change: Callable[[str], None],
    ) -> None:
        self.kernel = kernel
        self.how_it_ended: str | None = None
        self._on_output = on_output
        self._on_question = on_question
        self._on_change = on_change
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._life = asyncio.ensure_future(self._live(kernel))

    @property
    def client(self) -> Client | None:
        """The client of a kernel that is ready, else None."""
        is_ready = self._ready.done() and self.how_it_ended is None
        return self._ready.result() if is_ready else None

    async def ready(self) -> Client:
        """Wait for the kernel to be ready.

        Raises:
            KernelDiedError: it ended instead.
        """
        return await asyncio.shield(self._ready)

    async def replace(self, kernel: Kernel | None = None) -> None:
        """Put `kernel`, or a fresh one of our own, in the place of this one, which is shut down if
        it is ours."""
        await self._end_life()
        self.how_it_ended = None
        self.kernel = OwnKernel() if kernel is None else kernel
        self._ready = asyncio.get_running_loop().create_future()
        self._life = asyncio.ensure_future(self._live(self.kernel))

    async def close(self) -> None:
        """Leave: a kernel of ours ends, another's stays."""
        await self._end_life()

    async def _end_life(self) -> None:
        self._life.cancel()
        await asyncio.gather(self._life, return_exceptions=True)
        await self.kernel.close()

    async def _live(self, kernel: Kernel) -> None:
        self._on_change("starting")
        try:
            await kernel.open(self._on_output, self._on_question)
            self._ready.set_result(kernel.client)
            self._on_change("ready")
            self._end(await kernel.death())
        except KernelDiedError as error:
            self._end(str(error))
        except OSError as error:
            self._end(f"The kernel could not be started: {error}.")

    def _end(self, how: str) -> None:
        self.how_it_ended = how
        error = KernelDiedError(how)
        if self._ready.done():
            self._ready.result().fail(error)
        else:
            self._ready.set_exception(error)
            self._ready.exception()  # perhaps nobody waits for it
        self._on_change("ended")
