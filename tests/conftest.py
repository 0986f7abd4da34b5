"""What holds for every test: it draws the same numbers whatever ran before it, gradients have the
right shape, no package is there twice."""

from __future__ import annotations

import faulthandler
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import flambeau as torch
from flambeau.autograd import anomaly

# Property tests draw the same examples at each run, however long one takes.
settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
settings.load_profile("steady")

LAST_PATIENCE = 60  # s from the last test to the end of the process


@pytest.fixture(autouse=True)
def _own_draws() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _checked_gradients() -> Iterator[None]:
    # Not by `set_detect_anomaly`, under which operations would leave their fast path.
    anomaly.state.enabled, anomaly.state.check_nan = True, False
    yield
    anomaly.state.enabled, anomaly.state.check_nan = False, True


def pytest_configure(config: pytest.Config) -> None:
    """Kernels that tests kill, and compiled code, leave their files in a directory of ours, not in
    the user's."""
    if hasattr(config, "workerinput"):
        return  # a process of xdist's, which has the first one's
    directory = tempfile.mkdtemp(prefix="flambeau-")
    os.environ["JUPYTER_RUNTIME_DIR"] = directory
    os.environ["FLAMBEAU_CACHE"] = directory
    config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        # Started in the background of a shell: what tests start and interrupt would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish() -> None:
    # Python waits for threads and children that a failed test left.
    faulthandler.dump_traceback_later(LAST_PATIENCE, exit=True)
    doubled = {"runtime", "kernel", "repl", "magics"} & sys.modules.keys()
    assert not doubled, f"Imported a second time under another name: {doubled}"
