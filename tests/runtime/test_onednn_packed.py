"""Packed weights are used again only while the weights cannot have changed."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu import onednn
from flambeau.backends.cpu.onednn import convolution, packed
from flambeau.backends.cpu.onednn.library import library
from flambeau.core import exposure

pytestmark = pytest.mark.skipif(library() is None, reason="oneDNN is not installed")
X = torch.ones(1, 16, 8, 8)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "LEAST", 1)
    onednn.free()


def layer() -> Any:
    torch.manual_seed(0)
    return torch.nn.Conv2d(16, 16, 3, bias=False)


def output(module: Any) -> Any:
    with torch.no_grad():
        return module(X).numpy().copy()


def copies() -> int:
    return sum(len(entry.copies) for entry in packed._entries.values())


def test_a_weight_is_packed_once_without_gradients_and_not_at_all_with_them() -> None:
    module = layer()
    module(X)
    assert copies() == 0
    first = output(module)
    (entry,) = packed._entries.values()
    (kept,) = entry.copies.values()
    np.testing.assert_array_equal(output(module), first)
    assert next(iter(entry.copies.values()))[1] is kept[1]


def halve_by_numpy(weight: Any) -> None:
    weight.detach().numpy()[...] *= 0.5


def halve_in_the_optimizer(weight: Any) -> None:
    weight.grad = weight.detach() * 0.5
    torch.optim.SGD([weight], lr=1.0).step()


def halve_by_dlpack(weight: Any) -> None:
    np.from_dlpack(weight.detach())[...] *= 0.5


def halve_in_place(weight: Any) -> None:
    with torch.no_grad():
        weight.mul_(0.5)


def halve_through_a_view(weight: Any) -> None:
    with torch.no_grad():
        weight.view(-1)[:] *= 0.5


def halve_the_data(weight: Any) -> None:
    weight.data.mul_(0.5)


def replace_the_data(weight: Any) -> None:
    weight.data = weight.detach() * 0.5


def halve_with_out(weight: Any) -> None:
    with torch.no_grad():
        torch.mul(weight, 0.5, out=weight.detach())


def halve_by_copy(weight: Any) -> None:
    with torch.no_grad():
        weight.copy_(weight.clone() * 0.5)


WRITES = [
    halve_by_numpy, halve_in_the_optimizer, halve_by_dlpack, halve_in_place, halve_through_a_view,
    halve_the_data, replace_the_data, halve_with_out, halve_by_copy,
]  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_a_weight_that_was_written_is_packed_anew(write: Any) -> None:
    module = layer()
    before = output(module)
    for power in (0.5, 0.25):
        write(module.weight)
        np.testing.assert_allclose(output(module), before * power, rtol=1e-6)


def test_writes_by_an_array_handed_out_before_or_shared_from_the_start_are_seen() -> None:
    module = layer()
    array, data = module.weight.detach().numpy(), module.weight.data
    before = output(module)
    array *= 0.5
    np.testing.assert_allclose(output(module), before * 0.5, rtol=1e-6)
    data.mul_(0.5)
    np.testing.assert_allclose(output(module), before * 0.25, rtol=1e-6)
    own = module.weight.detach().numpy().copy()
    module.weight = torch.nn.Parameter(torch.from_numpy(own))
    before = output(module)
    own *= 0.5
    np.testing.assert_allclose(output(module), before * 0.5, rtol=1e-6)


def test_loading_a_state_dict_changes_the_output() -> None:
    module, other = layer(), torch.nn.Conv2d(16, 16, 3, bias=False)
    output(module)
    module.load_state_dict(other.state_dict())
    np.testing.assert_allclose(output(module), output(other), rtol=1e-6)


def test_copies_are_bounded_go_with_their_weight_and_can_be_let_go() -> None:
    module = layer()
    with torch.no_grad():
        for size in range(8, 14):
            module(torch.ones(1, 16, size, size))
    assert copies() <= packed.COPIES
    assert packed.free() > 0
    assert copies() == 0
    output(module)
    assert copies() == 1
    del module
    gc.collect()
    assert copies() == 0


def test_memory_is_forgotten_without_a_line_of_python_in_which_ctrl_c_would_be_lost() -> None:
    module = layer()
    output(module)
    shown = torch.ones(2000)
    shown.numpy()
    entries, exposed = len(packed._entries), len(exposure._exposed)
    called: list[str] = []

    def note(frame: Any, event: str, what: Any) -> None:
        if event == "call" and "__del__" not in frame.f_code.co_name:
            called.append(frame.f_code.co_qualname)

    sys.setprofile(note)
    try:
        del module, shown
    finally:
        sys.setprofile(None)
    assert len(packed._entries) < entries
    assert len(exposure._exposed) < exposed
    assert called == []
