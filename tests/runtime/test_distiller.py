"""The Distiller: its loss, the teacher it leaves alone, hooks, wrappers, caches, reports."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
import flambeau.nn.functional as F
from flambeau import distillation as kd
from flambeau import nn
from flambeau.ao.quantization import quantize_dynamic
from flambeau.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from flambeau.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    """Two blocks with batch norm and dropout, and a head."""

    def __init__(self, width: int, classes: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(n, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5))
            for n in (4, width)
        )
        self.head = nn.Linear(width, classes)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


@pytest.fixture
def pair() -> tuple[Net, Net, Any, Any]:
    torch.manual_seed(0)
    return Net(8), Net(6), torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])


def soft(weight: float = 1.0) -> kd.Term:
    return kd.Term(kd.SoftTargetLoss(2.0), weight)


def hint(**options: Any) -> kd.Term:
    return kd.Term(kd.HintLoss(), 0.5, {"layers.0": "layers.1", "layers.1": "layers.1"}, **options)


def hooked(*models: nn.Module) -> list[nn.Module]:
    return [m for model in models for m in model.modules() if any(m._hooks.values())]


def test_the_loss_is_the_weighted_sum_of_the_terms(pair: Any) -> None:
    teacher, student, x, y = pair
    terms = kd.Term(nn.CrossEntropyLoss(), 0.25), soft(0.75), hint()
    distiller = kd.Distiller(teacher.eval(), student.eval(), *terms).eval()
    loss, output = distiller(x, y, return_output=True)
    s, t = [x], [x]
    for layer, other in zip(student.layers, teacher.layers, strict=True):
        s.append(layer(s[-1]))
        t.append(other(t[-1]))
    projected = [F.linear(h, l.weight, l.bias) for h, l in zip(s[1:], terms[2].losses, strict=True)]
    wanted = 0.25 * F.cross_entropy(student(x), y)
    wanted = wanted + 0.75 * kd.soft_target_loss(student(x), teacher(x), 2.0)
    wanted = wanted + 0.25 * sum(F.mse_loss(p, t[2].detach()) for p in projected)
    assert torch.equal(output, student(x))
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_the_teacher_is_as_it_was(pair: Any) -> None:
    teacher, student, x, y = pair
    teacher.layers[1].eval()
    modes = [m.training for m in teacher.modules()]
    state = copy.deepcopy(teacher.state_dict())
    distiller = kd.Distiller(teacher, student, kd.Term(nn.CrossEntropyLoss()), soft(), hint())
    distiller.train()(x, y).backward()
    assert [m.training for m in teacher.modules()] == modes
    assert all(torch.equal(state[name], value) for name, value in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())
    assert all(p.grad is not None for p in distiller.parameters())


def test_parameters_and_state_are_those_of_the_student_and_its_projections(pair: Any) -> None:
    teacher, student, *_ = pair
    distiller = kd.Distiller(teacher, student, soft(), hint())
    assert len(list(distiller.parameters())) == len(list(student.parameters())) + 4
    prefixes = {name.split(".")[0] for name in distiller.state_dict()}
    assert prefixes == {"student", "terms"}
    distiller.double()
    assert teacher.head.weight.dtype is torch.float64


def test_no_hook_stays_behind_also_after_an_error(pair: Any) -> None:
    teacher, student, x, y = pair
    distiller = kd.Distiller(teacher, student, soft(), hint())
    distiller(x, y)
    assert hooked(teacher, student) == []
    student.head.weight.data = torch.zeros(3, 5)
    with pytest.raises(RuntimeError, match=r"\(3, 5\)"):
        distiller(x, y)
    assert hooked(teacher, student) == []
    assert [m.training for m in teacher.modules()] == [True] * len(list(teacher.modules()))


def test_a_student_learns_what_its_teacher_knows_and_the_report_says_how(pair: Any) -> None:
    teacher, _, x, y = pair
    student = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    distiller = kd.Distiller(teacher, student, kd.Term(nn.CrossEntropyLoss(), 0.1), soft(0.9))
    assert str(distiller.report()) == "No call in training mode yet."
    optimizer = torch.optim.Adam(distiller.parameters(), lr=0.02)
    for step in range(150):
        optimizer.zero_grad()
        distiller(x, y).backward()
        optimizer.step()
        if step == 0:
            early = distiller.report(reset=True)
    late = distiller.report()
    assert late.calls == 149
    assert [t.name for t in late.terms] == ["cross_entropy", "soft_target"]
    assert late.terms[1].loss < 0.5 * early.terms[1].loss
    assert sum(t.share for t in late.terms) == pytest.approx(1.0)
    assert late.total == pytest.approx(sum(t.weight * t.loss for t in late.terms), rel=1e-5)
    with torch.no_grad():
        distiller.eval()(x, y)
    assert distiller.report().calls == 149
    assert "149 calls" in str(late)


def test_accumulated_gradients_are_those_of_the_whole_batch(pair: Any) -> None:
    teacher, student, x, y = pair
    distiller = kd.Distiller(teacher, student.eval(), soft(), hint()).eval()
    distiller(x, y)  # makes the projections
    grads = []
    for parts in (1, 5):
        distiller.zero_grad()
        for part in x.chunk(parts):
            (distiller(part) / parts).backward()
        grads.append([p.grad.clone() for p in distiller.parameters()])
    for whole, summed in zip(*grads, strict=True):
        assert torch.allclose(whole, summed, atol=1e-6)


def test_autocast_reaches_both_models_and_the_loss_stays_wide(pair: Any) -> None:
    teacher, student, x, y = pair
    distiller = kd.Distiller(teacher, student.eval(), soft(), hint()).eval()
    wanted = distiller(x, y).item()
    with torch.autocast("cpu"):
        loss, output = distiller(x, y, return_output=True)
    assert output.dtype is torch.bfloat16
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(wanted, rel=0.05)


def test_a_mean_teacher_is_an_averaged_model(pair: Any) -> None:
    _, student, x, y = pair
    teacher = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    same = kd.Term(kd.HintLoss(project=False), 1.0, ["layers.0", "layers.1"])
    distiller = kd.Distiller(teacher, student.eval(), kd.Term(nn.CrossEntropyLoss()), same).eval()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.5)
    for step in range(2):
        optimizer.zero_grad()
        distiller.train()(x, y).backward()
        optimizer.step()
        teacher.update_parameters(student)
        assert teacher.n_averaged == step + 1
    assert distiller.report().terms[1].loss > 0


def test_other_inputs_may_go_to_the_teacher(pair: Any) -> None:
    teacher, student, x, _ = pair
    distiller = kd.Distiller(teacher.eval(), student.eval(), soft()).eval()
    wanted = kd.soft_target_loss(student(x + 1), teacher(x), 2.0).item()
    assert distiller(x + 1, teacher_inputs=x).item() == pytest.approx(wanted)


class Tokens(nn.Module):
    """A language model called by keywords that gives a dict, as those of transformers do."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, width)
        layer = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(width, 11)

    def forward(self, input_ids: Any, attention_mask: Any) -> dict[str, Any]:
        hidden = self.encoder(self.embed(input_ids), src_key_padding_mask=attention_mask == 0)
        return {"hidden": hidden, "logits": self.head(hidden)}


