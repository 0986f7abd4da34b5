"""The parts of the script door that need no kernel: outputs, notebooks, limits, saved sessions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.errors import CheckpointError
from flambeau.kernel import saved_sessions
from flambeau.kernel.cells import Cell
from flambeau.kernel.expectations import expectation
from flambeau.kernel.notebooks import ExecutedNotebook
from flambeau.kernel.outputs import LONGEST_STREAM, Recorder

RECEIPT = {"time": 2.0, "cpu_time": 2.0, "peak": 3 * 2**30, "net": 10, "gpu_peak": None,
           "gpu_net": None, "graph": 7, "tensors": None, "nan": False, "nan_in": []}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("peak<4GiB", ""),
        ("peak<2GiB", "expected peak<2GiB. Got 3,072.0 MiB in cell 1."),
        ("time < 3s", "expected time < 3s. Got 4 s, 2 s of it in cell 1."),
        ("time<=4s", ""),
        ("time<1min", ""),
        ("graph<10", "expected graph<10. Got 14, 7 of it in cell 1."),
        ("graph>=14", ""),
        ("no-nan", ""),
        ("gpu_peak<1GB", "expected gpu_peak<1GB. gpu_peak is not known on this machine."),
    ],
)
def test_expectations_are_held_against_receipts(text: str, failure: str) -> None:
    assert expectation(text).failure([RECEIPT, RECEIPT]) == failure


def test_an_expectation_names_the_cell_with_nan() -> None:
    spoiled = {**RECEIPT, "nan": True, "nan_in": ["log"]}
    found = expectation("no-nan").failure([RECEIPT, spoiled])
    assert found == "expected no-nan. NaN came up: cell 2 in log."


@pytest.mark.parametrize("text", ["peak", "speed<3", "peak<3s", "time<3", "peak<GiB", "nan"])
def test_nonsense_is_no_expectation(text: str) -> None:
    with pytest.raises(ValueError, match="--expect: expected"):
        expectation(text)


def heard(*messages: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    recorder = Recorder()
    for kind, content in messages:
        recorder.hear(kind, content)
    return recorder.outputs


def stream(text: str, name: str = "stdout") -> tuple[str, dict[str, Any]]:
    return "stream", {"name": name, "text": text}


def test_outputs_are_kept_as_a_notebook_keeps_them() -> None:
    plain = {"data": {"text/plain": "1"}, "metadata": {}}
    found = heard(
        stream("a"), stream("b"), stream("!", "stderr"), ("status", {}),
        ("execute_result", {**plain, "execution_count": 3}),
    )  # fmt: skip
    assert found == [
        {"output_type": "stream", "name": "stdout", "text": "ab"},
        {"output_type": "stream", "name": "stderr", "text": "!"},
        {"output_type": "execute_result", **plain, "execution_count": 3},
    ]


def test_displays_are_updated_and_outputs_cleared() -> None:
    first = {"data": {"text/plain": "0%"}, "metadata": {}, "transient": {"display_id": "bar"}}
    second = {**first, "data": {"text/plain": "100%"}}
    (found,) = heard(("display_data", first), ("update_display_data", second))
    assert found["data"] == {"text/plain": "100%"}
    assert heard(stream("a"), ("clear_output", {"wait": False})) == []
    assert heard(stream("a"), ("clear_output", {"wait": True})) != []
    assert heard(stream("a"), ("clear_output", {"wait": True}), stream("b"))[0]["text"] == "b"


def test_a_flood_is_kept_to_its_limit() -> None:
    (found,) = heard(*[stream("x" * 1_000_000)] * 12)
    assert len(found["text"]) == LONGEST_STREAM


def test_an_executed_notebook_keeps_all_else(tmp_path: Path) -> None:
    source = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "other"}, "tags": [1]},
        "cells": [
            {"cell_type": "markdown", "id": "m", "source": "# Titel ü"},
            {"cell_type": "code", "id": "e", "source": [" "], "outputs": [{"old": 1}]},
            {"cell_type": "code", "id": "c", "source": "1", "metadata": {"collapsed": True}},
        ],
    }
    notebook = ExecutedNotebook(json.dumps(source), [Cell("1", 1)])
    notebook.put(0, [{"output_type": "stream", "name": "stdout", "text": "1"}], 1)
    notebook.write(str(tmp_path / "done.ipynb"))
    found = json.loads((tmp_path / "done.ipynb").read_text())
    assert found["metadata"] == source["metadata"]
    assert found["cells"][0]["source"] == "# Titel ü"
    assert found["cells"][1]["outputs"] == []
    assert found["cells"][2]["outputs"][0]["text"] == "1"
    assert found["cells"][2]["metadata"] == {"collapsed": True}
    assert [p.name for p in tmp_path.iterdir()] == ["done.ipynb"]


def test_a_script_becomes_a_notebook_that_nbformat_takes(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    notebook = ExecutedNotebook(None, [Cell("a = 1\na", 1)])
    notebook.put(0, [], 1)
    notebook.write(str(tmp_path / "made.ipynb"))
    nbformat.validate(nbformat.read(tmp_path / "made.ipynb", as_version=4))


def saved(tmp_path: Path, **variables: Any) -> tuple[dict[str, Any], list[str]]:
    path = str(tmp_path / "s.pt")
    left = saved_sessions.save(variables, path)
    return saved_sessions.load(path), left


def test_a_saved_session_brings_back_what_it_can(tmp_path: Path) -> None:
    weight = torch.ones(4, requires_grad=True)
    found, left = saved(
        tmp_path,
        t=weight, view=weight.detach()[:2], a=np.arange(6).reshape(2, 3), n=3, text="ä", none=None,
        nested={"k": [1, (2, np.float64(1).reshape(1))], 3: {1, 2}}, dtype=torch.float16,
    )  # fmt: skip
    assert left == []
    assert found["t"].requires_grad
    assert torch.equal(found["t"], weight)
    assert found["a"].dtype == np.arange(1).dtype
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["nested"]["k"][1][1].tolist() == [1.0]
    assert found["nested"][3] == {1, 2}
    assert (found["n"], found["text"], found["none"]) == (3, "ä", None)
    assert found["dtype"] is torch.float16


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    loop: list[Any] = []
    loop.append(loop)
    objects = np.array([object()])
    found, left = saved(tmp_path, f=len, g=(k for k in ()), loop=loop, o=objects, np=np, x=1)
    assert found == {"x": 1}
    assert left == [
        "f (builtin_function_or_method)", "g (generator)", "loop (list)", "o (ndarray)"
    ]  # fmt: skip


def test_modules_and_optimizers_come_back_as_states(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 1)
    adam = torch.optim.Adam(net.parameters())
    net(torch.ones(2)).sum().backward()
    adam.step()
    found, left = saved(tmp_path, net=net, adam=adam)
    assert left == [
        "net (Linear: only its state, in saved_states)",
        "adam (Adam: only its state, in saved_states)",
    ]
    twin = torch.nn.Linear(2, 1)
    twin.load_state_dict(found["saved_states"]["net"])
    assert torch.equal(twin.weight, net.weight)
    torch.optim.Adam(twin.parameters()).load_state_dict(found["saved_states"]["adam"])


def test_a_loaded_session_goes_on_in_the_random_stream(tmp_path: Path) -> None:
    torch.manual_seed(5)
    saved_sessions.save({}, str(tmp_path / "s.pt"))
    expected = torch.rand(3)
    torch.rand(9)
    saved_sessions.load(str(tmp_path / "s.pt"))
    assert torch.equal(torch.rand(3), expected)


def test_other_files_are_no_sessions(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="Expected a saved session"):
        saved_sessions.load(str(tmp_path / "other.pt"))
    with pytest.raises(ValueError, match="to end in"):
        saved_sessions.save({}, str(tmp_path / "s.pkl"))
