"""`%%parallel`: a cell in several processes that train together, and what came of it back here.

The processes are forks of the session, so that all its names are there, at no cost. They form a
process group: `torch.distributed` and `DistributedDataParallel` work in the cell as under torchrun.
At the end what rank 0 bound is bound here, and tensors that it wrote (parameters, above all) have
its values.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from IPython.core.magic import cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments

import flambeau as torch
from flambeau import Tensor

from .base import Instrument, UsageError, counted, joined, time_text
from .belongings import Belongings, Names, pack_whole
from .safe import user_names

GRACE = 2.0
"""Seconds between asking the processes to end and ending them."""


class ParallelError(RuntimeError):
    """A process failed; `rank` is which, `told` its traceback."""

    def __init__(self, rank: int, message: str, told: str = "") -> None:
        super().__init__(f"rank {rank} {message}")
        self.rank, self.told = rank, told


@dataclass
class Outcome:
    """What came of a cell: `names` bound anew, how many `tensors` were written, which names could
    `not_back`, with the reason."""

    seconds: float
    names: list[str]
    tensors: int
    not_back: dict[str, str]

    def __str__(self) -> str:
        parts = [f"names {joined(self.names)}"] if self.names else []
        if self.tensors:
            parts.append(f"the values of {counted(self.tensors, 'tensor', 'tensors')}")
        words = f"{time_text(self.seconds)}. Brought back from rank 0: "
        words += " and ".join(parts) or "nothing"
        rest = "".join(f"\nNot brought back: {n}: {why}" for n, why in self.not_back.items())
        return words + "." + rest


@dataclass
class _Told:
    """What a process says at its end."""

    error: tuple[str, str, bool] | None = None  # in a line, its traceback, whether a peer was lost
    values: dict[str, bytes] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    written: dict[int, Any] = field(default_factory=dict)
    states: dict[int, Any] = field(default_factory=dict)
    not_back: dict[str, str] = field(default_factory=dict)


def parallel(
    source: str | ast.Module,
    namespace: Names,
    processes: int = 2,
    gather: Sequence[str] = (),
    names: Sequence[str] | None = None,
    filename: str = "<parallel>",
    show: Callable[[int, str], object] | None = None,
) -> Outcome:
    """Run `source` in so many forked processes over `namespace`, as one group.

    `names` are those of the namespace that matter (default: all without underscore). Of the names
    in `gather` the values of all ranks come back, as a list. `show(rank, line)` gets the output,
    line by line; it is printed unless given.

    Raises: SyntaxError, ParallelError for a process that failed, RuntimeError once CUDA was used,
    as a forked process cannot go on with it.
    """
    if torch.cuda.is_initialized():
        raise RuntimeError(
            "expected a session that has not used the GPU yet, since forked processes cannot go "
            "on with it. Use torchrun for several GPUs."
        )
    tree = ast.parse(source, filename) if isinstance(source, str) else source
    kept = names if names is not None else [n for n in namespace if not n.startswith("_")]
    belongings = Belongings(namespace, kept)
    started = time.perf_counter()
    run = _Run(tree, namespace, belongings, list(gather), filename, processes)
    told = run.to_its_end(show or _print)
    return _take_over(told, tree, namespace, belongings, gather, time.perf_counter() - started)


def _print(rank: int, line: str) -> None:
    print(f"[{rank}] {line}", end="")
    sys.stdout.flush()


# -- in the session --------------------------------------------------------------------------------


class _Run:
    """The processes of one cell, from the session's side."""

    def __init__(
        self,
        tree: ast.Module,
        namespace: Names,
        belongings: Belongings,
        gather: list[str],
        filename: str,
        count: int,
    ) -> None:
        self.work = (tree, namespace, belongings, gather, filename)
        self.count = count
        self.processes: list[Any] = []
        self.told: dict[int, _Told] = {}

    def to_its_end(self, show: Callable[[int, str], object]) -> list[_Told]:
        """Start them, show what they print, wait; what each said. Raises: ParallelError."""
        context = multiprocessing.get_context("fork")
        sys.stdout.flush()
        with tempfile.TemporaryDirectory(prefix="flambeau-") as directory:
            ends: dict[Any, int] = {}
            try:
                for rank in range(self.count):
                    self._start(context, rank, directory, ends)
                self._listen(ends, show)
            except BaseException:
                self._end(signal.SIGINT)
                raise
            self._end(signal.SIGTERM)
        self._require_success()
        return [self.told[rank] for rank in range(self.count)]

    def _start(self, context: Any, rank: int, directory: str, ends: dict[Any, int]) -> None:
        ours, theirs = context.Pipe(duplex=False)
        reading, writing = os.pipe()
        place = (rank, self.count, f"file://{directory}/store")
        arguments = (self.work, place, theirs, writing)
        process = context.Process(target=_live, args=arguments)  # no daemon: it may have workers
        process.start()
        theirs.close()
        os.close(writing)
        self.processes.append(process)
        ends[ours] = ends[os.fdopen(reading, "rb", buffering=0)] = rank

    def _listen(self, ends: dict[Any, int], show: Callable[[int, str], object]) -> None:
        """Read until all ends are closed, or a process failed."""
        rests = dict.fromkeys(range(self.count), b"")
        deadline: float | None = None
        while ends and (deadline is None or time.monotonic() < deadline):
            ready: list[Any] = wait(list(ends), 0.1)
            for end in ready:
                rank = ends[end]
                try:
                    if isinstance(end, Connection):
                        self.told[rank] = pickle.loads(end.recv_bytes())
                    elif data := end.read(1 << 16):
                        *lines, rests[rank] = (rests[rank] + data).splitlines(keepends=True)
                        if rests[rank].endswith(b"\n"):
                            lines, rests[rank] = [*lines, rests[rank]], b""
                        for line in lines:
                            show(rank, line.decode(errors="replace"))
                        continue
                except EOFError:
                    pass
                del ends[end]
                end.close()
            if deadline is None and any(t.error for t in self.told.values()):
                deadline = time.monotonic() + GRACE  # for the others to say what it did to them
        for end in ends:
            end.close()
        for rank, rest in rests.items():
            if rest:
                show(rank, rest.decode(errors="replace") + "\n")

    def _end(self, number: int) -> None:
        """Let no process stay."""
        deadline = time.monotonic() + GRACE
        for process in self.processes:
            process.join(max(0.0, min(0.2, deadline - time.monotonic())))
            if process.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()

    def _require_success(self) -> None:
        """Raises: ParallelError for the process that failed first of all."""
        failed = {rank: t.error for rank, t in self.told.items() if t.error is not None}
        silent = [rank for rank in range(self.count) if rank not in self.told]
        own = [rank for rank, error in failed.items() if not error[2]]
        if silent and not own:
            code = self.processes[silent[0]].exitcode
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            raise ParallelError(silent[0], f"ended {how}")
        for rank in [*own, *failed]:
            line, told, _ = failed[rank]
            raise ParallelError(rank, f"raised {line}", told)


