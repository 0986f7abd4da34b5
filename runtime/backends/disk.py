"""Machine code kept on disk, so that a session finds what an earlier one compiled.

A file holds the digest of its code and the code; its name is the digest of the program's text, the
processor and the versions. It is written aside and renamed, so that processes don't see halves of
it, and what is broken or may not be read or written counts as not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from pathlib import Path

MOST_FILES = 2_000
"""Programs kept of each kind (a few KiB each); beyond, the half that was written first goes."""
DIGEST_BYTES = 32


def directory(kind: str) -> Path:
    """Where code of a kind, "loops" or "cuda", lies: in the user's cache directory, or below
    FLAMBEAU_CACHE if that is set."""
    chosen = os.environ.get("FLAMBEAU_CACHE")
    if chosen:
        return Path(chosen) / kind
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "flambeau" / kind


def found(kind: str, name: str) -> bytes | None:
    """The code kept under `name`; None if there is none that is whole and the user's own."""
    try:
        path = directory(kind) / name
        if hasattr(os, "getuid") and path.stat().st_uid != os.getuid():
            return None
        content = path.read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    digest, code = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == digest else None


def keep(kind: str, name: str, code: bytes) -> None:
    """Keep `code` under `name`, if the directory can be written."""
    with contextlib.suppress(OSError, RuntimeError):
        place = directory(kind)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_room(place)
        handle, temporary = tempfile.mkstemp(dir=place, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(temporary, place / name)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def _make_room(place: Path) -> None:
    files = [entry for entry in os.scandir(place) if entry.is_file()]
    if len(files) >= MOST_FILES:
        files.sort(key=lambda entry: entry.stat().st_mtime)
        for entry in files[: len(files) // 2]:
            with contextlib.suppress(OSError):
                os.unlink(entry.path)
