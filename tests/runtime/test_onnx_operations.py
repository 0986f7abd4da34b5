"""Every operation's samples in ONNX: what onnxruntime gives, and the file read back, and the traced
program, is what we give."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import flambeau as torch

from .samples.kit import Sample, leaves_of
from .test_operations import CASES, function_of

onnxruntime = pytest.importorskip("onnxruntime")

NOT_IN_ONNX = {
    "no operator computes the function": """
        erfinv lgamma digamma erfcx ndtri log_ndtr i0 i0e i1 i1e bessel_j0 bessel_j1 bessel_y0
        bessel_y1 modified_bessel_k0 modified_bessel_k1 scaled_modified_bessel_k0
        scaled_modified_bessel_k1 polygamma_of mvlgamma igamma igammac zeta nextafter gammainc
        gamma_slope beta_slope airy_ai chebyshev_polynomial_t chebyshev_polynomial_u
        chebyshev_polynomial_v chebyshev_polynomial_w shifted_chebyshev_polynomial_t
        shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v
        shifted_chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he
        laguerre_polynomial_l legendre_polynomial_p gcd lcm
    """,
    "bits are not seen": "hash_tensor view_as_dtype",
    "factors of matrices": """
        cholesky_of_positive cholesky_ex_of_positive linalg.cholesky cholesky_solve_of_triangle
        cholesky_inverse_of_triangle linalg.qr eigh_of_symmetric eigvalsh_of_symmetric
        linalg.svd linalg.svdvals
        linalg.lu lu_factor_values lu_without_pivots linalg.householder_product lu_solved
        linalg.slogdet logdet linalg.inv inverse_and_info linalg.solve solution_and_info
        linalg.solve_triangular linalg.pinv pinv_of_symmetric pinv_of_rank_2 linalg.matrix_rank
        least_squares linalg.matrix_power linalg.matrix_exp linalg.tensorinv linalg.tensorsolve
        linalg.matrix_norm linalg.norm linalg.cond householder_vectors ldl_packed
    """,
    "gradients of products": "cumprod_gradient",
    "random numbers": "drop_weights philox_dropout masked_scaled",
    "losses of training alone": """
        cross_entropy_of_logits cross_entropy ctc_of_logits class_log_softmax_gradient
    """,
    "bags of rows, and sparse matrices": """
        bag_of_rows weighted_bag bag_of_matrix place_product sampled_product
    """,
    "sequences of several lengths": """
        rnn_steps lstm_results gru_results int8_lstm_steps int8_gru_steps
    """,
    "writes to diagonals": "diagonal_scatter",
    "factors for some dimensions only": "resample",
}
"""Why samples cannot be exported: some of these operations' samples are refused."""

REFUSED = {name for names in NOT_IN_ONNX.values() for name in names.split()}


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_onnxruntime_and_the_program_give_the_same(name: str, sample: Sample) -> None:
    args: Any = tuple(sample.tensors(dtype=torch.float32))
    options = sample.options(torch.zeros(1))
    function = function_of(name)
    expected = leaves_of(function(*args, **options))
    refusal = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.export.TracerWarning)
            program = torch.onnx.export(
                lambda *a, **k: function(*a, **k), args, kwargs=options, opset_version=20
            )
    except (torch.onnx.OnnxExporterError, torch.export.ExportError) as error:
        refusal = str(error)
    if refusal:
        assert name in REFUSED, refusal
        assert ".py" in refusal, "names no line"
        return
    again = leaves_of(program.exported_program.module()(*args, **options))
    for one, wanted in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), wanted.detach().numpy())
    inputs = [x for x in torch.utils._pytree.tree_leaves((args, options)) if torch.is_tensor(x)]
    read = leaves_of(torch.onnx.load(program.model_proto)(*inputs))
    for one, wanted in zip(read, expected, strict=True):
        assert (one.shape, one.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(one.detach(), wanted.detach(), rtol=2e-4, atol=2e-5)
    found = leaves_of(program(*args, **options))
    assert [(t.shape, t.dtype) for t in found] == [(t.shape, t.dtype) for t in expected]
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.numpy(), wanted.detach().numpy(), rtol=2e-4, atol=2e-5)
