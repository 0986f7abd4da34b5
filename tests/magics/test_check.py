"""The checker: what it finds in a cell before it runs, and where it keeps quiet."""

from __future__ import annotations

import linecache
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.core import observers
from flambeau.magics.check import _interpreted, check_cell, infer_shapes, module_shapes
from flambeau.magics.check.fixes import verified_fixes
from flambeau.nn import functional as F


def names(**more: Any) -> dict[str, Any]:
    """The names of a fresh session."""
    return {"torch": torch, "nn": torch.nn, "F": F, "optim": torch.optim, **more}


def found(source: str, **more: Any) -> list[tuple[int, str]]:
    """Line and code of each finding."""
    return [(f.line, f.code) for f in check_cell(source, names(**more))]


def executed(source: str, name: str = "<cell 1>", **more: Any) -> dict[str, Any]:
    """The names left by a cell that really ran, its source known as IPython makes it known."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = names(__name__="__main__", **more)
    exec(compile(source, name, "exec"), namespace)
    return namespace


NET = """
class Net(nn.Module):
    def __init__(self, hidden=128):
        super().__init__()
        self.inner = nn.Linear(20, hidden)
        self.outer = nn.Linear(100, 10)

    def forward(self, x):
        x = F.relu(self.inner(x))
        return self.outer(x)
"""


def test_a_layer_of_the_wrong_size_is_found_where_it_is_called():
    layer, call = check_cell(NET + "Net()(torch.ones(32, 20))", names())
    assert (call.line, call.code, call.severity) == (10, "shape", "error")
    assert "100" in call.message
    assert "(32, 128)" in call.message
    assert (layer.line, layer.fix) == (6, "Set in_features to 128.")


def test_compiled_functions_of_an_earlier_cell_are_looked_into():
    made = (
        "@torch.compile(fullgraph=True)\ndef times(a, b):\n    return a @ b\n"
        "class Net(nn.Module):\n    @torch.compile\n    def forward(self, x): return x @ x"
    )
    live = executed(made)
    source = "times(torch.ones(2, 3), torch.ones(3, 2))\ntimes(torch.ones(2, 3), torch.ones(2, 3))"
    assert [f.line for f in check_cell(source, live)] == [2]
    assert [f.line for f in check_cell("Net()(torch.ones(2, 3))", live)] == [1]


@pytest.mark.parametrize("decorator", ["torch.compile", "torch.compile(mode='max-autotune')"])
def test_a_function_that_the_cell_compiles_is_looked_into(decorator: str):
    source = f"@{decorator}\ndef times(a, b):\n    return a @ b\n"
    assert found(source + "times(torch.ones(2, 3), torch.ones(2, 3))") == [(3, "shape")]
    assert not found(source + "times(torch.ones(2, 3), torch.ones(3, 2))")


def test_a_class_of_an_earlier_cell_is_blamed_on_the_call():
    live = executed(NET + "net = Net()")
    assert [(f.line, f.code) for f in check_cell("y = net(torch.ones(32, 20))", live)] == [
        (1, "shape")
    ]


def test_a_cell_that_works_has_no_finding_and_knows_its_shapes():
    source = NET.replace("100", "hidden") + "y = Net()(torch.ones(32, 20))"
    assert found(source) == []
    hints = {(h.line, h.name): h.text for h in infer_shapes(source, names())}
    assert hints[9, "x"] == "(32, 128) float32"
    assert hints[11, "y"] == "(32, 10) float32"


def test_live_values_are_never_touched():
    model = torch.nn.Linear(3, 2)
    weight, state = model.weight.detach().clone(), torch.get_rng_state()
    items: list[int] = []
    source = (
        "with torch.no_grad():\n    model.weight.zero_()\nitems.append(1)\nmodel.extra = 1\n"
        "torch.manual_seed(3)\nmodel(torch.randn(4, 3)).sum().backward()\nmodel.eval()"
    )
    assert found(source, model=model, items=items) == []
    assert torch.equal(model.weight, weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert (items, model.training, model.weight.grad) == ([], True, None)
    assert not hasattr(model, "extra")


def test_code_with_effects_is_not_executed(tmp_path):
    path = tmp_path / "made"
    called: list[int] = []

    def effect() -> int:
        called.append(1)
        return 3

    source = f"open({str(path)!r}, 'w')\nx = effect()\nimport os; os.mkdir({str(path)!r})"
    assert found(source, effect=effect) == []
    assert not path.exists()
    assert called == []


def test_observers_do_not_hear_of_the_check():
    heard = []

    class Listening(observers.Observer):
        def operation_done(self, name, inputs, outputs, seconds):
            heard.append(name)

    with observers.observing(Listening()):
        check_cell("torch.ones(3) + 1", names())
        torch.ones(2) + 1
    assert heard == ["add"]


@pytest.mark.parametrize(
    "source",
    ["%time x = 1", "!ls", "x = !ls\nx", "%%bash\nfor", "files = %sql q", "def", "await f()", "a?"],
)
def test_what_only_ipython_understands_draws_no_finding(source):
    assert found(source) == []


def test_magics_leave_the_lines_where_they_are():
    assert found("%%time\n%matplotlib inline\ntorch.ones(2) + torch.ones(3)") == [(3, "shape")]


def test_endless_loops_and_huge_numbers_end_soon():
    source = (
        "while True:\n    x = 2**10\ny = 10**(10**9)\nz = [0]*10**12\nfor i in range(10**15): pass"
    )
    assert found(source) == []


def test_a_caught_failure_is_no_finding():
    source = "try:\n    torch.ones(2) + torch.ones(3)\nexcept RuntimeError:\n    ok = True"
    assert found(source) == []


@pytest.mark.parametrize(
    ("operation", "shapes", "fix"),
    [
        ("matmul", [(4, 3), (5, 3)], "b.mT"),
        ("add", [(3, 10), (3,)], "b.unsqueeze(1)"),
        ("mse_loss", [(8, 1), (4, 2)], "b.reshape(8, 1)"),
        (torch.nn.Linear(12, 5), [(2, 3, 4)], "a.flatten(1)"),
    ],
)
def test_fixes_are_named_that_the_shape_rules_accept(operation, shapes, fix):
    found = verified_fixes(operation, [torch.ones(s) for s in shapes], names=["a", "b"])
    assert fix in [each.text for each in found]
    assert len(found) <= 3


def test_a_call_that_nothing_mends_has_no_fix():
    assert verified_fixes("matmul", [torch.ones(4, 3), torch.ones(5, 7)], names=["a", "b"]) == []
    assert verified_fixes("no_such_operation", [torch.ones(3)], names=["a"]) == []


def test_the_layer_of_the_wrong_size_gets_an_edit_that_mends_it():
    source = "layer = nn.Linear(100, 10)\nlayer(torch.ones(2, 128))"
    first = check_cell(source, names())[0]
    edit = first.edits[0]
    line = source.split("\n")[edit.line - 1]
    mended = line[: edit.column] + edit.text + line[edit.end_column :]
    assert mended == "layer = nn.Linear(128, 10)"
    assert found(source.replace(line, mended)) == []


def hints(source: str, **more: Any) -> dict[tuple[int, str], str]:
    """The shape text of each assignment, by line and name."""
    return {(h.line, h.name): h.text for h in infer_shapes(source, names(**more))}


ATTENTION = """
class Attention(nn.Module):
    def __init__(self, n_embd=384, n_head=6):
        super().__init__()
        self.n_head = n_head
        self.qkv = nn.Linear(n_embd, 3 * n_embd)
        self.out = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        att = q @ k.transpose(-2, -1)
        last = x[:, 1:]
        return self.out(x)
