"""What other libraries reach for besides the documented functions."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.autograd.forward_ad import unpack_dual
from flambeau.autograd.function import Function
from flambeau.core.printing import printoptions
from flambeau.errors import CheckpointError, DeviceError, DTypeError
from flambeau.nn.attention.flex_attention import AuxRequest, flex_attention
from flambeau.transforms.scans import associative_scan
from flambeau.utils._pytree import SUPPORTED_NODES, tree_flatten
from flambeau.utils.flop_counter import FlopCounterMode


def test_a_view_that_repeats_nothing_can_be_written() -> None:
    x = torch.arange(3)
    x.expand(1, -1).copy_(torch.tensor([[7, 8, 9]]))
    x.expand(3).add_(1)
    assert x.tolist() == [8, 9, 10]
    assert torch.ones(0, 3).expand(2, 0, 3).shape == (2, 0, 3)
    with pytest.raises(RuntimeError, match="expanded"):
        x.expand(2, 3).add_(1)


def test_a_functions_gradient_is_added_up_to_the_shape_of_its_input() -> None:
    class Shifted(Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
            return x + shift

        @staticmethod
        def backward(ctx: Any, g: torch.Tensor) -> Any:
            return g, g

    shift = torch.ones(1, 3, requires_grad=True)
    Shifted.apply(torch.zeros(2, 3), shift).sum().backward()
    assert shift.grad is not None
    assert shift.grad.tolist() == [[2, 2, 2]]


def test_a_tensor_outside_of_dual_levels_has_no_tangent() -> None:
    x = torch.ones(2)
    assert unpack_dual(x).primal is x
    assert unpack_dual(x).tangent is None


def test_devices_that_are_not_served_have_names_and_no_tensors() -> None:
    assert torch.device("mps") != torch.ones(1).device
    assert not torch.xpu.is_available()
    assert torch.mps.device_count() == 0
    with pytest.raises(DeviceError, match="cannot be on mps"):
        torch.ones(1, device="mps")
    with pytest.raises(DeviceError, match="cannot be on xpu"):
        nn.Linear(1, 1).to("xpu")


def test_a_type_that_is_only_a_name_makes_no_tensors() -> None:
    assert torch.complex32 not in (torch.complex64, torch.float16)
    assert torch.complex32.is_complex
    for make in (lambda t: torch.ones(1, dtype=t), torch.ones(1).to):
        with pytest.raises(DTypeError, match="complex32"):
            make(torch.complex32)


def test_storages_are_read_from_files_and_cut_without_copies(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(12)))
    storage = torch.UntypedStorage.from_file(path, shared=False, nbytes=12)
    part = storage[4:8]
    assert (len(storage), len(part), storage[5], part[1]) == (12, 4, 5, 5)
    x = torch.asarray(part, dtype=torch.uint8).view(torch.int16)
    assert x.tolist() == np.frombuffer(bytes(range(4, 8)), np.int16).tolist()
    x.zero_()
    assert storage[4] == 0
    assert path.read_bytes()[4] == 4
    shared = torch.UntypedStorage.from_file(path, shared=True, nbytes=12)
    torch.asarray(shared, dtype=torch.uint8).fill_(1)
    assert path.read_bytes() == bytes([1]) * 12


def test_records_of_a_checkpoint_are_read_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"x": torch.arange(3)}, path)
    reader = torch.PyTorchFileReader(str(path))
    assert reader.has_record("data.pkl")
    assert reader.get_record("data/0") == np.arange(3).tobytes()
    assert reader.get_storage_from_record("data/0", 3, torch.int64).tolist() == [0, 1, 2]
    with pytest.raises(CheckpointError, match="Got 'nowhere'"):
        reader.get_record("nowhere")
    path.write_bytes(b"no archive")
    with pytest.raises(CheckpointError, match="zip"):
        torch.PyTorchFileReader(path)
    assert zipfile.is_zipfile(path) is False


def test_print_options_hold_within_their_block() -> None:
    x = torch.tensor([0.123456])
    with printoptions(precision=2):
        assert str(x) == "tensor([0.12])"
    assert str(x) == "tensor([0.1235])"


def test_flex_attention_tells_what_is_asked() -> None:
    q, k, v = (torch.randn(1, 2, 4, 8) for _ in range(3))
    out, aux = flex_attention(q, k, v, return_aux=AuxRequest(lse=True, max_scores=True))
    scores = q @ k.mT / 8**0.5
    assert torch.allclose(aux.lse, scores.logsumexp(-1))
    assert torch.allclose(aux.max_scores, scores.amax(-1))
    assert torch.allclose(out, flex_attention(q, k, v))


@pytest.mark.parametrize("tree", [{"a": 1, "b": (2,)}, [1, 2], (1, [2])])
def test_kinds_of_trees_can_be_looked_up(tree: Any) -> None:
    children, context = SUPPORTED_NODES[type(tree)].flatten_fn(tree)
    assert SUPPORTED_NODES[type(tree)].unflatten_fn(children, context) == tree
    assert int not in SUPPORTED_NODES
    assert tree_flatten(tree)[0] == [1, 2]


def test_operations_are_counted_forward_and_backward() -> None:
    """The counts are PyTorch 2.13's."""
    net = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 5))
    with FlopCounterMode(display=False) as counter:
        net(torch.randn(8, 10)).sum().backward()
    assert counter.get_total_flops() == 11200
    with FlopCounterMode(display=False) as counter:
        nn.Conv2d(3, 8, 3)(torch.randn(2, 3, 8, 8)).sum().backward()
    assert counter.get_total_flops() == 62208
    assert "Convolution" in counter.get_table()
    torch.randn(2, 2) @ torch.randn(2, 2)
    assert counter.get_total_flops() == 62208


