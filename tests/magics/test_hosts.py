"""The same cells say the same in all hosts: plain IPython, the kernel, scripts, the REPL."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.kernel.conftest import LiveKernel
from tests.programs import finished
from tests.repl.conftest import Open, terminal

__all__ = ["terminal"]

Run = Callable[[str], str]

CELLS = (
    ("net = nn.Sequential(nn.Linear(3, 2), nn.Tanh()); x = torch.ones(4, 3)", ""),
    ("%summary net x", "8 parameters, 32 B; for 4×3"),
    ("%graph net x", "← input 0 4×3, net.0.weight 2×3, net.0.bias 2"),
    ("%profile --top 9 net(x).sum().backward()", "results held at most"),
    ("%why net", "net.0.weight, net.0.bias: the gradient is there."),
    ("%mem net", "net.0.weight.grad"),
    ("%plot [1, 2, 3]", "█"),
    ("%clip 1.0 --per layer", "Clipping gradient norm of each layer at 1"),
    ("%trace on", "Tracing is on; no optimizer step yet."),
    ("%trace off", "Tracing is off."),
    ("%seed 3", "Seeded with 3"),
    ("%watch x.sum()", "x.sum() = 12"),
    ("%device", "New tensors are made on cpu."),
    ("%bench 1 + 1", "median"),
    ("%free", "came back"),
    ("%why 3", "UsageError: %why: expected a tensor or a module"),
)
"""Cells, and what must stand in the output of each."""


def test_in_plain_ipython(run: Run) -> None:
    for cell, words in CELLS:
        assert words in run(cell), cell
    run("%clip off")


def test_in_the_kernel() -> None:
    kernel = LiveKernel()
    try:
        for cell, words in CELLS:
            found = kernel.run(cell, stop_on_error=False)
            assert words in found.stdout + found.stderr + found.text, cell
    finally:
        kernel.close()


def test_in_a_script(tmp_path: Path) -> None:
    script = tmp_path / "looks.py"
    script.write_text("\n# %%\n".join(cell for cell, _ in CELLS))
    done = finished(str(Path(sys.executable).with_name("flambeau")), "run", str(script))
    for cell, words in CELLS:
        assert words in done.stdout + done.stderr, cell


def test_in_the_repl(terminal: Open) -> None:
    repl = terminal(size=(60, 160))
    for number, (cell, words) in enumerate(CELLS, 1):
        repl.run(number, cell, *([words] if words else []))
