"""Files of others as modules: what the `onnx` wheel recorded from PyTorch, the standard's cases.

An oracle that owes nothing to us, for `torch.onnx.load` and the operations behind it.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch

onnx = pytest.importorskip("onnx")
DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
CASES = sorted([*DATA.glob("pytorch-converted/*"), *DATA.glob("pytorch-operator/*")])


def _value(path: Path) -> Any:
    return np.array(onnx.numpy_helper.to_array(onnx.load_tensor(path)))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_network_recorded_from_pytorch(case: Path) -> None:
    model = torch.onnx.load(case / "model.onnx")
    data = case / "test_data_set_0"
    inputs = [_value(data / f"input_{k}.pb") for k in range(len(list(data.glob("input_*"))))]
    results = model(*map(torch.from_numpy, inputs))
    for k, found in enumerate(results if isinstance(results, tuple) else [results]):
        wanted = _value(data / f"output_{k}.pb")
        assert found.detach().numpy().dtype == wanted.dtype
        np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-3, atol=1e-5)


def test_all_cases_are_there() -> None:
    assert len(CASES) >= 117


MODULES = """
averagepool bitshift center_crop_pad clip constantofshape conv convinteger convtranspose cumsum
depthtospace dequantizelinear dynamicquantizelinear einsum eyelike gathernd gemm globalmaxpool
groupnormalization gru hardmax hardsigmoid if_ instance_normalization isinf layernormalization loop
lrn lstm matmulinteger maxpool mean mod nonmaxsuppression onehot pad prelu qlinearconv
qlinearmatmul quantizelinear rangeop reduce_log_sum reduceprod resize reversesequence
rmsnormalization rnn scatterelements scatternd selu shrink slice softmax softmax_cross_entropy_loss
spacetodepth split squeeze thresholdedrelu tile topk transpose unique unsqueeze upsample
"""
"""The standard's cases, most of them for what our own export never writes."""
OTHER_TYPES = ("INT4", "INT2", "FLOAT4", "FLOAT8", "e4m3", "e5m2", "int4", "int2", "float4e2m1",
               "float8e8m0", "E8M0", "STRING", "seq", "_opt", "blocked_symmetric")  # fmt: skip
"""What names of cases say of element types, sequences and texts that we have not."""


def node_cases() -> list[Any]:
    """The cases; modules register theirs when they are imported."""
    from onnx.backend.test.case import node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES.split():
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
    return [c for c in node._NodeTestCases if not any(word in c.name for word in OTHER_TYPES)]


def _array(value: Any) -> Any:
    is_proto = isinstance(value, onnx.TensorProto)
    return np.array(onnx.numpy_helper.to_array(value) if is_proto else value)


def test_the_standards_own_cases() -> None:
    done = 0
    for case in node_cases():
        model = torch.onnx.load(case.model)
        for inputs, outputs in case.data_sets:
            results = model(*[torch.from_numpy(_array(x)) for x in inputs])
            found = results if isinstance(results, tuple) else (results,)
            for one, wanted in zip(found, map(_array, outputs), strict=True):
                array = one.detach().numpy()
                assert (array.shape, array.dtype) == (wanted.shape, wanted.dtype), case.name
                wide = [x.astype(np.float64) for x in (array, wanted)]
                tolerance = 1e-3 if wanted.dtype.itemsize > 2 else 2e-2
                np.testing.assert_allclose(
                    *wide, rtol=tolerance, atol=tolerance / 100, err_msg=case.name
                )
        done += 1
    assert done > 350
