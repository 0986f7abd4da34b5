"""Sparse tensors against PyTorch, as recorded: prints, gradients, steps, a graph network."""

from __future__ import annotations

import json

import numpy as np
import pytest

import flambeau as torch

from .recorded import sparse as recorded

RECORDED = json.loads(recorded.RECORD.read_text())


@pytest.mark.parametrize("expression", recorded.expressions())
def test_an_expression_prints_as_recorded(expression: str) -> None:
    assert recorded.printed(torch, expression) == RECORDED["prints"][expression]


@pytest.mark.parametrize("name", recorded.GRADIENTS)
def test_gradients_of_values_and_dense_operands_are_as_recorded(name: str) -> None:
    for found, expected in zip(
        recorded.gradients(torch, name), RECORDED["gradients"][name], strict=True
    ):
        if expected is None:
            assert found is None
        else:
            np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", recorded.STEPS)
def test_steps_by_sparse_gradients_end_where_recorded(name: str) -> None:
    expected = RECORDED["steps"][name]
    np.testing.assert_allclose(recorded.trained(torch, name), expected, rtol=1e-5, atol=1e-6)


def test_a_graph_network_has_the_losses_recorded() -> None:
    found = recorded.graph_network_losses(torch)
    np.testing.assert_allclose(found, RECORDED["graph network"], rtol=2e-5)
    assert found[-1] < 0.7 * found[0]
