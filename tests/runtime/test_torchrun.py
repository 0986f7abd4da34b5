"""`torchrun`: programs in several processes, on one machine or as many that meet."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flambeau.distributed.agent import Agent, Launch, Worker
from flambeau.distributed.nodes import Nodes

PATIENCE = 300.0
"""Seconds after which what has not ended fails the test; other work may hold all up."""

TORCHRUN = [sys.executable, "-m", "flambeau.distributed.run"]

PLACES = """
import os, sys
names = "RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK", "TORCHELASTIC_RESTART_COUNT"
print(*[os.environ[n] for n in names], *sys.argv[1:])
"""


def started(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def torchrun(*arguments: str) -> tuple[int, list[str], str]:
    """Exit status, sorted lines of output, and errors."""
    process = started(*arguments)
    out, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, sorted(out.splitlines()), errors


def test_processes_know_their_places_and_lines_their_rank(tmp_path: Path) -> None:
    script = tmp_path / "places.py"
    script.write_text(PLACES)
    status, lines, _ = torchrun(
        "--standalone", "--nproc_per_node=2", "--tee", "3", "--log-dir", str(tmp_path / "logs"),
        str(script), "--lr", "0.1",
    )  # fmt: skip
    assert status == 0
    assert lines == [f"[rank{k}]: {k} 2 {k} 0 0 --lr 0.1" for k in range(2)]
    (log,) = (tmp_path / "logs").glob("*/attempt_0/1/stdout.log")
    assert log.read_text() == "1 2 1 0 0 --lr 0.1\n"


def test_one_failure_ends_all_and_shows_the_first_traceback(tmp_path: Path) -> None:
    script = tmp_path / "fails.py"
    script.write_text(
        "import flambeau.distributed as dist\n"
        "dist.init_process_group()\n"
        "if dist.get_rank() == 1:\n"
        "    raise ValueError('no luck')\n"
        "dist.barrier()\n"
    )
    status, _, errors = torchrun("--nproc-per-node", "2", str(script))
    assert status == 1
    summary = errors[errors.index("torchrun: rank 1") :]
    assert "ended with status 1.\n" in summary
    assert '    File "' + str(script) + '", line 4, in <module>\n' in summary
    assert "  ValueError: no luck\n" in summary
    assert "Rank 1 ended with ValueError: no luck" in errors  # what rank 0 was told


def test_all_start_again_after_a_failure_as_often_as_allowed(tmp_path: Path) -> None:
    script = tmp_path / "once.py"
    script.write_text(
        PLACES + "if os.environ['TORCHELASTIC_RESTART_COUNT'] == '0' and "
        "os.environ['RANK'] == '0': os.kill(os.getpid(), 9)\n"
    )
    status, lines, errors = torchrun("--nproc-per-node=2", "--max-restarts=1", str(script))
    assert status == 0
    assert [line for line in lines if line.split()[4] == "1"] == ["0 2 0 0 1", "1 2 1 0 1"]
    assert "was ended by SIGKILL" in errors
    assert "1 restarts left" in errors


def test_nodes_meet_and_fail_together(tmp_path: Path) -> None:
    script = tmp_path / "places.py"
    script.write_text(PLACES + "if sys.argv[1:] == ['fail', os.environ['RANK']]: sys.exit(3)\n"
                      "if sys.argv[1:]: import time; time.sleep(60)\n")  # fmt: skip
    for arguments, expected in (([], 0), (["fail", "2"], 1)):
        with socket.create_server(("localhost", 0)) as free:
            port = free.getsockname()[1]
        options = ["--nnodes=2", "--nproc-per-node=2", "--rdzv-backend=c10d",
                   f"--rdzv-endpoint=localhost:{port}", str(script), *arguments]  # fmt: skip
        nodes = [started(*options) for _ in range(2)]
        told = [node.communicate(timeout=PATIENCE) for node in nodes]
        assert [node.returncode for node in nodes] == [expected] * 2
        if not expected:  # else some may be ended before they say it
            places = sorted(line.split()[:4] for out, _ in told for line in out.splitlines())
            assert places == [[str(k), "4", str(k % 2), str(k // 2)] for k in range(4)]
        errors = "".join(err for _, err in told)
        assert ("a process failed at node 1" in errors) == bool(expected)
        assert ("ended with status 3" in errors) == bool(expected)


def test_a_signal_ends_all_processes(tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    process = started("--nproc-per-node=2", str(script))
    assert process.stdout is not None
    assert process.stderr is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130
    process.communicate()
    for pid in pids:
        assert not Path(f"/proc/{pid}/cmdline").exists()


def test_options_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    from flambeau.distributed.run import launch_of, parser

    cases = {
        "expected nproc-per-node of a number": ["--nproc-per-node=many", "x.py"],
        "expected --node-rank with the static rendezvous": ["--nnodes=2", "x.py"],
        "expected one node with --standalone": ["--nnodes=2", "--standalone", "x.py"],
        "expected 0, 1, 2, 3": ["--tee=all", "x.py"],
    }
    for words, arguments in cases.items():
        with pytest.raises(ValueError, match=words):
            launch_of(parser().parse_known(arguments))


@pytest.mark.parametrize("lost", [0, 1])
def test_a_launcher_that_is_killed_ends_those_of_other_nodes(lost: int, tmp_path: Path) -> None:
    script = tmp_path / "waits.py"
    script.write_text("import time\nprint('here', flush=True)\ntime.sleep(600)\n")
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    nodes = [
        started("--nnodes=2", f"--node-rank={k}", f"--master-port={port}", str(script))
        for k in range(2)
    ]
    for node in nodes:
        assert node.stdout is not None
        assert node.stdout.readline() == "here\n"
    nodes[lost].kill()
    _, errors = nodes[1 - lost].communicate(timeout=PATIENCE)
    nodes[lost].communicate(timeout=PATIENCE)
    assert nodes[1 - lost].returncode == 1
    whose = "that keeps the store" if lost == 0 else "of node 1"
    assert f"the launcher {whose} is gone: it has ended, or the network" in errors


class EndsMeanwhile:
    """A process that ends between two looks at it."""

    def __init__(self) -> None:
        self.looks = 0

    def poll(self) -> int | None:
        self.looks += 1
        return None if self.looks < 3 else 0


def test_a_process_that_ends_between_two_looks_has_ended_well() -> None:
    process: Any = EndsMeanwhile()
    agent = Agent(Launch([], 1, Nodes(1, "127.0.0.1", 0)))
    agent.workers = [Worker(0, 0, process, Path("none"), [])]
    assert agent._watch(0) is None