def _take_over(
    told: list[_Told],
    tree: ast.Module,
    namespace: Names,
    belongings: Belongings,
    gather: Sequence[str],
    seconds: float,
) -> Outcome:
    """Let the session have what the processes said."""
    _define(tree, namespace)
    first = told[0]
    for address, values in first.written.items():
        _write(belongings.objects[address], values)
    for address, state in first.states.items():
        belongings.objects[address].load_state_dict(state)
    names, not_back = set(), dict(first.not_back)
    for address, data in first.contents.items():
        name = belongings.roots[address]
        try:
            belongings.take_contents(address, data)
            names.add(name)
        except Exception as error:
            not_back[name] = _in_a_line(error)
    for name, data in first.values.items():
        every = [t.values.get(name) for t in told] if name in gather else [data]
        try:
            found = [None if d is None else belongings.unpack(d) for d in every]
        except Exception as error:
            not_back[name] = _in_a_line(error)
            continue
        namespace[name] = found if name in gather else found[0]
        names.add(name)
    return Outcome(seconds, sorted(names), len(first.written), not_back)


def _write(target: Any, values: Any) -> None:
    if isinstance(target, Tensor):
        target.detach().copy_(torch.from_numpy(values))
    else:
        target[...] = values


def _define(tree: ast.Module, namespace: Names) -> None:
    """Functions, classes and imports of the cell, which are run here too."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    for node in tree.body:
        if isinstance(node, kinds):
            with contextlib.suppress(Exception):  # of what needs a value from the cell
                exec(compile(ast.Module([node], []), "<parallel>", "exec"), namespace)


def _in_a_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


# -- in the processes ------------------------------------------------------------------------------


def _live(work: Any, place: tuple[int, int, str], told: Connection, output: int) -> NoReturn:
    from flambeau import distributed  # which no kernel needs at its start
    from flambeau.distributed.agent import die_with_parent

    die_with_parent()
    tree, namespace, belongings, gather, filename = work
    rank, count, store = place
    _redirect(output)
    said = _Told()
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank))
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
        distributed.init_process_group(init_method=store, rank=rank, world_size=count)
        _execute(tree, namespace, filename)
        if distributed.is_initialized():
            distributed.destroy_process_group()
        _pack(said, namespace, belongings, gather, rank)
    except BaseException as error:
        lost = isinstance(error, distributed.DistBackendError)
        said = _Told((_in_a_line(error), _traceback(error, filename), lost))
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        told.send_bytes(pickle.dumps(said))
    os._exit(0)  # nothing of what the session does at its end is for us


def _redirect(output: int) -> None:
    """All output into the pipe; no input."""
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # Line by line, and for as long as the process lives.
    sys.stdout = open(1, "w", buffering=1, closefd=False, errors="replace")  # noqa: SIM115
    sys.stderr = sys.stdout
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    builtins.input = _no_input  # the kernel's would ask the front end, which does not know us
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:  # whose displays would go to the front end
        shell.display_pub.publish = lambda data, *a, **k: print(data.get("text/plain", ""))


def _no_input(prompt: object = "") -> str:
    raise EOFError("input: expected a cell that asks nothing. Several processes run this one.")


def _execute(tree: ast.Module, namespace: Names, filename: str) -> None:
    """Run the cell; the value of a last expression is printed."""
    body, last = tree.body, None
    if body and isinstance(end := body[-1], ast.Expr):
        body, last = body[:-1], ast.Expression(end.value)
    exec(compile(ast.Module(body, []), filename, "exec"), namespace)
    if last is not None:
        value = eval(compile(last, filename, "eval"), namespace)
        if value is not None:
            print(repr(value))


def _pack(
    said: _Told, namespace: Names, belongings: Belongings, gather: Sequence[str], rank: int
) -> None:
    """What this process has for the session."""
    if rank == 0:
        _pack_changes(said, belongings)
    before = belongings.before
    for name, value in list(namespace.items()):
        is_new = name not in before or before[name] is not value
        if name.startswith("_") or name in belongings.foreign:
            continue
        if not (name in gather or (rank == 0 and is_new)):
            continue
        if name not in before and _is_definition(value):
            continue
        try:
            said.values[name] = pack_whole(value) if name in gather else belongings.pack(value)
        except Exception as error:
            said.not_back[name] = _in_a_line(error)


def _pack_changes(said: _Told, belongings: Belongings) -> None:
    """What became of the objects that the session has."""
    said.written = belongings.written()
    said.states = belongings.states() if said.written else {}
    for address, container in belongings.changed():
        try:
            said.contents[address] = belongings.pack_contents(container)
        except Exception as error:
            said.not_back[belongings.roots[address]] = _in_a_line(error)


def _is_definition(value: Any) -> bool:
    """Whether the session gets it by running its statement."""
    return isinstance(value, type | type(sys) | type(_pack))


def _traceback(error: BaseException, filename: str) -> str:
    """From the cell's own line on."""
    rows = traceback.TracebackException.from_exception(error)
    place = next((k for k, row in enumerate(rows.stack) if row.filename == filename), 0)
    del rows.stack[:place]
    return "".join(rows.format())


