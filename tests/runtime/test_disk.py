"""Machine code on disk: found again, and never trusted when it is broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flambeau.backends import disk

from ..programs import printed

PROGRAM = """
import flambeau as torch
from flambeau.backends.cpu.loops import machine
parsed = []
parse = machine.llvm.parse_assembly
machine.llvm.parse_assembly = lambda text: parsed.append(text) or parse(text)
x = torch.full((300, 300), 2.0)
assert (torch.sigmoid(x) * 2).sum().item() > 0
print(sum(bool(text) for text in parsed))
"""


def compiled(place: Path) -> int:
    """How many programs a new process compiles, with its cache at `place`."""
    environment = {"FLAMBEAU_CACHE": str(place), "PATH": "", "OPENBLAS_NUM_THREADS": "1"}
    return int(printed(sys.executable, "-c", PROGRAM, env=environment))


def test_a_second_session_compiles_nothing_and_broken_files_are_compiled_anew(
    tmp_path: Path,
) -> None:
    first = compiled(tmp_path)
    assert first >= 3
    assert compiled(tmp_path) == 0
    for file in (tmp_path / "loops").iterdir():
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert compiled(tmp_path) == first
    assert compiled(tmp_path) == 0


def test_a_directory_that_cannot_be_made_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path / "file"))
    disk.keep("loops", "name", b"code")
    assert disk.found("loops", "name") is None


def test_old_code_makes_room_for_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path))
    monkeypatch.setattr(disk, "MOST_FILES", 6)
    for k in range(20):
        disk.keep("loops", f"name{k}", b"code")
    assert len(list((tmp_path / "loops").iterdir())) <= 6
    assert disk.found("loops", "name19") == b"code"
    assert disk.found("loops", "name0") is None
