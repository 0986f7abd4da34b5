"""The kernels a front end can hold: one of its own, or one that runs already."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flambeau.kernel.launch import listens, manager, running_connection

from .client import Client, KernelDiedError, Message

if TYPE_CHECKING:
    from jupyter_client.asynchronous.client import AsyncKernelClient

SHUTDOWN_PATIENCE = 4.0  # s from the request to SIGTERM to SIGKILL
LIFE_CHECK = 0.25  # s between two looks at the process
HEARTBEATS_MISSED = 5  # in a row, one a second, before a kernel elsewhere counts as dead

OutputHandler = Callable[[Message], None]


class Kernel(ABC):
    """A kernel and the way to talk to it. `client` is there after `open`."""

    is_ours: bool
    client: Client

    def __init__(self) -> None:
        self.has_process = asyncio.Event()
        """Set once the kernel's process is there, which may not answer yet."""

    @abstractmethod
    async def open(self, on_output: OutputHandler, on_question: OutputHandler) -> None:
        """Start or find the kernel, and connect.

        Raises:
            KernelDiedError: there is no kernel to talk to, or it ended before it answered.
        """

    @abstractmethod
    async def death(self) -> str:
        """Wait for the end of the kernel; one sentence of how it ended."""

    async def _open_client(self) -> None:
        """Wait until the kernel answers, as long as it lives."""
        opening = asyncio.ensure_future(self.client.open())
        ending = asyncio.ensure_future(self.death())
        try:
            await asyncio.wait({opening, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                raise KernelDiedError(f"{ending.result()} It had not answered yet.")
            opening.result()
        finally:
            opening.cancel()
            ending.cancel()

    @abstractmethod
    async def interrupt(self) -> None:
        """Stop the running cell."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect, and shut the kernel down if it is ours."""

    @property
    @abstractmethod
    def name(self) -> str | None:
        """What `--existing` takes to find it again, once it runs."""


class OwnKernel(Kernel):
    """A kernel started here. It ends with the front end, unless that lets go of it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_ours = True
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - held as long as the kernel
        self._manager: Any = None
        self._is_ready = False

    async def open(self, on_output: OutputHandler, on_question: OutputHandler) -> None:
        """Start the process and wait until it answers, however long that takes."""
        self._manager = await asyncio.to_thread(
            manager, asynchronous=True, shutdown_wait_time=SHUTDOWN_PATIENCE
        )
        await self._manager.start_kernel(stdout=self._log, stderr=self._log)
        self.has_process.set()
        self.client = Client(self._manager.client(), on_output, on_question)
        await self._open_client()
        self._is_ready = True

    async def death(self) -> str:
        while await self._manager.is_alive():
            await asyncio.sleep(LIFE_CHECK)
        return _how_it_ended(await self._manager.provisioner.poll()) + self._last_words()

    async def interrupt(self) -> None:
        await self._manager.interrupt_kernel()

    def let_go(self) -> None:
        """From now on the kernel is its own, and stays when we leave."""
        self.is_ours = False
        self._manager.cleanup_connection_file = lambda: None  # which its end would call

    @property
    def name(self) -> str | None:
        return _short_name(self._manager.connection_file) if self._is_ready else None

    async def close(self) -> None:
        if self._manager is None or not self._manager.has_kernel:
            return
        if hasattr(self, "client"):
            await self.client.close()
        if not self.is_ours:
            return
        gone = not await self._manager.is_alive()
        await self._manager.shutdown_kernel(now=gone or not self._is_ready)
        self._log.close()

    def _last_words(self) -> str:
        """What the process itself wrote: import errors, faulthandler's stack."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").rstrip().splitlines()
        return "".join(f"\n{line}" for line in lines[-20:])


class RunningKernel(Kernel):
    """A kernel that somebody else started, and that stays when we leave."""

    is_ours = False

    def __init__(self, connection: str | None) -> None:
        super().__init__()
        self._connection = connection
        self._channels: Any = None
        self._name: str | None = None

    @property
    def name(self) -> str | None:
        return self._name

    async def open(self, on_output: OutputHandler, on_question: OutputHandler) -> None:
        self._channels, name = await asyncio.to_thread(_connect, self._connection)
        self._name = _short_name(name)
        self.has_process.set()
        self.client = Client(self._channels, on_output, on_question)
        self._channels.hb_channel.start()
        await self._open_client()

    async def death(self) -> str:
        missed = 0
        while missed < HEARTBEATS_MISSED:
            await asyncio.sleep(self._channels.hb_channel.time_to_dead)
            missed = 0 if self._channels.hb_channel.is_beating() else missed + 1
        return "The kernel answers no more."

    async def interrupt(self) -> None:
        await self.client.request("interrupt_request", {}, channel="control")

    async def close(self) -> None:
        if hasattr(self, "client"):
            await self.client.close()


def _connect(connection: str | None) -> tuple[AsyncKernelClient, str]:
    from jupyter_client.asynchronous.client import AsyncKernelClient

    try:
        path = running_connection(connection or "")
    except OSError as error:
        raise KernelDiedError(str(error)) from None
    channels = AsyncKernelClient(connection_file=path)
    channels.load_connection_file()
    if not listens(channels.get_connection_info()):
        raise KernelDiedError(f"No kernel answers at {path}: it has ended.")
    return channels, path


def _short_name(connection_file: str) -> str:
    return Path(connection_file).stem.removeprefix("kernel-")


def _how_it_ended(status: int | None) -> str:
    if status is None:
        return "The kernel ended."
    if status < 0:
        return f"The kernel was killed by {signal.Signals(-status).name}."
    return f"The kernel ended with exit status {status}."