"""


def test_a_forward_that_nothing_calls_has_shapes_with_the_names_of_its_sizes():
    found = hints(ATTENTION)
    assert found[11, "v"] == "(B, T, 384) float32"
    assert found[12, "q"] == "(B, 6, T, 64) float32"
    assert found[14, "att"] == "(B, 6, T, T) float32"
    assert found[15, "last"] == "(B, T - 1, 384) float32"


def test_a_layer_that_cannot_fit_is_found_in_a_forward_that_nothing_calls():
    assert found(ATTENTION) == []
    assert (16, "shape") in found(ATTENTION.replace("nn.Linear(n_embd, n_embd)", "nn.Linear(9, 9)"))


def test_sizes_that_are_parameters_have_their_names():
    source = NET.replace("hidden=128", "hidden").replace("100", "hidden")
    assert hints(source)[9, "x"] == "(B, hidden) float32"
    assert found(source) == []


def test_a_mask_selects_rows_whose_number_is_not_known():
    source = (
        "x, y = torch.randn(9, 4), torch.ones(9)\nm = x[:, 0] > 0\na = x[m]\n"
        "b = a @ torch.ones(4)\nc = b + y[m]\nbad = a @ torch.ones(5)"
    )
    assert found(source) == [(6, "shape")]
    assert hints(source)[4, "b"] == "(?,) float32"


def test_numpy_arrays_have_numpys_shapes_and_dtypes():
    source = (
        "import numpy as np\nX = np.random.randn(100, 5)\n"
        "y = (X.sum(axis=1) > 0).astype(np.int64)\n"
        "layer = nn.Linear(5, 2)\nout = layer(torch.from_numpy(X.astype('float32')))\n"
        "loss = F.cross_entropy(out, torch.from_numpy(y))\n"
        "bad = layer(torch.from_numpy(X))\nworse = F.cross_entropy(out, torch.tensor(y[:50]))"
    )
    assert found(source) == [(7, "dtype"), (8, "value")]
    assert (
        found("layer(torch.tensor(data))", layer=torch.nn.Linear(3, 2), data=np.ones((4, 2))) != []
    )


def test_a_size_that_a_layer_needs_is_the_layers():
    source = "def f(x):\n    B, T, C = x.shape\n    h = nn.Linear(384, 10)(x)\n    return h.sum(5)"
    assert hints(source)[3, "h"] == "(B, T, 10) float32"
    assert found(source) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_gpu_that_is_not_there_is_found():
    assert found("x = torch.ones(2).cuda()") == [(1, "device")]
    assert found("x = torch.ones(2, device='cuda')\ny = x + torch.ones(2)")[0] == (1, "device")
    assert found("if torch.cuda.is_available():\n    x = torch.ones(2).cuda()") == []
    assert found("try:\n    x = torch.ones(2).cuda()\nexcept RuntimeError:\n    x = 1") == []


def test_attributes_of_live_objects_are_not_asked_for():
    asked = []

    class Lazy:
        def __getattribute__(self, name):
            asked.append(name)
            return object.__getattribute__(self, name)

        def __len__(self):
            asked.append("len")
            return 3

    assert found("x = lazy.size\nn = len(lazy)\nfor i in lazy: pass", lazy=Lazy()) == []
    assert [name for name in asked if name != "__class__"] == []


def test_naming_a_gpu_is_no_use_of_it():
    source = (
        "place = torch.device(torch.device('cuda'))\nwith torch.autocast('cuda', enabled=False):\n"
        "    y = torch.ones(2) * 2\nscaler = torch.amp.GradScaler('cuda', enabled=False)"
    )
    assert found(source) == []


MANY = """
class Tagger(nn.Module):
    def __init__(self, vocab, dim, tags, layers):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.lstm, self.deep = nn.LSTM(dim, dim), nn.LSTM(dim, dim, layers)
        self.blocks = nn.ModuleList([nn.Linear(dim, dim) for _ in range(layers)])
        self.out = nn.Linear(dim, tags)

    def forward(self, words):
        h, _ = self.lstm(self.emb(words))
        for row in h.unbind(0):
            row.sum()
        parts = h.split(1, dim=1)
        shares = h.chunk(self.out.out_features, dim=1)
        return self.out(h)

