"""`flambeau run` with its options, and `flambeau serve` with `flambeau exec`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..programs import PATIENCE, finished, running
from .test_scripts import FLAMBEAU, flambeau

TRAINING = """import sys
# %%
net = nn.Linear(3, 1)
sgd = optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    sgd.zero_grad()
    loss = net(torch.ones(3)).sum()
    loss.backward()
    sgd.step()
print(sys.argv[1:])
# %%
%clip
loss.item() < 1e9
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("run")
    (folder / "train.py").write_text(TRAINING)
    result = flambeau(
        "--log", "log.jsonl", "--output", "done.ipynb", "--save-session", "kept.pt", "--profile",
        "--trace", "--clip", "1.0", "--expect", "no-nan", "--expect", "time<1h", "--timeout", "100",
        "train.py", "--epochs", "3", cwd=folder,
    )  # fmt: skip
    return result, folder


def test_options_leave_the_script_its_arguments(trained: tuple[Any, Path]) -> None:
    result, _ = trained
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("['--epochs', '3']\n")


def test_profile_trace_and_clip_hold_for_the_whole_script(trained: tuple[Any, Path]) -> None:
    result, _ = trained
    assert "Clipping gradient norm at 1: " in result.stdout
    assert "of 3 steps clipped" in result.stdout
    assert "SGD.step" in result.stdout
    assert "last of 3 backward passes" in result.stdout
    assert "net.weight" in result.stdout


def test_the_log_is_json_lines_with_outputs_and_receipts(trained: tuple[Any, Path]) -> None:
    _, folder = trained
    start, *cells, end = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    assert (start["event"], start["file"], start["cells"]) == ("start", "train.py", 3)
    assert [(c["index"], c["line"], c["status"]) for c in cells] == [
        (0, 1, "ok"), (1, 3, "ok"), (2, 12, "ok")
    ]  # fmt: skip
    assert cells[1]["outputs"][0]["text"] == "['--epochs', '3']\n"
    receipt = cells[1]["receipt"]
    assert receipt["time"] > 0
    assert receipt["tensors"] > 10
    assert receipt["nan"] is False
    assert (end["event"], end["status"], end["failures"]) == ("end", 0, [])


def test_the_executed_script_is_a_notebook(trained: tuple[Any, Path]) -> None:
    _, folder = trained
    cells = json.loads((folder / "done.ipynb").read_text())["cells"]
    assert cells[2]["outputs"][-1]["data"]["text/plain"] == "True"
    assert [c["execution_count"] for c in cells] == [1, 2, 3]


