"""Who has the bottom of the terminal: the prompt for cells, or a question that comes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .prompt import CodePrompt
from .screen import Screen
from .terminal import hold_pastes


class Stage:
    """Lets the prompt stand while nobody asks, and takes it away, draft and all, for a question."""

    def __init__(self, prompt: CodePrompt, screen: Screen) -> None:
        self._prompt = prompt
        self._screen = screen
        self._lock = asyncio.Lock()
        self._askers = 0
        self._is_free = asyncio.Event()
        self._is_free.set()

    @property
    def is_taken(self) -> bool:
        """Whether somebody is asked something, or about to be."""
        return self._askers > 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Have the terminal for a question, once those before it are answered."""
        self._askers += 1
        self._is_free.clear()
        self._prompt.step_aside()
        try:
            async with self._lock:
                await self._screen.drain()
                yield
        finally:
            hold_pastes()
            self._askers -= 1
            if not self._askers:
                self._is_free.set()

    async def read_cell(self) -> str | None:
        """The next cell; None if a question came between, and the prompt should be shown again.

        Raises:
            KeyboardInterrupt: Ctrl-C on an empty line.
            EOFError: Ctrl-D on an empty line, or the terminal has gone.
        """
        await self._is_free.wait()
        async with self._lock:
            try:
                return await self._prompt.read()
            finally:
                hold_pastes()
