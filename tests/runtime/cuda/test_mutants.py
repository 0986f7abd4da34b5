"""Every barrier and every wait of every kernel is needed: without it a use of the kernel fails.

`mutate.py` puts the switches; by hand it breaks comparisons and conditions as well.
"""

from __future__ import annotations

import ctypes
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.backends.cuda import launch

from . import shim
from .mutate import WAITS, broken_copy, code_of
from .shim import HostDriver, ShimError


def attended(is_causal: bool) -> Any:
    q, k, v, g = (torch.ones(1, 1, 140, 64, device="cuda").bfloat16() for _ in range(4))
    q, k, v = (t.requires_grad_() for t in (q, k, v))
    F.scaled_dot_product_attention(q, k, v, is_causal=is_causal).backward(g)


def convolved(dtype: Any, channels: int, taps: int, groups: int = 1) -> None:
    x = torch.ones(2, channels, 9, 9, device="cuda").to(dtype).requires_grad_()
    weight = torch.ones(channels, channels // groups, taps, taps, device="cuda").to(dtype)
    F.conv2d(x, weight.requires_grad_(), padding=1, groups=groups).sum().backward()


def normalized(*shape: int) -> None:
    x = torch.ones(shape, device="cuda").requires_grad_()
    weight, bias = (torch.ones(shape[-1:], device="cuda").requires_grad_() for _ in range(2))
    F.layer_norm(x, shape[-1:], weight, bias).sum().backward()


STEPS: dict[str, list[Callable[[], Any]]] = {
    "attention": [lambda: attended(False)],
    "attention_gradient": [lambda: attended(True)],
    "block": [lambda: normalized(2, 3_000)],
    "channels_last": [
        lambda: convolved(torch.bfloat16, 40, taps=3),
        lambda: convolved(torch.bfloat16, 8, taps=1),
    ],
    "convolutions": [lambda: convolved(torch.float32, 10, taps=3, groups=2)],
    "last_block": [lambda: torch.ones(9_000, 40, device="cuda").sum(0)],
    "movement": [lambda: torch.ones(70, 70, device="cuda").t().contiguous()],
    "normalization": [lambda: normalized(40, 40)],
    "reducers": [lambda: torch.ones(2, 3_000, device="cuda").sum(1)],
    "reductions": [lambda: torch.ones(300, 40, device="cuda").sum(0)],
    "scans": [lambda: torch.ones(2, 3_000, device="cuda").cumsum(1)],
    "selection": [lambda: torch.topk(torch.arange(2_000.0, device="cuda"), 700)],
}
"""What uses the waits of each source."""


def sources() -> list[str]:
    """Those that have waits."""
    paths = launch.KERNELS.glob("*.cu*")
    return sorted({p.stem for p in paths if re.search(WAITS, code_of(p.read_text()))})


def forget_sources() -> None:
    """Have sources read, and kernels compiled, anew."""
    launch.source.cache_clear()
    for template in launch.templates:
        template.clear()


@pytest.fixture
def broken(host: HostDriver, tmp_path: Any, monkeypatch: Any) -> Iterator[Any]:
    """Gives the waits of a source that may be left out, and the switch that leaves one out."""

    switch = ctypes.c_int.in_dll(ctypes.CDLL(str(shim.machine())), "mutant")

    def switched(stem: str) -> Any:
        folder = tmp_path / "kernels"
        shutil.copytree(launch.KERNELS, folder)
        places = broken_copy(folder, [stem], {"waits"})
        monkeypatch.setattr(launch, "KERNELS", folder)
        forget_sources()
        return places, switch

    yield switched
    switch.value = 0
    forget_sources()


def fails(stem: str) -> bool:
    """Whether a step of the source does what a GPU forbids."""
    for step in STEPS[stem]:
        try:
            step()
        except ShimError:
            return True
    return False


@pytest.mark.parametrize("stem", sources())
def test_no_wait_can_be_left_out(broken: Any, stem: str) -> None:
    places, switch = broken(stem)
    assert not fails(stem)
    unseen = []
    for number, place in enumerate(places, 1):
        switch.value = number
        if not fails(stem):
            unseen.append(str(place))
    assert not unseen, "\n".join(unseen)