def test_a_saved_session_is_resumed(trained: tuple[Any, Path]) -> None:
    _, folder = trained
    code = "again = nn.Linear(3, 1); again.load_state_dict(saved_states['net']); print(step, loss)"
    result = flambeau("--load-session", "kept.pt", "-c", code, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("2 tensor(")


def test_unmet_expectations_are_status_three_and_name_the_cell(tmp_path: Path) -> None:
    result = flambeau(
        "--expect", "peak<1MiB", "--expect", "no-nan", "--log", str(tmp_path / "log"),
        "-c", "x = torch.log(-torch.ones(2))",
    )  # fmt: skip
    assert result.returncode == 3
    assert "expected no-nan. NaN came up: cell 1 in log." in result.stderr
    assert "expected peak<1MiB. Got" in result.stderr
    assert len(json.loads((tmp_path / "log").read_text().splitlines()[-1])["failures"]) == 2


def test_several_processes_find_one_another_and_lines_bear_their_rank(tmp_path: Path) -> None:
    (tmp_path / "sum.py").write_text(
        "import sys\nimport torch.distributed as dist\ndist.init_process_group()\n"
        "x = torch.tensor([dist.get_rank() + 1.0])\ndist.all_reduce(x)\n"
        "print(x.item(), *sys.argv[1:])\n"
    )
    result = flambeau("--processes", "2", "sum.py", "--lr", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = sorted(result.stdout.splitlines())
    assert lines == ["[rank0]: 3.0 --lr 1", "[rank1]: 3.0 --lr 1"]


def test_the_time_limit_stops_a_script_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\nprint('here')\ntime.sleep(600)\n")
    result = flambeau("--timeout", "2", "--output", "n.ipynb", "slow.py", cwd=tmp_path)
    assert result.returncode == 124
    assert "time limit of 2 s" in result.stderr
    assert "----> 3 time.sleep(600)" in result.stderr
    (cell,) = json.loads((tmp_path / "n.ipynb").read_text())["cells"]
    assert cell["outputs"][-1]["ename"] == "KeyboardInterrupt"


def test_a_notebook_that_fails_keeps_its_outputs(tmp_path: Path) -> None:
    sources = ["print('one')", "1 / 0", "print('never')"]
    cells = [{"cell_type": "code", "metadata": {}, "source": s} for s in sources]
    (tmp_path / "n.ipynb").write_text(json.dumps({"nbformat": 4, "cells": cells}))
    result = flambeau("--output", "n.ipynb", "n.ipynb", cwd=tmp_path)
    assert result.returncode == 1
    found = json.loads((tmp_path / "n.ipynb").read_text())["cells"]
    assert found[0]["outputs"][0]["text"] == "one\n"
    assert found[1]["outputs"][0]["ename"] == "ZeroDivisionError"
    assert found[2]["outputs"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--expect", "speed<3", "-c", "1"), "expected no-nan, or a limit"),
        (("--timeout", "0", "-c", "1"), "invalid seconds value"),
        (("--log", "/no/such/folder/log", "-c", "1"), "No such file"),
        (("-c",), "expected a FILE"),
    ],
)
def test_options_that_make_no_sense_are_status_two(arguments: tuple[str, ...], words: str) -> None:
    result = flambeau(*arguments)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--load-session", "/no/such.pt", "-c", "1"), ("--clip", "often", "-c", "1")]
)
def test_what_the_kernel_cannot_begin_with_is_status_two(arguments: tuple[str, ...]) -> None:
    result = flambeau(*arguments)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1


Exec = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exec]:
    """`flambeau exec`, beside a session that is served from a folder of its own."""
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path_factory.mktemp("served"))}

    def call(command: str, *arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        return finished(FLAMBEAU, command, *arguments, input=input, env=environment)

    with running(FLAMBEAU, "serve", env=environment, patience=9 * PATIENCE) as server:
        assert server.stdout is not None
        assert "flambeau exec CODE" in server.stdout.readline()
        yield call
        assert call("exec", "--stop").returncode == 0
        assert server.wait() == 0
    assert "no session 'session' answers" in call("exec", "1").stderr


def test_calls_of_exec_share_one_session(served: Exec, tmp_path: Path) -> None:
    assert served("exec", "x = torch.ones(2); print('made')").stdout == "made\n"
    assert served("exec", "-", input="x + 1\n").stdout == "tensor([2., 2.])\n"
    (tmp_path / "cells.py").write_text("# %%\nx += 4\n# %%\nx")
    assert served("exec", "--file", str(tmp_path / "cells.py")).stdout == "tensor([5., 5.])\n"


def test_exec_gives_the_status_of_its_code(served: Exec) -> None:
    failed = served("exec", "1 / 0")
    assert failed.returncode == 1
    assert "ZeroDivisionError" in failed.stderr
    ended = served("exec", "import sys; sys.exit(4)")
    assert (ended.returncode, ended.stderr) == (4, "")
    stopped = served("exec", "--timeout", "1", "import time\ntime.sleep(600)")
    assert stopped.returncode == 124
    assert "KeyboardInterrupt" in stopped.stderr
    assert served("exec", "1 + 1").stdout == "2\n"


def test_a_name_is_served_once(served: Exec) -> None:
    second = served("serve")
    assert second.returncode == 2
    assert "is served already" in second.stderr


def test_a_session_whose_kernel_was_killed_is_told_of(tmp_path: Path) -> None:
    left = {"transport": "ipc", "ip": str(tmp_path / "gone"), "hb_port": 1}
    (tmp_path / "kernel-served-session.json").write_text(json.dumps(left))
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    done = finished(FLAMBEAU, "exec", "1", env=environment)
    assert done.returncode == 2
    assert "no session 'session' answers" in done.stderr
