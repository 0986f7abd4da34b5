"""What holds for every test: gradients have the right shape, no package is there twice."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest

import flambeau as torch


@pytest.fixture(autouse=True)
def _checked_gradients() -> Iterator[None]:
    with torch.autograd.set_detect_anomaly(True, check_nan=False):
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Kernels that tests kill leave their files in a directory of ours, not in the user's."""
    directory = tempfile.mkdtemp(prefix="flambeau-")
    os.environ["JUPYTER_RUNTIME_DIR"] = directory
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))


def pytest_sessionfinish() -> None:
    doubled = {"runtime", "kernel", "repl", "magics"} & sys.modules.keys()
    assert not doubled, f"Imported a second time under another name: {doubled}"
