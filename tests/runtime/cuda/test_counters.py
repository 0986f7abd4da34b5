"""Reductions in one launch: the last block of a result puts its chunks together."""

from __future__ import annotations

import flambeau as torch
from flambeau.backends.cuda import counters

from .kit import assert_near, double, drawn
from .shim import HostDriver


def test_counters_are_zero_again_after_every_launch(host: HostDriver) -> None:
    x, norm = drawn((512, 40), "float32"), torch.nn.LayerNorm(40).cuda()
    for _ in range(2):
        host.launched.clear()
        total, columns = x.sum(), x.sum(0)
        norm(x).sum().backward()
        assert_near(total, double(x).sum(), 64)
        assert_near(columns, double(x).sum(0), 64)
    assert sum(e.startswith("reduce") for e in host.launched) == 3
    held = list(counters._of_streams.values())
    assert held
    assert not any(array.get().any() for array in held)


def test_kernels_of_a_graph_have_counters_of_their_own(host: HostDriver) -> None:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        eager = counters.address(8)
        assert counters.address(3) == eager  # whose kernels run one after the other
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        places = [counters.address(n) for n in (8, 3, counters.RECORDED - 4, 2)]
    assert places[1] == places[0] + 4 * 8
    assert places[3] == places[2] + 4 * (counters.RECORDED - 4)
    assert len({eager, *places}) == 5
    held = [h for h in graph._numbers if isinstance(h, counters.Recorded)]
    assert [h.array.data.ptr for h in held] == [places[0], places[2]]
    assert not any(h.array.get().any() for h in held)
