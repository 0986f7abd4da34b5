"""Data sets read what stands in files, and say what is missing; pictures of tensors."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import flambeau as torch
from flambeau.utils.data import DataLoader
from flambeau.vision import datasets, io, transforms, utils


def write_idx(path: Path, array: Any) -> None:
    head = struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
    whole = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(whole) if path.suffix == ".gz" else whole)


@pytest.mark.parametrize("nested", [True, False])
def test_mnist_is_read_packed_or_not_and_batched(tmp_path: Path, nested: bool) -> None:
    folder = tmp_path / "FashionMNIST" / "raw" if nested else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28))
    ending = ".gz" if nested else ""
    write_idx(folder / f"t10k-images-idx3-ubyte{ending}", images)
    write_idx(folder / f"t10k-labels-idx1-ubyte{ending}", np.array([3, 1, 4, 1, 5, 9]))
    data = datasets.FashionMNIST(tmp_path, train=False, transform=transforms.ToTensor())
    assert len(data) == 6
    assert data.classes[data.targets[0]] == "Dress"
    x, y = next(iter(DataLoader(data, batch_size=4)))
    assert torch.equal((x[:, 0] * 255).round().to(torch.uint8), data.data[:4])
    assert y.tolist() == [3, 1, 4, 1]
    assert "Split: Test" in repr(data)


def test_missing_and_broken_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte.*nothing is downloaded"):
        datasets.MNIST(tmp_path, download=True)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"no images")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"no labels")
    with pytest.raises(ValueError, match="expected an IDX file"):
        datasets.MNIST(tmp_path)


def test_cifar_is_read_and_nothing_else_in_its_files_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    (folder / "test_batch").write_bytes(pickle.dumps({"data": pixels, "labels": [7, 2]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    data = datasets.CIFAR10(tmp_path, train=False)
    image, label = data[0]
    assert (image.size, label, data.class_to_idx["c"]) == ((32, 32), 7, 2)
    assert np.array_equal(np.asarray(image).transpose(2, 0, 1).ravel(), pixels[0])
    (folder / "test_batch").write_bytes(pickle.dumps(Path("x")))
    with pytest.raises(pickle.UnpicklingError, match="not loaded"):
        datasets.CIFAR10(tmp_path, train=False)


def test_house_numbers_are_read_from_matlabs_files(tmp_path: Path) -> None:
    from scipy.io import savemat

    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 2), dtype=np.uint8)
    savemat(tmp_path / "test_32x32.mat", {"X": pixels, "y": np.array([[10], [7]], np.uint8)})
    data = datasets.SVHN(tmp_path, "test")
    assert [label for _, label in (data[0], data[1])] == [0, 7]
    assert np.array_equal(np.asarray(data[1][0]), pixels[..., 1])
    with pytest.raises(FileNotFoundError, match="extra_32x32"):
        datasets.SVHN(tmp_path, "extra")


def test_folders_are_classes_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("dog", "cat"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (5, 4), "red" if name == "dog" else "blue").save(tmp_path / name / "1.png")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    data = datasets.ImageFolder(tmp_path, transform=transforms.ToTensor())
    assert (data.classes, data.targets) == (["cat", "dog"], [0, 1])
    assert data[1][0][:, 0, 0].tolist() == [1, 0, 0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="none in empty"):
        datasets.ImageFolder(tmp_path)


def test_coco_and_voc_give_images_with_what_is_known_of_them(tmp_path: Path) -> None:
    Image.new("RGB", (6, 5)).save(tmp_path / "a.jpg")
    box = {"image_id": 4, "category_id": 1, "bbox": [1, 2, 3, 2]}
    whole = {"images": [{"id": 4, "file_name": "a.jpg"}], "annotations": [box],
             "categories": [{"id": 1, "name": "cat"}]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(whole))
    coco = datasets.CocoDetection(tmp_path, tmp_path / "a.json")
    assert (coco[0][0].size, coco[0][1], coco.categories) == ((6, 5), [box], {1: "cat"})
    base = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (base / folder).mkdir(parents=True)
    (base / "ImageSets/Main/train.txt").write_text("b\n")
    Image.new("RGB", (6, 5)).save(base / "JPEGImages/b.jpg")
    (base / "Annotations/b.xml").write_text(
        "<annotation><object><name>dog</name><bndbox><xmin>1</xmin></bndbox></object></annotation>"
    )
    (target,) = datasets.VOCDetection(tmp_path)[0][1]["annotation"]["object"]
    assert target == {"name": "dog", "bndbox": {"xmin": "1"}}


def test_noise_is_the_same_at_each_reading() -> None:
    data = datasets.FakeData(3, (3, 4, 4))
    first, label = data[1]
    assert np.array_equal(np.asarray(first), np.asarray(data[1][0]))
    assert label == data[1][1]


def test_images_come_back_from_files(tmp_path: Path) -> None:
    x = torch.randint(0, 256, (3, 5, 7)).to(torch.uint8)
    io.write_png(x, tmp_path / "x.png")
    assert torch.equal(io.read_image(tmp_path / "x.png"), x)
    assert torch.equal(io.decode_image(io.read_file(tmp_path / "x.png")), x)
    assert io.read_image(tmp_path / "x.png", "GRAY").shape == (1, 5, 7)
    assert io.decode_image(io.encode_jpeg(x)).shape == (3, 5, 7)


def test_a_grid_holds_all_images_and_a_border(tmp_path: Path) -> None:
    images = torch.arange(3.0).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    grid = utils.make_grid(images, nrow=2, padding=1, normalize=True, pad_value=9.0)
    n, a, b, c = 9, 0, 0.5, 1
    expected = [
        [n, n, n, n, n, n, n], [n, a, a, n, b, b, n], [n, a, a, n, b, b, n],
        [n, n, n, n, n, n, n], [n, c, c, n, n, n, n], [n, c, c, n, n, n, n],
        [n, n, n, n, n, n, n],
    ]  # fmt: skip
    assert grid.shape == (3, 7, 7)
    assert grid[1].tolist() == expected
    utils.save_image(torch.ones(2, 3, 4, 4), tmp_path / "grid.png")
    assert io.read_image(tmp_path / "grid.png")[:, 3, 3].tolist() == [255] * 3


def test_boxes_and_masks_are_drawn_in_their_colours() -> None:
    image = torch.zeros(3, 12, 12)
    out = utils.draw_bounding_boxes(image, torch.tensor([[2.0, 3, 9, 8]]), colors="red")
    assert (out.dtype, out[:, 3, 5].tolist(), out[:, 5, 5].tolist()) == (
        torch.float32, [1, 0, 0], [0, 0, 0],
    )  # fmt: skip
    masks = torch.zeros(2, 12, 12, dtype=torch.bool)
    masks[0, :6], masks[1, 4:8] = True, True
    both = [(200, 0, 0), (0, 100, 0)]
    bytes_ = image.to(torch.uint8)
    out = utils.draw_segmentation_masks(bytes_, masks, alpha=1.0, colors=both)
    assert out[:, [0, 5, 7, 9], 0].T.tolist() == [[200, 0, 0], [100, 50, 0], [0, 100, 0], [0] * 3]
    with pytest.raises(ValueError, match="a label for each of 1"):
        utils.draw_bounding_boxes(image, torch.tensor([[2.0, 3, 9, 8]]), labels=["a", "b"])
