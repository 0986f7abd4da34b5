"""Files of PyTorch's, GGUF and NumPy's: what they hold comes back, and nothing in them runs."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import random
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.errors import CheckpointError

RECORDED = {
    name: base64.b64decode(text)
    for name, text in json.loads(
        (Path(__file__).parent / "recorded" / "checkpoints.json").read_text()
    ).items()
}


def load(data: bytes, **options: Any) -> Any:
    return torch.load(io.BytesIO(data), **options)


@pytest.mark.parametrize("name", RECORDED)
def test_what_pytorch_saved_comes_back(name: str) -> None:
    found = load(RECORDED[name])
    assert type(found["net"]) is OrderedDict
    assert found["net"]._metadata[""] == {"version": 1}
    twin = nn.Linear(3, 2)
    twin.load_state_dict(found["net"])
    optimizer = torch.optim.Adam(twin.parameters())
    optimizer.load_state_dict(found["optimizer"])
    assert optimizer.state_dict()["state"][0]["step"] == 1
    assert found["base"].tolist() == torch.arange(12.0).reshape(3, 4).tolist()
    assert found["view"].tolist() == [[4, 6], [8, 10]]
    found["base"][1, 0] = 99
    assert found["view"][0, 0] == 99  # they share their memory, as when they were saved
    assert found["bfloat16"].dtype is torch.bfloat16
    assert found["complex"].tolist() == [1, 1]
    assert found["empty"].shape == (0, 3)
    assert found["images"].is_contiguous(memory_format=torch.channels_last)
    assert found["images"].flatten().tolist() == list(range(24))
    assert isinstance(found["parameter"], nn.Parameter)
    assert found["parameter"].requires_grad
    assert found["size"] == torch.Size([1, 2])
    assert found["dtype"] is torch.float16
    assert found["device"] == torch.device("cpu")
    assert found["set"] == {1, 2}
    assert found["large"] == 1 << 70
    assert found["plain"] == (1, "a", None, 2.5, True, b"xy", 1 + 2j)


@pytest.mark.parametrize("suffix", ["pt", "pth", "safetensors"])
def test_our_own_files_come_back(suffix: str, tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "base": base,
        "view": base[1:, ::2],
        "net": nn.Linear(2, 1).state_dict(),
        "n": (1, "a"),
    }
    torch.save(state, tmp_path / f"x.{suffix}")
    content = (tmp_path / f"x.{suffix}").read_bytes()
    assert (content[:4] == b"PK\x03\x04") is (suffix != "safetensors")
    back = torch.load(tmp_path / f"x.{suffix}")
    assert back["view"].tolist() == [[4, 6], [8, 10]]
    assert back["n"] == (1, "a")
    nn.Linear(2, 1).load_state_dict(back["net"])


def test_map_location(tmp_path: Path) -> None:
    data = RECORDED["zip"]
    assert load(data, map_location="meta")["base"].is_meta
    assert load(data, map_location={"cpu": "meta"})["base"].is_meta
    assert not load(data, map_location=lambda storage, place: storage)["base"].is_meta
    assert load(data, map_location=lambda storage, place: "meta")["base"].is_meta


# -- hostile files ---------------------------------------------------------------------------------


class Hostile:
    """Runs a command when Python's own reader loads it."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.reduced = function, args

    def __reduce__(self) -> Any:
        return self.reduced


def archive(program: bytes, **records: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("a/data.pkl", program)
        for name, content in records.items():
            target.writestr(f"a/{name}", content)
    return file.getvalue()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "attack",
    [
        Hostile(os.system, "touch hostile"), Hostile(eval, "1"), Hostile(getattr, "a", "title"),
        Hostile(open, "hostile", "w"), Hostile(__import__, "os"), Hostile(exec, "1"),
    ],
)  # fmt: skip
def test_a_file_that_asks_to_run_something_is_refused(
    attack: Hostile, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="would have to run"):
        load(archive(pickle.dumps([attack], protocol)))
    if protocol >= 2:
        with pytest.raises(CheckpointError, match="would have to run"):
            load(pickle.dumps(attack, protocol))
    assert not list(tmp_path.iterdir())


