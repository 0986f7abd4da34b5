"""Several GPUs in one program: models and steps across them, and streams in backward passes."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn, optim
from flambeau.autograd import Function
from flambeau.cuda import Stream, current_stream
from flambeau.utils.checkpoint import checkpoint

pytestmark = [pytest.mark.usefixtures("several"), pytest.mark.cuda]

OTHER = "cuda:1"


@pytest.fixture
def several(gpu: None) -> Any:
    """At least two GPUs, of which the first is current before and after."""
    if torch.cuda.device_count() < 2:
        pytest.skip("There is one GPU.")
    torch.cuda.set_device(0)
    yield
    assert torch.cuda.current_device() == 0
    torch.cuda.synchronize()


def index_of(tensor: Any) -> int:
    """The GPU that a tensor's memory lies on."""
    return int(tensor._array.data.device_id)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
        lambda p: optim.NAdam(p),
        lambda p: optim.ASGD(p),
        lambda p: optim.Adafactor(p),
        lambda p: optim.LBFGS(p, max_iter=2, line_search_fn="strong_wolfe"),
    ],
)
def test_training_stays_on_a_gpu_that_is_not_current(make: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.LayerNorm(64), nn.Dropout(0.1), nn.Linear(64, 6),
    ).to(OTHER)  # fmt: skip
    optimizer = make(model.parameters())
    x, y = torch.randn(6, 1, 8, 8, device=OTHER), torch.arange(6, device=OTHER)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        return loss

    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step(closure)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step(closure)
    assert not all(map(torch.equal, before, model.parameters()))
    states = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
    for t in [*model.parameters(), *[p.grad for p in model.parameters()], *states]:
        assert not t.is_cuda or index_of(t) == 1


def test_a_model_across_gpus_has_each_gradient_where_its_parameter_is() -> None:
    near, far = nn.Linear(3, 4).to("cuda:0"), nn.Linear(4, 2).to(OTHER)
    here = torch.ones(3, 4, requires_grad=True)  # on the CPU
    hidden = near(torch.ones(5, 3, device="cuda:0"))
    (far(hidden.to(OTHER)).sum() + (here.to(OTHER) * 2).sum()).backward()
    for layer, place in ((near, 0), (far, 1)):
        for p in layer.parameters():
            assert p.grad is not None
            assert index_of(p.grad) == place
    assert here.grad is not None
    assert here.grad.tolist() == [[2.0] * 4] * 3
    parameters = [*near.parameters(), *far.parameters()]
    nn.utils.clip_grad_norm_(parameters, 0.1)
    total = sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None)
    assert total**0.5 == pytest.approx(0.1, rel=1e-4)
    optim.AdamW(parameters).step()


@pytest.mark.parametrize("current", [0, 1])
def test_gradients_from_several_gpus_add_up(current: int) -> None:
    x = torch.ones(3, device="cuda:0", requires_grad=True)
    with torch.cuda.device(current):
        there = x.to(OTHER)
        (there * 2 + there * 3).to("cuda:0").add(x).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [6.0] * 3
        twice = x * 1
        (twice.to(OTHER) * 2 + (twice.to(OTHER) * 3)).sum().to("cuda:0").backward()
        assert x.grad.tolist() == [11.0] * 3
        (g,) = torch.autograd.grad((x.to(OTHER) ** 3).sum(), x, create_graph=True)
        (h,) = torch.autograd.grad(g.sum(), x)
        assert h.tolist() == [6.0] * 3
        seen: list[int] = []
        x.register_hook(lambda g: seen.append(index_of(g)))
        y = checkpoint(lambda t: t.to(OTHER).exp(), x, use_reentrant=False)
        y.sum().backward()
        assert seen == [0]


def test_assigning_and_copying_between_gpus() -> None:
    x, y = torch.arange(6.0, device="cuda:0").reshape(2, 3), torch.zeros(2, 3, device=OTHER)
    y.copy_(x)
    y[0] = x[1]
    y[:, 0] = torch.tensor([7.0, 8.0])
    y += 1
    assert y.tolist() == [[8, 5, 6], [9, 5, 6]]
    assert x.to(OTHER).to("cuda:0").tolist() == x.tolist()
    assert index_of(y.to("cuda:0", non_blocking=True)) == 0
    assert torch.cuda.can_device_access_peer(0, 1) in (True, False)


