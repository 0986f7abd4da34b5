"""YOLO: its published sizes, its assignment and losses by their definitions, training, and the
measure of detection as the COCO benchmark computes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.vision.models import detection, get_model
from flambeau.vision.models.detection import assignment, decoding, loss, yolo


@pytest.mark.parametrize(
    ("name", "count"),
    [("n", 3_157_200), ("s", 11_166_560), ("m", 25_902_640), ("l", 43_691_520), ("x", 68_229_648)],
)
def test_models_have_as_many_parameters_as_published(name: str, count: int) -> None:
    with torch.device("meta"):
        model = get_model(f"yolov8{name}")
    assert sum(p.numel() for p in model.parameters()) == count
    assert model.state_dict()["model.22.cv3.2.2.bias"].shape == (80,)


def test_distances_are_decoded_to_boxes() -> None:
    points, strides = decoding.anchor_points([(1, 2), (1, 1)], (8, 16), torch.zeros(1))
    assert points.tolist() == [[4, 4], [12, 4], [8, 8]]
    boxes = decoding.decoded(torch.tensor([[[1.0, 0, 2, 1]] * 3]), points, strides)
    assert boxes[0].tolist() == [[-4, 4, 20, 12], [4, 4, 28, 12], [-8, 8, 40, 24]]


def test_the_loss_of_distances_is_the_cross_entropy_with_the_bins_beside_them() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 4, 6, dtype=torch.float64)
    distances = torch.rand(3, 4, dtype=torch.float64) * 7 - 1  # some below 0 and above 5
    found = loss._distance_loss(logits, distances)
    logp = logits.numpy() - np.log(np.exp(logits.numpy()).sum(-1, keepdims=True))
    wanted = np.clip(distances.numpy(), 0, 5 - loss.BELOW_LAST)
    low = np.floor(wanted).astype(int)
    pick = np.take_along_axis
    below = pick(logp, low[..., None], -1)[..., 0] * (low + 1 - wanted)
    above = pick(logp, low[..., None] + 1, -1)[..., 0] * (wanted - low)
    np.testing.assert_allclose(found.numpy(), -(below + above).mean(-1), rtol=1e-12)


def test_objects_take_the_places_aligned_best_and_disputed_ones_go_by_overlap() -> None:
    points, _ = decoding.anchor_points([(4, 4)], (8,), torch.zeros(1))
    true = torch.tensor([[[0.0, 0, 20, 20], [8, 8, 32, 32], [0, 0, 0, 0]]])
    exists, labels = torch.tensor([[True, True, False]]), torch.tensor([[1, 0, 0]])
    boxes = true[0, 1].expand(1, 16, 4).clone()
    boxes[0, 0] = true[0, 0]  # the first place predicts the first object exactly
    scores = torch.full((1, 16, 2), 0.25)
    wanted = assignment.assigned(scores, boxes, points, labels, true, exists)
    inside = [[x * 8 + 4, y * 8 + 4] for y in range(4) for x in range(4)]
    second = [8 < x < 32 and 8 < y < 32 for x, y in inside]
    assert wanted.found[0, 0]
    assert wanted.boxes[0, 0].tolist() == true[0, 0].tolist()
    # Of what both want, the second object overlaps the box predicted there more.
    assert all(wanted.boxes[0, k].tolist() == true[0, 1].tolist() for k in range(16) if second[k])
    assert wanted.scores[0, 0].tolist() == [0, pytest.approx(1)]
    assert wanted.scores[0, second.index(True)].tolist() == [pytest.approx(1), 0]
    assert not wanted.found[0, 3]  # outside of both


def tiny(**options: Any) -> Any:
    torch.manual_seed(0)
    return detection.YOLO(yolo.Sizes(0.33, 0.0625, 1024), num_classes=2, size=None, **options)


def squares(seed: int, count: int) -> tuple[Any, list[Any]]:
    """Bright squares on dark noise, red or green."""
    rng = np.random.default_rng(seed)
    images = rng.random((count, 3, 64, 64), np.float32) * 0.2
    targets = []
    for image in images:
        side, label = int(rng.integers(16, 32)), int(rng.integers(2))
        x, y = (int(v) for v in rng.integers(0, 64 - side, 2))
        image[label, y : y + side, x : x + side] = 1
        targets.append({"boxes": torch.tensor([[x, y, x + side, y + side]], dtype=torch.float32),
                        "labels": torch.tensor([label])})  # fmt: skip
    return torch.from_numpy(images), targets


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Layers this small gain nothing from more, and wait for them on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_training_finds_squares_that_it_has_not_seen() -> None:
    model = tiny()
    for module in model.modules():  # so few steps would not move the statistics kept for detection
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.3
    images, targets = squares(0, 48)
    steps = 40
    adam = torch.optim.AdamW(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 1e-2, total_steps=steps)
    for step in range(steps):
        part = slice(16 * (step % 3), 16 * (step % 3) + 16)
        total = sum(model(images[part], targets[part]).values())
        adam.zero_grad()
        total.backward()
        adam.step()
        schedule.step()
    model.eval()
    model.score_thresh = 0.01
    unseen, truth = squares(1, 32)
    with torch.no_grad():
        found = detection.mean_average_precision(model(unseen), truth)
    assert found["map_50"] > 0.75


def test_images_of_any_size_are_framed_and_boxes_come_back_to_their_pixels() -> None:
    model = tiny().eval()
    model.size, model.score_thresh = 64, 0.0
    images = [torch.rand(3, 50, 100), torch.rand(3, 31, 20)]
    with torch.no_grad():
        for image, found in zip(images, model(images), strict=True):
            height, width = image.shape[1:]
            assert found["boxes"][:, 2].max() <= width
            assert found["boxes"][:, 3].max() <= height
            assert found["boxes"].min() >= 0
            assert len(found["boxes"]) == len(found["labels"]) == len(found["scores"]) <= 300
            assert (found["scores"].diff() <= 0).all()
    framed, frames = yolo.letterboxed(images, 64, 32)
    assert framed.shape == (2, 3, 64, 64)
    assert framed[0, :, 0, 0].tolist() == pytest.approx([114 / 255] * 3)
    box = torch.tensor([[10.0, 5, 30, 25]])
    moved, _ = yolo.framed_boxes([{"boxes": box, "labels": torch.tensor([0])}] * 2, frames, 2)
    torch.testing.assert_close(moved["boxes"], torch.tensor([[6.4, 19.2, 19.2, 32]]))
    torch.testing.assert_close(decoding.unframed(moved["boxes"], frames[0]), box)


def test_an_image_without_objects_trains_too() -> None:
    model = tiny()
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    parts = model(torch.rand(1, 3, 64, 64), [nothing])
    sum(parts.values()).backward()
    assert parts["loss_box"] == parts["loss_dfl"] == 0 < parts["loss_class"]
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)


def test_wrong_calls_are_explained() -> None:
    model = tiny()
    image = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match=r"expected targets in training.*model\.eval"):
        model(image)
    target = {"boxes": torch.zeros(1, 4), "labels": torch.tensor([2])}
    with pytest.raises(ValueError, match="labels from 0 to 1"):
        model(image, [target])
    with pytest.raises(RuntimeError, match="a target for each of 1 images"):
        model(image, [])
    with pytest.raises(RuntimeError, match="floats from 0 to 1"):
        model.eval()((image * 255).to(torch.uint8))


def scene(rng: Any) -> tuple[Any, Any]:
    count, guesses = int(rng.integers(0, 7)), int(rng.integers(0, 130))
    corner = rng.random((count, 2)) * 50
    true = np.concatenate((corner, corner + rng.random((count, 2)) * 40 + 2), 1)
    base = true[rng.integers(0, count, guesses)] if count else rng.random((guesses, 4))
    boxes = base + rng.normal(0, 2, (guesses, 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    labels = [torch.tensor(rng.integers(0, 3, n)) for n in (guesses, count)]
    scores = torch.tensor(rng.random(guesses).round(2))
    return ({"boxes": torch.tensor(boxes), "labels": labels[0], "scores": scores},
            {"boxes": torch.tensor(true), "labels": labels[1]})  # fmt: skip


def test_mean_average_precision_is_what_cocos_own_program_computes() -> None:
    rng = np.random.default_rng(5)
    scenes = [scene(rng) for _ in range(20)]
    found = detection.mean_average_precision(*zip(*scenes, strict=True))
    recorded = [0.103057034, 0.176484148, 0.099132303]  # by pycocotools 2.0.11, of these boxes
    assert [found["map"], found["map_50"], found["map_75"]] == pytest.approx(recorded, abs=1e-8)


def test_perfect_detections_have_precision_one_and_none_have_zero() -> None:
    truth = [{"boxes": torch.tensor([[0.0, 0, 4, 4]]), "labels": torch.tensor([3])}]
    perfect = [{**truth[0], "scores": torch.tensor([0.5])}]
    nothing = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64),
                "scores": torch.zeros(0)}]  # fmt: skip
    assert detection.mean_average_precision(perfect, truth)["map"] == pytest.approx(1)
    assert detection.mean_average_precision(nothing, truth)["map_per_class"] == {3: 0}
