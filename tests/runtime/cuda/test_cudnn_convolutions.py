"""Convolutions by cuDNN, or its stand-in, against the CPU in float64."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.backends import cudnn
from flambeau.backends.cuda.cudnn.library import local

from .. import cudnn_stand_in
from ..cudnn_stand_in import StandIn
from ..cudnn_stand_in.graphs import WORKSPACE_BYTES
from ..cudnn_stand_in.interface import RECORDED
from .kit import assert_near, double, drawn
from .test_convolutions import CASES, results

MAPS = ["convolution_forward", "convolution_backward_data", "convolution_backward_filter"]


@pytest.fixture
def library() -> Iterator[StandIn]:
    """The stand-in for cuDNN."""
    with cudnn_stand_in.installed() as made:
        yield made


def maps(library: StandIn) -> list[str]:
    """The maps that it computed, in alphabetical order."""
    words = " ".join(library.executed).split()
    return sorted(w for w in words if w.startswith("convolution"))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("shape", "weight", "options"), CASES)
def test_results_and_gradients(
    library: StandIn, dtype: str, shape: Any, weight: Any, options: dict[str, Any]
) -> None:
    arrays = drawn(shape, dtype), drawn(weight, dtype, seed=1), drawn(weight[:1], dtype, seed=2)
    with cudnn.flags(enabled=True, allow_tf32=False):
        found = results(*arrays, options)
    assert maps(library) == sorted(MAPS)
    wanted = results(*map(double, arrays), options)
    for a, b in zip(found[:3], wanted, strict=False):
        assert_near(a, b, units=16)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_images_with_their_channels_innermost_stay_so(library: StandIn, dtype: str) -> None:
    arrays = drawn((2, 6, 5, 7), dtype), drawn((4, 6, 3, 3), dtype), drawn((4,), dtype)
    with cudnn.flags(enabled=True, allow_tf32=False):
        found = results(*arrays, {"padding": 1}, last=True)
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(found[:3], results(*map(double, arrays), {"padding": 1}), strict=False):
        assert_near(a, b, units=16)


def convolved(dtype: str = "float32", last: bool = False, **options: Any) -> Any:
    """A convolution of images 2x6x5x7, and what it should be."""
    x, w = drawn((2, 6, 5, 7), dtype), drawn((4, 6, 3, 3), dtype, seed=1)
    given = x.to(memory_format=torch.channels_last) if last else x
    return F.conv2d(given, w, **options), F.conv2d(double(x), double(w), **options)


def test_a_bias_is_added_on_the_way_where_cudnn_can(library: StandIn) -> None:
    x, w, b = drawn((2, 8, 5, 7), "float16"), drawn((4, 8, 3, 3), "float16"), drawn((4,), "float16")
    F.conv2d(x.to(memory_format=torch.channels_last), w, b)
    F.conv2d(x, w, b)
    assert library.executed == [
        "tensor cores: convolution_forward add", "in parts: convolution_forward",
    ]  # fmt: skip


def test_float32_is_rounded_to_tf32_only_where_that_is_allowed(library: StandIn) -> None:
    found, wanted = convolved()
    error = (found.cpu().double() - wanted).abs().max().item()
    with cudnn.flags(enabled=True, allow_tf32=False):
        found, _ = convolved()
    assert_near(found, wanted, units=16)
    assert [e.split(":")[0] for e in library.executed] == ["in parts", "plain"]
    with cudnn.flags(enabled=True, deterministic=True):
        found, _ = convolved()
    error = (found.cpu().double() - wanted).abs().max().item()
    assert 1e-4 < error < 1e-1
    assert library.executed[-1].startswith("tensor cores")


def test_ways_that_differ_from_run_to_run_are_left_out_where_results_must_not(
    library: StandIn,
) -> None:
    convolved("float16")
    with cudnn.flags(enabled=True, deterministic=True):
        convolved("float16")
    torch.use_deterministic_algorithms(True)
    try:
        convolved("float16")
    finally:
        torch.use_deterministic_algorithms(False)
    names = [e.split(":")[0] for e in library.executed]
    assert names == ["in parts", "tensor cores", "tensor cores"]


def test_the_fastest_way_is_measured_once(library: StandIn) -> None:
    with cudnn.flags(enabled=True, benchmark=True):
        found, wanted = convolved("float16")
        assert_near(found, wanted, units=16)
        tried = [e.split(":")[0] for e in library.executed]
        assert set(tried) == {"in parts", "tensor cores", "plain"}
        convolved("float16")
    assert library.executed[len(tried) :] == ["tensor cores: convolution_forward"]


def test_what_stands_ready_is_used_again_and_given_back_in_the_end(library: StandIn) -> None:
    convolved()
    made = len(library.descriptors)
    for _ in range(3):
        convolved()
    assert len(library.descriptors) <= made + 3  # addresses may differ
    local.kept.clear()
    gc.collect()
    assert not library.descriptors


def test_results_stay_what_they_are_while_others_are_computed(library: StandIn) -> None:
    x, w = drawn((2, 6, 5, 7), "float16"), drawn((4, 6, 3, 3), "float16", seed=1)
    kept = [F.conv2d(x, w) for _ in range(3)]
    other = F.conv2d(x.mul(2), w)
    for found in kept:
        assert_near(found, F.conv2d(double(x), double(w)), units=16)
    assert_near(other, 2 * F.conv2d(double(x), double(w)), units=16)


def test_room_to_work_comes_from_the_allocator(library: StandIn) -> None:
    with cudnn.flags(enabled=True, deterministic=True):
        convolved("float16")
        x, w = torch.ones(2, 6, 5, 7, device="cuda").half(), drawn((4, 6, 3, 3), "float16", seed=1)
        before = torch.cuda.memory_stats()["requested_bytes.all.allocated"]
        out = F.conv2d(x, w)
    asked = torch.cuda.memory_stats()["requested_bytes.all.allocated"] - before
    assert asked == out.numel() * 2 + WORKSPACE_BYTES


@pytest.mark.parametrize("weight_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("image_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_lie_as_what_they_are_of(
    library: StandIn, weight_format: Any, image_format: Any
) -> None:
    x = drawn((2, 6, 5, 7), "float16").to(memory_format=image_format).requires_grad_()
    w = drawn((4, 6, 3, 3), "float16").to(memory_format=weight_format).requires_grad_()
    F.conv2d(x, w).sum().backward()
    assert (x.grad.stride(), w.grad.stride()) == (x.stride(), w.stride())
    wide = double(w)
    F.conv2d(double(x), wide).sum().backward()
    assert_near(w.grad, wide.grad, units=16)


def test_nothing_is_computed_by_cudnn_where_it_is_switched_off(library: StandIn) -> None:
    with cudnn.flags():
        found, wanted = convolved("bfloat16")
    assert_near(found, wanted, units=16)
    assert not library.executed


def test_odd_paddings_and_empty_images_are_left_to_our_own_kernels(library: StandIn) -> None:
    convolved(padding="same")
    assert library.executed
    x, w = drawn((1, 2, 6), "float32"), drawn((2, 2, 4), "float32")
    library.executed.clear()
    found = F.conv1d(x, w, padding="same")
    assert_near(found, F.conv1d(double(x), double(w), padding="same"))
    assert F.conv2d(torch.ones(0, 2, 4, 4, device="cuda"), w[:, :, None]).shape == (0, 2, 4, 1)
    assert not library.executed


@pytest.mark.parametrize("function", ["Create", "BackendCreateDescriptor", "BackendExecute"])
def test_a_failure_is_told_once_and_our_own_kernels_go_on(library: StandIn, function: str) -> None:
    library.failing[function] = "EXECUTION_FAILED"
    with pytest.warns(UserWarning, match="cuDNN failed.*told to fail"):
        found, wanted = convolved("float16")
    assert_near(found, wanted, units=16)
    found, _ = convolved("float16")
    assert_near(found, wanted, units=16)


def test_recorded_graphs_compute_again(library: StandIn) -> None:
    x, w = drawn((2, 6, 5, 7), "float16"), drawn((4, 6, 3, 3), "float16", seed=1)
    graph = torch.cuda.CUDAGraph()
    with cudnn.flags(enabled=True, benchmark=True):
        F.conv2d(x, w)
        count = len(library.executed)
        with torch.cuda.graph(graph):
            out = F.conv2d(x, w)
            F.conv2d(x, w[:2])  # of which there is no plan
    assert len(library.executed) == count + 1
    x.copy_(2 * x)
    local.kept.clear()  # which the graph does not depend on
    gc.collect()
    graph.replay()
    assert_near(out, F.conv2d(double(x), double(w)), units=16)
    F.conv2d(x, w[:2])
    assert len(library.executed) > count + 1


def test_work_goes_to_the_current_stream_and_device(library: StandIn) -> None:
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        convolved()
    convolved()
    x, w = torch.ones(1, 1, 3, 3, device="cuda:1"), torch.ones(1, 1, 2, 2, device="cuda:1")
    assert F.conv2d(x, w).tolist() == [[[[4.0, 4.0], [4.0, 4.0]]]]
    assert [h.device for h in library.handles.values()] == [0, 1]


def in_a_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)


def test_threads_have_handles_of_their_own_and_leave_them_to_others(library: StandIn) -> None:
    convolved()
    for _ in range(2):
        in_a_thread(convolved)
    made = len(library.descriptors)
    in_a_thread(convolved)
    assert len(library.handles) == 2
    assert len(library.descriptors) <= made + 1  # addresses may differ
    assert len(library.executed) == 4


@pytest.mark.parametrize("last", [False, True])
def test_transposed_convolutions(library: StandIn, last: bool) -> None:
    x, w, b = drawn((2, 6, 5, 7), "float16"), drawn((6, 4, 3, 3), "float16"), drawn((8,), "float16")
    x = x.to(memory_format=torch.channels_last) if last else x
    how: dict[str, Any] = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}
    both = []
    for arrays in ((x, w, b), [double(t) for t in (x, w, b)]):
        leaves = [t.detach().requires_grad_() for t in arrays]
        out = F.conv_transpose2d(*leaves, **how)
        weights = torch.arange(out.numel()).reshape(out.shape).to(out.device) % 7 - 3
        both.append([out, *torch.autograd.grad((out * weights.to(out.dtype)).sum(), leaves)])
    for found, wanted in zip(*both, strict=True):
        assert_near(found, wanted, units=16)
    assert maps(library) == sorted([MAPS[1], MAPS[0], MAPS[2]])


def test_images_between_others_in_memory(library: StandIn) -> None:
    whole, w = drawn((3, 7, 6, 9), "float16"), drawn((4, 6, 3, 3), "float16", seed=1)
    for x in (whole[1:, 1:, 1:, 1:], whole[1:, :6], whole.mT[:, 1:, ::2]):
        assert_near(F.conv2d(x, w), F.conv2d(double(x), double(w)), units=16)
    assert len(library.executed) == 3


def test_the_library_tells_its_version(library: StandIn) -> None:
    assert cudnn.is_available()
    assert cudnn.version() == 91900
    x = torch.ones(2, device="cuda")
    assert cudnn.is_acceptable(x)
    assert not cudnn.is_acceptable(x.long())
    assert not cudnn.is_acceptable(x.cpu())
    with cudnn.flags():
        assert not cudnn.enabled
        assert not cudnn.is_acceptable(x)
    assert cudnn.enabled


def test_cudnn_has_a_plan_for_each_recorded_problem() -> None:
    record = json.loads((RECORDED / "cudnn_plans.json").read_text(encoding="utf-8"))
    assert record["version"] >= 91900
    assert len(record["plans"]) > 300
    assert not [label for label, plan in record["plans"].items() if plan.endswith("none")]
