"""Students made of their teacher's layers and units."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
from flambeau import distillation as kd
from flambeau import nn


def encoder() -> Any:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.Sequential(nn.Embedding(9, 8), nn.TransformerEncoder(layer, 6)).eval()


def test_layers_are_taken_evenly_from_the_first_to_the_last() -> None:
    assert kd.evenly(12, 6) == [0, 2, 4, 7, 9, 11]  # DistilBERT's
    assert kd.evenly(6, 3) == [0, 2, 5]
    assert kd.evenly(5, 5) == [0, 1, 2, 3, 4]
    assert kd.evenly(4, 1) == [0]


def test_layers_are_paired_with_the_last_of_their_group() -> None:
    assert kd.pair_layers(3, 6, "a.{}", "b.{}") == {"a.0": "b.1", "a.1": "b.3", "a.2": "b.5"}
    assert list(kd.pair_layers(4, 12).values()) == [f"layers.{k}" for k in (2, 5, 8, 11)]


def test_a_student_of_some_layers_computes_what_these_compute() -> None:
    teacher, x = encoder(), torch.tensor([[1, 2, 3]])
    student = kd.keep_layers(teacher, "1.layers", [0, 5])
    hidden = teacher[0](x)
    for k in (0, 5):
        hidden = teacher[1].layers[k](hidden)
    assert torch.equal(student(x), hidden)
    assert student[1].num_layers == 2
    assert len(teacher[1].layers) == 6
    with torch.no_grad():
        student[1].layers[0].linear1.weight.zero_()
    assert teacher[1].layers[0].linear1.weight.abs().sum() > 0


def test_a_layer_taken_twice_is_two_layers() -> None:
    student = kd.keep_layers(encoder(), "1.layers", [1, 1])
    first, second = student[1].layers
    assert first is not second
    assert torch.equal(first.linear1.weight, second.linear1.weight)


class Block(nn.Module):
    """A residual block with the names of torchvision's bottleneck."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(6, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv3, self.bn3 = nn.Conv2d(4, 6, 1, bias=False), nn.BatchNorm2d(6)

    def forward(self, x: Any) -> Any:
        out = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return (self.bn3(self.conv3(out)) + x).relu()


def images() -> Any:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.ReLU6(),
        nn.Conv2d(8, 6, 1),
        Block(),
        nn.Conv2d(6, 10, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(10 * 4, 12),
        nn.GELU(),
        nn.Linear(12, 3),
    )


def silence(model: Any) -> None:
    """Let every second hidden unit give 0, which the next layer cannot miss."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-1, 1)
                if layer.num_features != 6:
                    layer.bias[::2] = layer.running_mean[::2] = 0.0
            hidden = isinstance(layer, nn.Conv2d) and layer.out_channels != 6
            if hidden or (isinstance(layer, nn.Linear) and layer.out_features == 12):
                layer.weight[::2] = 0.0
                if layer.bias is not None:
                    layer.bias[::2] = 0.0


def test_units_that_do_nothing_can_go_without_a_trace() -> None:
    torch.manual_seed(0)
    teacher = images().eval()
    silence(teacher)
    student = kd.shrink_width(teacher, 0.5)
    x = torch.randn(2, 1, 4, 4)
    assert torch.allclose(student(x), teacher(x), atol=1e-6)
    assert student[0][0].out_channels == 4
    assert student[0][1].num_features == 4
    assert student[1].groups == 4
    assert student[3].out_channels == 6  # which a residual sum reads
    assert [student[4].conv1.out_channels, student[4].conv2.out_channels] == [2, 2]
    assert (student[8].in_features, student[8].out_features) == (20, 6)
    student.train()(x).sum().backward()
    assert all(p.grad.shape == p.shape for p in student.parameters())


def test_the_width_of_transformer_layers_shrinks_inside() -> None:
    teacher, x = encoder(), torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        for layer in teacher[1].layers:
            layer.linear1.weight[4:] = layer.linear1.bias[4:] = 0.0
    student = kd.shrink_width(teacher, 0.25)
    assert student[1].layers[0].linear1.out_features == 4
    assert torch.allclose(student(x), teacher(x), atol=1e-6)


def test_the_strongest_units_are_kept() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    with torch.no_grad():
        net[0].weight[:] = torch.tensor([[1.0, -3.0], [0.5, 0.5], [2.0, 1.0]])
    net[0].weight.requires_grad_(False)
    assert kd.shrink_units(net[0], net[2], 2) == [0, 2]
    assert net[0].weight.tolist() == [[1.0, -3.0], [2.0, 1.0]]
    assert not net[0].weight.requires_grad
    assert net[2].weight.shape == (1, 2)


LIST, TWO = nn.ModuleList([nn.Linear(2, 2)]), nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kd.keep_layers(encoder(), "1.layer", 2), "no module '1.layer'"),
        (lambda: kd.keep_layers(encoder(), "1", 2), "as '1'.*has '1.layers'"),
        (lambda: kd.keep_layers(encoder(), "1.layers", [6]), r"6 layers of '1.layers'. Got \[6\]"),
        (lambda: kd.keep_layers(LIST, "", 2), "from 1 to 1. Got 2"),
        (lambda: kd.pair_layers(3, 2), "from 1 to 2 layers.*Got 3"),
        (lambda: kd.shrink_width(TWO, 0.5), "only the next layer reads.*shrink_units"),
        (lambda: kd.shrink_width(images(), 0.0), "part from above 0 to 1. Got 0.0"),
        (lambda: kd.shrink_units(TWO, TWO, 3), "some of 2 units. Got 3"),
        (lambda: kd.shrink_units(TWO, nn.Linear(3, 2), 1), "reads the producer's 2.*reads 3"),
        (lambda: kd.shrink_units(TWO, nn.GELU(), 1), "Linear layers or convolutions.*Got GELU"),
        (lambda: kd.shrink_units(TWO, TWO, 1, [nn.LayerNorm(2)]), "batch norms.*Got LayerNorm"),
    ],
)
def test_what_does_not_fit_is_told(call: Any, words: str) -> None:
    with pytest.raises((AttributeError, IndexError, TypeError, ValueError), match=words):
        call()
