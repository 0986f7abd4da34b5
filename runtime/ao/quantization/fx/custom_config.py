"""What users say beside settings: parts that are not traced, attributes that stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

__all__ = ["ConvertCustomConfig", "FuseCustomConfig", "PrepareCustomConfig"]


class _CustomConfig:
    """Attributes of the model that its graph does not read but that shall stay."""

    def __init__(self) -> None:
        self.preserved_attributes: list[str] = []

    def set_preserved_attributes(self, attributes: Sequence[str]) -> Self:
        """Keep the attributes of these names."""
        self.preserved_attributes = list(attributes)
        return self


class FuseCustomConfig(_CustomConfig):
    """For `fuse_fx`."""


class ConvertCustomConfig(_CustomConfig):
    """For `convert_fx`."""


class PrepareCustomConfig(_CustomConfig):
    """For `prepare_fx` and `prepare_qat_fx`.

    Example:
        >>> config = torch.ao.quantization.fx.custom_config.PrepareCustomConfig()
        >>> _ = config.set_non_traceable_module_names(["decoder"])
    """

    def __init__(self) -> None:
        super().__init__()
        self.non_traceable_module_names: list[str] = []
        self.non_traceable_module_classes: list[Any] = []

    def set_non_traceable_module_names(self, module_names: Sequence[str]) -> Self:
        """Leave the modules of these names as they are, one call each."""
        self.non_traceable_module_names = list(module_names)
        return self

    def set_non_traceable_module_classes(self, module_classes: Sequence[Any]) -> Self:
        """Leave modules of these classes as they are."""
        self.non_traceable_module_classes = list(module_classes)
        return self
