"""The kernel as front ends see it: names, results, errors, interrupts, input, magics."""

from __future__ import annotations

import pytest

from .conftest import PATIENCE, LiveKernel


def test_the_three_lines_print_seven(kernel: LiveKernel) -> None:
    kernel.run("x = torch.tensor(2.0, requires_grad=True); y = x**2 + 3*x; y.backward()")
    assert kernel.run("x.grad").text == "tensor(7.)"


def test_the_runtime_is_there_by_all_its_names(kernel: LiveKernel) -> None:
    found = kernel.run("[torch.__name__, nn.__name__, F.__name__, optim.__name__]").text
    assert found == "['flambeau', 'flambeau.nn', 'flambeau.nn.functional', 'flambeau.optim']"


def test_starting_names_do_not_crowd_who(kernel: LiveKernel) -> None:
    assert "torch" not in kernel.run("%who").stdout


def test_import_torch_finds_the_runtime(kernel: LiveKernel) -> None:
    code = (
        "import torch as t, torch.nn.functional as tf\n"
        "from torch.utils.data import DataLoader\n"
        "from torch import optim as o\n"
        "import flambeau\n"
        "t is flambeau and tf is flambeau.nn.functional and o is flambeau.optim"
    )
    assert kernel.run(code).text == "True"


def test_a_module_that_the_runtime_lacks_is_named(kernel: LiveKernel) -> None:
    error = kernel.run("import torch.nothing").error
    assert error is not None
    assert error["ename"] == "ModuleNotFoundError"
    assert "flambeau.nothing" in error["evalue"]


def test_tensors_are_displayed_with_their_facts(kernel: LiveKernel) -> None:
    (data,) = kernel.run("torch.ones(2, 3, requires_grad=True) * 2").data
    html = data["text/html"]
    for fact in ("2×3", "torch.float32", "cpu", "MulBackward0"):
        assert fact in html
    assert data["text/plain"].startswith("tensor([[2., 2., 2.],")


def test_parameters_without_a_shape_are_displayed_too(kernel: LiveKernel) -> None:
    (data,) = kernel.run("torch.nn.LazyLinear(3).weight").data
    assert "UninitializedParameter · no shape yet · torch.float32 · cpu" in data["text/html"]
    assert data["text/plain"] == "<UninitializedParameter>"


def test_long_tensors_are_summarized(kernel: LiveKernel) -> None:
    (data,) = kernel.run("torch.arange(1_000_000.0)").data
    assert data["text/plain"] == (
        "tensor([0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 1.0000e+06, 1.0000e+06,\n"
        "        1.0000e+06])"
    )
    assert "0 to 1e+06, mean 5e+05" in data["text/html"]
    assert len(data["text/html"]) < 5000


def test_values_that_look_like_markup_are_escaped(kernel: LiveKernel) -> None:
    (data,) = kernel.run("torch.ones(1, requires_grad=True).exp()").data
    assert "grad_fn=&lt;ExpBackward0&gt;" in data["text/html"]


def test_tracebacks_end_at_the_users_line(kernel: LiveKernel) -> None:
    found = kernel.run("a = torch.ones(2, 3)\nb = torch.ones(2, 3)\na @ b")
    assert found.error is not None
    assert found.error["ename"] == "ShapeError"
    assert "----> 3 a @ b" in found.traceback
    assert "runtime" not in found.traceback
    assert "<flambeau" not in found.traceback


def test_verbose_tracebacks_show_our_frames_too(kernel: LiveKernel) -> None:
    kernel.run("%xmode Verbose")
    assert "flambeau" in kernel.run("torch.ones(2) @ torch.ones(3)").traceback
    kernel.run("%xmode Context")


def test_missing_cuda_is_explained(kernel: LiveKernel) -> None:
    found = kernel.run("torch.ones(1).cuda() if not torch.cuda.is_available() else 1 / 0")
    assert found.error is not None
    assert "device" in found.error["evalue"].lower() or "division" in found.error["evalue"]


TRAINING = """
net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
sgd = optim.SGD(net.parameters(), lr=0.01)
steps = 0
while True:
    sgd.zero_grad()
    F.cross_entropy(net(torch.randn(64, 64)), torch.randint(0, 10, (64,))).backward()
    sgd.step()
    steps += 1
    if steps == 1:
        print("training")
"""


def test_an_interrupt_stops_training_and_leaves_the_session_usable(kernel: LiveKernel) -> None:
    cell = kernel.send(TRAINING)
    kernel.wait_for_output(cell, "training")
    kernel.manager.interrupt_kernel()
    found = kernel.outcome(cell)
    assert found.error is not None
    assert found.error["ename"] == "KeyboardInterrupt"
    assert kernel.run("steps > 0, all(p.isfinite().all() for p in net.parameters())").text == (
        "(True, True)"
    )
    kernel.run("F.cross_entropy(net(torch.randn(4, 64)), torch.zeros(4).long()).backward()")
    assert kernel.run("net[0].weight.grad is not None").text == "True"


