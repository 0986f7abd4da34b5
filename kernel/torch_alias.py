"""`import torch` as another name of the runtime, so that code found anywhere runs as it stands."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ALIAS, NAME = "torch", "flambeau"


ELSEWHERE = {
    "_tensor": "core.tensor",
    "_tensor_str": "core.printing",
    "autograd.anomaly_mode": "autograd.anomaly",
    "autograd.gradcheck": "autograd.numeric",
    "autograd.profiler": "profiler",
    "autograd.variable": "autograd",
    "cuda.memory": "cuda",
    "cuda.random": "cuda",
    "distributed.distributed_c10d": "distributed",
    "functional": "",
    "storage": "ops.legacy",
    "utils.data._utils": "utils.data",
    "utils.data._utils.collate": "utils.data.collate",
    "utils.hooks": "autograd.node",
}
"""Modules of PyTorch's that programs import from, and which of ours has what they seek."""


def our_name(name: str) -> str:
    """The runtime's name of the module that PyTorch calls `name`."""
    path = name.removeprefix(ALIAS).removeprefix(".")
    return f"{NAME}.{ELSEWHERE.get(path, path)}".rstrip(".")


class TorchAlias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `torch` and `torch.x.y` as the very modules `flambeau` and `flambeau.x.y`.

    It stands first on `sys.meta_path`, for Python's own finder would load a second copy of a
    submodule from the folder of its parent. A PyTorch that is installed keeps its name unless
    `replaces`.
    """

    def __init__(self, replaces: bool) -> None:
        self.replaces = replaces

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != ALIAS and not fullname.startswith(ALIAS + "."):
            return None
        if sys.modules.get(ALIAS) not in (None, sys.modules.get(NAME)):
            return None  # PyTorch itself is loaded: its submodules are its own
        if fullname == ALIAS and not self.replaces and _is_installed():
            return None
        if not self._exists(our_name(fullname)):
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: torch is Flambeau here, which has no "
                f"{our_name(fullname)}.",
                name=fullname,
            )
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def find_distributions(self, context: Any) -> Iterable[importlib.metadata.Distribution]:
        """What programs that look for an installed PyTorch find: the version of the API."""
        wanted = getattr(context, "name", None) == ALIAS
        return [_Metadata()] if wanted and (self.replaces or not _is_installed()) else []

    def _exists(self, name: str) -> bool:
        return name in sys.modules or importlib.util.find_spec(name) is not None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(our_name(spec.name))
        self._own_spec = module.__spec__, module.__loader__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """The module is loaded already; it gets back the identity that importing wrote over."""
        module.__spec__, module.__loader__ = self._own_spec
        if module.__spec__ is not None:
            module.__package__ = module.__spec__.parent


class _Metadata(importlib.metadata.Distribution):
    """An installed PyTorch, as far as libraries ask before they use it."""

    def read_text(self, filename: str) -> str | None:
        version = importlib.import_module(f"{NAME}.version").__version__
        text = f"Metadata-Version: 2.1\nName: {ALIAS}\nVersion: {version}\n"
        return text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return Path(path)


def _is_installed() -> bool:
    """Whether another finder knows a PyTorch."""
    others = [f for f in sys.meta_path if not isinstance(f, TorchAlias)]
    return any(f.find_spec(ALIAS, None) is not None for f in others if hasattr(f, "find_spec"))


def install(first: bool = False) -> None:
    """Make `import torch` find the runtime: if PyTorch is not installed, or always with `first`."""
    remove()
    finder: Any = TorchAlias(replaces=first)
    sys.meta_path.insert(0, finder)


def remove() -> None:
    """Take the alias away again; modules imported under it stay."""
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, TorchAlias)]
