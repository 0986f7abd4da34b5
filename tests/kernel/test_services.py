"""The services of a session in plain Python: cells, facts, completion, inspection, policy."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

import flambeau as torch
from flambeau.kernel import Session
from flambeau.kernel.snapshot import layout_of


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    found = Session()
    yield found
    found.close()


def test_a_session_executes_in_plain_python(session: Session) -> None:
    assert session.execute("x = torch.tensor(2.0, requires_grad=True)").success
    session.execute("y = x**2 + 3*x; y.backward()")
    assert session.execute("x.grad.item()").value == 7.0
    with pytest.raises(ZeroDivisionError):
        session.execute("1 / 0").raise_error()


def test_two_sessions_keep_their_names_apart(session: Session) -> None:
    session.execute("apart = 1")
    other = Session()
    other.execute("apart = 2")
    assert session.namespace["apart"] == 1
    assert other.namespace["apart"] == 2
    other.close()


def test_closing_gives_the_program_its_main_module_back() -> None:
    before = sys.modules["__main__"]
    Session().close()
    assert sys.modules["__main__"] is before


def test_facts_tell_shape_and_the_line_that_made_it(session: Session) -> None:
    session.execute("n = 3\nfor k in range(2):\n    h = torch.ones(n, 4, requires_grad=True)\n")
    facts = session.facts("h")
    assert facts is not None
    assert str(facts) == "Tensor (3, 4) float32 cpu requires_grad"
    assert facts.origin is not None
    assert facts.origin.line == 3
    assert facts.origin.text == "h = torch.ones(n, 4, requires_grad=True)"
    assert session.facts("nothing") is None


def test_an_inner_cell_keeps_the_lines_of_the_outer_one(session: Session) -> None:
    session.execute("%%profile\n\nb = torch.ones(2)\n")
    facts = session.facts("b")
    assert facts is not None
    assert facts.origin is not None
    assert facts.origin.line == 3


def test_a_snapshot_stays_as_it_was_and_keeps_no_tensor(session: Session) -> None:
    session.execute("s = torch.ones(2)")
    before = session.snapshot
    tensor = weakref.ref(session.namespace["s"])
    session.execute("s = torch.ones(5, dtype=torch.float64)")
    gc.collect()
    assert tensor() is None
    assert before["s"].shape == (2,)
    assert session.snapshot["s"].shape == (5,)
    assert session.snapshot["s"].dtype == "torch.float64"
    with pytest.raises(TypeError):
        before["s"] = None  # type: ignore[index]


@pytest.mark.parametrize(
    "change",
    ["w.requires_grad_()", "w = w.to(torch.float64)", "w = w.mT", "w.sum().backward()", "w = 4"],
)
def test_a_snapshot_notices_every_kind_of_change(session: Session, change: str) -> None:
    session.execute("w = torch.ones(2, 3)" + (".requires_grad_()" if "backward" in change else ""))
    before = session.snapshot["w"]
    session.execute(change)
    assert session.snapshot["w"] != before


def test_a_snapshot_is_renewed_while_a_cell_runs(session: Session) -> None:
    session.namespace["go"], session.namespace["told"] = threading.Event(), threading.Event()
    code = "during = torch.ones(7)\ntold.set()\ngo.wait(60)"
    runner = threading.Thread(target=session.execute, args=(code,))
    runner.start()
    session.namespace["told"].wait(60)
    session._photographer.interval = 0.0
    assert session.running
    assert session.snapshot["during"].shape == (7,)
    session.namespace["go"].set()
    runner.join(60)
    assert not session.running


def test_layouts_are_told_apart() -> None:
    image = torch.zeros(2, 3, 4, 5)
    assert layout_of(image) == "contiguous"
    assert layout_of(image.to(memory_format=torch.channels_last)) == "channels_last"
    assert layout_of(torch.zeros(2, 3).mT) == "strided (1, 3)"
    assert layout_of(torch.zeros(2, 3).to_sparse()) == "sparse_coo"


def test_completion_gives_types_and_shapes(session: Session) -> None:
    session.execute("weights = torch.ones(3, 4); layer = nn.Linear(2, 5)")
    (found,) = session.complete("weigh")
    assert (found.text, found.start, found.end) == ("weights", 0, 5)
    assert (found.type, found.detail) == ("instance", "Tensor (3, 4) float32 cpu")
    (found,) = session.complete("layer.wei")
    assert found.detail == "Parameter (5, 2) float32 cpu requires_grad"
    (found,) = [c for c in session.complete("torch.reshap") if c.text == ".reshape"]
    assert found.type == "function"
    assert found.detail.startswith("(input")


@pytest.mark.parametrize(
    "source",
    [
        "images.mean().squee",
        "layer(images[0]).squee",
        "h = layer(images)\nh.squee",
        "for k in range(3):\n    loss = layer(images).sum()  # :)(\n    (loss * 2).squee",
        "print(images.T.squee",
    ],
)
def test_completion_knows_what_an_expression_would_be(session: Session, source: str) -> None:
    session.execute("images = torch.ones(3, 2); layer = nn.Linear(2, 5)")
    found = session.complete(source)
    assert [(c.text.lstrip("."), c.type, c.detail) for c in found] == [
        ("squeeze", "function", "(dim=None)"),
        ("squeeze_", "function", "(dim=None)"),
    ]
    assert {(source[c.start : c.end].lstrip("."), c.end) for c in found} == {("squee", len(source))}


def test_completion_leaves_alone_what_is_no_tensor(session: Session) -> None:
    session.execute("images = torch.ones(3, 2)")
    assert session.complete("unknown(images).squee") == []
    assert session.complete("# images.mean().squee") == []


def test_methods_are_completed_without_the_instance_they_have(session: Session) -> None:
    session.execute("images = torch.ones(3, 2)")
    details = {c.text: c.detail for c in session.complete("images.add")}
    assert details[".add"] == "(other, *, alpha=1, out=None)"
    assert details[".add_"] == "(other, *, alpha=1)"


def test_magics_are_completed_where_one_can_stand(session: Session) -> None:
    magics = {c.text: c.detail for c in session.complete("clip") if c.type == "magic"}
    assert magics["%clip"].startswith("Clip gradients before every optimizer step")
    assert "%%clip" in magics
    assert [c for c in session.complete("import os, clip") if c.type == "magic"] == []
    assert [c.text for c in session.complete("found = %clip")] == ["%clip"]


def test_completion_among_10000_names_looks_at_those_it_shows(session: Session) -> None:
    many = {f"many_{k:05}": k for k in range(10_000)}
    session.namespace.update(many)
    found = session.complete("many_")
    assert [c.text for c in found[:2]] == ["many_00000", "many_00001"]
    assert found[0].detail == "int 0"
    assert [c.text for c in session.complete("many_0999")] == [
        f"many_{k:05}" for k in range(9990, 10_000)
    ]
    for name in many:
        del session.namespace[name]


@pytest.mark.parametrize(
    ("before", "typed", "after"),
    [
        ("local_size = 3\n", "x = loc", ""),
        ("def f(local_size, *rest):\n    for k in rest:\n", "        print(loc", "\nx = 1"),
        ("%time f()\nimport numpy as local_size\n", "loc", ""),
        ("if x:\n", "    loc", "\nclass local_size:\n    pass"),
    ],
)
def test_completion_knows_what_the_cell_binds(
    session: Session, before: str, typed: str, after: str
) -> None:
    found = session.complete(before + typed + after, len(before + typed))
    assert "local_size" in [c.text for c in found]
    assert "local_size" not in session.namespace


def test_completion_finds_names_by_the_letters_of_their_parts(session: Session) -> None:
    session.execute("learning_rate_end = 0.1")
    for letters in ("l_r", "l_r_e", "l_r_"):
        assert [c.text for c in session.complete(letters)] == ["learning_rate_end"]
    assert session.complete("l_x") == []


def test_completion_runs_no_property_of_the_users(session: Session) -> None:
    session.execute(
        "class Trap:\n"
        "    ran = []\n"
        "    @property\n"
        "    def costly(self): self.ran.append(1)\n"
        "trap = Trap()"
    )
    (found,) = session.complete("trap.cost")
    assert found.type == "property"
    assert session.namespace["trap"].ran == []


def test_inspection_of_a_tensor_tells_all(session: Session) -> None:
    session.execute("v = torch.tensor([1.0, float('nan'), 3.0], requires_grad=True)\nu = v * 2")
    data = session.inspect("u + 1", cursor=1)
    assert data is not None
    text = data["text/plain"]
    for words in ("Tensor (3,) float32 cpu", "12 B", "MulBackward0", "2 to 6, mean 4, 1 NaN",
                  "line 2: u = v * 2", "contiguous"):  # fmt: skip
        assert words in text


def test_inspection_of_a_module_counts_parameters(session: Session) -> None:
    session.execute(
        "net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())\nnet[0].bias.requires_grad_(False)"
    )
    data = session.inspect("net")
    assert data is not None
    assert "16 parameters" in data["text/plain"]
    assert "shapes    (B, 3) float32 -> " in data["text/plain"]
    assert "frozen    4 parameters" in data["text/plain"]
    assert "(0): Linear" in data["text/plain"]
    assert session.inspect("no_such_name") is None


def test_inspection_at_level_one_shows_source(session: Session) -> None:
    data = session.inspect("torch.relu", detail_level=1)
    assert data is not None
    assert "@pointwise" in data["text/plain"]


def test_an_interrupt_from_another_thread_stops_a_cell(session: Session) -> None:
    assert session.interrupt() is False
    session.namespace["loops"] = threading.Event()
    results = []
    code = "while True: loops.set()"
    runner = threading.Thread(target=lambda: results.append(session.execute(code)))
    runner.start()
    session.namespace["loops"].wait(60)
    assert session.interrupt() is True
    runner.join(60)
    assert isinstance(results[0].error, KeyboardInterrupt)


def test_an_interrupt_is_not_lost_while_an_object_is_given_back(session: Session) -> None:
    hook = sys.unraisablehook
    result = session.execute(
        "import signal, time\n"
        "class Slow:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "        time.sleep(0)\n"
        "slow = Slow()\n"
        "del slow\n"
        "time.sleep(600)"
    )
    assert isinstance(result.error, KeyboardInterrupt)
    assert sys.unraisablehook == hook


def test_an_interrupt_ends_a_sleep_of_the_main_thread(session: Session) -> None:
    session.namespace["asleep"] = asleep = threading.Event()
    awake = threading.Event()

    def wake() -> None:
        asleep.wait(60)
        session.interrupt()
        while not awake.wait(5):  # a signal between the last look for one and the sleep is lost
            session.interrupt()

    waker = threading.Thread(target=wake)
    waker.start()
    result = session.execute("import time; asleep.set(); time.sleep(600)")
    awake.set()
    waker.join(60)
    assert isinstance(result.error, KeyboardInterrupt)


def test_the_checker_answers_before_a_cell_runs(session: Session) -> None:
    session.execute("left = torch.ones(4, 3); right = torch.ones(5, 3)")
    (finding,) = session.diagnostics("fine = left + 1\nwrong = left @ right")
    assert finding.line == 2
    hints = session.hints("fine = left @ right.mT")
    assert "(4, 5)" in str(hints[0])
    assert "wrong" not in session.namespace


def test_history_and_completeness(session: Session) -> None:
    session.execute("first = 'told'")
    assert session.history(1) == ["first = 'told'"]
    assert session.history(pattern="first*")[-1] == "first = 'told'"
    assert session.is_complete("def f():") == ("incomplete", "    ")
    assert session.is_complete("1")[0] == "complete"
    assert session.is_complete("1 +* 2")[0] == "invalid"


def test_reset_leaves_the_names_that_a_session_begins_with(session: Session) -> None:
    session.execute("kept = 1")
    assert session.execute("%reset -f\ntorch.ones(2) + nn.functional.relu(torch.ones(2))").success
    assert isinstance(session.execute("kept").error, NameError)


def test_a_restart_forgets_names_and_keeps_the_policy(session: Session) -> None:
    session.policy.seed = 3
    first = session.execute("gone = 1; torch.rand(1).item()").value
    session.restart()
    assert "gone" not in session.namespace
    assert "gone" not in session.snapshot
    assert session.execute("torch.rand(1).item()").value == first


def test_the_policy_sets_device_dtype_and_clipping(session: Session) -> None:
    policy = session.policy
    policy.device, policy.dtype, policy.clip = "meta", torch.float64, 0.5
    try:
        tensor = session.execute("torch.zeros(2)").value
        assert (tensor.device.type, tensor.dtype) == ("meta", torch.float64)
        assert "norm at 0.5" in str(policy.clip)
        with pytest.raises(ValueError, match="expected a number"):
            policy.clip = "nonsense"
        assert "norm at 0.5" in str(policy.clip)
    finally:
        policy.device, policy.dtype, policy.clip = "cpu", torch.float32, None
    assert policy.clip is None


def test_a_receipt_counts_nodes_and_names_what_became_nan(session: Session) -> None:
    session.execute("a = torch.ones(3, requires_grad=True)")
    receipt = session.execute("c = (a * 2).sum(); d = torch.log(-a)").receipt
    assert receipt is not None
    assert receipt.graph == 4
    assert receipt.nan_in == ("d",)
    assert receipt.tensors is None
    receipt = session.execute("1 + 1").receipt
    assert receipt is not None
    assert not receipt.nan  # d has not changed since


def test_a_receipt_notices_nan_in_parameters(session: Session) -> None:
    session.execute("m = nn.Linear(2, 2)")
    code = (
        "(m(torch.ones(2)) * float('nan')).sum().backward()\noptim.SGD(m.parameters(), 0.1).step()"
    )
    receipt = session.execute(code).receipt
    assert receipt is not None
    assert receipt.nan_in == ("m.bias", "m.weight")


def test_an_observed_receipt_counts_every_tensor(session: Session) -> None:
    session.policy.observe = True
    try:
        receipt = session.execute("e = torch.log(-torch.ones(2)).exp()").receipt
    finally:
        session.policy.observe = False
    assert receipt is not None
    assert receipt.tensors == 3
    assert receipt.nan_in == ("log", "exp")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_receipt_sees_memory_that_was_only_held_for_a_while(session: Session) -> None:
    receipt = session.execute("torch.ones(50_000_000); None").receipt
    assert receipt is not None
    assert receipt.peak is not None
    assert receipt.net is not None
    before = session.execute("1").receipt
    assert before is not None
    assert before.peak is not None
    assert receipt.peak - before.peak > 150e6
    assert receipt.net < 100e6


def test_a_safe_session_undoes_every_failed_cell(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    session.policy.safe = True
    try:
        session.execute("safe = torch.zeros(2)")
        session.execute("safe.add_(1); unsafe = 1\n1 / 0")
        assert "Undone: names unsafe and writes to 1 tensor" in capsys.readouterr().out
        session.execute("safe.add_(5)")
    finally:
        session.policy.safe = False
    assert session.namespace["safe"].tolist() == [5, 5]
    assert "unsafe" not in session.namespace


@pytest.mark.parametrize("magic", ["%%safe", "%%profile", "%%safe\n%%profile"])
def test_a_cell_that_fails_inside_a_magic_has_failed(session: Session, magic: str) -> None:
    result = session.execute(f"{magic}\n1 / 0")
    assert not result.success
    assert isinstance(result.error, ZeroDivisionError)
    assert session.execute("1").success
