"""Writes in place through every kind of view, traced and run by onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.export import ExportError

pytest.importorskip("onnxruntime")


def unbind(y: Any) -> None:
    for k, row in enumerate(y.unbind(0)):
        row.mul_(k)


def rows(y: Any) -> None:
    for row in y:
        row += 1


def parts(y: Any) -> None:
    a, b = torch.split(y, [2, 2], 1)
    b[:, 1] = 0
    a.mul_(2)


def narrow(y: Any) -> None:
    y.narrow(1, -2, 2).fill_(4.0)
    y.select(1, -4).zero_()


def diagonal(y: Any) -> None:
    y.diagonal().fill_(0)
    torch.diagonal(y, 1)[:] += 2


def strided(y: Any) -> None:
    torch.as_strided(y, (3,), (5,), 1).mul_(3)


def detached(y: Any) -> None:
    y.detach().add_(2)
    y.data[0] = 7


def axes(y: Any) -> None:
    z = y.view(2, 2, 4)
    z.permute(2, 0, 1)[0] = 3
    z.swapaxes(0, 1)[1] -= 1
    y.mT[2, 1:] = 1
    y.unsqueeze(1).squeeze(1)[:, 3] = 5


def nested(y: Any) -> None:
    y[1:3][:, 2:4][0] = 7
    y.view(-1)[5] = 9
    y.flatten()[3:7] *= 2


def swapped(y: Any) -> None:
    y[[0, 1]] = y[[1, 0]]
    y[y > 1] = y[y > 1] * 2


def masked(y: Any) -> None:
    y.masked_fill_(y > 0.5, -1)
    y.masked_scatter_(y < 0, torch.arange(16.0))


def functions(y: Any) -> None:
    F.relu_(y[:2])
    torch.add(y, 1, out=y)
    y.index_add_(0, torch.tensor([0, 0]), torch.ones(2, 4))
    y.cumsum_(1)
    y /= 2


WRITES = [unbind, rows, parts, narrow, diagonal, strided, detached, axes, nested, swapped, masked,
          functions]  # fmt: skip


@pytest.mark.parametrize("write", WRITES, ids=lambda w: w.__name__)
def test_writes_to_views_reach_the_tensor(write: Callable[[Any], None]) -> None:
    def model(x: Any) -> Any:
        y = x * 1
        first = y[0]
        write(y)
        return y, first

    program = torch.onnx.export(model, (torch.randn(4, 4),))
    x = torch.randn(4, 4)
    for found in (program.exported_program.module()(x), program(x)):
        for one, wanted in zip(found, model(x), strict=True):
            np.testing.assert_allclose(one.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("write", "words"),
    [(lambda y: y.resize_(2, 2), "keep their shape"), (lambda y: y.t_(), "written by t_")],
)
def test_changes_of_shape_in_place_are_refused(write: Any, words: str) -> None:
    def model(x: Any) -> Any:
        y = x * 1
        write(y)
        return y * 2

    with pytest.raises(ExportError, match=words):
        torch.export.export(model, (torch.randn(4, 4),))
