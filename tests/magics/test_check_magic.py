"""`%check` and `%%check` in a shell."""

from __future__ import annotations


def test_a_checked_cell_is_told_about_and_not_run(run):
    told = run("%%check\nx = torch.ones(2, 3)\ny = x @ x\nmade = 1")
    assert "line 3: error: matmul" in told
    assert "x.mT" in told
    assert "NameError" in run("made")


def test_the_cell_before_is_checked_when_none_is_named(run):
    run("a = torch.ones(2, 3)")
    run("b = a + torch.ones(2, 4)")
    assert "line 1: error: add" in run("%check")


def test_a_file_is_checked_with_the_names_of_the_session(run, tmp_path):
    run("layer = nn.Linear(3, 4)")
    file = tmp_path / "cell.py"
    file.write_text("z = layer(torch.ones(2, 5))\n")
    assert "line 1: error" in run(f"%check {file}")
    assert "Nothing found." in run("%%check\nz = layer(torch.ones(2, 3))")
    assert "expected a Python file" in run("%check no_such_file.py")


def test_shapes_are_shown_when_asked_for(run):
    assert "2 | h: (2, 4) float32" in run("%%check -s\nh = torch.ones(2, 3) @ torch.ones(3, 4)")
