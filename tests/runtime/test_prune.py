"""Pruning and other changes of parameters: what is owned, kept, undone and refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn.utils import prune


def _layer() -> Any:
    torch.manual_seed(0)
    return nn.Linear(5, 4)


def test_a_pruned_layer_owns_the_original_and_a_mask() -> None:
    layer = _layer()
    weight = layer.weight
    assert not prune.is_pruned(nn.Sequential(layer))
    assert prune.l1_unstructured(layer, "weight", 0.5) is layer
    assert prune.is_pruned(nn.Sequential(layer))
    assert [n for n, _ in layer.named_parameters()] == ["bias", "weight_orig"]
    assert [n for n, _ in layer.named_buffers()] == ["weight_mask"]
    assert layer.weight_orig is weight
    assert torch.equal(layer.weight, layer.weight_orig * layer.weight_mask)
    assert int(layer.weight_mask.sum()) == 10


def test_gradients_of_pruned_elements_are_zero() -> None:
    layer = _layer()
    prune.l1_unstructured(layer, "weight", 0.5)
    layer(torch.ones(2, 5)).sum().backward()
    assert torch.equal(layer.weight_orig.grad, 2 * layer.weight_mask)


def test_removal_leaves_the_zeros_and_no_hook() -> None:
    layer = _layer()
    prune.random_unstructured(layer, "weight", 6)
    before = layer.weight.detach().clone()
    prune.remove(layer, "weight")
    assert not prune.is_pruned(layer)
    assert isinstance(layer.weight, nn.Parameter)
    assert torch.equal(layer.weight, before)
    assert list(layer.state_dict()) == ["bias", "weight"]
    assert torch.equal(copy.deepcopy(layer)(torch.ones(1, 5)), layer(torch.ones(1, 5)))


def test_a_container_holds_the_methods_in_order() -> None:
    layer = _layer()
    prune.identity(layer, "weight")
    prune.l1_unstructured(layer, "weight", 3)
    container = prune.L1Unstructured.apply(layer, "weight", 2)
    assert isinstance(container, prune.PruningContainer)
    assert [type(m).__name__ for m in container] == ["Identity", "L1Unstructured", "L1Unstructured"]
    assert len(container) == 3
    assert int((layer.weight_mask == 0).sum()) == 5
    with pytest.raises(TypeError, match=r"a pruning method\. Got int"):
        container.add_pruning_method(3)
    other = prune.L1Unstructured.apply(layer, "bias", 1)
    with pytest.raises(ValueError, match=r"on 'weight'\. Got one on 'bias'"):
        container.add_pruning_method(other)


class EveryOther(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


def test_own_methods() -> None:
    layer = _layer()
    EveryOther.apply(layer, "bias")
    assert layer.bias_mask.tolist() == [0, 1, 0, 1]
    EveryOther.apply(layer, "bias")  # of what is left
    assert layer.bias_mask.tolist() == [0, 0, 0, 1]
    with pytest.raises(TypeError, match="abstract"):
        prune.BasePruningMethod()  # type: ignore[abstract]


def test_tensors_are_pruned_without_modules() -> None:
    x = torch.tensor([3.0, 1, 2, 4])
    assert prune.L1Unstructured(2).prune(x).tolist() == [3, 0, 0, 4]
    scores = torch.tensor([1.0, 2, 3, 4])
    assert prune.L1Unstructured(2).prune(x, importance_scores=scores).tolist() == [0, 0, 2, 4]
    mask = torch.tensor([1.0, 1, 1, 0])
    assert prune.L1Unstructured(1).prune(x, default_mask=mask).tolist() == [3, 0, 2, 0]


def test_global_scores_prune_several_tensors_as_one() -> None:
    a, b = _layer(), _layer()
    scores = {(a, "weight"): torch.ones(4, 5), (b, "weight"): torch.zeros(4, 5)}
    pairs = [(a, "weight"), (b, "weight")]
    prune.global_unstructured(pairs, prune.L1Unstructured, importance_scores=scores, amount=20)
    assert bool(a.weight_mask.all())
    assert not bool(b.weight_mask.any())


CALLS: dict[str, tuple[Any, type[Exception], str]] = {
    "negative": (
        lambda: prune.random_unstructured(_layer(), "weight", -1), ValueError, "Got -1",
    ),
    "share": (
        lambda: prune.l1_unstructured(_layer(), "weight", 1.5), ValueError, "from 0.0 to 1.0",
    ),
    "too many": (
        lambda: prune.l1_unstructured(_layer(), "weight", 21), ValueError, "at most 20. Got 21",
    ),
    "words": (
        lambda: prune.ln_structured(_layer(), "weight", "all", 2, 0), TypeError, "a number",
    ),
    "no dim": (
        lambda: prune.ln_structured(_layer(), "weight", 1, 2, 2), IndexError, "from -2 to 1",
    ),
    "vector": (
        lambda: prune.random_structured(_layer(), "bias", 1, 0), ValueError, "two dimensions",
    ),
    "no name": (
        lambda: prune.identity(_layer(), "w"), AttributeError, "no attribute 'w'",
    ),
    "not pruned": (
        lambda: prune.remove(_layer(), "weight"), ValueError, "'weight' to have been pruned",
    ),
    "mask": (
        lambda: prune.custom_from_mask(_layer(), "weight", torch.eye(3)), AssertionError,
        r"a mask of shape \(4, 5\). Got \(3, 3\)",
    ),
    "scores": (
        lambda: prune.l1_unstructured(_layer(), "weight", 1, torch.ones(3)), AssertionError,
        r"shape \(4, 5\)\. Got \(3,\)",
    ),
    "scores of prune": (
        lambda: prune.L1Unstructured(1).prune(torch.ones(2), importance_scores=torch.ones(3)),
        AssertionError, r"shape \(2,\)",
    ),
    "global slices": (
        lambda: prune.global_unstructured(
            [(_layer(), "weight")], prune.LnStructured, amount=1, n=2  # type: ignore[type-abstract]
        ),
        TypeError, "PRUNING_TYPE unstructured. Got 'structured'",
    ),
    "global no pairs": (
        lambda: prune.global_unstructured(3, prune.L1Unstructured, amount=1), TypeError, "pairs",
    ),
    "fuse in training": (
        lambda: nn.utils.fuse_conv_bn_eval(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)),
        AssertionError, r"Call eval\(\)",
    ),
    "fuse without statistics": (
        lambda: nn.utils.fuse_conv_bn_eval(
            nn.Conv2d(1, 2, 1).eval(), nn.BatchNorm2d(2, track_running_stats=False).eval()
        ),
        AssertionError, "running statistics. Got none",
    ),
    "fuse features": (
        lambda: nn.utils.fuse_linear_bn_eval(nn.Linear(1, 2).eval(), nn.BatchNorm1d(3).eval()),
        AssertionError, "2 features, or 1, of the normalization. Got 3",
    ),
    "skip no class": (lambda: nn.utils.skip_init(3), TypeError, "a class of modules. Got 3"),
    "skip no device": (lambda: nn.utils.skip_init(nn.ReLU), RuntimeError, "takes a device"),
    "gradient": (
        lambda: nn.grad.conv2d_input((1, 1, 4, 4), torch.ones(2, 1, 3, 3), torch.ones(1, 2, 3, 3)),
        RuntimeError, r"shape \(1, 2, 2, 2\) for input",
    ),
    "backend": (
        lambda: nn.attention.sdpa_kernel(3).__enter__(), AssertionError, "SDPBackend. Got 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_wrong_calls_say_what_was_expected(name: str) -> None:
    call, error, words = CALLS[name]
    with pytest.raises(error, match=words):
        call()


def test_skipped_initial_values_and_memory_formats() -> None:
    layer = nn.utils.skip_init(nn.Linear, 3, 4, dtype=torch.float64)
    assert (layer.weight.shape, layer.weight.dtype) == ((4, 3), torch.float64)
    assert layer.weight.device.type == "cpu"
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 3, 2))
    before = [p.clone() for p in net.parameters()]
    nn.utils.convert_conv2d_weight_memory_format(net, torch.channels_last)
    assert all(net[k].weight.is_contiguous(memory_format=torch.channels_last) for k in (0, 1))
    for p, old in zip(net.parameters(), before, strict=True):
        assert torch.equal(p, old)
    cube = nn.utils.convert_conv3d_weight_memory_format(nn.Conv3d(3, 4, 3), torch.channels_last_3d)
    assert cube.weight.stride() == (81, 1, 27, 9, 3)
    moved = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    assert moved.weight.stride() == (27, 1, 9, 3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradients_of_convolutions_without_a_graph(rank: int) -> None:
    how = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    x = torch.randn(2, 4, *[9] * rank, requires_grad=True)
    w = torch.randn(6, 2, *[3] * rank, requires_grad=True)
    out = getattr(nn.functional, f"conv{rank}d")(x, w, None, **how)
    g = torch.randn_like(out)
    of_x, of_w = torch.autograd.grad(out, [x, w], g)
    found = getattr(nn.grad, f"conv{rank}d_input")(x.shape, w, g, **how)
    torch.testing.assert_close(found, of_x)
    found = getattr(nn.grad, f"conv{rank}d_weight")(x, w.shape, g, **how)
    torch.testing.assert_close(found, of_w)


def test_older_names_warn() -> None:
    with pytest.warns(FutureWarning, match="use nn.init.constant_"):
        assert nn.init.constant(torch.zeros(2), 3.0).tolist() == [3, 3]
    with pytest.warns(FutureWarning, match="use nn.utils.clip_grad_norm_"):
        nn.utils.clip_grad_norm(_layer().parameters(), 1.0)
    layer = _layer()
    with pytest.warns(FutureWarning, match=r"torch\.func\.functional_call"):
        out = nn.utils.stateless.functional_call(layer, {"bias": torch.zeros(4)}, torch.zeros(1, 5))
    assert out.tolist() == [[0, 0, 0, 0]]


def test_a_wrapped_module_saves_with_a_prefix() -> None:
    layer = _layer()
    wrapped = nn.DataParallel(layer)
    x = torch.ones(2, 5)
    assert torch.equal(wrapped(x), layer(x))
    state = wrapped.state_dict()
    assert list(state) == ["module.weight", "module.bias"]
    nn.modules.utils.consume_prefix_in_state_dict_if_present(state, "module.")
    assert list(state) == ["weight", "bias"]
    assert list(state._metadata) == [""]
    layer.load_state_dict(state)
