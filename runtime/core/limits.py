"""The ranges of element types: `finfo` and `iinfo`."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from . import dtypes

__all__ = ["finfo", "iinfo"]


class finfo:
    """Limits of a floating-point type: bits, eps, max, min, tiny, smallest_normal, resolution.

    `type` is the default floating type unless given; a complex type means its parts.
    Raises: TypeError for a type that is not floating-point.
    """

    def __init__(self, type: dtypes.dtype | None = None) -> None:
        found = dtypes.get_default_dtype() if type is None else dtypes.as_dtype(type)
        if not isinstance(found, dtypes.dtype) or found.category < dtypes.FLOAT:
            raise TypeError(
                f"finfo: expected a floating-point type. Got {found!r}. Use torch.iinfo."
            )
        real = found.to_real()
        is_numpys = real.numpy.type.__module__ == "numpy"
        limits = (np.finfo if is_numpys else ml_dtypes.finfo)(real.numpy)
        self.bits = int(limits.bits)
        self.eps, self.max, self.min = float(limits.eps), float(limits.max), float(limits.min)
        self.tiny = self.smallest_normal = float(limits.smallest_normal)
        # Of decimal digits that a number keeps; types of 8 bits keep none.
        self.resolution = 1.0 if real in dtypes.STORED else float(limits.resolution)
        self.dtype = real.name

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
            f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, "
            f"dtype={self.dtype})"
        )


class iinfo:
    """Limits of an integer type: bits, min, max.

    Raises: TypeError for another type.
    """

    def __init__(self, type: dtypes.dtype) -> None:
        if not isinstance(type, dtypes.dtype) or type.category != dtypes.INTEGER:
            raise TypeError(f"iinfo: expected an integer type. Got {type!r}. Use torch.finfo.")
        limits = np.iinfo(type.numpy)
        self.bits, self.min, self.max = int(limits.bits), int(limits.min), int(limits.max)
        self.dtype = type.name

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