def storage(count: int) -> bytes:
    """The program of a tensor's storage of `count` elements."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI"
        + str(count).encode()
        + b"\ntQ"
    )


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (storage(4) + b"I0\n(I8\nt(I1\ntI00\n(dtR.", "within its storage of 4 elements"),
        (storage(4) + b"I2\n(I3\nt(I1\ntI00\n(dtR.", "reaches 4"),
        (storage(4) + b"I-2\n(I3\nt(I1\ntI00\n(dtR.", "none negative"),
        (storage(4) + b"I0\n(I2\nI2\nt(I1\ntI00\n(dtR.", "a stride per size"),
        (storage(1 << 40) + b"I0\n(I2\nt(I1\ntI00\n(dtR.", "elements of torch.float32"),
        (b"c__builtin__\nset\n.", "itself"),
        (b"ctorch\nfloat32\n(tR.", "to build with"),
        (b"(lp2147483647\n.", None),
        (b"r\xff\xff\xff\x7f.", "whole"),
        (b"\x8e" + b"\xff" * 8 + b".", "ends before"),
        (b"}((ttNs.", "simple keys"),
        (b"]q\x00h\x00a.", None),
    ],
)
def test_broken_programs_are_refused(program: bytes, words: str | None) -> None:
    data = archive(program, **{"data/0": bytes(16)})
    if words is None:
        load(data)
        return
    with pytest.raises(CheckpointError, match=words):
        load(data)


def test_numpy_values_in_a_checkpoint_come_back() -> None:
    value = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(1.5), "c": [np.ones(2, np.int8)]}
    found = load(archive(pickle.dumps(value, 2)))
    assert found["a"].tolist() == value["a"].tolist()
    assert found["b"] == 1.5
    assert found["c"][0].dtype == np.int8
    with pytest.raises(CheckpointError, match="dtype of numbers"):
        load(archive(pickle.dumps(np.array([{}], dtype=object), 2)))


class Vouched:
    def __init__(self) -> None:
        self.x = 3


def test_classes_that_the_user_vouches_for() -> None:
    data = archive(pickle.dumps({"v": Vouched()}, 2))
    with pytest.raises(CheckpointError, match=r"asks for .*\.Vouched.*add_safe_globals"):
        load(data)
    with torch.serialization.safe_globals([Vouched]):
        assert load(data)["v"].x == 3
    assert torch.serialization.get_safe_globals() == []


@pytest.mark.parametrize("name", RECORDED)
def test_mutated_files_raise_only_the_documented_error(name: str) -> None:
    draw = random.Random(0)
    loaded = 0
    for _ in range(400):
        data = bytearray(RECORDED[name])
        for _ in range(draw.choice([1, 1, 3, 20])):
            place = draw.randrange(min(len(data), draw.choice([300, 10**9])))
            if draw.random() < 0.7:
                data[place] = draw.randrange(256)
            elif draw.random() < 0.5:
                del data[place : place + draw.randrange(1, 9)]
            else:
                data[place:place] = draw.randbytes(draw.randrange(1, 9))
        try:
            load(bytes(data))
            loaded += 1
        except CheckpointError:
            pass
    assert loaded < 400


def test_a_program_is_told_from_weights() -> None:
    with pytest.raises(CheckpointError, match="TorchScript"):
        load(archive(b"N.", **{"constants.pkl": b""}))


# -- other formats ---------------------------------------------------------------------------------


def test_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.arange(3), b=np.ones((2, 2), np.float32))
    found = torch.load(tmp_path / "x.npz")
    assert found["a"].tolist() == [0, 1, 2]
    np.savez(tmp_path / "y.npz", a=np.array([{}], dtype=object))
    with pytest.raises(CheckpointError, match="arrays of numbers"):
        torch.load(tmp_path / "y.npz")


def gguf(tensors: list[tuple[str, tuple[int, ...], int, bytes]]) -> bytes:
    def text(s: str) -> bytes:
        return struct.pack("<Q", len(s)) + s.encode()

    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), 2)
    out += text("general.name") + struct.pack("<I", 8) + text("tiny")
    out += text("list") + struct.pack("<IIQ3i", 9, 5, 3, 1, 2, 3)
    offset, body = 0, b""
    for name, shape, kind, data in tensors:
        out += text(name) + struct.pack("<I", len(shape))
        out += struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", kind, offset)
        body += data + bytes(-len(data) % 32)
        offset = len(body)
    return out + bytes(-len(out) % 32) + body


def test_gguf() -> None:
    half = np.float16(0.5).tobytes()
    quarter = np.float16(0.25).tobytes()
    eights = np.arange(-16, 16, dtype=np.int8)
    nibbles = bytes(
        (high << 4) | low for low, high in zip(range(16), range(15, -1, -1), strict=True)
    )
    found = load(
        gguf([
            ("f32", (2, 3), 0, np.arange(6, dtype=np.float32).tobytes()),
            ("f16", (3,), 1, np.arange(3, dtype=np.float16).tobytes()),
            ("q8_0", (32,), 8, half + eights.tobytes()),
            ("q4_0", (1, 32), 2, half + nibbles),
            ("q4_1", (32,), 3, half + quarter + nibbles),
        ])
    )  # fmt: skip
    assert found["f32"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["f16"].tolist() == [0, 1, 2]
    assert found["q8_0"].tolist() == (eights * 0.5).tolist()
    order = [*range(16), *range(15, -1, -1)]
    assert found["q4_0"].tolist() == [[(q - 8) * 0.5 for q in order]]
    assert found["q4_1"].tolist() == [q * 0.5 + 0.25 for q in order]
    with pytest.raises(CheckpointError, match="GGML type 16"):
        load(gguf([("x", (256,), 16, bytes(66))]))
    with pytest.raises(CheckpointError, match="elements of x in the file"):
        load(gguf([("x", (64,), 0, bytes(32))]))
