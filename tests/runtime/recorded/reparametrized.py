"""Norms, parametrizations, pruning, fusion and lazy layers: programs with PyTorch's results,
recorded once.

`python -m tests.runtime.recorded.reparametrized`, in an environment that has PyTorch, writes
reparametrized.json anew. The tests read it and never import PyTorch. Each program takes the library
and returns numbers and names.
"""

from __future__ import annotations

import importlib
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")


def numbers(value: Any) -> Any:
    """Tensors as nested lists, wherever they stand."""
    if hasattr(value, "detach"):
        return numbers(value.detach().tolist())
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [numbers(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")  # more digits are not compared
    return value


def _prune(torch: Any) -> Any:
    return importlib.import_module(f"{torch.__name__}.nn.utils.prune")


def _five_steps(torch: Any, layer: Any, x: Any, watched: Callable[[], Any]) -> list[Any]:
    """Losses and what is `watched` along a descent."""
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    found = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (layer(x) - 1).pow(2).sum()
        loss.backward()
        optimizer.step()
        found.append([loss, watched()])
    layer.eval()
    found.append(layer(x))
    return found


def _input(torch: Any, layer: Any) -> Any:
    sizes = {"Linear": (4, 3), "ConvTranspose2d": (1, 3, 3, 3), "Conv2d": (1, 3, 4, 4)}
    return torch.randn(*sizes[type(layer).__name__.removeprefix("Parametrized")])


LAYERS: dict[str, Callable[[Any], Any]] = {
    "linear": lambda nn: nn.Linear(3, 2),
    "conv": lambda nn: nn.Conv2d(3, 4, 2),
    "transposed": lambda nn: nn.ConvTranspose2d(3, 2, 2),
}


def spectral_hook(torch: Any, make: Callable[[Any], Any]) -> Any:
    """The vectors of the power iteration along a training."""
    torch.manual_seed(0)
    layer = torch.nn.utils.spectral_norm(make(torch.nn), n_power_iterations=2)
    x = _input(torch, layer)
    steps = _five_steps(torch, layer, x, lambda: [layer.weight_u.clone(), layer.weight_v.clone()])
    keys = list(layer.state_dict())
    torch.nn.utils.remove_spectral_norm(layer)
    return [steps, keys, list(layer.state_dict()), layer.weight]


def spectral_parametrization(torch: Any, make: Callable[[Any], Any]) -> Any:
    """The same by a parametrization."""
    torch.manual_seed(0)
    layer = torch.nn.utils.parametrizations.spectral_norm(make(torch.nn))
    x = _input(torch, layer)
    held = layer.parametrizations.weight[0]
    steps = _five_steps(torch, layer, x, lambda: [held._u.clone(), held._v.clone()])
    return [steps, list(layer.state_dict()), repr(layer)]


def weight_hook(torch: Any, make: Callable[[Any], Any]) -> Any:
    """Lengths and directions along a training."""
    torch.manual_seed(0)
    found = []
    for dim in (0, None, 1):
        layer = make(torch.nn)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            torch.nn.utils.weight_norm(layer, dim=dim)
        x = _input(torch, layer)
        steps = _five_steps(torch, layer, x, lambda of=layer: of.weight_g.clone())
        found.append([steps, list(layer.state_dict()), layer.weight_g])
        torch.nn.utils.remove_weight_norm(layer)
        found.append([list(layer.state_dict()), layer.weight])
    return found


def weight_parametrization(torch: Any, make: Callable[[Any], Any]) -> Any:
    """The same by a parametrization, and the state dict of the hook read by it."""
    torch.manual_seed(0)
    layer = torch.nn.utils.parametrizations.weight_norm(make(torch.nn))
    x = _input(torch, layer)
    steps = _five_steps(torch, layer, x, lambda: layer.weight.clone())
    keys = list(layer.state_dict())
    old = {
        "weight_g": layer.parametrizations.weight.original0 * 2,
        "weight_v": layer.parametrizations.weight.original1 + 1,
        "bias": layer.bias,
    }
    layer.load_state_dict(old)
    return [steps, keys, layer.weight, repr(layer)]


def every_layer(torch: Any) -> Any:
    """Layers of all families with all their parameters computed: outputs and gradients, summed."""
    nn = torch.nn

    class Doubled(nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return -2 * x

    x = torch.linspace(-1, 1, 24).reshape(2, 3, 4)
    words = torch.tensor([[0, 1]])
    cases = [
        (nn.Embedding(5, 3), (words,)), (nn.EmbeddingBag(5, 3), (words,)),
        (nn.LayerNorm(4), (x,)), (nn.GroupNorm(3, 3), (x,)), (nn.RMSNorm(4), (x,)),
        (nn.BatchNorm1d(3), (x,)), (nn.InstanceNorm1d(3, affine=True), (x,)),
        (nn.PReLU(3), (x,)), (nn.Bilinear(4, 4, 2), (x, x)), (nn.Conv1d(3, 2, 2), (x,)),
        (nn.ConvTranspose1d(3, 2, 2), (x,)), (nn.Linear(4, 2), (x,)), (nn.GRUCell(4, 3), (x[0],)),
        (nn.LSTM(4, 3), (x,)), (nn.MultiheadAttention(4, 2), (x, x, x)),
        (nn.TransformerEncoderLayer(4, 2, 8, 0.0), (x,)),
    ]  # fmt: skip
    found = []
    for layer, args in cases:
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.uniform_(-1, 1)
        for module in list(layer.modules()):
            for name, parameter in list(module.named_parameters(recurse=False)):
                if parameter is not None:
                    nn.utils.parametrize.register_parametrization(module, name, Doubled())
        outputs = []
        for mode in (True, False):
            output = layer.train(mode)(*args)
            outputs.append(output[0] if isinstance(output, tuple) else output)
        outputs[0].pow(2).sum().backward()
        grads = [p.grad for p in layer.parameters() if p.grad is not None]
        found.append([o.pow(2).sum() for o in outputs] + [sum(g.abs().sum() for g in grads)])
    return found


def orthogonal(torch: Any, rows: int, columns: int) -> Any:
    """Weights, gradients and assignment for all maps."""
    found = []
    for name in (None, "matrix_exp", "cayley", "householder"):
        for trivialized in (True, False):
            torch.manual_seed(1)
            layer = torch.nn.utils.parametrizations.orthogonal(
                torch.nn.Linear(columns, rows), "weight", name, use_trivialization=trivialized
            )
            weight = layer.weight
            weights = torch.arange(float(rows * columns)).reshape(rows, columns).cos()
            (weight * weights).sum().backward()
            grad = layer.parametrizations.weight.original.grad
            found.append([weight, grad, list(layer.state_dict())])
            if trivialized:
                layer.weight = torch.eye(rows, columns)
                found.append(layer.weight)
    return found


def masks(torch: Any) -> Any:
    """Masks of every way to prune, for amounts and dimensions."""
    prune = _prune(torch)
    ways: dict[str, Callable[[Any], Any]] = {
        "random": lambda m: prune.random_unstructured(m, "weight", 0.3),
        "random 3": lambda m: prune.random_unstructured(m, "weight", 3),
        "l1": lambda m: prune.l1_unstructured(m, "weight", 0.4),
        "l1 scores": lambda m: prune.l1_unstructured(
            m, "weight", 5, importance_scores=torch.arange(20.0).reshape(4, 5)
        ),
        "slices": lambda m: prune.random_structured(m, "weight", 0.5, 0),
        "slices 2": lambda m: prune.random_structured(m, "weight", 2, -1),
        "norms": lambda m: prune.ln_structured(m, "weight", 2, 2, 0),
        "norms 1": lambda m: prune.ln_structured(m, "weight", 0.3, 1, 1),
        "norms inf": lambda m: prune.ln_structured(m, "weight", 1, float("inf"), 1),
        "bias": lambda m: prune.l1_unstructured(m, "bias", 2),
        "custom": lambda m: prune.custom_from_mask(m, "weight", torch.eye(4, 5)),
        "identity": lambda m: prune.identity(m, "weight"),
    }
    found: dict[str, Any] = {}
    for name, way in ways.items():
        torch.manual_seed(0)
        layer = way(torch.nn.Linear(5, 4))
        state = layer.state_dict()
        found[name] = [list(state), [v for k, v in state.items() if "mask" in k], layer.weight]
    return found


def repeated_pruning(torch: Any) -> Any:
    """Five ways one after the other on one tensor, then several tensors as one."""
    prune = _prune(torch)
    torch.manual_seed(0)
    layer = torch.nn.Linear(5, 4)
    found: list[Any] = []
    for way in (
        lambda: prune.random_unstructured(layer, "weight", 0.3),
        lambda: prune.l1_unstructured(layer, "weight", 0.5),
        lambda: prune.ln_structured(layer, "weight", 1, 2, 0),
        lambda: prune.random_structured(layer, "weight", 1, 1),
        lambda: prune.custom_from_mask(layer, "weight", torch.ones(4, 5).tril()),
    ):
        way()
        found.append(layer.weight_mask.clone())
    prune.remove(layer, "weight")
    found.append([list(layer.state_dict()), layer.weight])
    net = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3))
    pairs = [(net[0], "weight"), (net[1], "weight"), (net[0], "bias")]
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=0.4)
    prune.global_unstructured(pairs, prune.RandomUnstructured, amount=5)
    return [*found, dict(net.state_dict())]


