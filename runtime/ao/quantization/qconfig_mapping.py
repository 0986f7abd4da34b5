"""Settings for whole models: which part of a model gets which `QConfig`, for `prepare_fx`."""

from __future__ import annotations

import re
from typing import Any

from ...nn import modules as nn
from .fake_quantize import (
    default_fixed_qparams_range_0to1_fake_quant,
    default_fixed_qparams_range_neg1to1_fake_quant,
    default_weight_fake_quant,
)
from .observer import (
    default_fixed_qparams_range_0to1_observer,
    default_fixed_qparams_range_neg1to1_observer,
    default_weight_observer,
)
from .qconfig import QConfig, get_default_qat_qconfig, get_default_qconfig

__all__ = ["QConfigMapping", "get_default_qat_qconfig_mapping", "get_default_qconfig_mapping"]


class QConfigMapping:
    """Which settings a layer or function gets: the first that fits of its name together with its
    kind, its name or that of a module around it, a pattern for its name, its kind, and the global
    ones. None means that it stays as it is. Each method returns the mapping.

    Example:
        >>> quantization = torch.ao.quantization
        >>> mapping = quantization.QConfigMapping().set_global(quantization.get_default_qconfig())
        >>> _ = mapping.set_module_name("head", None).set_object_type(nn.LayerNorm, None)
    """

    def __init__(self) -> None:
        self.global_qconfig: QConfig | None = None
        self.object_type_qconfigs: dict[Any, QConfig | None] = {}
        self.module_name_regex_qconfigs: dict[str, QConfig | None] = {}
        self.module_name_qconfigs: dict[str, QConfig | None] = {}
        self.module_name_object_type_order_qconfigs: dict[Any, QConfig | None] = {}

    def set_global(self, global_qconfig: QConfig | None) -> QConfigMapping:
        """Settings for what nothing else fits."""
        self.global_qconfig = global_qconfig
        return self

    def set_object_type(self, object_type: Any, qconfig: QConfig | None) -> QConfigMapping:
        """For a class of layers, a function, or the name of a method."""
        self.object_type_qconfigs[object_type] = qconfig
        return self

    def set_module_name_regex(
        self, module_name_regex: str, qconfig: QConfig | None
    ) -> QConfigMapping:
        """For modules whose whole name a pattern matches; of several, the first one set counts."""
        self.module_name_regex_qconfigs[module_name_regex] = qconfig
        return self

    def set_module_name(self, module_name: str, qconfig: QConfig | None) -> QConfigMapping:
        """For a module and all in it."""
        self.module_name_qconfigs[module_name] = qconfig
        return self

    def set_module_name_object_type_order(
        self, module_name: str, object_type: Any, index: int, qconfig: QConfig | None
    ) -> QConfigMapping:
        """For the call number `index`, from 0, of a kind directly in a module."""
        self.module_name_object_type_order_qconfigs[module_name, object_type, index] = qconfig
        return self

    @classmethod
    def from_dict(cls, qconfig_dict: dict[str, Any]) -> QConfigMapping:
        """The mapping of a dict as older programs write it: "" for the global settings, and lists
        under "object_type", "module_name_regex", "module_name" and
        "module_name_object_type_order"."""
        made = cls().set_global(qconfig_dict.get(""))
        for kind in ("object_type", "module_name_regex", "module_name"):
            for given in qconfig_dict.get(kind, ()):
                getattr(made, f"set_{kind}")(*given)
        for given in qconfig_dict.get("module_name_object_type_order", ()):
            made.set_module_name_object_type_order(*given)
        return made

    def lookup(self, name: str, scope: str, kinds: tuple[Any, ...], index: int) -> QConfig | None:
        """The settings of a call: `name` of the module that is called, or in which a function is;
        `scope` of the module in which it stands; `kinds`, by which types know it; `index` among
        the calls of its kind in the scope."""
        for kind in kinds:
            if (scope, kind, index) in self.module_name_object_type_order_qconfigs:
                return self.module_name_object_type_order_qconfigs[scope, kind, index]
        around = name
        while around:
            if around in self.module_name_qconfigs:
                return self.module_name_qconfigs[around]
            around = around.rpartition(".")[0]
        for pattern, qconfig in self.module_name_regex_qconfigs.items():
            if re.fullmatch(pattern, name):
                return qconfig
        for kind in kinds:
            if kind in self.object_type_qconfigs:
                return self.object_type_qconfigs[kind]
        return self.global_qconfig

    def __repr__(self) -> str:
        words = [f"global_qconfig={self.global_qconfig}"]
        for kind in ("module_name", "module_name_regex", "object_type"):
            held = getattr(self, f"{kind}_qconfigs")
            words += [f"{kind} {key}: {qconfig}" for key, qconfig in held.items()]
        return "QConfigMapping(\n  " + "\n  ".join(words) + "\n)"


FIXED = (
    (default_fixed_qparams_range_0to1_observer, default_fixed_qparams_range_0to1_fake_quant,
     (nn.Sigmoid, nn.Hardsigmoid, nn.Softmax, "sigmoid", "sigmoid_", "hardsigmoid")),
    (default_fixed_qparams_range_neg1to1_observer, default_fixed_qparams_range_neg1to1_fake_quant,
     (nn.Tanh, "tanh", "tanh_")),
)  # fmt: skip
"""What watches, and what rounds, results of a known range; whose these are."""
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def _default(qconfig: QConfig, weight: Any, is_trained: bool) -> QConfigMapping:
    """`qconfig` for all; scales per tensor for weights whose outputs are not their first dimension,
    known ones for functions with a known range."""
    mapping = QConfigMapping().set_global(qconfig)
    for kind in TRANSPOSED:
        mapping.set_object_type(kind, QConfig(qconfig.activation, weight))
    for observer, fake_quantize, kinds in FIXED:
        known = QConfig(fake_quantize if is_trained else observer, qconfig.weight)
        for kind in kinds:
            mapping.set_object_type(kind, known)
    return mapping


def get_default_qconfig_mapping(backend: str = "x86", version: int = 0) -> QConfigMapping:
    """`get_default_qconfig(backend)` for all layers, for `prepare_fx`."""
    return _default(get_default_qconfig(backend, version), default_weight_observer, False)


def get_default_qat_qconfig_mapping(backend: str = "x86", version: int = 1) -> QConfigMapping:
    """`get_default_qat_qconfig(backend)` for all layers, for `prepare_qat_fx`."""
    return _default(get_default_qat_qconfig(backend, version), default_weight_fake_quant, True)
