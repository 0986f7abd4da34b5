"""A launcher's processes: started with what they need to find one another, watched, ended together,
started again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .failures import DistBackendError, DistError, DistTimeoutError
from .nodes import Nodes
from .rendezvous import AGENT_STORE
from .reports import ERROR_FILE, read_report

GRACE = 5.0
"""Seconds between asking processes to end and ending them."""

PR_SET_PDEATHSIG = 1  # of prctl: the signal a process gets when its parent dies
OUT, ERR = 1, 2


@dataclass
class Launch:
    """What a launcher starts: `command` in `processes` processes at each node."""

    command: Sequence[str]
    processes: int
    nodes: Nodes
    max_restarts: int = 0
    interval: float = 0.1  # s between looks at the processes
    role: str = "default"
    log_dir: Path | None = None
    redirects: dict[int, int] = field(default_factory=dict)  # by local rank: OUT | ERR into files
    tee: dict[int, int] = field(default_factory=dict)  # and printed, each line with its rank
    shown: frozenset[int] | None = None  # local ranks whose output is printed; None: of all


@dataclass
class Worker:
    """One process."""

    local_rank: int
    rank: int
    process: subprocess.Popen[bytes]
    report: Path
    threads: list[threading.Thread]

    @property
    def failed(self) -> bool:
        """Whether it ended, and not well."""
        return self.process.poll() not in (None, 0)


@dataclass
class Outlet:
    """Where output goes: into a file, to our own output with a prefix, or both."""

    file: IO[bytes] | None
    shown: IO[str] | None
    prefix: str

    @property
    def stream(self) -> Any:
        """What the process gets for it: through a pipe, lines of several processes stay whole; a
        terminal it gets itself, for progress bars."""
        if self.shown is None:
            return self.file
        return None if self.file is None and self.shown.isatty() else subprocess.PIPE

    def copy(self, pipe: IO[bytes]) -> None:
        """Copy until the process ends, line by line."""
        assert self.shown is not None
        with pipe, self.file or contextlib.nullcontext() as file:
            for line in pipe:
                if file is not None:
                    file.write(line)
                    file.flush()
                self.shown.write(self.prefix + line.decode(errors="replace"))
                self.shown.flush()


class Interrupted(BaseException):
    """A signal asks the launcher to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Agent:
    """Runs a launch to its end."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.workers: list[Worker] = []

    def run(self) -> int:
        """Start, watch, start again up to `max_restarts` times; the exit status: 0, 1 if a process
        failed, 128 + its number for a signal."""
        launch = self.launch
        counts = launch.nodes.meet(launch.processes)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _interrupt)
        with tempfile.TemporaryDirectory(prefix="flambeau-run-") as directory:
            try:
                is_done = self._tried(counts, Path(directory))
                launch.nodes.leave(has_failed=not is_done)
                return int(not is_done)
            except Interrupted as interrupt:
                return 128 + interrupt.number
            finally:
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)  # what follows takes no longer than GRACE
                self._end_all()

    def _tried(self, counts: list[int], directory: Path) -> bool:
        """Whether all processes ended well, at the first attempt or a later one."""
        launch = self.launch
        try:
            for attempt in range(launch.max_restarts + 1):
                if attempt:
                    launch.nodes.require_all()
                self._start(counts, attempt, directory)
                failed = self._watch(attempt)
                if failed is None:
                    return True
                self._tell(failed, launch.max_restarts - attempt)
        except DistError as lost:
            self._settle()
            self._tell(launch.nodes.rank, 0)
            print(f"torchrun: {lost}", file=sys.stderr)
        return False

    # -- starting --------------------------------------------------------------------------------

    def _start(self, counts: list[int], attempt: int, directory: Path) -> None:
        launch = self.launch
        place = launch.nodes.rank
        assert place is not None
        first = sum(counts[:place])
        self.workers = []
        for local_rank in range(launch.processes):
            report = directory / f"error-{attempt}-{local_rank}.json"
            environment = {
                **os.environ,
                "RANK": str(first + local_rank),
                "WORLD_SIZE": str(sum(counts)),
                "LOCAL_RANK": str(local_rank),
                "LOCAL_WORLD_SIZE": str(launch.processes),
                "GROUP_RANK": str(place),
                "GROUP_WORLD_SIZE": str(len(counts)),
                "ROLE_NAME": launch.role,
                "ROLE_RANK": str(first + local_rank),
                "ROLE_WORLD_SIZE": str(sum(counts)),
                "MASTER_ADDR": launch.nodes.host,
                "MASTER_PORT": str(launch.nodes.port),
                "TORCHELASTIC_RUN_ID": launch.nodes.run_id,
                "TORCHELASTIC_RESTART_COUNT": str(attempt),
                "TORCHELASTIC_MAX_RESTARTS": str(launch.max_restarts),
                AGENT_STORE: "True",
                ERROR_FILE: str(report),
            }
            if launch.processes > 1:  # they share the cores
                share = max(1, (os.cpu_count() or 1) // launch.processes)
                environment.setdefault("OMP_NUM_THREADS", str(share))
            self.workers.append(self._started(local_rank, environment, report, attempt))

    def _started(
        self, local_rank: int, environment: dict[str, str], report: Path, attempt: int
    ) -> Worker:
        rank = int(environment["RANK"])
        outlets = [self._outlet(kind, local_rank, rank, attempt) for kind in (OUT, ERR)]
        process = subprocess.Popen(
            self.launch.command,
            env=environment,
            stdout=outlets[0].stream,
            stderr=outlets[1].stream,
            stdin=None if rank == 0 else subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        threads = []
        for outlet, pipe in zip(outlets, (process.stdout, process.stderr), strict=True):
            if pipe is not None:
                threads.append(threading.Thread(target=outlet.copy, args=(pipe,), daemon=True))
                threads[-1].start()
            elif outlet.file is not None:
                outlet.file.close()  # which is the process's now
        return Worker(local_rank, rank, process, report, threads)

    def _outlet(self, kind: int, local_rank: int, rank: int, attempt: int) -> Outlet:
        """Where a process's output goes."""
        launch = self.launch
        tee = bool(launch.tee.get(local_rank, 0) & kind)
        redirected = bool(launch.redirects.get(local_rank, 0) & kind)
        is_shown = launch.shown is None or local_rank in launch.shown
        file = None
        if tee or redirected or not is_shown:
            name = "stdout.log" if kind == OUT else "stderr.log"
            file = self._log_file(local_rank, attempt, name).open("wb")
        shown = (sys.stdout if kind == OUT else sys.stderr) if is_shown else None
        if redirected and not tee:
            shown = None
        return Outlet(file, shown, f"[rank{rank}]: " if tee else "")

    def _log_file(self, local_rank: int, attempt: int, name: str) -> Path:
        launch = self.launch
        if launch.log_dir is None:
            launch.log_dir = Path(tempfile.mkdtemp(prefix="flambeau-logs-"))
        directory = launch.log_dir / launch.nodes.run_id / f"attempt_{attempt}" / str(local_rank)
        directory.mkdir(parents=True, exist_ok=True)
        return directory / name

    # -- watching and ending ---------------------------------------------------------------------

    def _watch(self, attempt: int) -> int | None:
        """Wait for the processes; the node of the first that failed, None if all ended well. If one
        fails, here or elsewhere, all are ended. Raises: DistError for a launcher that is gone."""
        nodes = self.launch.nodes
        while True:
            if any(worker.failed for worker in self.workers):
                nodes.tell_failure(attempt)
                self._settle()
                return nodes.rank if nodes.count == 1 else nodes.failed_elsewhere(attempt)
            if all(worker.process.poll() == 0 for worker in self.workers):
                for worker in self.workers:
                    for thread in worker.threads:
                        thread.join()
                return None
            if (node := nodes.failed_elsewhere(attempt)) is not None:
                self._end_all()
                return node
            running = next((w for w in self.workers if w.process.poll() is None), None)
            if running is not None:  # else the last one has ended meanwhile
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.process.wait(self.launch.interval)

    def _settle(self) -> None:
        """After a failure: those that the same failure ends may say so, then all are ended."""
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline and any(w.process.poll() is None for w in self.workers):
            time.sleep(0.01)
        self._end_all()

    def _end_all(self) -> None:
        """Ask all processes to end, and after a while end them."""
        running = [w.process for w in self.workers if w.process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _tell(self, node: int | None, restarts_left: int) -> None:
        """Say which process failed first, and how."""
        own = [w for w in self.workers if w.report.exists() or _failed_itself(w)]
        if node != self.launch.nodes.rank:
            print(f"torchrun: a process failed at node {node}.", file=sys.stderr)
        elif own:
            print(_failure_text(own), file=sys.stderr)
        if restarts_left:
            print(f"torchrun: all start again ({restarts_left} restarts left).", file=sys.stderr)


def _failed_itself(worker: Worker) -> bool:
    """Whether it ended otherwise than by our asking."""
    return worker.process.returncode not in (0, -signal.SIGTERM, None)


def _failure_text(failed: list[Worker]) -> str:
    reports = {w.rank: read_report(w.report) for w in failed}

    def precedence(worker: Worker) -> tuple[bool, float]:
        """A process that only lost another one comes behind those that did not."""
        text, at = reports[worker.rank] or ("", float("inf"))
        return DistBackendError.__name__ in text or DistTimeoutError.__name__ in text, at

    first = min(failed, key=precedence)
    code = first.process.returncode
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
    lines = [f"torchrun: rank {first.rank} (pid {first.process.pid}) {how}."]
    found = reports[first.rank]
    if found is not None:
        lines += ["  " + row for row in found[0].rstrip().splitlines()]
    others = [str(w.rank) for w in failed if w is not first]
    if others:
        lines.append(f"torchrun: after it failed rank {', '.join(others)}.")
    return "\n".join(lines)


def die_with_parent() -> None:
    """Let this process get SIGTERM when the one that started it dies, however that is."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted(number)
