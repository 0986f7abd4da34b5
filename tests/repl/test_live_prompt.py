"""The prompt that stands while a cell runs: typing ahead, looking, interrupting, questions."""

from __future__ import annotations

import termios
from collections.abc import Callable

from .conftest import Open, Terminal

Go = Callable[[], None]


def training(repl: Terminal) -> None:
    """A cell runs for ever, and the prompt stands below it."""
    repl.run(1, "import time; n = 0")
    repl.wait_for("kernel ready")
    repl.line("while True: n == 3 and print('training'); n += 1; time.sleep(0.01)")
    repl.press("enter")
    repl.wait_for("\ntraining", "In [*]:")


def test_what_is_typed_while_a_cell_runs_waits_for_it(terminal: Open, open_gate: Go) -> None:
    repl = terminal()
    repl.run(1, "import gate")
    repl.line("gate.wait(); first = 21")
    repl.wait_for("In [*]:")
    repl.line("first * 2")
    repl.wait_for("1 queued")
    open_gate()
    repl.wait_for("In [3]: first * 2", "Out[3]: 42", "In [4]:")


def test_looks_are_answered_while_the_cell_runs(terminal: Open) -> None:
    repl = terminal()
    training(repl)
    repl.line("%peek 'seen %d' % (n > 0)")
    repl.wait_for("'seen 1'")
    repl.line("torch.relu?")
    repl.wait_for("max(input, 0)", "In [*]:")
    repl.type("torch.log1")
    repl.wait_for("log1p_")
    repl.press("C-c")
    repl.wait_for("KeyboardInterrupt", "In [3]: torch.log1")


def test_an_interrupt_gives_back_what_waited(terminal: Open) -> None:
    repl = terminal()
    training(repl)
    repl.line("print('never')")
    repl.wait_for("1 queued")
    repl.type("half a thought")
    repl.wait_for("In [*]: half a thought")
    repl.press("C-c")
    repl.wait_for("KeyboardInterrupt", "In [3]: print('never')", "...: half a thought")
    assert "\nnever" not in repl.text


def test_output_never_lets_the_terminal_echo_keys_or_swallow_ctrl_d(
    terminal: Open, open_gate: Go
) -> None:
    repl = terminal()
    repl.run(1, "import time, gate")
    repl.line("for k in range(100): print('row', k); time.sleep(0.01); gate.wait(k == 80)")
    repl.press("enter")
    repl.wait_for("In [*]:")
    modes = set()
    for row in (80, 99):
        lives = True
        while lives:
            modes.add(termios.tcgetattr(repl.process.child_fd)[3] & (termios.ECHO | termios.ICANON))
            lives = f"\nrow {row}" not in repl.text and repl.feed()
        open_gate()
    assert modes == {0}
    repl.wait_for("\nrow 99", "In [3]:")


def test_a_progress_bar_moves_above_the_prompt(terminal: Open, open_gate: Go) -> None:
    repl = terminal()
    repl.run(1, "import time, gate")
    repl.line(
        "for k in range(90): print(f'\\rbar {k}', end=''); time.sleep(.01); gate.wait(k == 80)"
    )
    repl.press("enter")
    repl.wait_for("bar", "In [*]:")
    repl.type("typed meanwhile")
    repl.wait_for("\nbar 80", "In [*]: typed meanwhile")
    open_gate()
    repl.wait_for("\nbar 89", "In [3]: typed meanwhile")
    assert repl.text.count("\nbar") == 1


def test_a_bar_that_erases_its_row_moves_above_the_prompt(terminal: Open, open_gate: Go) -> None:
    repl = terminal()
    repl.run(1, "import time, gate; bar = '\\r\\x1b[2K\\x1b[91mbar\\x1b[0m'")
    repl.line("for k in range(90): print(bar, k, end=''); time.sleep(.01); gate.wait(k==80)")
    repl.press("enter")
    repl.wait_for("\nbar", "In [*]:", "kernel busy")
    repl.wait_for("\nbar 80", "In [*]:")
    open_gate()
    repl.wait_for("\nbar 89", "In [3]:")
    assert repl.text.count("\nbar") == 1


def test_output_is_cleared_above_the_prompt(terminal: Open, open_gate: Go) -> None:
    repl = terminal()
    repl.run(1, "import gate; from IPython.display import clear_output")
    repl.line("for k in range(9): print('step', k); gate.wait(k > 3); clear_output(wait=True)")
    repl.press("enter")
    repl.wait_for("\nstep 4", "In [*]:", absent="\nstep 3")
    open_gate()
    repl.wait_for("\nstep 8", "In [3]:", absent="\nstep 7")


def test_a_question_of_the_cell_comes_before_the_draft_and_leaves_it_whole(
    terminal: Open, open_gate: Go
) -> None:
    repl = terminal()
    repl.run(1, "import gate")
    repl.line("gate.wait(); name = input('your name? ')")
    repl.wait_for("In [*]:")
    repl.type("'hello ' + na")
    repl.wait_for("In [*]: 'hello ' + na")
    open_gate()
    repl.wait_for("\nyour name?", absent="In [*]:")
    repl.type("Ada")
    repl.press("enter")
    repl.wait_for("In [3]: 'hello ' + na")
    repl.type("me")
    repl.press("escape", "enter")
    repl.wait_for("Out[3]: 'hello Ada'")


def test_leaving_while_a_cell_runs_is_asked_first(terminal: Open) -> None:
    repl = terminal()
    training(repl)
    repl.press("C-d")
    repl.wait_for("A cell is running. Stop it and leave?")
    repl.type("n")
    repl.wait_for("In [*]:")
    repl.press("C-d")
    repl.wait_for("Stop it and leave?")
    repl.type("y")
    assert repl.wait_for_end() == 0
