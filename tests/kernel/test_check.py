"""`flambeau check` on scripts and notebooks."""

from __future__ import annotations

import json

from flambeau.repl.cli import main

GOOD = "import torch\nx = torch.ones(2, 3)\ny = x @ x.mT\n"
BAD = "import torch\nx = torch.ones(2, 3)\ny = x @ x\n"


def test_a_script_with_an_error_has_status_1_and_its_line(tmp_path, capsys):
    file = tmp_path / "bad.py"
    file.write_text(BAD)
    assert main(["check", str(file)]) == 1
    assert f"{file}:3:5: error: matmul" in capsys.readouterr().out


def test_a_script_without_errors_has_status_0_and_nothing_to_say(tmp_path, capsys):
    file = tmp_path / "good.py"
    file.write_text(GOOD)
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().out == ""


def test_cells_of_a_notebook_are_checked_in_order(tmp_path, capsys):
    sources = ["import torch\n%matplotlib inline", "!ls", "x = torch.ones(2, 3)", "\nx.view(7)"]
    cells = [{"cell_type": "code", "source": [s]} for s in sources]
    file = tmp_path / "book.ipynb"
    file.write_text(json.dumps({"cells": cells, "nbformat": 4}))
    assert main(["check", str(file)]) == 1
    assert f"{file}:cell 4:2:1: error: view" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_has_status_2(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.py")]) == 2
    assert "none.py" in capsys.readouterr().err
