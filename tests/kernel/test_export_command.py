"""`flambeau export`: models of files as ONNX."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flambeau.repl.cli import main

from .. import programs

onnxruntime = pytest.importorskip("onnxruntime")

SOURCE = """
import torch
from torch import nn

class Scores(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.linear = nn.Embedding(10, 4), nn.Linear(4, 3)

    def forward(self, ids, mask=None):
        x = self.embedding(ids)
        return self.linear(x if mask is None else x * mask.unsqueeze(-1)).sum(1)
"""


def export(folder: Path, *words: str) -> tuple[int, str, str]:
    """Status, output and errors of the command on a file with a model."""
    (folder / "model.py").write_text(SOURCE)
    command = [sys.executable, "-m", "flambeau.repl.cli", "export", *words]
    done = programs.finished(*command, cwd=folder)
    return done.returncode, done.stdout, done.stderr


def test_a_class_of_a_file_is_written_with_open_sizes_and_compared(tmp_path: Path) -> None:
    status, out, err = export(
        tmp_path, "model.py:Scores", "--input", "ids=n,t:int64", "--input", "mask=n,t",
        "-o", "scores.onnx", "-o", "scores.ort",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert "onnxruntime agrees to" in out
    assert "scores.ort: " in out
    session = onnxruntime.InferenceSession(tmp_path / "scores.onnx")
    assert [(i.name, i.shape) for i in session.get_inputs()] == [
        ("ids", ["n", "t"]), ("mask", ["n", "t"])
    ]  # fmt: skip


def test_a_name_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    status, out, err = export(tmp_path, "model.py:scores", "--input", "2,3:int64")
    assert (status, out) == (2, "")
    assert err == "flambeau export: model.py has no scores. It has Scores.\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none.py:net"], "Found nothing at none.py"),
        (["model.py"], "expected FILE:NAME"),
    ],
)
def test_what_cannot_be_read_has_status_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *words]) == 2
    assert told in capsys.readouterr().err
