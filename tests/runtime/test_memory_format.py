"""Memory formats: who keeps the order of dimensions in memory, and who makes it row-major."""

from __future__ import annotations

import copy
import pickle

import pytest

import flambeau as torch
from flambeau.errors import ShapeError
from flambeau.nn import functional as F

NHWC = (120, 1, 30, 5)  # strides of (2, 5, 4, 6) with channels innermost


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 5, 4, 6).contiguous(memory_format=torch.channels_last)


def test_contiguous_takes_a_format(images: torch.Tensor) -> None:
    assert images.stride() == NHWC
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert not images.is_contiguous()
    assert images.contiguous(memory_format=torch.channels_last) is images
    again = images.contiguous()
    assert again.is_contiguous()
    assert torch.equal(again, images)
    assert images.to(memory_format=torch.contiguous_format).is_contiguous()
    assert again.to(memory_format=torch.channels_last).stride() == NHWC


def test_a_dimension_of_one_element_lies_anywhere() -> None:
    x = torch.ones(2, 1, 4, 6)
    assert x.is_contiguous()
    assert x.is_contiguous(memory_format=torch.channels_last)


def test_channels_last_3d() -> None:
    x = torch.ones(2, 3, 4, 5, 6).contiguous(memory_format=torch.channels_last_3d)
    assert x.stride() == (360, 1, 90, 18, 3)
    assert x.is_contiguous(memory_format=torch.channels_last_3d)
    assert not x.is_contiguous(memory_format=torch.channels_last)


def test_a_format_needs_its_number_of_dimensions() -> None:
    with pytest.raises(
        ShapeError, match=r"expected a tensor with 4 dimensions. Got shape \(2, 3\)"
    ):
        torch.ones(2, 3).contiguous(memory_format=torch.channels_last)
    with pytest.raises(TypeError, match=r"Expected a memory format such as torch\.channels_last"):
        torch.ones(2, 3).contiguous(memory_format="channels_last")


@pytest.mark.parametrize(
    "make",
    [
        torch.empty_like, torch.zeros_like, torch.ones_like, torch.clone, torch.relu, F.gelu,
        lambda x: torch.full_like(x, 2.0), lambda x: x.double(), lambda x: x + 1,
        lambda x: x * torch.ones(5, 1, 1),
        lambda x: F.conv2d(x, torch.ones(5, 5, 3, 3), padding=1),
        lambda x: F.conv_transpose2d(x, torch.ones(5, 5, 3, 3), padding=1),
    ],
)  # fmt: skip
def test_channels_stay_last(images: torch.Tensor, make: object) -> None:
    assert make(images).stride() == NHWC  # type: ignore[operator]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_creation_in_a_format(device: str) -> None:
    made = torch.empty(2, 5, 4, 6, memory_format=torch.channels_last, device=device)
    assert made.stride() == NHWC
    like = torch.zeros_like(torch.ones(2, 5, 4, 6), memory_format=torch.channels_last)
    assert like.stride() == NHWC
    assert torch.zeros_like(made, memory_format=torch.contiguous_format).is_contiguous()
    assert torch.zeros_like(torch.ones(3, 1, device=device).expand(3, 4)).is_contiguous()


@pytest.mark.parametrize(
    "reduce",
    [
        lambda x: x.sum(0), lambda x: x.mean(0), lambda x: x.prod(0), lambda x: x.amax(0),
        lambda x: x.argmax(0), lambda x: x.var(0), lambda x: x.norm(dim=0), lambda x: x.cumsum(0),
        lambda x: x.cumprod(0), lambda x: x.softmax(0), lambda x: x.log_softmax(0),
        lambda x: x.logsumexp(0), lambda x: x.cummax(0).values, lambda x: x.logcumsumexp(0),
    ],
)  # fmt: skip
def test_reductions_of_transposed_tensors_are_row_major(reduce: object) -> None:
    """So that `view` takes them, as code for PyTorch expects."""
    x = torch.randn(3, 4, 5).transpose(1, 2)
    assert reduce(x).is_contiguous()  # type: ignore[operator]
    torch.testing.assert_close(reduce(x), reduce(x.contiguous()))  # type: ignore[operator]


def test_formats_and_layouts_are_single_objects() -> None:
    for name in (torch.channels_last, torch.strided, torch.preserve_format):
        assert pickle.loads(pickle.dumps(name)) is name
        assert copy.deepcopy(name) is name
    assert repr(torch.channels_last) == "torch.channels_last"
    assert torch.ones(1).layout is torch.strided
    assert isinstance(torch.strided, torch.layout)
    assert isinstance(torch.channels_last, torch.memory_format)


def test_gradients_pass_through_formats() -> None:
    x = torch.randn(2, 5, 4, 6, requires_grad=True)
    weights = torch.randn(2, 5, 4, 6)
    (x.to(memory_format=torch.channels_last) * weights).sum().backward()
    assert torch.equal(x.grad, weights)


def test_images_of_one_channel_give_row_major_results() -> None:
    image = torch.rand(4, 1, 28, 28)
    found = torch.conv2d(image, torch.rand(8, 1, 3, 3), padding=1)
    assert found.is_contiguous()
    assert torch.max_pool2d(found.relu(), 2).view(4, -1).shape == (4, 1568)