class Up(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        x = self.conv(x)
        return F.interpolate(F.max_pool2d(x, 2), scale_factor=2) + x
"""


def test_sizes_that_are_not_known_cost_no_time():
    namespace = names()
    check_cell(
        "nn.LSTM(2, 2)(torch.ones(3, 2))\nF.interpolate(torch.ones(1, 1, 2, 2), 4)", namespace
    )
    run, _ = _interpreted([MANY], namespace, seconds=1.0)
    assert (run.complete, run.findings) == (True, {})
    assert {h.text for h in run.hints.values() if h.name == "h"} == {"(B, T, dim) float32"}


@pytest.mark.parametrize(
    "expression",
    [
        "pow(3, 10**12)", "operator.lshift(1, 10**12)", "math.factorial(10**9)", "bytes(10**12)",
        "'x'.ljust(10**12)", "list(itertools.product(range(10**12), [1]))", "(1).to_bytes(10**12)",
        "collections.deque(range(10**12))", "np.tile([1, 2], 10**12)", "math.prod(range(1, 10**9))",
    ],
)  # fmt: skip
def test_what_takes_long_is_not_computed(expression: str):
    imports = "import collections, itertools, math, operator\nimport numpy as np\n"
    run, _ = _interpreted([f"{imports}x = {expression}"], names(), seconds=60.0)
    assert (run.complete, run.findings) == (True, {})
    assert run.is_opaque(run.frames[0].scope.names["x"])


def test_words_of_a_text_are_known():
    source = (
        "words = 'the cat sat on the mat'.split()\nindex = {w: i for i, w in enumerate(words)}\n"
        "ids = torch.tensor([index[w] for w in words])\nrows = torch.ones(6, 2).split(2)[0]"
    )
    assert hints(source) == {(3, "ids"): "(6,) int64", (4, "rows"): "(2, 2) float32"}


def test_the_shapes_that_a_module_takes_and_gives_are_told():
    live = executed(NET + "net = Net(100)\nrows = nn.LSTM(4, 5)\nodd = nn.Bilinear(2, 3, 4)")
    assert module_shapes(live["net"], live) == ("(B, 20) float32", "(B, 10) float32")
    images = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.MaxPool2d(2))
    assert module_shapes(images, live) == ("(B, 3, H, W) float32", "(B, 8, H//2, W//2) float32")
    taken, given = module_shapes(live["rows"], live) or ("", "")
    assert (taken, given.partition(" ")[0]) == ("(T, B, 4) float32", "(T,")
    assert module_shapes(live["odd"], live) is None
    assert module_shapes(Wrong(), live) is None


class Wrong(torch.nn.Module):
    """Its layers do not fit."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(3, 4), torch.nn.Linear(5, 6)

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x))