def tokens() -> tuple[dict[str, Any], Any]:
    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    return {"input_ids": torch.randint(0, 11, (2, 4)), "attention_mask": mask}, mask


def test_language_models_are_called_by_keywords_and_padding_counts_nothing() -> None:
    inputs, mask = tokens()
    terms = [
        kd.Term(lambda logits, y: F.cross_entropy(logits.mT, y), 0.5),
        kd.Term(kd.SequenceLoss(2.0, top_k=4)),
        kd.Term(kd.HintLoss(), taps="", select="hidden", name="hidden"),
        kd.Term(kd.AttentionMapLoss(), taps=["encoder.layers.0.self_attn"]),
    ]
    distiller = kd.Distiller(Tokens(8), Tokens(4).eval(), *terms)
    distiller(inputs, inputs["input_ids"], mask=mask).backward()
    found = {t.name: t.loss for t in distiller.report().terms}
    assert list(found) == ["task", "sequence", "hidden", "attention_map"]
    assert all(loss > 0 for loss in found.values())
    other = {**inputs, "input_ids": inputs["input_ids"].clone()}
    other["input_ids"][0, 3] = 7
    distiller.report(reset=True)
    distiller(other, inputs["input_ids"], mask=mask)
    again = {t.name: t.loss for t in distiller.report().terms}
    for name in ("sequence", "hidden", "attention_map"):
        assert again[name] == pytest.approx(found[name], rel=1e-5)


