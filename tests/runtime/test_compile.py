"""Compiled functions: what waits, what has it computed, and that all is as it was eagerly."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import nn
from flambeau.compiler import region
from flambeau.compiler.lazy import LazyTensor
from flambeau.core.tensor import Tensor

from .samples.kit import Sample, leaves_of
from .test_operations import CASES, VALUE_DEPENDENT, _replaced, call


@pytest.fixture(autouse=True)
def small_tensors_wait_too(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(region, "LEAST", 0)
    yield
    torch.compiler.reset()


def leaf(*shape: int, seed: int = 0, dtype: Any = None) -> Tensor:
    values = np.random.RandomState(seed).uniform(-1, 1, shape)
    return torch.tensor(values, dtype=dtype or torch.float32).requires_grad_()


def gradients(function: Any, leaves: list[Tensor]) -> list[Any]:
    """The sum of what `function` gives, and its gradients."""
    total = sum(out.sum() for out in leaves_of(function(*leaves)) if out.requires_grad)
    wanted = [t for t in leaves if t.requires_grad]
    return [total, *torch.autograd.grad(total, wanted, allow_unused=True)]


def assert_alike(function: Any, *leaves: Tensor, tolerance: float = 2e-5) -> None:
    """`function` compiled gives what it gives eagerly, and so do its gradients."""
    wanted = leaves_of(function(*leaves))
    found = leaves_of(torch.compile(function)(*leaves))
    assert [(t.shape, t.dtype, t.requires_grad) for t in found] == [
        (t.shape, t.dtype, t.requires_grad) for t in wanted
    ]
    assert all(t.__class__ is Tensor or t in leaves for t in found)
    pairs = list(zip(found, wanted, strict=True))
    if any(t.requires_grad for t in wanted):
        eager = gradients(function, list(leaves))
        compiled = gradients(torch.compile(function), list(leaves))
        assert [g is None for g in compiled] == [g is None for g in eager]
        pairs += [p for p in zip(compiled, eager, strict=True) if p[0] is not None]
    for a, b in pairs:
        a, b = a.detach().numpy(), b.detach().numpy()
        scale = max(1.0, float(np.abs(b).max())) if b.size and b.dtype.kind == "f" else 1.0
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_every_operation_gives_lazily_what_it_gives_eagerly(name: str, sample: Sample) -> None:
    if name in VALUE_DEPENDENT:
        return
    args = sample.tensors(requires_grad=sample.gradient)
    leaves = leaves_of(args)

    def function(*tensors: Tensor) -> Any:
        lazy = {
            id(a): t * 1 if t.is_floating_point() else t
            for a, t in zip(leaves, tensors, strict=True)
        }
        return call(name, _replaced(args, lazy), sample)

    assert_alike(function, *leaves, tolerance=1e-11)


def test_a_value_that_is_read_decides_what_comes_next(capsys: pytest.CaptureFixture[str]) -> None:
    @torch.compile
    def function(x: Tensor) -> Tensor:
        y = x * 2
        while y.norm() > 1:
            y = y / 2
        print(float(y.max()))
        return y.exp()

    x = torch.tensor([3.0, -4.0])
    np.testing.assert_allclose(function(x).numpy(), np.exp([0.375, -0.5]), rtol=1e-6)
    assert capsys.readouterr().out == "0.375\n"


def test_operations_wait_until_the_function_returns() -> None:
    seen: list[Any] = []

    def function(x: Tensor) -> Tensor:
        y = x.exp() + 1
        seen.append((y.__class__, y.shape, y.dtype, y.requires_grad, y.is_leaf))
        return y.sin()

    z = torch.compile(function)(leaf(3, 4))
    assert seen == [(LazyTensor, (3, 4), torch.float32, True, False)]
    assert z.__class__ is Tensor
    assert z.grad_fn.name() == "CompiledBackward0"


def test_errors_come_at_the_line_that_makes_them() -> None:
    reached: list[int] = []

    @torch.compile
    def function(x: Tensor, w: Tensor) -> Tensor:
        y = x * 2
        reached.append(1)
        z = y @ w
        reached.append(2)
        return z

    with pytest.raises(RuntimeError, match="matmul"):
        function(torch.ones(2, 3), torch.ones(2, 3))
    assert reached == [1]
    assert torch.ones(2).exp().__class__ is Tensor  # the region is over


def test_a_lazy_tensor_that_got_out_by_an_exception_computes_itself() -> None:
    kept: list[Tensor] = []

    @torch.compile
    def function(x: Tensor) -> None:
        kept.append(x * 3)
        raise KeyboardInterrupt

    x = torch.ones(2)
    with pytest.raises(KeyboardInterrupt):
        function(x)
    assert kept[0].tolist() == [3, 3]
    with pytest.raises(KeyboardInterrupt):
        function(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        kept[1].tolist()


def test_an_interrupted_computation_can_be_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Tensor] = []

    def function(x: Tensor) -> Tensor:
        kept.append(x * 3 + 1)
        return kept[0]

    def interrupted(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("flambeau.compiler.executables.Executable.__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            torch.compile(function)(torch.ones(2))
    assert kept[0].tolist() == [4, 4]
    assert torch.ones(2).exp().__class__ is Tensor


def test_writes_in_place_are_seen_when_they_are_seen_eagerly() -> None:
    def function(x: Tensor, buffer: Tensor) -> Any:
        before = buffer * 2
        buffer.add_(x)
        y = x * 1
        view = y[0]
        y.mul_(3)
        after = buffer * 2
        z = torch.relu_(x * 2).add_(1)
        y[1] = 7
        turned = x.clone()
        sums = (turned * 2).sum(0)
        turned.t_()
        return before, after, y, view, z, sums, turned

    results = []
    for run in (function, torch.compile(function)):
        buffer = torch.ones(2, 2)
        out = run(torch.tensor([[1.0, -2.0], [3.0, 4.0]]), buffer)
        results.append([t.tolist() for t in (*out, buffer)])
    assert results[0] == results[1]


def test_views_that_leave_share_memory() -> None:
    @torch.compile
    def function(x: Tensor) -> Any:
        y = x * 2
        return y, y.t(), x.view(-1)

    x = torch.ones(2, 3)
    y, turned, flat = function(x)
    y[0, 1] = 5
    x[0, 0] = 9
    assert turned[1, 0] == 5
    assert flat[0] == 9
    assert turned._base is y


def test_second_gradients_are_those_of_the_operations() -> None:
    def function(x: Tensor, w: Tensor) -> Tensor:
        return torch.softmax(torch.tanh(x @ w) * x.sum(1, keepdim=True), -1).square().sum()

    x, w = leaf(3, 4, dtype=torch.float64), leaf(4, 4, seed=1, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(torch.compile(function), (x, w))


def test_hooks_and_kept_gradients_of_intermediates_run() -> None:
    seen: list[Any] = []

    def function(x: Tensor) -> Tensor:
        y = x * 3
        y.register_hook(lambda g: seen.append(g.tolist()) or g * 2)
        y.retain_grad()
        seen.append(y)
        return (y * y).sum()

    for run in (function, torch.compile(function)):
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        run(x).backward()
        y, g = seen
        assert (g, y.grad.tolist(), x.grad.tolist()) == ([6, 12], [12, 24], [36, 72])
        seen.clear()


def test_recording_is_off_where_it_is_off() -> None:
    @torch.compile
    def function(x: Tensor) -> Any:
        with torch.no_grad():
            y = x * 2
        return y, x * y, y.detach() * x

    y, z, v = function(leaf(3))
    assert (y.requires_grad, z.requires_grad, v.requires_grad) == (False, True, True)
    with torch.no_grad():
        assert not function(leaf(3))[1].requires_grad


def test_dropout_draws_what_it_draws_eagerly() -> None:
    def function(x: Tensor) -> Tensor:
        return F.dropout(F.gelu(x), 0.3) * 2 + torch.rand(4)

    x = leaf(5, 4)
    results = []
    for run in (function, torch.compile(function)):
        torch.manual_seed(3)
        results.append(run(x).tolist())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6)


def test_threads_have_regions_of_their_own() -> None:
    step = threading.Barrier(2)
    found: dict[int, Any] = {}

    def work(k: int) -> None:
        @torch.compile
        def function(x: Tensor) -> Tensor:
            y = x * k
            step.wait(10)
            return y + 1

        found[k] = function(torch.ones(2)).tolist()

    threads = [threading.Thread(target=work, args=(k,)) for k in (2, 3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {2: [3, 3], 3: [4, 4]}


READS: dict[str, Any] = {
    "bool": lambda y: y if y.sum() > 0 else -y,
    "item": lambda y: y * y.sum().item(),
    "float": lambda y: y * float(y[0]),
    "index": lambda y: y[int(y[0])],
    "list": lambda y: y * y.tolist()[0],
    "numpy": lambda y: y * y.numpy()[0],
    "text": lambda y: y * len(f"{y}"),
    "contains": lambda y: y * (2.0 in y),
}


@pytest.mark.parametrize("name", READS)
def test_fullgraph_names_the_line_where_python_reads_a_value(name: str) -> None:
    @torch.compile(fullgraph=True)
    def function(x: Tensor) -> Tensor:
        y = x * 2
        return READS[name](y)

    with pytest.raises(RuntimeError, match=r"values were read at.*y.*Leave fullgraph out"):
        function(torch.ones(2))


def test_fullgraph_minds_no_operation_that_does_not_wait() -> None:
    block = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16, 4), nn.Dropout(0.5), nn.Softmax(-1),
    )  # fmt: skip
    encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    @torch.compile(fullgraph=True)
    def function(x: Tensor) -> Tensor:
        y = encoder(block(x).reshape(1, 3, 4)).cumsum(1).sort(-1)[0]
        y[0] = 0
        return torch.cat([y, y * 2]).half().float()

    out = function(torch.randn(3, 2, 4, 4))
    assert out.shape == (2, 3, 4)
    out.sum().backward()
    assert block[0].weight.grad is not None


def test_fullgraph_refuses_a_function_that_is_not_to_be_compiled() -> None:
    plainly = torch.compiler.disable(lambda y: y + 1)
    with pytest.raises(RuntimeError, match="a function was called that is not to be compiled"):
        torch.compile(lambda x: plainly(x * 2), fullgraph=True)(torch.ones(2))


def test_a_disabled_function_computes_at_once() -> None:
    classes: list[type] = []

    @torch.compiler.disable
    def plainly(x: Tensor) -> Tensor:
        y = x + 1
        classes.append(y.__class__)
        return y

    assert torch.compile(lambda x: plainly(x * 2) * 3)(torch.ones(2)).tolist() == [9, 9]
    assert classes == [Tensor]


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="backend of inductor"):
        torch.compile(len, backend="nothing")
    with pytest.raises(ValueError, match="mode of default"):
        torch.compile(len, mode="fast")
    with pytest.raises(TypeError, match="function or a module"):
        torch.compile(3)


def test_a_compiled_module_has_the_names_of_pytorch() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    compiled = torch.compile(net)
    x = torch.ones(2, 3)
    assert compiled(x).tolist() == net(x).tolist()
    assert list(compiled.state_dict()) == ["_orig_mod.0.weight", "_orig_mod.0.bias"]
    compiled.load_state_dict(net.state_dict())
    compiled.load_state_dict(compiled.state_dict())
    assert compiled.eval().training is net[0].training is False
    compiled.extra = 5
    assert net.extra == 5
    assert [p is q for p, q in zip(compiled.parameters(), net.parameters(), strict=True)] == [
        True
    ] * 2
    assert torch.compile(compiled) is compiled


def test_a_copy_of_a_compiled_module_calls_its_own_layers() -> None:
    compiled = torch.compile(nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    for other in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        with torch.no_grad():
            other._orig_mod[0].weight.zero_()
            other._orig_mod[0].bias.fill_(2)
        assert other(torch.ones(1, 3)).tolist() == [[2, 2, 2, 2]]
    assert compiled(torch.ones(1, 3)).tolist() != [[2, 2, 2, 2]]


def test_a_gradient_by_one_result_of_another_is_that_of_what_lies_between() -> None:
    @torch.compile
    def function(x: Tensor) -> Any:
        y = x * 3
        z = y.sin()
        return y, z, z * y

    y, z, v = function(leaf(4))
    by_y, by_z = torch.autograd.grad(v.sum(), (y, z), retain_graph=True)
    np.testing.assert_allclose(by_z.numpy(), y.detach().numpy())
    np.testing.assert_allclose(by_y.numpy(), (y.cos() * y + y.sin()).detach().numpy(), rtol=1e-5)


def test_transforms_inside_a_compiled_function_are_exact() -> None:
    def function(x: Tensor) -> Any:
        slope = torch.func.grad(lambda t: (t * t).sum() * 3)(x * 1)
        each = torch.func.vmap(lambda row: (row * 2).sum() * row)(x * 1)
        return slope, each

    assert_alike(function, leaf(3, 4))


def test_explain_tells_loops_reads_and_lines() -> None:
    def function(x: Tensor) -> Tensor:
        y = x.exp() * 2
        if y.sum() > 0:
            y = y + 1
        return y

    told = torch.compiler.explain(function)(leaf(3, 4))
    assert (told.graph_count, told.graph_break_count) == (2, 1)
    assert "if y.sum() > 0" in told.break_reasons[0]
    text = str(told)
    assert all(words in text for words in ("2 graphs of", "exp (3, 4)", "backward"))
    assert told.out.tolist() == function(leaf(3, 4)).tolist()
