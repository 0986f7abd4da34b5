"""The cases that the `onnx` wheel recorded from PyTorch: networks with their inputs and outputs.

An oracle that owes nothing to us. Each case's graph is run on the runtime's own functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau.nn import functional as F

onnx = pytest.importorskip("onnx")
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
CASES = sorted([*DATA.glob("pytorch-converted/*"), *DATA.glob("pytorch-operator/*")])


def _pads(attributes: dict[str, Any], rank: int) -> list[int]:
    """ONNX lists all beginnings, then all ends; `pad` wants pairs from the last dimension on."""
    pads = attributes.get("pads", [0] * 2 * rank)
    return [n for d in reversed(range(rank)) for n in (pads[d], pads[d + rank])]


def _spatial(kind: str, rank: int) -> Callable[..., Any]:
    return getattr(F, f"{kind}{rank}d")  # type: ignore[no-any-return]


def _conv(a: dict[str, Any], x: Any, w: Any, b: Any = None) -> Any:
    rank = x.ndim - 2
    options = {"stride": a.get("strides", [1] * rank), "dilation": a.get("dilations", [1] * rank)}
    return _spatial("conv", rank)(
        F.pad(x, _pads(a, rank)), w, b, groups=a.get("group", 1), **options
    )


def _conv_transpose(a: dict[str, Any], x: Any, w: Any, b: Any = None) -> Any:
    rank = x.ndim - 2
    pads = a.get("pads", [0] * 2 * rank)
    assert pads[:rank] == pads[rank:]
    return _spatial("conv_transpose", rank)(
        x, w, b,
        stride=a.get("strides", [1] * rank),
        padding=pads[:rank],
        output_padding=a.get("output_padding", [0] * rank),
        groups=a.get("group", 1),
        dilation=a.get("dilations", [1] * rank),
    )  # fmt: skip


def _max_pool(a: dict[str, Any], x: Any) -> Any:
    rank = x.ndim - 2
    padded = F.pad(x, _pads(a, rank), value=-float("inf"))
    return _spatial("max_pool", rank)(
        padded, a["kernel_shape"], a.get("strides"), dilation=a.get("dilations", [1] * rank)
    )


def _average_pool(a: dict[str, Any], x: Any) -> Any:
    rank = x.ndim - 2
    pads = a.get("pads", [0] * 2 * rank)
    assert pads[:rank] == pads[rank:]
    return _spatial("avg_pool", rank)(
        x, a["kernel_shape"], a.get("strides"), pads[:rank],
        count_include_pad=bool(a.get("count_include_pad", 0)),
    )  # fmt: skip


def _gemm(a: dict[str, Any], x: Any, y: Any, c: Any) -> Any:
    x, y = x.t() if a.get("transA") else x, y.t() if a.get("transB") else y
    return torch.addmm(c, x, y, beta=a.get("beta", 1.0), alpha=a.get("alpha", 1.0))


def _batch_norm(a: dict[str, Any], x: Any, weight: Any, bias: Any, mean: Any, var: Any) -> Any:
    return F.batch_norm(x, mean, var, weight, bias, eps=a.get("epsilon", 1e-5))


def _reduce(name: str) -> Callable[..., Any]:
    def reduce(a: dict[str, Any], x: Any) -> Any:
        dims = a.get("axes", list(range(x.ndim)))
        return getattr(torch, name)(x, dims, keepdim=bool(a.get("keepdims", 1)))

    return reduce


def _flatten(a: dict[str, Any], x: Any) -> Any:
    axis = a.get("axis", 1)
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def _coerced(softmax: Callable[..., Any]) -> Callable[..., Any]:
    """Before opset 13, softmax ran over all dimensions from `axis` on."""

    def run(a: dict[str, Any], x: Any) -> Any:
        return softmax(_flatten({"axis": a.get("axis", 1)}, x), 1).reshape(x.shape)

    return run


def _slice(a: dict[str, Any], x: Any) -> Any:
    for axis, start, end in zip(a["axes"], a["starts"], a["ends"], strict=True):
        x = x.narrow(axis, start, min(end, x.shape[axis]) - start)
    return x


def _pad(a: dict[str, Any], x: Any) -> Any:
    mode = {"edge": "replicate"}.get(a["mode"], a["mode"])
    pads = _pads(a, x.ndim)
    if mode == "constant":
        return F.pad(x, pads, value=a.get("value", 0.0))
    assert not any(pads[-4:])  # other modes leave batch and channels alone
    return F.pad(x, pads[:-4], mode)


def _split(a: dict[str, Any], x: Any) -> Any:
    axis = a.get("axis", 0)
    return torch.split(x, a.get("split", x.shape[axis] // 2), axis)


def _with(name: str, **renamed: str) -> Callable[..., Any]:
    """The function `name`, given the attributes under our names."""

    def run(a: dict[str, Any], *args: Any) -> Any:
        function = getattr(F, name, None) or getattr(torch, name)
        return function(
            *args, **{ours: a[theirs] for theirs, ours in renamed.items() if theirs in a}
        )

    return run


PLAIN = {
    "Abs": "abs", "Add": "add", "Div": "div", "Exp": "exp", "MatMul": "matmul", "Max": "maximum",
    "Min": "minimum", "Mul": "mul", "Neg": "neg", "Pow": "pow", "PRelu": "", "Relu": "relu",
    "Selu": "selu", "Sigmoid": "sigmoid", "Softplus": "softplus", "Sqrt": "sqrt", "Sub": "sub",
 "Tanh": "tanh",
}  # fmt: skip
OPERATIONS: dict[str, Callable[..., Any]] = {
    **{theirs: _with(ours) for theirs, ours in PLAIN.items()},
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _with("clamp", min="min", max="max"),
    "Concat": lambda a, *xs: torch.cat(xs, a["axis"]),
    "Constant": lambda a: a["value"],
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Elu": _with("elu", alpha="alpha"),
    "Flatten": _flatten,
    "Gather": lambda a, x, index: F.embedding(index, x),
    "Gemm": _gemm,
    "InstanceNormalization": lambda a, x, w, b: F.instance_norm(
        x, weight=w, bias=b, eps=a.get("epsilon", 1e-5)
    ),
    "LeakyRelu": _with("leaky_relu", alpha="negative_slope"),
    "LogSoftmax": _coerced(torch.log_softmax),
    "MaxPool": _max_pool,
    "PRelu": lambda a, x, w: F.prelu(x, w.reshape(-1)),
    "Pad": _pad,
    "ReduceMean": _reduce("mean"),
    "ReduceSum": _reduce("sum"),
    "Reshape": lambda a, x, shape: x.reshape(shape.tolist()),
    "Slice": _slice,
    "Softmax": _coerced(torch.softmax),
    "Split": _split,
    "Sum": lambda a, *xs: functools.reduce(torch.add, xs),
    "Squeeze": lambda a, x: torch.squeeze(x, tuple(a["axes"])),
    "Tile": lambda a, x, repeats: x.repeat(repeats.tolist()),
    "Transpose": lambda a, x: x.permute(a["perm"]),
    "Unsqueeze": lambda a, x: x.unsqueeze(a["axes"][0]),
}


def _value(proto: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(onnx.numpy_helper.to_array(proto)))


def _attributes(node: Any) -> dict[str, Any]:
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    for name, value in found.items():
        if isinstance(value, bytes):
            found[name] = value.decode()
        elif hasattr(value, "data_type"):
            found[name] = _value(value)
    return found


def run(graph: Any, values: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """The outputs of an ONNX graph whose inputs are in `values`."""
    for node in graph.node:
        inputs = [values[name] for name in node.input if name]
        result = OPERATIONS[node.op_type](_attributes(node), *inputs)
        results = result if isinstance(result, tuple) else (result,)
        values.update(zip(node.output, results, strict=False))
    return [values[output.name] for output in graph.output]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_network_recorded_from_pytorch(case: Path) -> None:
    graph = onnx.load(case / "model.onnx").graph
    data = case / "test_data_set_0"
    values = {i.name: _value(i) for i in graph.initializer}
    names = [i.name for i in graph.input if i.name not in values]
    for k, name in enumerate(names):
        values[name] = _value(onnx.load_tensor(data / f"input_{k}.pb"))
    for k, found in enumerate(run(graph, values)):
        wanted = _value(onnx.load_tensor(data / f"output_{k}.pb")).numpy()
        assert found.dtype is torch.from_numpy(wanted).dtype
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-3, atol=1e-5)


def test_all_cases_are_there() -> None:
    assert len(CASES) >= 117
