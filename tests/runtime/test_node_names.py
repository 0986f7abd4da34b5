"""`grad_fn` goes by the name of PyTorch's node, also where several of ours do its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flambeau as torch

F = torch.nn.functional

A = torch.linspace(-1, 1, 12).reshape(3, 4).requires_grad_()
B = torch.linspace(0.1, 0.9, 12).reshape(3, 4)

NAMES: dict[str, Callable[[], Any]] = {
    "MseLossBackward0": lambda: F.mse_loss(A, B),
    "SmoothL1LossBackward0": lambda: F.smooth_l1_loss(A, B),
    "HuberLossBackward0": lambda: F.huber_loss(A, B),
    "BinaryCrossEntropyBackward0": lambda: F.binary_cross_entropy(A.sigmoid(), B),
    "BinaryCrossEntropyWithLogitsBackward0": lambda: F.binary_cross_entropy_with_logits(A, B),
    "NllLossBackward0": lambda: F.cross_entropy(A, torch.tensor([0, 1, 2])),
    "MaxPool2DWithIndicesBackward0": lambda: F.max_pool2d(A[None, None], 2),
    "AvgPool2DBackward0": lambda: F.avg_pool2d(A[None, None], 2),
    "AvgPool1DBackward0": lambda: F.avg_pool1d(A[None], 2),
    "AdaptiveAvgPool2DBackward0": lambda: F.adaptive_avg_pool2d(A[None, None], 2),
    "NativeLayerNormBackward0": lambda: F.layer_norm(A, (4,)),
    "NativeBatchNormBackward0": lambda: F.batch_norm(A, None, None, training=True),
    "NativeGroupNormBackward0": lambda: F.group_norm(A, 2),
    "MaxBackward0": lambda: A.max(1).values,
    "MaxBackward1": lambda: A.max(),
    "MinBackward0": lambda: A.min(0).values,
    "MedianBackward0": lambda: A.median(),
    "MedianBackward1": lambda: A.median(1).values,
    "SortBackward0": lambda: A.sort().values,
    "TopkBackward0": lambda: A.topk(2).values,
    "SumBackward0": lambda: A.sum(),
    "SumBackward1": lambda: A.sum(1),
    "MeanBackward0": lambda: A.mean(),
    "MeanBackward1": lambda: A.mean(1),
    "ProdBackward1": lambda: A.prod(1),
    "VarBackward0": lambda: A.var(),
    "MmBackward0": lambda: A @ B.t(),
    "MvBackward0": lambda: A @ B[0],
    "DotBackward0": lambda: A[0] @ B[0],
    "BmmBackward0": lambda: torch.bmm(A[None], B.t()[None]),
    "TBackward0": lambda: A.t(),
    "TransposeBackward0": lambda: A.transpose(0, 1),
    "UnsqueezeBackward0": lambda: A.unsqueeze(0),
    "SqueezeBackward1": lambda: A[None].squeeze(0),
    "RepeatBackward0": lambda: A.repeat(2, 1),
    "MaskedFillBackward0": lambda: A.masked_fill(B > 0.5, 0.0),
    "MaskedSelectBackward0": lambda: A.masked_select(B > 0.5),
    "IndexSelectBackward0": lambda: A.index_select(0, torch.tensor([1])),
    "ClampBackward1": lambda: A.clamp(0, 1),
    "PowBackward0": lambda: A**2,
    "PowBackward1": lambda: B**A,
    "GluBackward0": lambda: F.glu(A),
    "TraceBackward0": lambda: A.trace(),
}


@pytest.mark.parametrize("name", NAMES)
def test_grad_fn_is_named_as_pytorch_names_it(name: str) -> None:
    out = NAMES[name]()
    assert out.grad_fn.name() == name
    assert f"grad_fn=<{name}>" in repr(out)
    out.sum().backward(retain_graph=True)
    out.sum().backward()
    assert out.grad_fn.name() == name


def test_a_named_node_gives_the_gradients_of_what_it_is() -> None:
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    loss = F.mse_loss(x, torch.zeros(2))
    assert type(loss.grad_fn).__name__ == "MseLossBackward0"
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    assert slope.tolist() == [1.0, 3.0]
    assert torch.autograd.grad(slope.sum(), x)[0].tolist() == [1.0, 1.0]