@magics_class
class ParallelMagics(Instrument):
    """Trains in several processes."""

    @magic_arguments()
    @argument("processes", type=int, nargs="?", default=2, help="how many (default: 2)")
    @argument("--gather", default="", metavar="NAME,...", help="bring these of all ranks, as lists")
    @cell_magic("parallel")
    def parallel(self, line: str, cell: str) -> None:
        """Run the cell in several processes that know all names of the session and can train
        together: `torch.distributed` is ready, `nn.parallel.DistributedDataParallel(model)`
        averages gradients. Output comes by rank; what rank 0 bound or wrote is here afterwards.

        Example: %%parallel 2 --gather loss
        """
        options = self.arguments(self.parallel, line)
        if options.processes < 1:
            raise UsageError(f"%%parallel: expected 1 process or more. Got {options.processes}.")
        # A comment stands for the line of the magic, so that lines keep their numbers.
        source = "#\n" + self.shell.input_transformer_manager.transform_cell(cell)
        filename = self.shell.compile.cache(source, self.shell.execution_count)
        tree = self.shell.compile.ast_parse(source, filename)
        gather = [name for name in options.gather.split(",") if name]
        try:
            outcome = parallel(
                tree, self.namespace, options.processes, gather, user_names(self.shell), filename
            )
        except ParallelError as error:
            print(error.told, end="", file=sys.stderr)
            words = str(error).rstrip(".")
            raise UsageError(f"%%parallel: {words}. Nothing was brought back.") from None
        except RuntimeError as error:
            raise UsageError(f"%%parallel: {error}") from None
        print(outcome)
