"""LSTM and GRU against float64 on the CPU: batches, sequences of several lengths, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn.utils.rnn import pack_padded_sequence

from .kit import assert_near, double, drawn
from .shim import HostDriver


def results(layer: Any, x: Any, lengths: Any, weights: list[Any]) -> list[Any]:
    """Outputs, last states, and the gradients of a weighted sum of them."""
    given = x if lengths is None else pack_padded_sequence(x, lengths)
    out, last = layer(given)
    out = out if lengths is None else out.data
    states = [out, *(last if isinstance(last, tuple) else (last,))]
    total = sum((s * w).sum() for s, w in zip(states, weights, strict=False))
    leaves = [x, *layer.parameters()]
    return [*[s.detach() for s in states], *torch.autograd.grad(total, leaves)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lengths", [None, [5, 3, 2]])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("LSTM", {}), ("LSTM", {"proj_size": 3}), ("GRU", {}), ("GRU", {"bias": False})],
)
def test_results_and_gradients(
    host: HostDriver, kind: str, options: dict[str, Any], lengths: Any, dtype: str
) -> None:
    torch.manual_seed(0)
    layer = getattr(torch.nn, kind)(4, 6, bidirectional=True, **options)
    layer = layer.to("cuda", getattr(torch, dtype))
    wide = getattr(torch.nn, kind)(4, 6, bidirectional=True, **options).double()
    wide.load_state_dict({k: v.cpu().double() for k, v in layer.state_dict().items()})
    x = drawn((5, 3, 4), dtype).requires_grad_()
    last = options.get("proj_size", 6)
    rows = 15 if lengths is None else sum(lengths)
    first = (5, 3, 2 * last) if lengths is None else (rows, 2 * last)
    weights = [drawn(s, dtype, k) for k, s in enumerate((first, (2, 3, last), (2, 3, 6)))]
    host.launched.clear()
    found = results(layer, x, lengths, weights)
    name = kind.lower()
    cells = [n for n in host.launched if n.startswith(f"{name}_cell<")]
    assert len(cells) == 10
    assert sum(n.startswith(f"{name}_cell_gradient") for n in host.launched) == 10
    wanted = results(wide, double(x), lengths, [double(w) for w in weights])
    for a, b in zip(found, wanted, strict=True):
        assert_near(a, b, 100 if dtype == "float32" else 12)


def test_a_loss_of_the_outputs_alone(host: HostDriver) -> None:
    for kind in ("LSTM", "GRU"):
        torch.manual_seed(1)
        layer = getattr(torch.nn, kind)(4, 6).cuda()
        x = drawn((3, 2, 4), "float32")
        grads = torch.autograd.grad(layer(x)[0].square().sum(), list(layer.parameters()))
        wide = getattr(torch.nn, kind)(4, 6).double()
        wide.load_state_dict({k: v.cpu().double() for k, v in layer.state_dict().items()})
        wanted = torch.autograd.grad(wide(double(x))[0].square().sum(), list(wide.parameters()))
        for a, b in zip(grads, wanted, strict=True):
            assert_near(a, b, 100)
        assert np.isfinite(grads[0].cpu().numpy()).all()
