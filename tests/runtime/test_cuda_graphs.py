"""CUDA graphs: recording, replay, memory of their own, what they refuse."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn, optim

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


def test_a_replay_computes_on_what_the_inputs_hold_then() -> None:
    x, w = torch.zeros(4, device="cuda"), torch.ones(4, device="cuda")
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        assert torch.cuda.is_current_stream_capturing()
        out = x * 2 + w
        w += 1
    assert not torch.cuda.is_current_stream_capturing()
    assert w.tolist() == [1, 1, 1, 1]
    x.copy_(torch.arange(4.0))
    g.replay()
    assert out.tolist() == [1, 3, 5, 7]
    g.replay()
    assert (out.tolist(), w.tolist()) == ([2, 4, 6, 8], [3, 3, 3, 3])


def test_its_memory_is_nobody_elses_while_it_lives() -> None:
    g, x = torch.cuda.CUDAGraph(), torch.ones(1000, device="cuda")
    with torch.cuda.graph(g):
        hidden = x + 1
        out = hidden * 2
        place = hidden.data_ptr()
        del hidden
    others = [torch.zeros(1000, device="cuda") for _ in range(50)]
    assert place not in [t.data_ptr() for t in others]
    g.replay()
    assert out.tolist() == [4] * 1000
    assert not any(t.any().item() for t in others)
    pool = g.pool()
    assert [s for s in torch.cuda.memory_snapshot() if s["segment_pool_id"] == pool]
    del g, out
    gc.collect()
    torch.cuda.empty_cache()
    assert not [s for s in torch.cuda.memory_snapshot() if s["segment_pool_id"] == pool]


def test_graphs_may_share_a_pool() -> None:
    x = torch.ones(3, device="cuda")
    first, second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(first):
        y = x + 1
    with torch.cuda.graph(second, pool=first.pool()):
        z = y * 2
    assert first.pool() == second.pool()
    first.replay()
    second.replay()
    assert z.tolist() == [4, 4, 4]


REFUSED: dict[str, Callable[[Any], object]] = {
    "item": lambda x: x.sum().item(),
    "a branch": lambda x: 1 if x.sum() > 0 else 0,
    "cpu": lambda x: x.cpu(),
    "printing": lambda x: repr(x),
    "a tensor of numbers": lambda x: x + torch.tensor([1.0, 2.0, 3.0]).cuda(),
    "waiting": lambda x: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_recorded_is_refused_and_leaves_the_session_usable(name: str) -> None:
    x = torch.ones(3, device="cuda")
    with (
        pytest.raises(RuntimeError, match="CUDAGraph: expected"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        REFUSED[name](x)
    assert (x * 2).tolist() == [2, 2, 2]
    assert not torch.cuda.is_current_stream_capturing()
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        y = x + 1
    g.replay()
    assert y.tolist() == [2, 2, 2]


def test_errors_inside_come_through() -> None:
    with pytest.raises(ZeroDivisionError), torch.cuda.graph(torch.cuda.CUDAGraph()):
        1 / 0  # noqa: B018
    with pytest.raises(RuntimeError, match="stream other than the default"):
        torch.cuda.CUDAGraph().capture_begin()
    with pytest.raises(RuntimeError, match="Got an empty one"):
        torch.cuda.CUDAGraph().replay()


class Language(nn.Module):
    """A small language model."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, 8), nn.Embedding(5, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=True)
        self.head = nn.Linear(8, 11)
        self.register_buffer("order", torch.arange(5))

    def forward(self, x: Any) -> Any:
        h = self.tokens(x) + self.places(self.order)
        mask = torch.ones(5, 5, dtype=torch.bool, device=x.device).triu(1)
        return self.head(self.block(h, src_mask=mask)).flatten(0, 1)


class Recurrent(nn.Module):
    """The last state of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


def perceptron() -> Any:
    return nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 4))


def convolutional() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4),
    )  # fmt: skip


MODELS: dict[str, tuple[Any, tuple[int, ...], int]] = {
    "perceptron": (perceptron, (5, 6), 4),
    "convolutional": (convolutional, (5, 1, 8, 8), 4),
    "recurrent": (Recurrent, (5, 3, 6), 4),
    "language": (Language, (3, 5), 11),
}
OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, capturable=True),
}


def batch(shape: tuple[int, ...], classes: int) -> Any:
    if len(shape) == 2 and classes == 11:
        return torch.randint(0, 11, shape).cuda()
    return torch.randn(shape).cuda()


def training_step(net: Any, steps: Any, x: Any, y: Any, half: bool) -> Any:
    """The loss of one step."""
    steps.zero_grad()
    with torch.autocast("cuda", torch.bfloat16, enabled=half):
        loss = F.cross_entropy(net(x), y)
    loss.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    steps.step()
    return loss


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_a_whole_training_step_replayed_equals_the_steps(
    model: str, optimizer: str, half: bool
) -> None:
    make, shape, classes = MODELS[model]
    losses: dict[str, list[float]] = {}
    for how in ("eager", "graph"):
        torch.manual_seed(0)
        net = make().cuda()
        batches = [batch(shape, classes) for _ in range(4)]
        rows = 15 if classes == 11 else 5
        y, steps = torch.arange(rows).cuda() % classes, OPTIMIZERS[optimizer](net.parameters())
        x = batches[0].clone()

        step = partial(training_step, net, steps, x, y, half)
        with torch.cuda.stream(torch.cuda.Stream()):
            losses[how] = [step().item() for _ in range(2)]
        if how == "graph":
            g = torch.cuda.CUDAGraph()
            with torch.cuda.graph(g):
                loss = step()
        for given in batches:
            x.copy_(given)
            if how == "graph":
                g.replay()
                losses[how].append(loss.item())
            else:
                losses[how].append(step().item())
    np.testing.assert_allclose(losses["graph"], losses["eager"], rtol=1e-4)


def test_graphed_callables_replay_forward_and_backward() -> None:
    torch.manual_seed(0)
    plain = perceptron().cuda()
    graphed = perceptron().cuda()
    graphed.load_state_dict(plain.state_dict())
    x = torch.randn(5, 6, device="cuda", requires_grad=True)
    fast = torch.cuda.make_graphed_callables(graphed, (torch.randn_like(x).requires_grad_(),))
    assert fast is graphed
    for _ in range(2):
        wanted = torch.autograd.grad(plain(x).square().sum(), [x, *plain.parameters()])
        found = torch.autograd.grad(fast(x).square().sum(), [x, *fast.parameters()])
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a.cpu().numpy(), b.cpu().numpy(), rtol=1e-5, atol=1e-6)
        x = torch.randn(5, 6, device="cuda", requires_grad=True)