def test_an_interrupt_by_message_stops_a_cell(kernel: LiveKernel) -> None:
    cell = kernel.send("import time\nprint('sleeping')\ntime.sleep(600)")
    kernel.wait_for_output(cell, "sleeping")
    client = kernel.client
    client.control_channel.send(client.session.msg("interrupt_request", {}))
    assert client.get_control_msg(timeout=PATIENCE)["content"]["status"] == "ok"
    found = kernel.outcome(cell)
    assert found.error is not None
    assert found.error["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize("name", ["should_handle", "init_metadata", "finish_metadata"])
def test_an_interrupt_before_or_behind_the_code_of_a_cell_leaves_its_reply(
    kernel: LiveKernel, name: str
) -> None:
    kernel.run(
        "import signal\nhost = get_ipython().kernel\n"
        f"def pressed(*args, own=host.{name}):\n"
        f"    vars(host).pop('{name}', None)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    return own(*args)"
    )
    reply = kernel.run(f"host.{name} = pressed; ran = False").reply
    comes_before = name != "finish_metadata"
    if comes_before:  # in the next cell, which ends before its first line
        reply = kernel.run("ran = True").reply
    assert reply.get("ename") == ("KeyboardInterrupt" if comes_before else None)
    assert kernel.run("ran").text == "False"


def test_an_interrupt_stops_code_behind_an_await(kernel: LiveKernel) -> None:
    cell = kernel.send("import asyncio\nawait asyncio.sleep(0)\nprint('on')\nwhile True: pass")
    kernel.wait_for_output(cell, "on")
    kernel.manager.interrupt_kernel()
    assert kernel.outcome(cell).reply["ename"] == "KeyboardInterrupt"
    assert kernel.run("1 + 1").text == "2"


def test_input_asks_the_front_end(kernel: LiveKernel) -> None:
    cell = kernel.send("print('hello', input('name? '))", allow_stdin=True)
    question = kernel.client.get_stdin_msg(timeout=PATIENCE)
    assert question["content"]["prompt"] == "name? "
    kernel.client.input("Ada")
    assert kernel.outcome(cell).stdout == "hello Ada\n"


def test_completion_knows_live_objects(kernel: LiveKernel) -> None:
    kernel.run("my_tensor = torch.ones(2)")
    client = kernel.client
    for code, expected in (("my_ten", "my_tensor"), ("my_tensor.requires_gr", "requires_grad_")):
        content = kernel.reply(client.complete(code))
        assert any(m.endswith(expected) for m in content["matches"])


def test_inspection_shows_signature_and_source(kernel: LiveKernel) -> None:
    client = kernel.client
    text = kernel.reply(client.inspect("torch.relu"))["data"]["text/plain"]
    assert "max(input, 0)" in text
    assert "Tensor" in text
    source = kernel.reply(client.inspect("torch.relu", detail_level=1))["data"]["text/plain"]
    assert "@pointwise" in source


def test_the_graph_is_drawn_for_notebooks(kernel: LiveKernel) -> None:
    kernel.run("w = torch.ones(3, requires_grad=True)")
    (data,) = kernel.run("%graph (w * 2).sum()").data
    assert data["image/svg+xml"].startswith("<svg")
    assert "w 3" in data["text/plain"]


def test_all_magics_are_there(kernel: LiveKernel) -> None:
    kernel.run("w = torch.ones(3, requires_grad=True)")
    assert "SumBackward0" in kernel.run("%%trace\nw.sum().backward()").text
    assert "sum" in kernel.run("%%profile\nw.sum().backward()").text
    assert "Clipping" in kernel.run("%clip 1.0").stdout
    assert "off" in kernel.run("%clip off").stdout
    kernel.run("torch.ones(1_000_000)")
    assert "came back" in kernel.run("%free").stdout
    assert "UsageError" in kernel.run("%graph --nothing").stderr


def test_free_lets_go_of_displayed_results(kernel: LiveKernel) -> None:
    kernel.run("import weakref; kept = torch.ones(10); seen = weakref.ref(kept); kept")
    kernel.run("del kept")
    assert kernel.run("seen() is None").text == "False"
    kernel.run("%free")
    assert kernel.run("seen() is None").text == "True"


def test_data_loader_workers_serve_classes_typed_at_the_prompt(kernel: LiveKernel) -> None:
    code = (
        "from flambeau.utils.data import DataLoader, Dataset\n"
        "class Squares(Dataset):\n"
        "    def __len__(self): return 6\n"
        "    def __getitem__(self, k): return k * k\n"
        "[b.tolist() for b in DataLoader(Squares(), 2, num_workers=1)]"
    )
    found = kernel.run(code)
    assert found.text == "[[0, 1], [4, 9], [16, 25]]"
    assert found.stderr == ""


def test_a_progress_bar_around_a_data_loader_shows_one_line(kernel: LiveKernel) -> None:
    pytest.importorskip("tqdm")
    code = (
        "from tqdm import tqdm\n"
        "from flambeau.utils.data import DataLoader\n"
        "sum(b.sum().item() for b in tqdm(DataLoader(range(10), 2, num_workers=1), ascii=True))"
    )
    found = kernel.run(code)
    assert found.text == "45"
    assert found.stderr.count("\n") == 1
    assert "100%|##########| 5/5 [" in found.stderr.split("\r")[-1]


@pytest.mark.parametrize("code", ["import sys; sys.exit(3)", "raise SystemExit"])
def test_the_kernel_survives_an_exit_in_a_cell(kernel: LiveKernel, code: str) -> None:
    kernel.run(code)
    assert kernel.run("1 + 1").text == "2"


def test_an_error_explains_itself_in_one_message(kernel: LiveKernel) -> None:
    kernel.run("first = torch.ones(4, 3); second = torch.ones(5, 3)")
    found = kernel.run("first @ second")
    assert "would work: second.mT" in found.traceback
    assert found.data == []
    assert found.stdout == found.stderr == ""
    assert found.reply["traceback"] == found.error["traceback"]  # type: ignore[index]
