"""`%export`: a session as a script that runs again, or a notebook with its outputs."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run


def session(run: Run) -> None:
    run("first = 20")
    run("1 / 0")
    run("print('shown'); second = first + 1\nsecond * 2")


def test_a_script_has_the_cells_that_succeeded_and_runs(run: Run, tmp_path: Path) -> None:
    session(run)
    path = tmp_path / "hunt.py"
    assert run(f"%export {path}").endswith(f"to {path}.\n")
    assert "1 / 0" not in path.read_text()
    assert "%export" not in path.read_text()
    assert path.read_text().count("# %%\n") >= 3
    assert runpy.run_path(str(path))["second"] == 21


def test_a_notebook_has_values_prints_and_errors(run: Run, tmp_path: Path) -> None:
    session(run)
    path = tmp_path / "hunt.ipynb"
    run(f"%export --all {path}")
    notebook = json.loads(path.read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "flambeau"
    failed, last = notebook["cells"][-2:]
    assert failed["source"] == ["1 / 0"]
    assert failed["outputs"][-1]["ename"] == "ZeroDivisionError"
    kinds = {o["output_type"]: o for o in last["outputs"]}
    assert kinds["execute_result"]["data"]["text/plain"] == "42"
    assert kinds["execute_result"]["execution_count"] == last["execution_count"]


def test_only_the_cells_asked_for_are_written(run: Run, shell: Any, tmp_path: Path) -> None:
    session(run)
    number = shell.execution_count - 1
    run(f"%export {tmp_path / 'one.py'} -n {number}")
    assert (tmp_path / "one.py").read_text() == (
        "# %%\nprint('shown'); second = first + 1\nsecond * 2\n"
    )


def test_a_file_that_is_there_is_only_written_over_by_force(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "kept.py"
    path.write_text("precious\n")
    assert "is there already" in run(f"%export {path}")
    assert path.read_text() == "precious\n"
    run(f"%export -f {path}")
    assert path.read_text() != "precious\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%export", "required: FILE"),
        ("%export hunt.txt", "expected a name in .py or .ipynb. Got 'hunt.txt'"),
        ("%export /not/there/hunt.py", "cannot be written"),
        ("%export hunt.py -n few", "expected numbers such as 1,4-6. Got 'few'"),
    ],
)
def test_nonsense_is_refused_in_a_line(run: Run, line: str, words: str) -> None:
    assert words in run(line)
