"""Event files: their framing, their messages, and what the writer refuses."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.utils.tensorboard import SummaryWriter
from flambeau.utils.tensorboard.events import crc32c


@pytest.mark.parametrize(
    ("data", "checksum"),
    [  # RFC 3720, appendix B.4, and the catalogue's check value
        (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
    ],
)  # fmt: skip
def test_checksums_are_those_of_the_standard(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


def records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = data[12 : 12 + length]
        assert masked(data[:8]) == data[8:12]
        assert masked(event) == data[12 + length : 16 + length]
        yield event
        data = data[16 + length :]


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def fields(message: bytes) -> dict[int, Any]:
    """The fields of a protocol buffer; the last of each number."""
    found: dict[int, Any] = {}
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        key = varint()
        if key & 7 == 0:
            found[key >> 3] = varint()
        elif key & 7 == 2:
            length = varint()
            found[key >> 3] = message[place : place + length]
            place += length
        else:
            size = 8 if key & 7 == 1 else 4
            found[key >> 3] = struct.unpack("<d" if size == 8 else "<f", message[place:][:size])[0]
            place += size
    return found


def values(folder: Path) -> list[tuple[int, dict[int, Any]]]:
    """Step and value of each event after the first."""
    (path,) = folder.glob("events.out.tfevents.*")
    first, *others = [fields(r) for r in records(path)]
    assert first[3] == b"brain.Event:2"
    return [(e[2], fields(fields(e[5])[1])) for e in others]


def test_numbers_and_texts_stand_under_their_tags_and_steps(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", torch.tensor([0.25], requires_grad=True), 300)
        writer.add_scalar("accuracy", np.float64(0.5))
        writer.add_text("note", "grüß", -1)
        assert writer.get_logdir() == str(tmp_path)
    (a, loss), (b, accuracy), (c, note) = values(tmp_path)
    assert (a, loss[1], loss[2]) == (300, b"loss", 0.25)
    assert (b, accuracy[1], accuracy[2]) == (0, b"accuracy", 0.5)
    assert c == 2**64 - 1  # -1 in two's complement
    assert note[1] == b"note/text_summary"
    assert fields(note[8])[8].decode() == "grüß"
    assert fields(fields(note[9])[1])[1] == b"text"


def test_a_histogram_counts_every_value(tmp_path: Path) -> None:
    data = torch.tensor([-1.0, 0.0, 0.5, 0.5, 2.0])
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("weights", data, 1)
        writer.add_histogram("by hand", data, 1, bins=3)
    for _, value in values(tmp_path):
        found = fields(value[5])
        assert [found[k] for k in (1, 2, 3, 4, 5)] == [-1.0, 2.0, 5.0, 2.0, 5.5]
        limits, counts = np.frombuffer(found[6]), np.frombuffer(found[7])
        assert len(limits) == len(counts)
        assert counts.sum() == 5
        assert (np.diff(limits) > 0).all()
        for limit, below in zip(limits, counts.cumsum(), strict=True):
            assert below in ((data.numpy() < limit).sum(), (data.numpy() <= limit).sum())


def test_a_picture_is_a_png_of_its_pixels(tmp_path: Path) -> None:
    pixels = torch.arange(24, dtype=torch.uint8).view(3, 2, 4) * 10
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("colours", pixels, 1)
        writer.add_image("grey", torch.tensor([[0.0, 1.0, 7.0]]), 2, dataformats="HW")
        writer.add_images("row", torch.zeros(2, 1, 3, 3))
    (_, colours), (_, grey), (_, row) = values(tmp_path)
    shown = fields(colours[4])
    assert (shown[1], shown[2], shown[3]) == (2, 4, 3)
    png = shown[4]
    assert png.startswith(b"\x89PNG")
    begin = png.index(b"IDAT")
    (length,) = struct.unpack(">I", png[begin - 4 : begin])
    rows = np.frombuffer(zlib.decompress(png[begin + 4 : begin + 4 + length]), np.uint8)
    found = rows.reshape(2, 13)[:, 1:].reshape(2, 4, 3)
    assert (found.transpose(2, 0, 1) == pixels.numpy()).all()
    assert fields(grey[4])[3] == 1
    assert (fields(row[4])[1], fields(row[4])[2]) == (3, 6)


def test_runs_of_their_own_for_charts_and_settings(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalars("loss/both", {"train": 1.0, "test": 2.0}, 4)
        writer.add_hparams({"lr": 0.1}, {"acc": 0.9}, run_name="one")
    assert values(tmp_path / "loss_both_train")[0][1][2] == 1.0
    assert values(tmp_path / "loss_both_test")[0][0] == 4
    assert values(tmp_path / "one")[1][1][1] == b"acc"


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        with pytest.raises(RuntimeError, match="one number"):
            writer.add_scalar("x", torch.ones(2))
        with pytest.raises(RuntimeError, match=r"CHW.*\(2, 2\)"):
            writer.add_image("x", torch.ones(2, 2))
        with pytest.raises(RuntimeError, match="channels"):
            writer.add_image("x", torch.ones(2, 2, 2))
        with pytest.raises(ValueError, match="finite"):
            writer.add_histogram("x", torch.tensor([float("nan")]))
        with pytest.raises(NotImplementedError, match="numbers, texts"):
            writer.add_audio("x", torch.ones(5))
        with pytest.warns(UserWarning, match="%graph"):
            writer.add_graph(torch.nn.Linear(1, 1))
    writer.close()
    assert values(tmp_path) == []
