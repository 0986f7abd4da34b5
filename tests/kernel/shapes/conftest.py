"""What the programs of the corpus switch is switched back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flambeau as torch


@pytest.fixture(autouse=True)
def _switched_back() -> Iterator[None]:
    before = torch.backends.cudnn.set_flags()
    yield
    torch.backends.cudnn.set_flags(*before)