def test_parameters_are_made_again_from_their_attributes() -> None:
    """As Accelerate puts parameters on the meta device."""
    p = nn.Parameter(torch.ones(2), requires_grad=False)
    made = type(p)(p.to("meta"), **{**p.__dict__, "requires_grad": p.requires_grad})
    assert (made.is_meta, made.requires_grad) == (True, False)
    with pytest.raises(TypeError, match=r"Got \{'colour'\}"):
        nn.Parameter(torch.ones(2), colour=1)  # type: ignore[call-arg]


def test_pythons_types_stand_for_element_types() -> None:
    """As with NumPy, and as PyTorch takes them."""
    x = torch.ones(2)
    assert torch.tensor([0, 2], dtype=bool).tolist() == [False, True]
    assert torch.zeros(2, dtype=int).dtype is torch.int64
    assert torch.arange(2, dtype=float).dtype is torch.float64
    assert torch.linspace(0, 1, 2, dtype=float).dtype is torch.float64
    assert torch.empty(1, dtype=complex).dtype is torch.complex128
    assert torch.zeros_like(x, dtype=bool).dtype is torch.bool
    assert x.new_full((2,), 1, dtype=int).dtype is torch.int64
    assert x.to(int).dtype is x.to("cpu", int).dtype is torch.int64
    for result in (x.sum(dtype=float), x.mean(dtype=float), x.cumprod(0, dtype=float)):
        assert result.dtype is torch.float64
    assert x.softmax(0, dtype=float).dtype is torch.float64
    assert nn.Linear(1, 1).to(float).weight.dtype is torch.float64
    assert torch.finfo(float).eps == 2**-52
    with pytest.raises(TypeError, match="Expected a dtype"):
        torch.ones(1, dtype=str)


def test_arithmetic_of_two_numbers_gives_a_tensor() -> None:
    assert torch.add(1, 2).item() == 3
    assert torch.mul(2, 3.0).dtype is torch.float32
    assert torch.div(7, 2).item() == 3.5
    assert torch.div(7, 2, rounding_mode="trunc").dtype is torch.int64
    with pytest.raises(TypeError, match="expected a tensor"):
        torch.remainder(7, 2)


@pytest.mark.parametrize("length", [1, 2, 3, 8, 13])
def test_associative_scans_combine_what_came_before(length: int) -> None:
    x = torch.randn(2, length, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(associative_scan(torch.add, x, 1), x.cumsum(1))

    def compose(a: Any, b: Any) -> Any:
        return a[0] * b[0], b[0] * a[1] + b[1]

    _, found = associative_scan(compose, (x, x.exp()), 1, reverse=True)
    state, states = torch.zeros(2, dtype=torch.float64), []
    for k in reversed(range(length)):
        state = x[:, k] * state + x[:, k].exp()
        states.append(state)
    expected = torch.stack(states[::-1], 1)
    assert torch.allclose(found, expected)
    (given,) = torch.autograd.grad(found.sin().sum(), x)
    (wanted,) = torch.autograd.grad(expected.sin().sum(), x)
    assert torch.allclose(given, wanted)
