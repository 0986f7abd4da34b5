"""Errors that explain: operands by their names, the lines that made them, the clash, the fix."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flambeau as torch
from flambeau.kernel import Session

SETUP = """x = torch.ones(4, 3)
y = torch.ones(5, 3)
image = torch.ones(2, 3, 8, 8)
net = nn.Sequential(nn.Linear(8, 7), nn.ReLU())
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(10, 5)
        self.fc2 = nn.Linear(6, 5)
    def forward(self, inputs):
        h = self.fc1(inputs)
        h = torch.relu(h)
        return self.fc2(h)
model = Net()
conv = nn.Conv2d(4, 8, 3)
deep = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(8, 3))
table = nn.Embedding(4, 2)
lstm = nn.LSTM(10, 20, num_layers=2, batch_first=True)"""


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    found = Session()
    found.execute(SETUP)
    yield found
    found.close()


def explained(session: Session, source: str) -> str:
    error = session.execute(source).error
    assert error is not None
    return "\n".join(" ".join(line.split()) for line in session.explain(error))


CASES = {
    "x @ y": [
        "input x (4, 3) float32 cpu In[1], line 1: x = torch.ones(4, 3)",
        "other y (5, 3) float32 cpu In[1], line 2: y = torch.ones(5, 3)",
        "clash: dimension 1 of x is 3, dimension 0 of y is 5",
        "would work: y.mT",
    ],
    "net(x)": [
        "weight net.0.weight (7, 8) float32 cpu In[1], line 4",
        "in net.0: Linear",
        "clash: dimension 1 of x is 3, dimension 1 of net.0.weight is 8",
        "would work: Linear(in_features=3) as net.0",
    ],
    "model(torch.ones(2, 10))": [
        "input h (2, 5) float32 cpu In[1], line 12: h = torch.relu(h)",
        "weight self.fc2.weight (5, 6) float32 cpu In[1], line 9: self.fc2 = nn.Linear(6, 5)",
        "would work: Linear(in_features=5) as self.fc2",
    ],
    "deep(torch.ones(2, 10))": [
        "input (2, 16) float32 cpu",
        "clash: dimension 1 of input is 16, dimension 1 of deep.2.weight is 8",
        "would work: Linear(in_features=16) as deep.2",
    ],
    "model(x)": ["input inputs (4, 3) float32 cpu In[1], line 1: x = torch.ones(4, 3)"],
    "conv(image)": ["would work: Conv2d(in_channels=3) as conv"],
    "conv(image.permute(0, 2, 3, 1))": ["input image.permute(0, 2, 3, 1) (2, 8, 8, 3)"],
    "torch.cat([x, y.mT])": ["tensors[1] y.mT (3, 5)", "dimension 1 of x is 3"],
    "x.view(5, 2)": ["would work: x.view(-1, 2)"],
    "x.expand(5, 3)": ["would work: x.expand(-1, 3)"],
    "F.cross_entropy(x, torch.zeros(4))": ["would work: (torch.zeros(4)).long()"],
    "F.cross_entropy(x, y[:, 0].long())": ["clash: dimension 0 of x is 4, dimension 0 of y[:, 0]"],
    "table(x)": ["would work: x.long()"],
    "torch.einsum('ij,jk->ik', x, y)": ["operands[1] y (5, 3)", "would work: y.mT"],
    "x @ torch.ones(3, 2).double()": ["would work: x.to(torch.float64)"],
    "x + torch.ones(3, device='meta')": ["would work: (torch.ones(3, device='meta')).to('cpu')"],
    "x.add_(y)": ["clash: dimension 0 of x is 4, dimension 0 of y is 5"],
    "x += torch.ones(2, 3)": ["other torch.ones(2, 3) (2, 3)", "dimension 0 of x is 4"],
    "x[0] = torch.ones(4)": ["self x (4, 3)", "value (4,)", "clash: dimension 1 of x is 3"],
    "x[torch.tensor([True, False])]": ["index torch.tensor([True, False]) (2,) bool cpu"],
    "lstm(torch.rand(3, 5, 12))": ["would work: LSTM(input_size=12) as lstm"],
    "nn.BatchNorm2d(4)(image)": ["would work: BatchNorm2d(num_features=3)"],
    "def f(a):\n    b = a.mT\n    return b @ y\nf(x)": ["line 2: b = a.mT", "In[1], line 2: y ="],
}


@pytest.mark.parametrize("source", CASES)
def test_an_error_names_operands_clash_and_remedy(session: Session, source: str) -> None:
    text = explained(session, source)
    for words in CASES[source]:
        assert words in text


@pytest.mark.parametrize(
    "source",
    [
        "1 / 0",
        "raise ValueError('x @ y')",
        "torch.ones(2).requires_grad_().numpy()",
        "torch.linalg.inv(torch.zeros(2, 2))",
        "torch.ones(2, requires_grad=True).backward()",
        "raise KeyboardInterrupt(x)",
        "import sys; sys.exit(x)",
    ],
)
def test_errors_without_tensors_are_left_alone(session: Session, source: str) -> None:
    assert explained(session, source) == ""


LINES = {
    "x.nothing": ["x (4, 3) float32 cpu In["],
    "assert x.sum() < image.sum() - 1e9, 'far'": ["x (4, 3) float32", "image (2, 3, 8, 8) float32"],
    "batch = {'a': y}\nbatch['b'] + image": ["batch['a'] (5, 3)", "image (2, 3, 8, 8)"],
    "pair = [x, y]\nint(str(pair[1]))": ["pair[1] (5, 3) float32 cpu"],
    "def f(a):\n    return a + nowhere\nf(y)": ["a (5, 3) float32 cpu In[1], line 2: y ="],
    "import json; json.dumps(x)": ["x (4, 3) float32 cpu"],
    "for row in (x,):\n    print(1 / 0, row,\n          y)": ["row (4, 3)", "y (5, 3)"],
    "class Holder: pass\nh = Holder(); h.kept = y\nh.kept.T.foo": ["h.kept (5, 3)"],
    "float(x)": ["x (4, 3) float32 cpu"],
}


@pytest.mark.parametrize("source", LINES)
def test_every_error_shows_the_tensors_on_its_line(session: Session, source: str) -> None:
    text = explained(session, source)
    assert [words for words in LINES[source] if words not in text] == []


def test_what_is_written_to_must_keep_its_shape(session: Session) -> None:
    assert "would work" not in explained(session, "x.add_(y)")
    assert "would work: (torch.ones(4)).unsqueeze(1)" in explained(session, "x += torch.ones(4)")


def test_the_line_is_that_before_the_failure_not_after(session: Session) -> None:
    session.execute("late = torch.ones(4, 3)")
    text = explained(session, "late @ late\nlate = torch.ones(9, 9)")
    assert "late = torch.ones(4, 3)" in text


def test_explaining_draws_no_random_numbers_and_touches_no_layer(session: Session) -> None:
    session.execute("norm = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(4, 4))")
    norm = session.namespace["norm"]
    before = {name: t.clone() for name, t in norm.state_dict().items()}
    torch.manual_seed(0)
    error = session.execute("norm.eval()(x)").error
    assert error is not None
    assert session.explain(error)
    assert torch.rand(1).item() == pytest.approx(0.49625658988952637)
    for name, tensor in norm.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_remedy_runs(session: Session) -> None:
    remedy = explained(session, "x @ y").split("would work: ")[1].split(" | ")[0]
    assert session.execute(f"x @ {remedy}").success


def test_the_explanation_stands_in_the_traceback(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    session.execute("model(torch.ones(2, 10))")
    shown = capsys.readouterr().out
    assert shown.index("ShapeError: linear") < shown.index("would work: Linear")
    assert "module.py" not in shown  # our frames are hidden, between the user's too


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("torch.zeross(3)", "zeros"),
        ("nn.Linaer(3, 4)", "Linear"),
        ("x.requires_gard", "requires_grad"),
        ("net.paramters()", "parameters"),
        ("def f():\n    total = 0\n    return totl\nf()", "total"),
        ("prnt(3)", "print"),
        ("from torch.nn import Linaer", "Linear"),
        ("'abc'.uper()", "upper"),
    ],
)
def test_the_name_that_was_meant_is_told(session: Session, source: str, meant: str) -> None:
    assert f"Did you mean {meant}?" in explained(session, source)


def test_no_name_is_suggested_that_is_not_much_alike(session: Session) -> None:
    assert "mean" not in explained(session, "x.foo")
    assert "mean" not in explained(session, "nothing_of_the_kind")


def test_errors_tell_of_cells_where_something_began(session: Session) -> None:
    found = session.execute("a = torch.ones(3, requires_grad=True); b = a.exp(); b += 1")
    error = session.execute("b.sum().backward()").error
    assert f"(line 1 of In[{found.number}]: a = torch.ones(3" in str(error)
