"""Two GPUs: every operation runs where its tensors are, whichever GPU is current."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cuda import launch, registry
from flambeau.core.dispatch import forget_kernels
from flambeau.core.tensor import Tensor

from ..cupy_stand_in import memory
from ..op_samples import SAMPLES
from ..samples.kit import leaves_of
from ..test_cuda import placed
from ..test_operations import call, outputs_of
from .shim import HostDriver


class Unlaunched(HostDriver):
    """A driver that computes nothing, but looks where the memory of each launch lies."""

    def is_available(self) -> bool:
        """Without a compiler too."""
        return True

    def device(self) -> int:
        """The current one."""
        return memory.current.device

    def load(self, kernel: launch.Kernel) -> int:
        """Any number."""
        return 1

    def launch(
        self, function: int, grid: Any, threads: int, shared: int, kernel: Any, words: Any
    ) -> None:
        """Raises: AssertionError for memory of another device than the current one."""
        self.launched.append(kernel.expression)
        for word in words:
            some = np.frombuffer(word, np.uint64).tolist() if isinstance(word, bytes) else [word]
            for address in some:
                place = memory.place_of(address) if isinstance(address, int) else None
                assert place in (None, self.device()), f"{kernel}: memory of cuda:{place}"


def first_own(own: Any, plain: Any) -> Any:
    """The kernel `plain`, which computes, after `own`, which does not."""

    def call(*arrays: Any, **attributes: Any) -> Any:
        own(*arrays, **attributes)
        return plain(*arrays, **attributes)

    return call


@pytest.fixture
def unlaunched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Unlaunched]:
    """Kernels of ours are launched and do nothing; array code computes."""
    monkeypatch.setattr(registry, "or_plain", first_own)
    before, launch.driver = launch.driver, Unlaunched()
    forget_kernels()
    yield launch.driver
    launch.driver = before
    for template in launch.templates:
        template.clear()
    forget_kernels()


def walked(current: int, place: str) -> Iterator[tuple[str, list[Tensor]]]:
    """Each operation with its results and gradients, first and second, for tensors on `place`."""
    for name, samples in SAMPLES.items():
        sample = samples[0]
        with torch.cuda.device(place):
            args, moved = sample.tensors(sample.gradient, place), placed(sample, place)
        torch.cuda.set_device(current)
        outs = outputs_of(call(name, args, moved))
        leaves = [t for t in leaves_of(args) if t.requires_grad]
        tracked = [t for t in outs if t.requires_grad]
        found = [*outs]
        for create_graph in (False, sample.second_order) if tracked and leaves else ():
            ones = [torch.ones_like(t) for t in tracked]
            options = {"retain_graph": True, "create_graph": create_graph, "allow_unused": True}
            found += torch.autograd.grad(tracked, leaves, ones, **options)
        assert torch.cuda.current_device() == current
        yield name, [t for t in found if t is not None]


def test_every_operation_computes_on_the_gpu_of_its_tensors() -> None:
    for name, tensors in walked(0, "cuda:1"):
        for t in tensors:
            assert t.device.index == 1, name
            assert not t._array.nbytes or t._array.data.device_id == 1, name
            repr(t)


def test_every_launch_is_on_the_gpu_of_its_arrays(unlaunched: Unlaunched) -> None:
    for _ in walked(1, "cuda:0"):
        pass
    torch.cuda.set_device(0)
    assert len({*unlaunched.launched}) > 300
