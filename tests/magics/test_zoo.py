"""Every instrument that watches lets any code run as it would unwatched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.core import observers
from flambeau.magics.graph.modules import placed
from flambeau.magics.nan import stop_at_nonfinite
from flambeau.magics.profile import profile_report, profiling
from flambeau.magics.trace import trace_report, tracing
from flambeau.magics.why import FlowRecorder
from flambeau.utils.checkpoint import checkpoint


def vmapped() -> Any:
    return torch.func.vmap(torch.func.grad(lambda w: (w * w).sum()))(torch.ones(3, 2))


def sparse() -> Any:
    w = torch.ones(3, 2, requires_grad=True)
    index = torch.tensor([[0, 1], [1, 2]])
    torch.sparse.mm(torch.sparse_coo_tensor(index, torch.ones(2), (3, 3)), w).sum().backward()
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1, 1])).sum().backward()
    return w.grad


def complex_numbers() -> Any:
    z = torch.ones(2, dtype=torch.complex64, requires_grad=True)
    (z * z.conj()).real.sum().backward()
    return torch.fft.fft(torch.ones(4)).abs(), z.grad


def on_meta() -> Any:
    net = nn.Linear(3, 2, device="meta")
    out = net(torch.ones(4, 3, device="meta")).relu().sum()
    out.backward()
    return tuple(out.shape)


def second_order() -> Any:
    x = torch.ones(2, requires_grad=True)
    (g,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    g.sum().backward()
    return x.grad


def own_function() -> Any:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    x = torch.ones(2, requires_grad=True)
    Double.apply(x).sum().backward()
    return x.grad


def checkpointed() -> Any:
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(0.5)
    checkpoint(net, torch.ones(1, 2, requires_grad=True), use_reentrant=False).sum().backward()
    return net[0].weight.grad


def recurrent() -> Any:
    torch.manual_seed(0)
    lstm = nn.LSTM(2, 3, batch_first=True)
    adam = torch.optim.Adam(lstm.parameters())
    out, _ = lstm(torch.ones(2, 4, 2))
    out.sum().backward()
    adam.step()
    return out


def half_precision() -> Any:
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.fill_(0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = net(torch.ones(2, 2)).sum()
    loss.backward()
    return net.weight.grad


def views_and_writes() -> Any:
    x = torch.zeros(3, 3)
    x[1] = 5.0
    x.t().add_(1)
    values, indices = x.sort(dim=0)
    empty = torch.ones(0, 3).sum(0)
    return torch.cat([values, indices.float(), empty[None]]), x.argmax(), torch.where(x > 1)


def hooked() -> Any:
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 3)
    y.sum().backward()
    return x.grad


ZOO = (vmapped, sparse, complex_numbers, on_meta, second_order, own_function, checkpointed,
       recurrent, half_precision, views_and_writes, hooked)  # fmt: skip


@contextmanager
def profiled() -> Any:
    with profiling() as profiler:
        yield
    assert str(profile_report(profiler, by="line"))
    assert profile_report(profiler).flame.startswith("<svg")


@contextmanager
def traced() -> Any:
    with tracing() as trace:
        yield
    assert str(trace_report(trace, {}))


INSTRUMENTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "profile": profiled,
    "trace": traced,
    "nan": stop_at_nonfinite,
    "why": lambda: observers.observing(FlowRecorder()),
    "graph": lambda: placed({}),
    "torch.profiler": lambda: torch.profiler.profile(with_stack=True, record_shapes=True),
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return all(same(x, y) for x, y in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else bool(a == b)


@pytest.mark.parametrize("name", INSTRUMENTS)
@pytest.mark.parametrize("animal", ZOO, ids=lambda f: f.__name__)
def test_watching_changes_nothing(name: str, animal: Callable[[], Any]) -> None:
    expected = animal()
    with INSTRUMENTS[name]():
        found = animal()
    assert same(found, expected)
    assert observers.active == []