def test_draws_on_a_gpu_follow_its_own_generator() -> None:
    torch.manual_seed(5)
    torch.rand(4, device="cuda:0")
    first = torch.rand(4, device=OTHER)
    torch.manual_seed(5)
    assert torch.rand(4, device=OTHER).tolist() == first.tolist()
    with pytest.raises(RuntimeError, match=r"generator on cuda:1\. Got one on cuda:0"):
        torch.rand(2, device=OTHER, generator=torch.Generator("cuda:0"))


class Noted(Function):
    """x * 2, whose gradient notes the stream that it is computed on."""

    streams: list[Stream]

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, *g: Any) -> Any:
        Noted.streams.append(current_stream(g[0].device))
        return g[0] * 2


def test_a_backward_pass_goes_to_the_streams_of_the_forward_pass() -> None:
    Noted.streams = []
    before, side = current_stream(), Stream()
    x = torch.ones(3, device="cuda", requires_grad=True)
    y = Noted.apply(x)
    with torch.cuda.stream(side):
        side.wait_stream(before)
        z = Noted.apply(y)
    before.wait_stream(side)
    w = Noted.apply(z)
    w.sum().backward()
    assert Noted.streams == [before, side, before]
    assert current_stream() == before
    assert x.grad is not None
    assert x.grad.tolist() == [8.0] * 3
    Noted.streams = []
    with torch.cuda.stream(side):
        Noted.apply(x).sum().backward()
        Noted.apply(x).to(OTHER).sum().backward()
    assert Noted.streams == [side, side]


def test_streams_of_a_backward_pass_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(3, device="cuda", requires_grad=True)
    before, side = current_stream(), Stream()
    side.wait_stream(before)
    with torch.cuda.stream(side):
        y = x * 2
    before.wait_stream(side)
    z = (x * 3 + y).sum()
    waits: list[tuple[int, int]] = []
    kind = type(side.handle)
    plain = kind.wait_event

    def noted(self: Any, event: Any) -> None:
        waits.append((self.ptr, event._stream.ptr))
        plain(self, event)

    for cls in {kind, type(before.handle)} if hasattr(kind.null, "capture") else ():
        monkeypatch.setattr(cls, "wait_event", noted)
    z.backward()
    here, there = before.cuda_stream, side.cuda_stream
    if waits:  # a real stream's events do not tell
        assert waits == [(there, here), (here, there)]
    assert x.grad is not None
    assert x.grad.tolist() == [5.0] * 3


@pytest.mark.parametrize(
    ("call", "first"),
    [
        (lambda a, b: a + b, "add"),
        (lambda a, b: torch.cat([a, b]), "cat"),
        (lambda a, b: torch.searchsorted(a, b), "searchsorted"),
        (lambda a, b: torch.isin(a, b), "isin"),
        (lambda a, b: torch.allclose(a, b), "isclose"),
        (lambda a, b: torch.bincount(a.long(), weights=b), "bincount"),
        (lambda a, b: F.embedding(b.long(), a), "embedding"),
        (lambda a, b: a.requires_grad_().mul(2).backward(b), "backward"),
    ],
)
def test_tensors_of_two_gpus_are_refused_by_both_names(call: Any, first: str) -> None:
    near, far = torch.ones(3, device="cuda:0"), torch.ones(3, device=OTHER)
    with pytest.raises(RuntimeError, match=rf"^{first}: expected.*cuda:0.*cuda:1") as told:
        call(near, far)
    assert ".to('cuda:0')" in str(told.value)


def test_beside_a_tensor_of_the_cpu_the_gpu_is_advised() -> None:
    with pytest.raises(RuntimeError, match=r"on cpu, \(3,\) on cuda:0\. .*\.to\('cuda:0'\)"):
        torch.ones(3) + torch.ones(3, device="cuda")
