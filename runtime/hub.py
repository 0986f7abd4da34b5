"""`torch.hub`: files fetched once and kept, and models that a folder's `hubconf.py` offers.

The folder is `$TORCH_HOME/hub`, else `$XDG_CACHE_HOME/torch/hub`, else `~/.cache/torch/hub`.
Nothing is cloned from the network: `load` takes local folders.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import Request, urlopen

__all__ = [
    "download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url",
    "set_dir",
]  # fmt: skip

MODULE_HUBCONF = "hubconf.py"
CHUNK = 1 << 17  # bytes read at once
HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
"""The beginning of a file's SHA-256 in its name, as in model-5c106cde.pth."""

_chosen: str | None = None


def get_dir() -> str:
    """The folder that files are kept in."""
    return _chosen if _chosen is not None else os.path.join(_get_torch_home(), "hub")


def _get_torch_home() -> str:
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))


def set_dir(d: str | os.PathLike[str]) -> None:
    """Keep files in the folder `d`."""
    global _chosen
    _chosen = os.path.expanduser(os.fspath(d))


def download_url_to_file(
    url: str, dst: str, hash_prefix: str | None = None, progress: bool = True
) -> None:
    """Fetch `url` into the file `dst`, which appears when it is whole; `progress` shows how far on
    stderr.

    Raises: RuntimeError if its SHA-256 does not begin with `hash_prefix`; URLError if it cannot be
    fetched.
    """
    dst = os.path.expanduser(dst)
    digest = hashlib.sha256()
    descriptor, part = tempfile.mkstemp(dir=os.path.dirname(dst) or ".", suffix=".partial")
    try:
        request = Request(url, headers={"User-Agent": "torch.hub"})
        with os.fdopen(descriptor, "wb") as file, urlopen(request) as response:
            whole = int(response.headers.get("Content-Length") or 0)
            done = 0
            while chunk := response.read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if progress:
                    _show(done, whole)
        if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
            raise RuntimeError(
                f"download_url_to_file: expected a file whose SHA-256 begins with {hash_prefix}. "
                f"Got {digest.hexdigest()} from {url}."
            )
        os.replace(part, dst)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(part)


def _show(done: int, whole: int) -> None:
    share = f"{100 * done / whole:5.1f} %" if whole else f"{done} bytes"
    sys.stderr.write(f"\r{share}" + ("\n" if done == whole else ""))


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """What `torch.load` reads from `url`, which is fetched unless `model_dir` (`get_dir()` /
    checkpoints) holds it already. A zip archive with one file in it is unpacked.

    `check_hash`: the name ends in the beginning of the file's SHA-256, as in model-5c106cde.pth.
    `weights_only` is always kept to: nothing in a file is run.
    Raises: RuntimeError if the hash is another; as `download_url_to_file` and `torch.load`.
    """
    folder = Path(model_dir or os.path.join(get_dir(), "checkpoints"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (file_name or os.path.basename(urlparse(url).path))
    if not path.exists():
        match = HASH_REGEX.search(path.name) if check_hash else None
        download_url_to_file(url, str(path), match.group(1) if match else None, progress)
    return _loaded(path, folder, map_location)


def _loaded(path: Path, folder: Path, map_location: Any) -> Any:
    from .serialization import load as read

    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) == 1 and "/" not in members[0].filename:
                path = Path(archive.extract(members[0], folder))
    return read(path, map_location=map_location)


# -- models of a folder ----------------------------------------------------------------------------


def _hubconf(repo_or_dir: str, source: str) -> Any:
    """The module `hubconf.py` of the folder. Raises: RuntimeError for GitHub, ValueError for
    another source, FileNotFoundError without the file."""
    if source not in ("github", "local"):
        raise ValueError(f"hub: expected source 'github' or 'local'. Got {source!r}.")
    if source == "github":
        raise RuntimeError(
            f"hub: nothing is fetched from GitHub. Got {repo_or_dir!r}. Clone it and pass its "
            "folder with source='local'."
        )
    path = Path(repo_or_dir) / MODULE_HUBCONF
    specification = importlib.util.spec_from_file_location("hubconf", path)
    if not path.exists() or specification is None or specification.loader is None:
        raise FileNotFoundError(f"hub: expected {MODULE_HUBCONF} in {repo_or_dir}. There is none.")
    module = importlib.util.module_from_spec(specification)
    with _importable(os.fspath(repo_or_dir)):
        specification.loader.exec_module(module)
    missing = [
        n for n in getattr(module, "dependencies", []) if importlib.util.find_spec(n) is None
    ]
    if missing:
        raise RuntimeError(f"hub: {path} needs {', '.join(missing)}. Install what is missing.")
    return module


@contextlib.contextmanager
def _importable(folder: str) -> Any:
    """Modules of `folder` can be imported inside the block."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _entry(module: Any, model: str) -> Callable[..., Any]:
    found = getattr(module, model, None)
    if not callable(found) or model.startswith("_"):
        raise RuntimeError(f"hub: expected one of {_names(module)}. Got {model!r}.")
    return found


def _names(module: Any) -> Any:
    return [n for n in dir(module) if callable(getattr(module, n)) and not n.startswith("_")]


def load(
    repo_or_dir: str, model: str, *args: Any, source: str = "github", trust_repo: Any = "check",
    force_reload: bool = False, verbose: bool = True, skip_validation: bool = False, **kwargs: Any,
) -> Any:  # fmt: skip
    """`model(*args, **kwargs)`, a function of the folder's `hubconf.py`, with source="local".

    Raises: RuntimeError for GitHub, a model that is not offered, or modules that it needs and are
    not installed.
    """
    with _importable(os.fspath(repo_or_dir)):
        return _entry(_hubconf(repo_or_dir, source), model)(*args, **kwargs)


def list(
    github: str, force_reload: bool = False, skip_validation: bool = False,
    trust_repo: Any = "check", verbose: bool = True, *, source: str = "github",
) -> Any:  # fmt: skip
    """The names of the models that a folder offers, with source="local"."""
    return _names(_hubconf(github, source))


def help(
    github: str, model: str, force_reload: bool = False, skip_validation: bool = False,
    trust_repo: Any = "check", *, source: str = "github",
) -> str | None:  # fmt: skip
    """The docstring of a model that a folder offers, with source="local"."""
    return _entry(_hubconf(github, source), model).__doc__