def fused(torch: Any) -> Any:
    """Fused layers' weights, biases and outputs."""
    nn = torch.nn
    found = []
    cases = [
        (nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), (1, 2, 4, 4), False),
        (nn.Conv1d(2, 3, 2, bias=False), nn.BatchNorm1d(3, affine=False), (1, 2, 4), False),
        (nn.ConvTranspose2d(2, 3, 2), nn.BatchNorm2d(3), (1, 2, 4, 4), True),
        (nn.Linear(2, 3), nn.BatchNorm1d(3), (2, 2), False),
    ]
    for layer, norm, sizes, transpose in cases:
        torch.manual_seed(0)
        with torch.no_grad():
            for tensor in [*layer.parameters(), norm.running_mean]:
                tensor.uniform_(-1, 1)
            for tensor in [*norm.parameters(), norm.running_var]:
                tensor.uniform_(0.5, 1.5)
        layer.eval()
        norm.eval()
        if isinstance(layer, nn.Linear):
            both = nn.utils.fuse_linear_bn_eval(layer, norm)
        else:
            both = nn.utils.fuse_conv_bn_eval(layer, norm, transpose)
        found.append([both.weight, both.bias, both(torch.ones(sizes))])
    return found


# -- programs as users write them ------------------------------------------------------------------


