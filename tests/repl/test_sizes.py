"""The prompt in small, large and wide-lettered terminals."""

from __future__ import annotations

import pytest

from .conftest import Open

LINE = "x = torch.tensor(2.0, requires_grad=True); y = x**2 + 3*x; y.backward(); x.grad"


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (50, 200), (12, 40)])
def test_a_session_reads_the_same_at_every_size(terminal: Open, rows: int, columns: int) -> None:
    repl = terminal(size=(rows, columns))
    repl.wait_for("In [1]:")
    repl.type(LINE)
    repl.press("enter")
    repl.wait_for("Out[1]: tensor(7.)", "In [2]:")
    repl.wait_for("kernel ready")
    assert all(len(row) <= columns for row in repl.screen.display)
    repl.line("1 / 0")
    repl.wait_for("ZeroDivisionError: division by zero", "In [3]:")


def test_wide_letters_keep_the_columns(terminal: Open) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.type("'学習率', 'naïve', '損失'")
    repl.press("enter")
    repl.wait_for("Out[1]: ('学習率', 'naïve', '損失')", "In [2]:")
    repl.run(2, "print('損失' * 2 + '|')", "\n損失損失|")


def test_a_dumb_terminal_gets_plain_text(terminal: Open) -> None:
    repl = terminal(TERM="dumb")
    repl.wait_for("In [1]:")
    repl.type(LINE + "\r")
    repl.wait_for("Out[1]: tensor(7.)")
    assert "\x1b" not in repl.text
