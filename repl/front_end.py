"""The commands of the front end, and what they do to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import settings as settings_file
from .client import KernelDiedError
from .commands import Commands
from .keeper import Keeper
from .kernel_list import running_kernels
from .kernels import OwnKernel, RunningKernel
from .prompt import CodePrompt
from .runner import Runner
from .screen import Screen
from .settings import Settings, SettingsError
from .toolbar import duration


class FrontEnd:
    """Settings, and the kernel that is held."""

    def __init__(
        self,
        keeper: Keeper,
        runner: Runner,
        prompt: CodePrompt,
        screen: Screen,
        path: Path,
        leave: Callable[[], None],
    ) -> None:
        self._keeper = keeper
        self._runner = runner
        self._prompt = prompt
        self._screen = screen
        self._path = path
        self._leave = leave
        self.commands = Commands()
        add = self.commands.add
        add(
            "config", "repl[.NAME [= VALUE]]", "shows or sets how this prompt behaves", self._config
        )
        add("kernels", "", "lists the kernels that run on this machine", self._list)
        add("kernel", "NAME | new", "goes over to another kernel; this one runs on", self._switch)
        add("restart", "", "starts a new kernel in the place of this one", self._restart)
        add("replay", "", "runs the cells of this session once more", self._replay)
        add("detach", "", "leaves, and lets the kernel run on", self._detach)

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self._prompt.settings

    async def _config(self, argument: str) -> None:
        name, _, value = argument.removeprefix("repl").removeprefix(".").partition("=")
        name, value = name.strip(), value.strip()
        if not name:
            self._screen.write(f"# {self._path}\n[repl]\n{self.settings.table()}\n")
            return
        try:
            if not value:
                found = [row for row in self.settings.table().split("\n") if row.startswith(name)]
                self._screen.write("\n".join(found or [f"There is no setting {name!r}."]) + "\n")
                return
            changed = self.settings.with_value(name, value)
            self._prompt.apply(changed)
            settings_file.save(self._path, name, getattr(changed, name))
        except (SettingsError, OSError) as error:
            self._screen.warn(str(error))

    async def _list(self, argument: str) -> None:
        found = await running_kernels()
        if not found:
            self._screen.write("No kernel runs.\n")
        for kernel in found:
            mark = "*" if kernel.name == self._keeper.kernel.name else " "
            self._screen.write(f"{mark} {kernel.name}  for {duration(kernel.age)}\n")

    async def _switch(self, argument: str) -> None:
        if not argument:
            self._screen.warn("%kernel: expected a name that %kernels lists, or new. Got nothing.")
            return
        names = [kernel.name for kernel in await running_kernels()]
        matching = [name for name in names if argument in name]
        if argument != "new" and len(matching) != 1:
            which = "none" if not matching else " and ".join(matching)
            self._screen.warn(
                f"%kernel: expected part of one name that %kernels lists. {which} has {argument!r}."
            )
            return
        if not self._is_at_rest("kernel"):
            return
        await self._let_go()
        self._runner.forget()
        await self._keeper.replace(OwnKernel() if argument == "new" else RunningKernel(matching[0]))

    async def _restart(self, argument: str) -> None:
        if not self._keeper.kernel.is_ours:
            self._screen.warn(
                "%restart: this kernel was started elsewhere; %kernel new starts one."
            )
            return
        if self._is_at_rest("restart"):
            self._runner.forget()
            await self._keeper.replace()

    async def _replay(self, argument: str) -> None:
        if self._is_at_rest("replay"):
            self._runner.replay()

    def _is_at_rest(self, command: str) -> bool:
        if not self._runner.is_idle:
            self._screen.warn(f"%{command}: a cell runs. Stop it with Ctrl-C first.")
        return self._runner.is_idle

    async def _detach(self, argument: str) -> None:
        name = self._keeper.kernel.name
        if name is None:
            self._screen.warn("%detach: there is no kernel yet.")
            return
        await self._let_go()
        self._screen.note(f"The kernel runs on: flambeau --existing {name}")
        self._leave()

    async def _let_go(self) -> None:
        """This kernel shall outlive us."""
        kernel, client = self._keeper.kernel, self._keeper.client
        if isinstance(kernel, OwnKernel) and kernel.is_ours and client is not None:
            try:
                await client.question("stay")
            except KernelDiedError:
                return
            kernel.let_go()
