"""`torchrun`: `python -m flambeau.distributed.run [options] SCRIPT [arguments]` starts a program in
several processes, on one machine or many.

Each process finds its place in RANK, LOCAL_RANK and WORLD_SIZE, and `init_process_group()` finds
the others. If one fails, all are ended and the traceback of the first is shown. The exit status is
0, 1 if a process failed, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from .agent import Agent, Launch
from .failures import DistError
from .nodes import Nodes

__all__ = ["main"]

UNUSABLE = 2
PORT = 29500  # PyTorch's


class _Parser(argparse.ArgumentParser):
    """Takes options with dashes and with underscores, as PyTorch does."""

    def parse_known(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The options up to the script's name, which ends them."""
        mine = []
        for k, word in enumerate(arguments):
            if word.startswith("--"):
                name, sign, value = word.partition("=")
                word = name.replace("_", "-") + sign + value
            elif not word.startswith("-") and (k == 0 or not self._takes(arguments[k - 1])):
                return self.parse_args([*mine, *arguments[k:]])
            mine.append(word)
        return self.parse_args(mine)

    def _takes(self, word: str) -> bool:
        """Whether an option is followed by its value."""
        action = self._option_string_actions.get(word.replace("_", "-"))
        return action is not None and action.nargs != 0


def parser() -> _Parser:
    """The options."""
    made = _Parser(prog="torchrun", description=__doc__, allow_abbrev=False)
    add = made.add_argument
    add("--nnodes", default="1", metavar="N", help="machines, each of which starts torchrun")
    add(
        "--nproc-per-node",
        default="1",
        metavar="N",
        help="processes here: a number, cpu, gpu, auto",
    )
    add("--node-rank", type=int, metavar="K", help="this machine's place; default: as they come")
    add("--master-addr", default="127.0.0.1", metavar="HOST", help="where the machines meet")
    add("--master-port", type=int, default=PORT, metavar="PORT")
    add("--rdzv-endpoint", default="", metavar="HOST[:PORT]", help="the same in one")
    add("--rdzv-backend", default="static", metavar="NAME", help="c10d or static")
    add("--rdzv-id", default="none", metavar="ID", help="a name of the run")
    add("--rdzv-conf", default="", metavar="CONF", help="for PyTorch's sake")
    add("--standalone", action="store_true", help="one machine, any free port")
    add("--max-restarts", type=int, default=0, metavar="N", help="start all again so often")
    add("--monitor-interval", type=float, default=0.1, metavar="S", help="seconds between looks")
    add("--start-method", default="spawn", help="for PyTorch's sake")
    add("--role", default="default", metavar="NAME")
    add("-m", "--module", action="store_true", help="SCRIPT is a module's name")
    add("--no-python", action="store_true", help="SCRIPT is a program of its own")
    add("--run-path", action="store_true", help="for PyTorch's sake")
    add("--log-dir", type=Path, metavar="DIR", help="where output goes that is redirected")
    add("-r", "--redirects", default="0", metavar="WHAT",
        help="output into files: 1 stdout, 2 stderr, 3 both; by rank: 0:3,1:1")  # fmt: skip
    add("-t", "--tee", default="0", metavar="WHAT", help="into files and here, by rank")
    add("--local-ranks-filter", default="", metavar="K,...", help="show the output of these alone")
    add("--local-addr", metavar="HOST", help="for PyTorch's sake")
    add("training_script", metavar="SCRIPT")
    add("training_script_args", nargs=argparse.REMAINDER, metavar="ARGUMENT")
    return made


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    options = parser().parse_known(list(sys.argv[1:] if args is None else args))
    try:
        return Agent(launch_of(options)).run()
    except (ValueError, OSError, DistError) as error:
        print(f"torchrun: {error}", file=sys.stderr)
        return UNUSABLE


def launch_of(options: argparse.Namespace) -> Launch:
    """What the options ask for. Raises: ValueError."""
    processes = _processes(options.nproc_per_node)
    shown = {int(k) for k in options.local_ranks_filter.split(",") if k}
    return Launch(
        command=_command(options),
        processes=processes,
        nodes=_nodes(options),
        max_restarts=options.max_restarts,
        interval=options.monitor_interval,
        role=options.role,
        log_dir=options.log_dir,
        redirects=_by_rank(options.redirects, processes),
        tee=_by_rank(options.tee, processes),
        shown=frozenset(shown) if shown else None,
    )


def _command(options: argparse.Namespace) -> list[str]:
    script, *arguments = options.training_script, *options.training_script_args
    if options.no_python:
        return [script, *arguments]
    if options.module:
        return [sys.executable, "-u", "-m", script, *arguments]
    return [sys.executable, "-u", script, *arguments]


def _nodes(options: argparse.Namespace) -> Nodes:
    least, _, most = options.nnodes.partition(":")
    count = int(most or least)
    if count < 1:
        raise ValueError(f"expected nnodes of 1 or more. Got {options.nnodes}.")
    if options.standalone or (
        count == 1 and not options.rdzv_endpoint and not _names_port(options)
    ):
        if count > 1:
            raise ValueError(f"expected one node with --standalone. Got {count}.")
        return Nodes(1, "127.0.0.1", 0, uuid.uuid4().hex[:8], 0)
    host, port = options.master_addr, options.master_port
    if options.rdzv_endpoint:
        host, _, text = options.rdzv_endpoint.rpartition(":")
        host, port = (host or text), (int(text) if host else PORT)
    rank = options.node_rank
    if rank is None and options.rdzv_backend == "static" and count > 1:
        rank = int(os.environ.get("GROUP_RANK", os.environ.get("NODE_RANK", -1)))
        if rank < 0:
            raise ValueError(
                "expected --node-rank with the static rendezvous. Got none. Or give "
                "--rdzv-backend=c10d: then nodes are counted as they come."
            )
    return Nodes(count, host, port, options.rdzv_id, 0 if count == 1 else rank)


def _names_port(options: argparse.Namespace) -> bool:
    return options.master_port != PORT or options.master_addr != "127.0.0.1"


def _processes(text: str) -> int:
    if text.isdigit() and int(text) > 0:
        return int(text)
    if text in ("cpu", "auto", "gpu"):
        from ..cuda.devices import device_count

        gpus = device_count() if text != "cpu" else 0
        if text == "gpu" and not gpus:
            raise ValueError("expected a GPU, as nproc-per-node is gpu. There is none.")
        return gpus or os.cpu_count() or 1
    raise ValueError(f"expected nproc-per-node of a number, cpu, gpu or auto. Got {text!r}.")


def _by_rank(text: str, processes: int) -> dict[int, int]:
    """Bits of output by local rank. Raises: ValueError."""
    try:
        pairs = [pair.split(":") for pair in text.split(",")]
        if len(pairs) == 1 and len(pairs[0]) == 1:
            return dict.fromkeys(range(processes), int(text))
        return {int(rank): int(bits) for rank, bits in pairs}
    except ValueError:
        raise ValueError(f"expected 0, 1, 2, 3, or ranks as in 0:3,1:1. Got {text!r}.") from None


if __name__ == "__main__":
    sys.exit(main())