# -- caches ----------------------------------------------------------------------------------------


class Counted(nn.Module):
    """Counts the rows that it is run on."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.rows = model, 0

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        first = args[0] if args else kwargs["input_ids"]
        self.rows += len(first)
        return self.model(*args, **kwargs)


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_cached_teacher_runs_once_for_each_sample(
    pair: Any, on_disk: bool, tmp_path: Path
) -> None:
    teacher, student, *_ = pair
    counted = Counted(teacher)
    data = TensorDataset(torch.randn(10, 4), torch.arange(10) % 3)
    folder = tmp_path / "outputs" if on_disk else None
    terms = soft(), kd.Term(kd.HintLoss(project=False), taps={"layers.0.0": "model.layers.0.0"})
    student = Net(8)
    direct = kd.Distiller(counted, student, *terms)
    cached = kd.Distiller(counted, student, *terms, cache=kd.TeacherCache(10, folder))
    loader = DataLoader(kd.NumberedDataset(data), batch_size=4, shuffle=True)
    for epoch in range(3):
        for x, y, ids in loader:
            wanted = direct.eval()(x, y).item()
            counted.rows = 0
            assert cached.eval()(x, y, ids=ids).item() == wanted
            assert counted.rows == (len(ids) if epoch == 0 else 0)
    assert len(cached.cache) == 10
    if on_disk:
        again = kd.Distiller(counted, student, *terms, cache=kd.TeacherCache(10, folder)).eval()
        x, y = data[:]
        assert again(x, y, ids=range(10)).item() == pytest.approx(direct(x, y).item())
        assert counted.rows == 10  # by `direct` alone


def test_only_the_missing_rows_of_a_batch_are_asked_for() -> None:
    inputs, mask = tokens()
    teacher = Counted(Tokens(8))
    term = kd.Term(kd.SequenceLoss(top_k=3))
    distiller = kd.Distiller(teacher, Tokens(4).eval(), term, cache=kd.TeacherCache(5)).eval()
    wanted = distiller(inputs, mask=mask, ids=[4, 2]).item()
    turned = {name: x.flip(0) for name, x in inputs.items()}
    half = {name: torch.stack([x[0], x[1]]) for name, x in turned.items()}
    assert distiller(turned, mask=mask.flip(0), ids=[2, 4]).item() == pytest.approx(wanted)
    assert teacher.rows == 2
    distiller(half, mask=mask.flip(0), ids=[2, 1])
    assert teacher.rows == 3


def test_bfloat16_outputs_survive_a_folder(tmp_path: Path) -> None:
    teacher, student = nn.Linear(2, 3).bfloat16(), nn.Linear(2, 3).bfloat16()
    x = torch.randn(4, 2, dtype=torch.bfloat16)
    found = []
    for _ in range(2):
        cache = kd.TeacherCache(4, tmp_path / "half")
        distiller = kd.Distiller(teacher, student, soft(), cache=cache).eval()
        found.append(distiller(x, ids=np.arange(4)).item())
    assert found[0] == found[1] == kd.Distiller(teacher, student, soft()).eval()(x).item()


def test_a_cache_of_another_teacher_is_refused(pair: Any, tmp_path: Path) -> None:
    teacher, student, x, y = pair
    cache = kd.TeacherCache(5, tmp_path / "outputs")
    distiller = kd.Distiller(teacher, student, soft(), cache=cache)
    distiller(x, y, ids=range(5))
    colder = kd.Term(kd.SoftTargetLoss(1.0), 3.0)
    kd.Distiller(teacher, student, colder, cache=cache)(x, y, ids=range(5))  # of the same logits
    with torch.no_grad():
        teacher.head.bias.add_(1.0)
    with pytest.raises(ValueError, match="teacher changed"):
        distiller(x, y, ids=range(5))
    cache.clear()
    assert not cache.folder.exists()
    distiller(x, y, ids=range(5))
    with pytest.raises(ValueError, match=r"expected 5 samples.*Got size 6"):
        kd.Distiller(
            teacher, student, soft(), cache=kd.TeacherCache(6, tmp_path / "outputs")
        )(x, y, ids=range(5))  # fmt: skip


@pytest.mark.parametrize("change", ["data", "numpy", "layer"])
def test_a_cache_sees_changes_that_no_version_counts(pair: Any, change: str) -> None:
    teacher, student, x, y = pair
    distiller = kd.Distiller(teacher, student, soft(), cache=kd.TeacherCache(5))
    distiller(x, y, ids=range(5))
    if change == "data":
        teacher.head.weight.data.mul_(3.0)
    elif change == "numpy":
        teacher.head.weight.detach().numpy()[:] = 1.0
    else:
        teacher.layers[1][2] = nn.Tanh()
    with pytest.raises(ValueError, match="teacher changed"):
        distiller(x, y, ids=range(5))


def test_a_cache_tells_quantized_teachers_apart(tmp_path: Path) -> None:
    x, student = torch.randn(5, 4), nn.Linear(4, 3)
    for seed in range(2):
        torch.manual_seed(seed)
        teacher = quantize_dynamic(nn.Sequential(nn.Linear(4, 3)))
        cache = kd.TeacherCache(5, tmp_path / "outputs")
        distiller = kd.Distiller(teacher, student, soft(), cache=cache)
        if seed == 0:
            distiller(x, ids=range(5))
    with pytest.raises(ValueError, match="expected the teacher, and the terms"):
        distiller(x, ids=range(5))


def test_a_cache_leaves_files_of_others_alone(pair: Any, tmp_path: Path) -> None:
    teacher, student, x, y = pair
    (tmp_path / "thesis.txt").write_text("years of work")
    cache = kd.TeacherCache(5, tmp_path)
    distiller = kd.Distiller(teacher, student, soft(), cache=cache)
    with pytest.raises(ValueError, match="a folder that is empty or not there yet"):
        distiller(x, y, ids=range(5))
    cache.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    cache = kd.TeacherCache(5, tmp_path / "own")
    kd.Distiller(teacher, student, soft(), cache=cache)(x, y, ids=range(5))
    (tmp_path / "own" / "notes.npy").write_text("more of it")
    cache.clear()
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["notes.npy"]


def test_files_of_a_cache_that_cannot_be_read_are_named(pair: Any, tmp_path: Path) -> None:
    teacher, student, x, y = pair
    for name in ("cache.json", "0.npy"):
        kept = kd.Distiller(teacher, student, soft(), cache=kd.TeacherCache(5, tmp_path / "own"))
        kept(x, y, ids=range(5))
        (tmp_path / "own" / name).write_text("{")
        cache = kd.TeacherCache(5, tmp_path / "own")
        again = kd.Distiller(teacher, student, soft(), cache=cache)
        with pytest.raises(ValueError, match=r"cannot be read.*cache.clear\(\)"):
            again(x, y, ids=range(5))
        cache.clear()
        again(x, y, ids=range(5))
        cache.clear()


def test_a_failed_teacher_leaves_no_row_behind(pair: Any) -> None:
    teacher, student, x, y = pair
    cache = kd.TeacherCache(9)
    distiller = kd.Distiller(teacher, student, soft(), cache=cache)
    distiller(x, y, ids=range(5))
    with pytest.raises(RuntimeError):
        distiller(x[:, :3], y, ids=range(4, 9))
    assert len(cache) == 5


# -- refusals --------------------------------------------------------------------------------------


def unused(taps: Any) -> kd.Term:
    return kd.Term(kd.HintLoss(), taps=taps)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ([unused({"layers.2": "layers.1"})], "module of the student, Net. Got 'layers.2'.*'layers"),
        ([unused({"layers.1": "layer"})], "module of the teacher, Net. Got 'layer'.*'layers'"),
        ([], "expected terms.*Got none"),
        ([kd.HintLoss()], "expected terms.*Got HintLoss"),
        ([unused({"layers": "layers"})], "student.*call 'layers'|teacher.*call 'layers'"),
        ([kd.Term(kd.SoftTargetLoss(reduction="none"))], r"'soft_target'.*scalar. Got \(5,\)"),
        ([kd.Term(kd.SoftTargetLoss(), select="hidden")], "none by select='hidden'"),
    ],
)
def test_what_does_not_fit_is_told_by_name(pair: Any, terms: Any, words: str) -> None:
    teacher, student, x, y = pair
    with pytest.raises((AttributeError, RuntimeError, TypeError, ValueError), match=words):
        kd.Distiller(teacher, student, *terms)(x, y)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), kd.DecoupledLoss()], ids=["task", "own"])
def test_a_missing_target_is_asked_for(pair: Any, loss: Any) -> None:
    teacher, student, x, _ = pair
    with pytest.raises(ValueError, match=r"expected a target, as in distiller\(x, y\)"):
        kd.Distiller(teacher, student, kd.Term(loss))(x)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (None, "expected ids=.*NumberedDataset"),
        ([0, 1, 2, 3, 9], "ids from 0 to 4. Got 0 to 9"),
        ([0.0, 1.0], "integers of the samples"),
    ],
)
def test_ids_that_no_sample_has_are_refused(pair: Any, ids: Any, words: str) -> None:
    teacher, student, x, y = pair
    distiller = kd.Distiller(teacher, student, soft(), cache=kd.TeacherCache(5))
    with pytest.raises((ValueError, IndexError), match=words):
        distiller(x, y, ids=ids)


@pytest.mark.parametrize("taps", [{}, [], {"a": 1}, [2]])
def test_taps_that_name_no_modules_are_refused(taps: Any) -> None:
    with pytest.raises(ValueError, match="student's module: teacher's module"):
        kd.Term(kd.HintLoss(), taps=taps)


@pytest.mark.cuda
@pytest.mark.usefixtures("gpu")
def test_teacher_student_and_projections_move_together(pair: Any) -> None:
    teacher, student, x, y = pair
    terms = kd.Term(nn.CrossEntropyLoss()), soft(), hint(), kd.Term(kd.RelationalLoss())
    distiller = kd.Distiller(teacher, student.eval(), *terms, cache=kd.TeacherCache(5)).eval()
    wanted = distiller(x, y, ids=range(5)).item()
    distiller.cuda()
    distiller.cache.clear()
    assert teacher.head.weight.is_cuda
    for _ in range(2):  # asked, then remembered
        loss = distiller(x.cuda(), y.cuda(), ids=range(5))
        assert loss.is_cuda
        assert loss.item() == pytest.approx(wanted, rel=1e-5)
    loss.backward()
    assert all(p.grad.is_cuda for p in distiller.parameters())
