"""The GPU's backend: on a GPU where there is one, else on the stand-in for CuPy."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import sys
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn, optim
from flambeau.core.tensor import Tensor

from .samples.kit import Sample, leaves_of
from .test_operations import CASES, GRADIENT_CASES, call, outputs_of
from .test_vmap import BATCHED_CASES, DYNAMIC, function_and_slices

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]


def placed(sample: Sample, place: str) -> Sample:
    """The sample with the arrays inside its options, which are indices, on the device."""
    if place == "cpu":
        return sample
    cupy = sys.modules["cupy"]

    def moved(value: Any) -> Any:
        if isinstance(value, tuple) and any(isinstance(v, np.ndarray) for v in value):
            return tuple(cupy.asarray(v) for v in value)
        return value

    return dataclasses.replace(sample, kwargs={k: moved(v) for k, v in sample.kwargs.items()})


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_values_equal_the_cpus(name: str, sample: Sample) -> None:
    wanted = outputs_of(call(name, sample.tensors(), sample))
    found = outputs_of(call(name, sample.tensors(device="cuda"), placed(sample, "cuda")))
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert (a.device.type, a.dtype, a.shape) == ("cuda", b.dtype, b.shape)
        assert isinstance(a._array, sys.modules["cupy"].ndarray)
        np.testing.assert_allclose(a.cpu().numpy(), b.numpy(), rtol=1e-12, atol=1e-12)


def gradients(name: str, sample: Sample, place: str) -> list[Tensor | None]:
    args = sample.tensors(requires_grad=True, device=place)
    leaves = [t for t in leaves_of(args) if t.requires_grad]
    result = call(name, args, placed(sample, place))
    outs = [t for t in outputs_of(result) if t.requires_grad]
    if not outs:
        return []
    weights = [torch.ones_like(t) for t in outs]
    return list(torch.autograd.grad(outs, leaves, weights, allow_unused=True))


@pytest.mark.parametrize(("name", "sample"), GRADIENT_CASES)
def test_gradients_equal_the_cpus(name: str, sample: Sample) -> None:
    wanted = gradients(name, sample, "cpu")
    for a, b in zip(gradients(name, sample, "cuda"), wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.device.type == "cuda"
            np.testing.assert_allclose(a.cpu().numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "sample"), [c for c in BATCHED_CASES if c.values[0] not in DYNAMIC]
)
def test_vmap_equals_the_cpus(name: str, sample: Sample) -> None:
    function, slices = function_and_slices(name, sample)
    wanted = torch.vmap(function)(*[torch.stack(v) for v in slices])
    function, slices = function_and_slices(name, placed(sample, "cuda"), "cuda")
    found = torch.vmap(function)(*[torch.stack(v) for v in slices])
    for a, b in zip(found, wanted, strict=True):
        assert (a.device.type, a.dtype, a.shape) == ("cuda", b.dtype, b.shape)
        np.testing.assert_allclose(a.cpu().numpy(), b.numpy(), rtol=1e-9, atol=1e-9)


# -- as people use it ------------------------------------------------------------------------------


def test_making_and_showing_tensors() -> None:
    x = torch.arange(4.0, device="cuda").reshape(2, 2)
    assert repr(x) == "tensor([[0., 1.],\n        [2., 3.]], device='cuda:0')"
    assert torch.empty(2, 3, device="cuda").shape == (2, 3)
    assert torch.zeros(2, device="cuda").tolist() == [0, 0]
    assert torch.tensor([1, 2]).cuda().new_ones(2).device.type == "cuda"
    assert (x.sum().item(), float(x[1, 0]), bool(x[0, 1]), f"{x.sum():.1f}") == (6, 2, True, "6.0")
    assert [float(row.sum()) for row in x] == [1, 5]
    assert x.half().float().cpu().tolist() == [[0, 1], [2, 3]]


def test_copies_and_pickles_stay_on_the_gpu() -> None:
    x = torch.arange(4.0, device="cuda")
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.device == x.device
        assert torch.equal(other, x)


def test_indexing_takes_lists_masks_and_indices_of_either_device() -> None:
    x = torch.arange(12.0, device="cuda").reshape(3, 4)
    for rows in ([0, 2], torch.tensor([0, 2]), torch.tensor([0, 2]).cuda()):
        assert x[rows].cpu().tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert x[x > 9].cpu().tolist() == x[(x > 9).cpu()].cpu().tolist() == [10, 11]
    y = x.clone()
    y[[0, 1]] = 1
    y[y > 8] = 0
    y[2, :2] = torch.tensor([5.0, 6.0])
    assert y.cpu().tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [5, 6, 0, 0]]


def test_numbers_and_0_d_tensors_of_the_cpu_join_in_others_are_refused() -> None:
    x = torch.ones(3, device="cuda")
    assert (2 * x + torch.tensor(1.0)).cpu().tolist() == [3, 3, 3]
    with pytest.raises(RuntimeError, match=r"\(3,\) on cuda:0, \(3,\) on cpu.*\.to\('cuda:0'\)"):
        x + torch.ones(3)
    with pytest.raises(RuntimeError, match="one device"):
        nn.Linear(3, 2)(x)
    with pytest.raises(TypeError, match=r"Use tensor\.cpu\(\)"):
        x.numpy()


def test_a_device_that_is_not_there_is_refused() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(RuntimeError, match=rf"below {count}. Got 'cuda:{count}'"):
        torch.ones(1, device=f"cuda:{count}")


def test_numbers_out_of_range_are_refused() -> None:
    def told(call: Any) -> None:
        call(torch.tensor([1, 7]).cuda())
        torch.cuda.synchronize()  # at the latest

    for wrong in (
        nn.Embedding(5, 3).cuda(),
        lambda i: F.cross_entropy(torch.zeros(2, 5).cuda(), i),
        lambda i: torch.zeros(5).cuda().gather(0, i),
    ):
        with pytest.raises(IndexError, match=r"from 0 to 4.*7"):
            told(wrong)


def test_random_numbers_follow_the_seed() -> None:
    def drawn() -> list[Any]:
        torch.manual_seed(3)
        x = torch.rand(1000, device="cuda")
        made = [x, torch.randn(1000, device="cuda"), F.dropout(x), torch.bernoulli(x)]
        made += [torch.randint(0, 9, (1000,), device="cuda"), torch.randperm(9, device="cuda")]
        made += [torch.multinomial(x, 5), torch.empty(9, device="cuda").exponential_()]
        return [t.cpu().tolist() for t in made]

    first = drawn()
    assert first == drawn()
    assert abs(np.mean(first[0]) - 0.5) < 0.05
    assert abs(np.std(first[1]) - 1) < 0.1
    assert sorted(first[5]) == list(range(9))


def trained(model: Any, optimizer: Any, place: str) -> list[float]:
    """The losses of eight steps."""
    x, y = torch.randn(6, 1, 8, 8).to(place), torch.arange(6).to(place)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        return loss

    return [optimizer.step(closure).item() for _ in range(8)]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4),
        lambda p: optim.Adam(p, lr=1e-2, amsgrad=True),
        lambda p: optim.AdamW(p, lr=1e-2),
        lambda p: optim.RMSprop(p, lr=1e-3, centered=True, momentum=0.5),
        lambda p: optim.Adagrad(p, lr=1e-2, initial_accumulator_value=0.1),
        lambda p: optim.Adadelta(p),
        lambda p: optim.Adamax(p, lr=1e-2),
        lambda p: optim.NAdam(p, lr=1e-2),
        lambda p: optim.RAdam(p, lr=1e-2, betas=(0.8, 0.9)),
        lambda p: optim.Rprop(p, lr=1e-3),
        lambda p: optim.ASGD(p, lr=0.1, t0=3),
        lambda p: optim.Adafactor(p, lr=0.1),
        lambda p: optim.LBFGS(p, max_iter=1, line_search_fn="strong_wolfe"),
    ],
)
def test_training_follows_the_cpus(make: Any, tmp_path: Any) -> None:
    losses = {}
    for place in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 6),
        ).to(place)  # fmt: skip
        losses[place] = trained(model, make(model.parameters()), place)
    assert losses["cpu"][-1] < losses["cpu"][0]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=2e-4)
    torch.save(model.state_dict(), tmp_path / "model.safetensors")
    loaded = torch.load(tmp_path / "model.safetensors", map_location="cpu")
    for name, value in model.state_dict().items():
        assert torch.equal(loaded[name], value.cpu()), name


def test_second_derivatives_and_hooks() -> None:
    w = torch.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    w.register_hook(lambda g: g * 2)
    (g,) = torch.autograd.grad((w**3).sum(), w, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), w)
    assert (g.tolist(), h.tolist()) == ([6, 24], [24, 48])
    (w * w).sum().backward()
    (w * w).sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [8, 16]


def test_memory_is_reported_and_given_back() -> None:
    x = torch.ones(1000, device="cuda")
    torch.cuda.empty_cache()
    torch.cuda.synchronize()
    assert 0 <= torch.cuda.memory_allocated() <= torch.cuda.memory_reserved()
    free, total = torch.cuda.mem_get_info()
    assert 0 < free <= total
    assert x.cpu().sum().item() == 1000


SPARSE: dict[str, Any] = {
    "coalesce": lambda x, d: x.coalesce().to_dense(),
    "mm": lambda x, d: x @ d,
    "sparse mm": lambda x, d: (x @ x.t()).to_dense(),
    "sum": lambda x, d: x.sum(0).to_dense(),
    "softmax": lambda x, d: torch.sparse.softmax(x, 1).to_dense(),
    "products": lambda x, d: (x * d.t() * x.sqrt() / 2).to_dense(),
    "sums": lambda x, d: d.t() - (x + x * 2),
    "parts": lambda x, d: torch.cat([x[1:], x.index_select(0, torch.tensor([1, 1]))]).to_dense(),
    "reshape": lambda x, d: x.reshape(2, 3, 2).select(2, 0).to_dense(),
    "masks": lambda x, d: d.t().sparse_mask(x).to_dense() + d.t().to_sparse() + x.to_dense(),
    "max": lambda x, d: x.max(),
}


@pytest.mark.parametrize("name", SPARSE)
def test_sparse_tensors_compute_as_on_the_cpu(name: str) -> None:
    found = []
    for device in ("cuda", "cpu"):
        values = (torch.arange(1.0, 6, dtype=torch.float64) / 7).to(device).requires_grad_()
        side = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
        side = side.to(device).requires_grad_()
        indices = torch.tensor([[2, 0, 1, 2, 0], [1, 3, 0, 1, 0]])
        x = torch.sparse_coo_tensor(indices, values, (3, 4), device=device)
        assert x.device.type == device
        out = SPARSE[name](x, side)
        out.square().sum().backward()
        sides = [] if side.grad is None else [side.grad.cpu().numpy()]
        found.append([out.detach().cpu().numpy(), values.grad.cpu().numpy(), *sides])
    for gpu, cpu in zip(*found, strict=True):
        np.testing.assert_allclose(gpu, cpu, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["SGD", "Adagrad", "SparseAdam"])
def test_sparse_gradients_change_tables_as_on_the_cpu(kind: str) -> None:
    found = []
    for device in ("cuda", "cpu"):
        table = nn.Parameter(torch.arange(12.0).reshape(6, 2).to(device))
        optimizer = getattr(optim, kind)([table], lr=0.1)
        for step in range(3):
            optimizer.zero_grad()
            rows = torch.tensor([1, step, 1]).to(device)
            F.embedding(rows, table, sparse=True).square().sum().backward()
            assert table.grad.is_sparse
            optimizer.step()
        found.append(table.detach().cpu().numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_sparse_tensors_go_to_the_gpu_and_back() -> None:
    x = torch.eye(3).to_sparse().to("cuda")
    assert "device='cuda:0'" in repr(x)
    assert pickle.loads(pickle.dumps(x)).device == x.device
    assert copy.deepcopy(x).cpu().to_dense().tolist() == torch.eye(3).tolist()


@pytest.mark.parametrize("non_blocking", [False, True])
def test_images_keep_their_channels_innermost_on_the_way_to_a_gpu_and_back(
    non_blocking: bool,
) -> None:
    x = torch.randn(2, 3, 5, 6).to(memory_format=torch.channels_last).pin_memory()
    there = x.to("cuda", non_blocking=non_blocking)
    back = there.to("cpu", non_blocking=non_blocking)
    torch.cuda.synchronize()
    assert there.stride() == back.stride() == x.stride()
    assert torch.equal(back, x)
