"""The REPL in a terminal: what a person types and sees."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from flambeau.kernel.launch import manager
from flambeau.repl.application import PROMPT_RETURNS

from .conftest import Open, wait_until_gone


def test_the_three_lines_print_seven(terminal: Open) -> None:
    repl = terminal()
    line = "x = torch.tensor(2.0, requires_grad=True); y = x**2 + 3*x; y.backward(); x.grad"
    repl.run(1, line, "Out[1]: tensor(7.)")


def test_the_prompt_stands_before_the_kernel_is_ready_and_keeps_what_is_typed(
    terminal: Open,
) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    assert "kernel ready" not in repl.text
    repl.line("6 * 7")
    repl.wait_for("Out[1]: 42", "In [2]:")


def test_blocks_are_indented_and_run_after_a_blank_line(terminal: Open) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.line("for k in range(3):")
    repl.wait_for("...:")
    repl.line("print('row', k * 10)")
    repl.press("enter")
    repl.wait_for("row 0", "row 10", "row 20", "In [2]:")


def test_code_is_coloured_as_it_is_typed(terminal: Open) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.type("def answer(): return 42")
    repl.wait_for("return 42")
    assert repl.colours("def") != repl.colours("answer")
    assert repl.colours("return") == repl.colours("def")


def test_without_colour_nothing_is_coloured(terminal: Open) -> None:
    repl = terminal(NO_COLOR="1")
    repl.run(1, "1 / 0", "ZeroDivisionError")
    assert repl.colours("ZeroDivisionError") == {"default"}


def test_completion_comes_while_typing_and_tab_takes_it(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "my_favourite_tensor = torch.ones(2)")
    repl.wait_for("kernel ready")
    repl.type("my_fav")
    repl.wait_for("my_favourite_tensor  Tensor (2,) float32 cpu")
    repl.press("tab")
    repl.type(".sum()")
    repl.wait_for("In [2]: my_favourite_tensor.sum()")
    repl.press("escape", "enter")
    repl.wait_for("Out[2]: tensor(2.)")


def test_help_and_source_are_shown(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "torch.relu?", "Signature: torch.relu(input: 'Tensor')", "max(input, 0)")
    repl.run(2, "torch.relu??", "@pointwise")


def test_errors_are_coloured_and_end_at_the_users_line(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "torch.ones(2) @ torch.ones(3)", "ShapeError: matmul", "----> 1")
    assert repl.colours("ShapeError") != {"default"}
    assert "runtime" not in repl.text


def test_output_is_streamed_while_the_cell_runs(terminal: Open) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.line("import time; print('now'); time.sleep(600)")
    repl.wait_for("\nnow")
    assert "In [2]:" not in repl.text
    repl.press("C-c")
    repl.wait_for("KeyboardInterrupt", "In [2]:")


def test_input_is_asked_for_in_place(terminal: Open) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.line("name = input('your name? ')")
    repl.wait_for("\nyour name?")
    repl.type("Ada")
    repl.press("enter")
    repl.wait_for("In [2]:")
    repl.run(2, "'hello ' + name", "Out[2]: 'hello Ada'")


def test_passwords_are_not_shown(terminal: Open) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.line("import getpass; secret = getpass.getpass('key: ')")
    repl.wait_for("\nkey:")
    repl.type("hunter2")
    repl.wait_for("*******")
    repl.press("enter")
    repl.wait_for("In [2]:")
    assert "hunter2" not in repl.text
    repl.run(2, "len(secret)", "Out[2]: 7")


def test_a_password_stays_hidden_when_the_prompt_would_have_come_back(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "import getpass")
    repl.wait_for("kernel ready")
    repl.line("secret = getpass.getpass('key: ')")
    repl.wait_for("\nkey:")
    ends = time.monotonic() + 3 * PROMPT_RETURNS
    while time.monotonic() < ends:  # the terminal once went back to echoing by then
        repl.feed()
    repl.type("hunter2")
    repl.wait_for("*******")
    assert "hunter2" not in repl.text
    repl.press("enter")
    repl.run(3, "len(secret)", "Out[3]: 7")


def test_an_interrupt_stops_training_and_keeps_the_session(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "net = nn.Linear(50, 50); sgd = optim.SGD(net.parameters(), lr=0.1); n = 0")
    repl.line("while True:")
    repl.line("net(torch.randn(9, 50)).mean().backward(); sgd.step(); n += 1; print('training')")
    repl.press("enter")
    repl.wait_for("\ntraining")
    repl.press("C-c")
    repl.wait_for("KeyboardInterrupt", "In [3]:")
    repl.run(3, "n > 0 and bool(net.weight.isfinite().all())", "Out[3]: True")


def test_ctrl_c_at_the_prompt_clears_the_line(terminal: Open) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.type("half a thou")
    repl.wait_for("half a thou")
    repl.press("C-c")
    repl.wait_for("In [1]:", absent="half a thou")
    repl.run(1, "1 + 1", "Out[1]: 2")


def test_ctrl_d_leaves_and_takes_the_kernel_along(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "import os; print('kernel', os.getpid())", "\nkernel ")
    pid = int(repl.text.split("\nkernel ")[1].split()[0])
    os.kill(pid, 0)
    repl.press("C-d")
    assert repl.wait_for_end() == 0
    wait_until_gone(pid)


def test_a_dead_kernel_is_reported_and_restarted_on_request(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "kept = 1")
    repl.line("import os; os.kill(os.getpid(), 9)")
    repl.wait_for("The kernel was killed by SIGKILL.", "Start a new kernel?")
    repl.type("y")
    repl.wait_for("Run the cell of this session again in it?")
    repl.type("n")
    repl.wait_for("In [1]:")
    repl.run(1, "'kept' in globals()", "Out[1]: False")


def test_history_is_found_again_in_the_next_session(terminal: Open) -> None:
    first = terminal()
    first.run(1, "remarkable = 1234", "In [2]:")
    first.press("C-d")
    first.wait_for_end()
    second = terminal()
    second.wait_for("In [1]:")
    second.press("up")
    second.wait_for("In [1]: remarkable = 1234")
    second.press("C-c")
    second.wait_for("In [1]:", absent="remarkable")
    second.press("C-r")
    second.type("mark")
    second.wait_for("remarkable = 1234")


def test_the_graph_is_text_in_a_terminal(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "w = torch.ones(3, requires_grad=True)")
    repl.run(2, "%graph (w * 2).sum()", "2 operations, 1 leaf", "●  mul  3  ← w 3")


def test_it_attaches_to_a_running_kernel_and_leaves_it_running(terminal: Open) -> None:
    running = manager()
    running.start_kernel()
    client: Any = running.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        client.execute("shared = 41", reply=True, timeout=60)
        repl = terminal("--existing", running.connection_file)
        repl.wait_for("In [")
        repl.line("shared + 1")
        repl.wait_for(": 42")
        repl.press("C-d")
        assert repl.wait_for_end() == 0
        assert running.is_alive()
        client.execute("shared", reply=True, timeout=60)
    finally:
        client.stop_channels()
        running.shutdown_kernel(now=True)


def test_no_kernel_to_attach_to_is_said(terminal: Open, tmp_path: Path) -> None:
    repl = terminal("--existing", "nothing-of-the-kind")
    repl.wait_for("no connection file matches 'nothing-of-the-kind'")


def test_the_command_line_knows_its_version_and_its_options(terminal: Open) -> None:
    repl = terminal("--version")
    repl.wait_for("flambeau 0.")
    assert repl.wait_for_end() == 0
    repl = terminal("--nothing")
    repl.wait_for("unrecognized arguments: --nothing")
    assert repl.wait_for_end() == 2


def test_a_hangup_takes_the_kernel_along(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "import os; print('kernel', os.getpid())", "\nkernel ")
    pid = int(repl.text.split("\nkernel ")[1].split()[0])
    repl.process.kill(signal.SIGHUP)
    repl.wait_for_end()
    wait_until_gone(pid)


@pytest.mark.parametrize("word", ["exit", "quit", "exit()"])
def test_farewells_leave(terminal: Open, word: str) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.line(word)
    assert repl.wait_for_end() == 0


def test_a_result_of_many_screens_is_shown_but_for_its_middle(terminal: Open) -> None:
    repl = terminal(PAGER="cat")
    repl.run(1, "list(range(999))", "... 973 more lines; %page _ shows them all", " 998]")
    assert "\n 500," not in repl.text
    repl.run(2, "len(_)", "Out[2]: 999")


def test_doctest_prompts_may_be_pasted(terminal: Open) -> None:
    repl = terminal()
    repl.wait_for("In [1]:")
    repl.type("\x1b[200~>>> total = 0\n>>> for k in range(4):\n...     total += k\x1b[201~")
    repl.wait_for("total += k")
    repl.press("enter", "enter")
    repl.run(2, "total", "Out[2]: 6")
