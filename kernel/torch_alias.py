"""`import torch` as another name of the runtime, and `import torchvision` of its `vision`, so that
code found anywhere runs as it stands."""

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
    "_higher_order_ops": "control_flow",
    "_higher_order_ops.associative_scan": "transforms.scans",
    "_subclasses.fake_tensor": "_subclasses",
    "_dynamo.eval_frame": "_dynamo",
    "autograd.anomaly_mode": "autograd.anomaly",
    "autograd.gradcheck": "autograd.numeric",
    "autograd.profiler": "profiler",
    "autograd.variable": "autograd",
    "cuda.memory": "cuda",
    "cuda.random": "cuda",
    "distributed._composable": "distributed",
    "distributed._composable.fsdp": "distributed.fsdp",
    "distributed._tensor": "distributed.tensor",
    "distributed.algorithms.join": "distributed.join",
    "distributed.constants": "distributed.group",
    "distributed.distributed_c10d": "distributed",
    "distributed.nn.functional": "distributed.nn",
    "distributed.elastic": "distributed",
    "distributed.elastic.multiprocessing": "distributed",
    "distributed.elastic.multiprocessing.errors": "distributed.reports",
    "distributed.tensor._utils": "distributed.tensor.placement_types",
    "functional": "",
    "fx.experimental.proxy_tensor": "fx.experimental.sizes",
    "fx.experimental.symbolic_shapes": "fx.experimental.sizes",
    "jit.annotations": "jit",
    "storage": "ops.legacy",
    "utils.data._utils": "utils.data",
    "utils.data._utils.collate": "utils.data.collate",
    "utils.hooks": "autograd.node",
}
"""Modules of PyTorch's that programs import from, and which of ours has what they seek."""

VISION = {
    "datasets.folder": "datasets.folders",
    "datasets.vision": "datasets.dataset",
    "models._api": "models.registry",
    "models._utils": "models.feature_extraction",
    "models.detection._utils": "models.detection.matching",
    "models.detection.anchor_utils": "models.detection.anchors",
    "models.detection.backbone_utils": "models.detection.backbones",
    "models.detection.generalized_rcnn": "models.detection.faster_rcnn",
    "models.detection.image_list": "models.detection.images",
    "models.detection.transform": "models.detection.images",
    "models.segmentation._utils": "models.segmentation.fcn",
    "ops.drop_block": "ops.dropping",
    "ops.focal_loss": "ops.losses",
    "ops.misc": "ops.blocks",
    "ops.poolers": "ops.regions",
    "ops.stochastic_depth": "ops.dropping",
    "transforms.v2.functional": "transforms.functional",
    "transforms.autoaugment": "transforms",
    "transforms.transforms": "transforms",
}
"""The same for torchvision."""

PACKAGES = {ALIAS: (NAME, ELSEWHERE), "torchvision": (f"{NAME}.vision", VISION)}
"""By the names that programs import: our package, and what lies elsewhere in it."""


def our_name(name: str) -> str:
    """The runtime's name of the module that PyTorch or torchvision calls `name`."""
    package, _, path = name.partition(".")
    ours, elsewhere = PACKAGES[package]
    return f"{ours}.{elsewhere.get(path, path)}".rstrip(".")


class TorchAlias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `torch` and `torch.x.y` as the very modules `flambeau` and `flambeau.x.y`, and
    `torchvision` as `flambeau.vision`.

    It stands first on `sys.meta_path`, for Python's own finder would load a second copy of a
    submodule from the folder of its parent. A PyTorch that is installed keeps its name unless
    `replaces`.
    """

    def __init__(self, replaces: bool) -> None:
        self.replaces = replaces

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package = fullname.partition(".")[0]
        if package not in PACKAGES:
            return None
        for name in {ALIAS, package}:  # torchvision is ours where torch is, too
            loaded = sys.modules.get(name)
            if loaded is not None and loaded is not sys.modules.get(PACKAGES[name][0]):
                return None  # PyTorch itself is loaded: its submodules are its own
            if loaded is None and not self.replaces and _is_installed(name):
                return None
        if not self._exists(our_name(fullname)):
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: {package} is Flambeau here, which has no "
                f"{our_name(fullname)}.",
                name=fullname,
            )
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def find_distributions(self, context: Any) -> Iterable[importlib.metadata.Distribution]:
        """What programs that look for an installed PyTorch find: the version of the API."""
        name: Any = getattr(context, "name", None)
        is_ours = name in PACKAGES and (self.replaces or not _is_installed(name))
        return [_Metadata(name)] if is_ours else []

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
    """An installed PyTorch or torchvision, as far as libraries ask before they use it."""

    def __init__(self, package: str) -> None:
        self.package = package

    def read_text(self, filename: str) -> str | None:
        ours = importlib.import_module(PACKAGES[self.package][0])
        text = f"Metadata-Version: 2.1\nName: {self.package}\nVersion: {ours.__version__}\n"
        return text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return Path(path)


def _is_installed(package: str) -> bool:
    """Whether another finder knows a package of that name."""
    others = [f for f in sys.meta_path if not isinstance(f, TorchAlias)]
    return any(f.find_spec(package, None) is not None for f in others if hasattr(f, "find_spec"))


def install(first: bool = False) -> None:
    """Make `import torch` find the runtime: if PyTorch is not installed, or always with `first`."""
    remove()
    finder: Any = TorchAlias(replaces=first)
    sys.meta_path.insert(0, finder)


def remove() -> None:
    """Take the alias away again; modules imported under it stay."""
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, TorchAlias)]
