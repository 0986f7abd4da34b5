"""Images with their channels innermost behind row-major strides."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.backends.cpu.onednn import convolution
from flambeau.backends.cpu.onednn.library import library

pytestmark = pytest.mark.skipif(library() is None, reason="oneDNN is not installed")
F = torch.nn.functional
STRIDES = (8 * 6 * 6, 36, 6, 1)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "LEAST", 1)


def concealed(requires_grad: bool = False) -> Any:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6, requires_grad=requires_grad)
    out = F.conv2d(x, torch.randn(8, 4, 3, 3), padding=1)
    assert out._key.is_concealed
    return out


def test_strides_and_contiguity_are_those_of_row_major_memory() -> None:
    x = concealed()
    assert x._array.strides == (8 * 36 * 4, 4, 6 * 8 * 4, 8 * 4)
    assert x.stride() == STRIDES
    assert x.is_contiguous()
    assert x.contiguous() is x
    assert not x.is_contiguous(memory_format=torch.channels_last)
    assert x._key.is_concealed


@pytest.mark.parametrize(
    "use",
    [
        lambda x: F.relu(x), lambda x: x + x, lambda x: x * 2.0, lambda x: 1 - x, lambda x: x.exp(),
        lambda x: F.conv2d(x, torch.ones(4, 8, 3, 3)),
        lambda x: F.gelu(F.relu(x, inplace=True) + 1),
    ],
)  # fmt: skip
def test_the_order_is_kept_along_a_chain(use: Any) -> None:
    out = use(concealed())
    assert out._key.is_concealed
    assert not out._array.flags.c_contiguous
    x = concealed()
    x.data_ptr()
    np.testing.assert_allclose(out.numpy(), use(x).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.numpy(), lambda x: x.detach().numpy(), lambda x: np.asarray(x),
        lambda x: x.view(2, 8, 36).numpy(), lambda x: x.permute(1, 0, 2, 3).numpy(),
        lambda x: x[0].numpy(), lambda x: torch.from_dlpack(x).numpy(),
        lambda x: x.clone().numpy(), lambda x: pickle.loads(pickle.dumps(x)).numpy(),
        lambda x: copy.deepcopy(x).numpy(), lambda x: torch.cat([x, x]).numpy(),
        lambda x: torch.stack([x, x]).numpy(), lambda x: x.sum(1).numpy(),
        lambda x: x.flatten(1).numpy(), lambda x: x.as_strided((2, 3), (5, 2), 7).numpy(),
        lambda x: (x > 0).numpy(), lambda x: x.double().numpy(), lambda x: x.argmax().numpy(),
        lambda x: F.max_pool2d(x, 2).numpy(), lambda x: F.softmax(x, 1).numpy(),
        lambda x: np.array(x.tolist()), lambda x: x.transpose(1, 3).contiguous().numpy(),
        lambda x: torch.where(x > 0, x, torch.zeros(6)).numpy(), lambda x: x.half().numpy(),
        lambda x: (x @ torch.ones(6, 3)).numpy(), lambda x: (x + torch.ones(2, 8, 6, 6)).numpy(),
        lambda x: x.unfold(2, 3, 1).numpy(),
    ],
)  # fmt: skip
def test_every_other_reader_sees_row_major_values(look: Any) -> None:
    x = concealed()
    plain = torch.from_numpy(np.array(x._array, order="C"))
    found, expected = look(x), look(plain)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.strides == expected.strides


def test_writes_through_views_and_arrays_are_seen_by_all() -> None:
    x = concealed()
    row = x[0]
    row.fill_(7.0)
    assert bool((x[0] == 7).all())
    array = x.numpy()
    array[1] = 5.0
    assert bool((x[1] == 5).all())
    y = concealed()
    y[0, 0] = 3.0
    assert bool((y.numpy()[0, 0] == 3).all())
    z = concealed()
    z.add_(1.0).mul_(2.0)
    np.testing.assert_allclose(z.numpy(), (concealed().numpy() + 1) * 2, rtol=1e-5, atol=1e-5)


def test_shared_and_resized_memory_is_row_major() -> None:
    x, y = concealed(), concealed()
    expected = concealed().numpy()
    assert x.share_memory_().is_shared()
    np.testing.assert_array_equal(x.numpy(), expected)
    x.numpy()[0] = 1.0
    assert x.is_shared()
    assert bool((x[0] == 1).all())
    y.resize_(2, 8)
    np.testing.assert_array_equal(y.numpy(), expected.reshape(-1)[:16].reshape(2, 8))


def test_writing_in_place_what_was_saved_is_still_refused() -> None:
    x = concealed(requires_grad=True)
    out = x.square()
    x.mul_(2.0)
    with pytest.raises(RuntimeError, match="changed in place"):
        out.sum().backward()


def test_gradients_and_hooks_see_row_major_strides() -> None:
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    seen = []
    y = F.conv2d(x, torch.ones(8, 4, 3, 3), padding=1)
    y.register_hook(lambda g: seen.append((g.stride(), g.is_contiguous())))
    z = F.conv2d(y, torch.ones(8, 8, 3, 3), padding=1)
    z.backward(torch.ones_like(z))
    assert seen == [(STRIDES, True)]
    assert x.grad.stride() == x.stride()
    assert x.grad.view(-1).shape == (288,)
    x.grad.zero_()
    assert not x.grad.numpy().any()


def test_gradients_of_higher_order_pass_through() -> None:
    def gradients(dtype: Any) -> Any:
        torch.manual_seed(0)
        x = torch.randn(1, 4, 6, 6).to(dtype).requires_grad_()
        w = torch.randn(4, 4, 3, 3).to(dtype).requires_grad_()
        y = F.conv2d(F.relu(F.conv2d(x, w, padding=1)) * 2, w, padding=1)
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().mean(), [x, w])

    for single, double in zip(gradients(torch.float32), gradients(torch.float64), strict=True):
        scale = float(double.abs().max())
        np.testing.assert_allclose(single.numpy(), double.numpy(), atol=1e-5 * scale)


def test_a_batch_of_vmap_sees_row_major_memory() -> None:
    x, w = torch.randn(3, 2, 4, 6, 6), torch.randn(8, 4, 3, 3)
    found = torch.func.vmap(lambda a: F.conv2d(a, w).view(2, -1))(x)
    expected = torch.stack([F.conv2d(a, w).reshape(2, -1) for a in x])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)
