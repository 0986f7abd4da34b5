"""`torch.onnx`, as far as programs import it: export is not there yet."""

from __future__ import annotations

from typing import Any, NoReturn


def export(*args: Any, **kwargs: Any) -> NoReturn:
    """Write a model as ONNX. Raises: NotImplementedError, as that is not possible yet."""
    raise NotImplementedError(
        "torch.onnx.export: models cannot be written as ONNX yet. Save the state_dict() in a .pt "
        "file, and export it where PyTorch is installed."
    )


def is_in_onnx_export() -> bool:
    """Whether an export is under way."""
    return False
