"""Modules and other objects saved whole come back with `weights_only=False`, and nothing runs."""

from __future__ import annotations

import contextlib
import enum
import os
import pickle
import subprocess
import sys
from argparse import Namespace
from collections import defaultdict, namedtuple
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.errors import CheckpointError

from ..programs import finished
from .test_checkpoints import Hostile, archive


class Colour(enum.Enum):
    RED = 1


Pair = namedtuple("Pair", "left right")


@dataclass
class Config:
    width: int = 3
    colours: list[Colour] = field(default_factory=lambda: [Colour.RED])


class Tied(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(5, config.width)
        self.head = nn.Linear(config.width, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.activation = nn.functional.relu
        self.register_buffer("scale", torch.tensor(2.0), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.activation(self.head(self.embedding(x))) * self.scale


class Slotted:
    __slots__ = ("x",)

    def __init__(self) -> None:
        raise AssertionError("objects are made again without a call of their class")


@pytest.mark.parametrize("name", ["model.pt", "model"])
def test_a_module_comes_back_whole(name: str, tmp_path: Path) -> None:
    model = Tied(Config())
    with open(tmp_path / name, "wb") as file:
        torch.save({"model": model, "pair": Pair(1, model.head)}, file)
    found = torch.load(tmp_path / name, weights_only=False)
    again = found["model"]
    index = torch.arange(5)
    assert torch.equal(again(index), model(index))
    assert again.head.weight is again.embedding.weight
    assert again.config == model.config
    assert found["pair"].right is again.head
    assert repr(again) == repr(model)
    assert list(again.state_dict()) == list(model.state_dict())


def test_layers_of_every_kind_come_back_whole(tmp_path: Path) -> None:
    model = nn.ModuleDict(
        {
            "rnn": nn.LSTM(2, 3, num_layers=2),
            "norm": nn.BatchNorm1d(3),
            "former": nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2),
            "list": nn.ModuleList([nn.Linear(1, 1)]),
            "seq": nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True)),
        }
    )
    torch.save(model.eval(), tmp_path / "m.pth")
    again = torch.load(tmp_path / "m.pth", weights_only=False)
    x = torch.randn(5, 1, 2)
    assert torch.equal(again["rnn"](x)[0], model["rnn"](x)[0])
    y = torch.randn(3, 2, 4)
    assert torch.equal(again["former"](y), model["former"](y))
    assert not again["former"].training


def test_values_beside_tensors_come_back(tmp_path: Path) -> None:
    slotted = Slotted.__new__(Slotted)
    slotted.x = np.arange(3)
    value = {
        "options": Namespace(lr=0.1, layers=[1, 2]), "array": np.eye(2, dtype=">f4"),
        "text": np.array(["a", "bcd"]), "counts": defaultdict(list, {"a": [1]}), "kind": Colour.RED,
        "slots": slotted, "inner": ({"deep": [np.float32(2)]},), "type": int,
    }  # fmt: skip
    torch.save(value, tmp_path / "v.pt")
    found = torch.load(tmp_path / "v.pt", weights_only=False)
    assert found["options"] == value["options"]
    assert (found["array"] == value["array"]).all()
    assert found["array"].dtype == value["array"].dtype
    assert found["text"].tolist() == ["a", "bcd"]
    assert found["counts"]["b"] == []
    assert found["kind"] is Colour.RED
    assert found["slots"].x.tolist() == [0, 1, 2]
    assert found["inner"][0]["deep"] == [2.0]
    assert found["type"] is int


def test_weights_only_refuses_objects_and_says_how_to_allow_them(tmp_path: Path) -> None:
    torch.save(Tied(Config()), tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"Tied.*weights_only=False"):
        torch.load(tmp_path / "m.pt")


def test_a_class_that_is_not_imported_is_asked_for_not_imported(tmp_path: Path) -> None:
    torch.save(Tied(Config()), tmp_path / "m.pt")
    program = "import flambeau; flambeau.load('m.pt', weights_only=False)"
    done = finished(sys.executable, "-c", program, cwd=tmp_path)
    assert "once it has been imported" in done.stderr


class Opens:
    """Runs something when called."""

    def __init__(self, name: str = "opened") -> None:
        Path(name).touch()


@pytest.mark.parametrize(
    "attack",
    [
        Hostile(os.system, "touch hostile"), Hostile(eval, "1"), Hostile(open, "hostile", "w"),
        Hostile(subprocess.Popen, ["touch", "hostile"]), Hostile(Opens, "hostile"),
        Hostile(np.save, "hostile", 1), Hostile(torch.save, 1, "hostile.pt"),
    ],
)  # fmt: skip
def test_nothing_runs_even_without_weights_only(
    attack: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (archive(pickle.dumps([attack], 2)), archive(pickle.dumps([attack], 4))):
        (tmp_path / "x.pt").write_bytes(content)
        with contextlib.suppress(CheckpointError):
            torch.load("x.pt", weights_only=False)
        assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]