def gan(torch: Any) -> Any:
    """A small GAN on points of a circle, its critic with spectral norm."""
    nn = torch.nn
    sn = nn.utils.parametrizations.spectral_norm
    torch.manual_seed(0)
    make = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    judge = nn.Sequential(
        sn(nn.Linear(2, 16)), nn.LeakyReLU(0.1),
        nn.utils.spectral_norm(nn.Linear(16, 16)), nn.LeakyReLU(0.1), sn(nn.Linear(16, 1)),
    )  # fmt: skip
    makes = torch.optim.Adam(make.parameters(), lr=2e-3, betas=(0.0, 0.9))
    judges = torch.optim.Adam(judge.parameters(), lr=4e-3, betas=(0.0, 0.9))
    loss_of = nn.BCEWithLogitsLoss()
    losses = []
    for _ in range(12):
        angle = torch.rand(32) * 6.28
        real = torch.stack([angle.cos(), angle.sin()], 1)
        fake = make(torch.randn(32, 4))
        judges.zero_grad()
        loss = loss_of(judge(real), torch.ones(32, 1))
        loss = loss + loss_of(judge(fake.detach()), torch.zeros(32, 1))
        loss.backward()
        judges.step()
        makes.zero_grad()
        trick = loss_of(judge(fake), torch.ones(32, 1))
        trick.backward()
        makes.step()
        losses.append([loss, trick])
    return [losses, list(judge.state_dict())]


def lazy_net(torch: Any) -> Any:
    """A conv net that learns its sizes from the first batch, then trains."""
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.LazyConv2d(6, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU(), nn.MaxPool2d(2),
        nn.LazyConvTranspose2d(5, 2, stride=2), nn.LazyInstanceNorm2d(), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(3),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    before = repr(net)
    x, y = torch.randn(16, 2, 8, 8), torch.randint(3, (16,))
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss)
    again = nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyLinear(3))
    again.load_state_dict(
        {k.replace("9.", "0.").replace("11.", "2."): v
         for k, v in net.state_dict().items() if k.split(".")[0] in ("9", "11")}
    )  # fmt: skip
    shapes = {k: list(v.shape) for k, v in net.state_dict().items()}
    return [before, repr(net), losses, shapes, again(torch.ones(1, 20))]


def pruned_mlp(torch: Any) -> Any:
    """An MLP trained, pruned, trained on, saved, loaded into a new one and made plain."""
    nn, prune = torch.nn, _prune(torch)

    def made() -> Any:
        return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))

    torch.manual_seed(0)
    net = made()
    x = torch.randn(64, 6)
    y = (x[:, 0] * x[:, 1] > 0).long()
    losses = []

    def train(steps: int) -> None:
        optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss)

    train(6)
    for layer in (net[0], net[2]):
        prune.l1_unstructured(layer, "weight", 0.4)
    train(6)
    prune.random_unstructured(net[0], "weight", 0.2)
    prune.ln_structured(net[2], "weight", 4, 2, 1)
    train(6)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    loaded = made()
    for layer in (loaded[0], loaded[2]):
        prune.identity(layer, "weight")
    loaded.load_state_dict(torch.load(file))
    same = torch.equal(loaded(x), net(x))
    for layer in (loaded[0], loaded[2]):
        prune.remove(layer, "weight")
    zeros = [int((layer.weight == 0).sum()) for layer in (loaded[0], loaded[2])]
    return [losses, same, zeros, list(net.state_dict()), list(loaded.state_dict()), loaded(x)[:2]]


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    **{
        f"{function.__name__} {name}": lambda torch, f=function, m=make: f(torch, m)
        for function in (
            spectral_hook,
            spectral_parametrization,
            weight_hook,
            weight_parametrization,
        )
        for name, make in LAYERS.items()
    },
    **{
        f"orthogonal {n}x{k}": lambda torch, n=n, k=k: orthogonal(torch, n, k)
        for n, k in ((3, 3), (4, 2), (2, 4))
    },
    **{
        f.__name__: f
        for f in (every_layer, masks, repeated_pruning, fused, gan, lazy_net, pruned_mlp)
    },
}


if __name__ == "__main__":
    import torch

    record = {name: numbers(program(torch)) for name, program in PROGRAMS.items()}
    lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in record.items()]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")
