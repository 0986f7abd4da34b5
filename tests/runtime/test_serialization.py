"""Saving and loading: what comes back, who else can read it, what is refused."""

from __future__ import annotations

import functools
import io
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import flambeau as torch
from flambeau import nn


def round_trip(value: Any, path: Path, **options: Any) -> Any:
    torch.save(value, path)
    return torch.load(path, **options)


@pytest.mark.parametrize(
    "dtype",
    ["float32", "float64", "float16", "bfloat16", "int64", "int8", "uint8", "bool", "complex64",
     "complex128"],
)  # fmt: skip
def test_tensors_of_every_dtype_and_shape_come_back(dtype: str, tmp_path: Path) -> None:
    for shape in ((2, 3), (), (0, 4)):
        x = torch.ones(shape, dtype=getattr(torch, dtype))
        back = round_trip(x, tmp_path / "x")
        assert back.dtype is x.dtype
        assert back.shape == x.shape
        assert torch.equal(back, x)


def test_a_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    state = {
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best": (0.5, None, float("inf")),
        "names": ["a", True],
        "dtype": torch.float16,
        "size": torch.Size([1, 2]),
    }
    back = round_trip(state, tmp_path / "checkpoint")
    assert {k: v for k, v in back.items() if k not in ("net", "optimizer")} == {
        k: v for k, v in state.items() if k not in ("net", "optimizer")
    }
    assert isinstance(back["net"], OrderedDict)
    twin = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    twin.load_state_dict(back["net"])
    other = torch.optim.Adam(twin.parameters())
    other.load_state_dict(back["optimizer"])
    assert (
        other.state_dict()["state"][0]["exp_avg"].tolist()
        == optimizer.state_dict()["state"][0]["exp_avg"].tolist()
    )


def test_other_readers_find_the_tensors_under_their_names(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    torch.save(net.state_dict(), tmp_path / "net.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "net.safetensors")
    assert sorted(found) == ["bias", "weight"]
    assert (found["weight"] == net.weight.detach().numpy()).all()


def test_files_of_other_writers_are_dicts_of_tensors(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"a": torch.ones(2).numpy()}, tmp_path / "a")
    assert torch.equal(torch.load(tmp_path / "a")["a"], torch.ones(2))


def test_a_header_of_any_length_is_read(tmp_path: Path) -> None:
    # A length of 128, 384, 640... begins with the byte that pickles begin with.
    starts = set()
    for letters in range(0, 512, 8):
        torch.save({"x" * letters: 1.0}, tmp_path / "a.safetensors")
        assert torch.load(tmp_path / "a.safetensors") == {"x" * letters: 1.0}
        starts.add((tmp_path / "a.safetensors").read_bytes()[0])
    assert 0x80 in starts


def test_tied_tensors_are_stored_once_and_come_back_tied(tmp_path: Path) -> None:
    x = torch.ones(1000)
    back = round_trip({"a": x, "b": x}, tmp_path / "tied")
    assert (tmp_path / "tied").stat().st_size < 6000
    back["a"][0] = 5.0
    assert back["b"][0].item() == 5.0


def test_parameters_and_leaves_keep_what_they_are(tmp_path: Path) -> None:
    back = round_trip(
        {"p": nn.Parameter(torch.ones(1)), "x": torch.ones(1, requires_grad=True)}, tmp_path / "p"
    )
    assert isinstance(back["p"], nn.Parameter)
    assert back["x"].requires_grad


def test_binary_files_serve_too() -> None:
    buffer = io.BytesIO()
    torch.save([torch.ones(2)], buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer)[0], torch.ones(2))


def test_map_location_says_where_tensors_go(tmp_path: Path) -> None:
    assert round_trip(torch.ones(2), tmp_path / "x", map_location="meta").is_meta
    assert torch.load(tmp_path / "x", map_location={"cpu": "meta"}).is_meta


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    torch.save(torch.ones(1), path)
    with pytest.raises(TypeError, match=r"Got object at 'a.1'"):
        torch.save({"a": [1, object()]}, path)
    assert torch.load(path).item() == 1.0
    assert list(tmp_path.iterdir()) == [path]


def test_what_would_have_to_run_is_not_saved(tmp_path: Path) -> None:
    for value in (functools.partial(print, 1), lambda: 1, os.system, np.array([{}], dtype=object)):
        for name in ("x", "x.pt"):
            with pytest.raises(TypeError, match="save: expected"):
                torch.save({"a": value}, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "none of them, or broken"),
        (b"\xff" * 64, "none of them, or broken"),
        (b"PK\x03\x04 and so on", "a zip archive that is whole"),
        (b"\x80\x02 and so on", "a pickle of data"),
        (b"GGUF and so on", "GGUF of version 2 or 3"),
    ],
)
def test_other_files_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        torch.load(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "y")


def test_a_header_as_long_as_a_pickle_begins_is_no_pickle() -> None:
    """Its length, 0x280, stands in the file as the bytes of a pickle's protocol 2."""
    for padding in range(0x400):
        file = io.BytesIO()
        torch.save({"x" * padding: torch.ones(2)}, file)
        if file.getvalue()[:2] == b"\x80\x02":
            break
    else:
        pytest.fail("no header of that length was made")
    file.seek(0)
    assert torch.load(file)["x" * padding].tolist() == [1, 1]


def test_an_open_file_gets_the_format_of_its_name(tmp_path: Path) -> None:
    for name, begin in (("model.pt", b"PK"), ("model.safetensors", None)):
        with open(tmp_path / name, "wb") as file:
            torch.save({"x": torch.ones(2)}, file)
        with open(tmp_path / name, "rb") as file:
            assert torch.load(file)["x"].tolist() == [1, 1]
        assert begin is None or (tmp_path / name).read_bytes().startswith(begin)
