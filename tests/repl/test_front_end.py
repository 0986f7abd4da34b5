"""Commands of the front end: settings, kernels that are left, found again and replayed."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

from flambeau.repl.kernel_list import running_kernels

from .conftest import Open, Terminal, wait_until_gone


def kernel_pid(repl: Terminal) -> int:
    repl.run(1, "import os; print('kernel', os.getpid())", "\nkernel ")
    return int(repl.text.split("\nkernel ")[1].split()[0])


def test_settings_are_shown_changed_and_kept(terminal: Open, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    repl = terminal(FLAMBEAU_CONFIG=str(path))
    repl.wait_for("In [1]:")
    repl.line("%config repl.editing_mode")
    repl.wait_for('\nediting_mode = "emacs"')
    repl.line("%config repl.editing_mode = vim")
    repl.wait_for("expected emacs or vi. Got 'vim'.")
    repl.line("%config repl.editing_mode = vi")
    repl.line("%config repl")
    repl.wait_for('\nediting_mode = "vi"', "\nhints = true")
    assert path.read_text() == '[repl]\nediting_mode = "vi"\n'


def test_the_cursor_tells_the_mode_of_vi_keys(terminal: Open, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[repl]\nediting_mode = "vi"\n')
    repl = terminal(FLAMBEAU_CONFIG=str(path))
    repl.process.logfile_read = sent = io.BytesIO()
    repl.wait_for("In [1]:")
    repl.type("6 * 7 + 1")
    repl.wait_for("6 * 7 + 1")
    assert b"\x1b[6 q" in sent.getvalue()  # a beam: inserting
    repl.press("escape")
    repl.type("bhD")  # to the sign and before it, and away with the rest
    repl.wait_for("In [1]: 6 * 7", absent="+ 1")
    assert b"\x1b[2 q" in sent.getvalue()  # a block: moving
    repl.press("enter")
    repl.wait_for("Out[1]: 42")


def test_a_theme_that_is_not_there_is_refused_and_one_that_is_colours(terminal: Open) -> None:
    repl = terminal(FLAMBEAU_CONFIG=os.devnull + "-not-there")
    repl.wait_for("In [1]:")
    repl.line("%config repl.theme = rainbow")
    repl.wait_for("Got 'rainbow'")
    repl.line("%config repl.theme = monokai")
    repl.type("def f(): return 1")
    repl.wait_for("return 1")
    repl.wait_for_colours("return", {"5fd7ff"})  # monokai's 66d9ef among 256 colours


def test_a_kernel_that_is_left_is_found_again(terminal: Open) -> None:
    repl = terminal()
    pid = kernel_pid(repl)
    repl.run(2, "kept = 41", "In [3]:")
    repl.line("%detach")
    repl.wait_for("The kernel runs on: flambeau --existing")
    name = re.search(r"--existing (\w+)", repl.text).group(1)  # type: ignore[union-attr]
    assert repl.wait_for_end() == 0
    assert name in [kernel.name for kernel in asyncio.run(running_kernels())]
    again = terminal("--existing", name)
    again.wait_for("In [3]:")
    again.run(3, "kept + 1", "Out[3]: 42")
    again.line("exit")
    again.wait_for_end()
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)


def test_training_outlasts_its_terminal(terminal: Open, open_gate: Callable[[], None]) -> None:
    repl = terminal()
    pid = kernel_pid(repl)
    repl.line("import gate; print('training'); gate.wait(); os.kill(os.getpid(), 9)")
    repl.wait_for("\ntraining", "In [*]:")
    repl.process.kill(signal.SIGHUP)
    repl.wait_for_end()
    os.kill(pid, 0)
    open_gate()
    wait_until_gone(pid)  # by its own last line


def test_a_cell_that_asks_ends_with_its_terminal(terminal: Open) -> None:
    repl = terminal()
    pid = kernel_pid(repl)
    repl.line("name = input('your name? ')")
    repl.wait_for("\nyour name?")
    repl.process.kill(signal.SIGHUP)
    repl.wait_for_end()
    wait_until_gone(pid)


def test_an_idle_kernel_ends_with_a_front_end_that_was_killed(terminal: Open) -> None:
    repl = terminal()
    pid = kernel_pid(repl)
    repl.process.kill(signal.SIGKILL)
    repl.wait_for_end()
    wait_until_gone(pid)


def test_the_cells_of_a_dead_kernel_are_run_again(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "import os; first = 40")
    repl.run(2, "second = first + 2")
    repl.wait_for("In [3]:")
    repl.line("os.kill(os.getpid(), 9)")
    repl.wait_for("Start a new kernel?")
    repl.type("y")
    repl.wait_for("Run the 2 cells of this session again in it?")
    repl.type("y")
    repl.run(3, "second", "Out[3]: 42")


def test_another_kernel_is_taken_up_while_the_first_runs_on(terminal: Open) -> None:
    repl = terminal()
    pid = kernel_pid(repl)
    repl.line("%kernel new")
    repl.run(1, "'os' in globals()", "Out[1]: False")
    os.kill(pid, 0)
    repl.line("%kernels")
    repl.wait_for("\n* ", "\n  ")
    os.kill(pid, signal.SIGKILL)


def test_cells_are_searched_by_pieces(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "remarkable = 1234", "In [2]:")
    repl.run(2, "other = 4321", "In [3]:")
    repl.press("C-r")
    repl.type("rmk 12")
    repl.wait_for("❯ remarkable = 1234", absent="❯ other")
    repl.press("enter")
    repl.wait_for("In [3]: remarkable = 1234")


def test_the_call_at_the_cursor_is_explained(terminal: Open) -> None:
    repl = terminal()
    repl.wait_for("kernel ready")
    repl.type("nn.Linear(3, ")
    repl.wait_for("Linear(in_features, out_features, bias=True")


def test_faults_and_shapes_are_shown_before_the_cell_runs(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "lin = nn.Linear(100, 10); x = torch.randn(32, 128)", "In [2]:")
    repl.wait_for("kernel ready")
    repl.type("y = x.T")
    repl.wait_for("y (128, 32) float32")
    repl.type("\x0fh = lin(x)")
    repl.wait_for("expected input with 100 features", "Got input (32, 128)")
    row = next(k for k, text in enumerate(repl.screen.display) if "h = lin(x)" in text)
    start = repl.screen.display[row].index("lin(x)")
    assert all(repl.screen.buffer[row][k].underscore for k in range(start, start + len("lin(x)")))
    assert "Traceback" not in repl.text