def test_sizes_without_a_name_may_be_those_of_another_argument():
    source = (
        "def attend(q, k):\n    b, h, t, d = q.shape\n    _, _, s, _ = k.shape\n"
        "    return q @ k.transpose(-2, -1)\n"
        "def other(x, y):\n    B, T, C = x.shape\n    N, S, E = y.shape\n"
        "    return x @ y.transpose(1, 2) + torch.zeros(B, 1, 1)\n"
        "def wrong(x, y):\n    B, T, C = x.shape\n    return torch.ones(B, T, 3) @ torch.ones(4, C)"
    )
    assert [line for line, _ in found(source)] == [11]


def test_numbers_that_are_not_known_are_none_in_particular():
    source = (
        "import random\nk = random.randint(1, 5)\nx = torch.ones(8, 6)\nrow = x[k]\n"
        "part = x[:k]\nn = 3 if random.random() < 0.5 else 4\nscaled = x * n\n"
        "part @ torch.ones(6, 2)\ntorch.ones(n) @ torch.ones(3)"
    )
    assert found(source) == []
    assert hints(source) == {
        (3, "x"): "(8, 6) float32",
        (4, "row"): "(6,) float32",
        (7, "scaled"): "(8, 6) float32",
    }


@pytest.mark.parametrize(
    ("source", "mended"),
    [
        ("nn.Liner(3, 4)", "nn.Linear(3, 4)"),
        ("é = torch.ones(2).shpae", "é = torch.ones(2).shape"),
        ("d = {'weights': 1}; d['wieghts']", "d = {'weights': 1}; d['weights']"),
        ("nn.Linear(in_feature=3, out_features=4)", "nn.Linear(in_features=3, out_features=4)"),
        ("from torch.nn import Linear, Sequentail", "from torch.nn import Linear, Sequential"),
        (
            "π = nn.Linear(3, 4); λπ = π(torch.ones(2, 5))",
            "π = nn.Linear(5, 4); λπ = π(torch.ones(2, 5))",
        ),
    ],
)
def test_edits_put_in_what_was_meant(source: str, mended: str):
    edits = [edit for finding in check_cell(source, names()) for edit in finding.edits]
    for edit in edits:
        assert edit.line == edit.end_line == 1
        source = source[: edit.column] + edit.text + source[edit.end_column :]
    assert (source, check_cell(source, names())) == (mended, [])


def test_columns_are_characters():
    (finding,) = check_cell("'ß€😀'; torch.ones(2) + torch.ones(3)", names())
    assert (finding.column, finding.end_column) == (7, 36)
    (hint,) = infer_shapes("'ß€😀'; ü = torch.ones(2)", names())
    assert hint.column == 8


def test_a_check_keeps_no_live_value():
    namespace = names(x=torch.ones(2, 4))
    assert found(NET + "Net()(x)", **namespace) != []
    gone = weakref.ref(namespace.pop("x"))
    assert gone() is None  # though nobody collected garbage


def test_failures_that_a_test_expects_are_no_findings():
    source = "import pytest\nwith some.raises(RuntimeError):\n    torch.ones(2) + torch.ones(3)"
    assert found(source) == []


def test_objects_of_the_checker_run_no_code_when_they_end(capsys):
    source = "class A:\n    def __del__(self):\n        undefined.call(self)\na = A()\ndel a"
    assert found(source) == []
    assert capsys.readouterr().err == ""


def test_functions_of_the_standard_library_with_effects_are_not_called(tmp_path):
    path = tmp_path / "made"
    source = (
        "import subprocess, shutil, os\n"
        f"subprocess.check_output(['touch', {str(path)!r}])\n"
        f"os.makedirs({str(path)!r})\nshutil.copy('/etc/hostname', {str(path)!r})"
    )
    assert found(source) == []
    assert not path.exists()


def test_what_a_class_inherits_from_a_library_is_not_run():
    source = (
        "import threading\nclass Worker(threading.Thread):\n    def run(self):\n        pass\n"
        "w = Worker()\nw.start()"
    )
    before = threading.active_count()
    assert found(source) == []
    assert found("w = Live()\nw.start()", Live=type("Live", (threading.Thread,), {})) == []
    assert threading.active_count() == before
