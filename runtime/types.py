"""`torch.types`: names for annotations."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import IO, TypeAlias

from .core.devices import device
from .core.dtypes import dtype
from .core.tensor import Size, Tensor
from .ops.legacy import UntypedStorage as Storage

__all__ = ["Device", "FileLike", "Number", "Storage"]

Number: TypeAlias = builtins.int | builtins.float | builtins.bool
Device: TypeAlias = device | str | builtins.int | None
FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]

_int, _float, _bool, _complex = builtins.int, builtins.float, builtins.bool, builtins.complex
_dtype, _device = dtype, device
_size: TypeAlias = Size | list[builtins.int] | tuple[builtins.int, ...]
_symint = builtins.int
_TensorOrTensors: TypeAlias = Tensor | Sequence[Tensor]
