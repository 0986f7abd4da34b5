"""Norms, parametrizations, pruning, fusion and lazy layers compute what PyTorch does."""

from __future__ import annotations

import json
from typing import Any

import pytest

import flambeau as torch

from .recorded import reparametrized

RECORDED = json.loads(reparametrized.RECORD.read_text())


def compare(found: Any, wanted: Any, path: str = "") -> None:
    if isinstance(wanted, float):
        # float32 over up to 36 steps of training; matrix exponentials of PyTorch are good to 1e-5
        assert found == pytest.approx(wanted, rel=2e-4, abs=3e-5), path
    elif isinstance(wanted, list):
        assert isinstance(found, list), path
        assert len(found) == len(wanted), path
        for k, (x, y) in enumerate(zip(found, wanted, strict=True)):
            compare(x, y, f"{path}[{k}]")
    elif isinstance(wanted, dict):
        assert list(found) == list(wanted), path
        for key in wanted:
            compare(found[key], wanted[key], f"{path}[{key!r}]")
    else:
        assert found == wanted, path


@pytest.mark.parametrize("name", reparametrized.PROGRAMS)
def test_programs_compute_what_was_recorded(name: str) -> None:
    found = reparametrized.numbers(reparametrized.PROGRAMS[name](torch))
    compare(found, RECORDED[name])


def test_every_program_is_recorded() -> None:
    assert RECORDED.keys() == reparametrized.PROGRAMS.keys()
