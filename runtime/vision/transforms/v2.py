"""torchvision's second interface: the transforms of the first, those that only it has, and its way
to draw where the two differ."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image as PIL

from ... import multinomial, nn, rand, randint, randperm, stack, tensor
from ...core.tensor import Tensor
from ..tv_tensors import Image, TVTensor, Video
from . import augmentation, composition, conversion, policies
from . import functional as functional
from .chance import *
from .composition import Compose as Compose
from .composition import RandomApply as RandomApply
from .composition import in_turn, listed
from .conversion import InterpolationMode as InterpolationMode
from .crops import *
from .fixed import *
from .mixing import *
from .moves import *
from .policies import AutoAugmentPolicy as AutoAugmentPolicy
from .sanitizing import *
from .transform import Transform as Transform
from .transform import query_chw as query_chw
from .transform import query_size as query_size


class Lambda(Transform):
    """A function of the parts of the types `types`, of all by default."""

    def __init__(self, lambd: Callable[[Any], Any], *types: type) -> None:
        super().__init__()
        if not callable(lambd):
            raise TypeError(f"Lambda: expected a function. Got {type(lambd)}.")
        self.lambd, self.types = lambd, types or (object,)

    def wanted(self, leaves: list[Any]) -> list[bool]:
        """Those of the types, plain tensors too."""
        return [isinstance(x, self.types) for x in leaves]

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self.lambd(inpt) if isinstance(inpt, self.types) else inpt


class RandomChoice(nn.Module):
    """One of the transforms, as often as `p` tells."""

    def __init__(
        self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        given = [1.0] * len(transforms) if p is None else list(p)
        if len(given) != len(transforms):
            raise ValueError(
                f"RandomChoice: expected a probability for each of {len(transforms)} transforms. "
                f"Got {len(given)}."
            )
        self.transforms, self.p = transforms, [x / sum(given) for x in given]

    def forward(self, *inputs: Any) -> Any:
        """A sample -> a sample."""
        return self.transforms[int(multinomial(tensor(self.p), 1))](*inputs)

    def __repr__(self) -> str:
        return f"RandomChoice({listed(self.transforms)})(p={self.p})"


class RandomOrder(composition.Compose):
    """The transforms in an order drawn at random."""

    def __call__(self, *inputs: Any) -> Any:
        order = randperm(len(self.transforms)).tolist()
        return in_turn([self.transforms[k] for k in order], inputs)


class Identity(Transform):
    """The sample itself."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt


class ToImage(Transform):
    """A PIL image, an array (H, W, C) or a tensor -> an `Image` (C, H, W), its values as they
    are."""

    takes = (Tensor, PIL.Image, np.ndarray)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt if isinstance(inpt, TVTensor) else conversion.to_image(inpt)


class ToPureTensor(Transform):
    """Images, masks, boxes and points as plain tensors."""

    takes = (TVTensor,)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt.plain() if isinstance(inpt, TVTensor) else inpt


class ToDtype(Transform):
    """Images in another type, with `scale` their black and white with it; or each kind in its own
    by a dict: `{tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64, "others": None}`,
    None for those that stay. Raises: ValueError for a kind that the dict lacks."""

    takes = (Tensor,)

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        dtype = self.dtype
        if isinstance(dtype, dict):
            if type(inpt) not in dtype and "others" not in dtype:
                raise ValueError(
                    f"ToDtype: expected a type for {type(inpt).__name__}. Got "
                    f'{dtype}; add it, or "others": None.'
                )
            dtype = dtype.get(type(inpt), dtype.get("others"))
        elif isinstance(inpt, TVTensor) and not isinstance(inpt, Image | Video):
            return inpt
        return inpt if dtype is None else conversion.to_dtype(inpt, dtype, self.scale)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dtype={self.dtype}, scale={self.scale}"


class RGB(Transform):
    """Images in three channels, of grey the same three times."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, PIL.Image):
            return inpt.convert("RGB")
        if isinstance(inpt, TVTensor) and not isinstance(inpt, Image | Video):
            return inpt
        return functional.rgb_to_grayscale(inpt, 3) if inpt.shape[-3] == 1 else inpt


class JPEG(Transform):
    """Images packed as JPEG of a quality drawn from `quality`, one number or both ends, and read
    again; tensors are bytes (..., C, H, W)."""

    def __init__(self, quality: int | Sequence[int]) -> None:
        super().__init__()
        ends = (quality, quality) if isinstance(quality, int) else tuple(quality)
        if len(ends) != 2 or not 1 <= ends[0] <= ends[1] <= 100:
            raise ValueError(f"JPEG: expected a quality of 1 to 100, or two. Got {quality}.")
        self.quality = ends

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"quality": int(randint(self.quality[0], self.quality[1] + 1, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, TVTensor) and not isinstance(inpt, Image | Video):
            return inpt
        if isinstance(inpt, Tensor) and inpt.ndim > 3:
            parts = [self.transform(x, params) for x in inpt.flatten(0, -4)]
            out = stack(parts).reshape(inpt.shape)
            return inpt._like(out) if isinstance(inpt, TVTensor) else out
        file = io.BytesIO()
        picture = inpt if isinstance(inpt, PIL.Image) else conversion.to_pil_image(inpt)
        picture.save(file, "jpeg", quality=params["quality"])
        with PIL.open(file) as packed:
            packed.load()
        if isinstance(inpt, PIL.Image):
            return packed
        out = conversion.pil_to_tensor(packed)
        return inpt._like(out) if isinstance(inpt, TVTensor) else out

    def extra_repr(self) -> str:
        """The quality."""
        return f"quality={self.quality}"


class UniformTemporalSubsample(Transform):
    """`num_samples` frames of videos (..., T, C, H, W), evenly from the first to the last."""

    takes = (Video, Tensor)

    def __init__(self, num_samples: int) -> None:
        super().__init__()
        self.num_samples = num_samples

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, TVTensor) and not isinstance(inpt, Video):
            return inpt
        places = np.linspace(0, inpt.shape[-4] - 1, self.num_samples).astype(int)
        out = inpt[..., places.tolist(), :, :, :]
        return inpt._like(out) if isinstance(inpt, TVTensor) else out

    def extra_repr(self) -> str:
        """How many frames."""
        return f"num_samples={self.num_samples}"


# -- other numbers from the same seed --------------------------------------------------------------


class _Signs:
    """Signs by a number between 0 and 1."""

    def is_flipped(self) -> bool:
        return bool(rand(()) <= 0.5)


class RandAugment(_Signs, augmentation.RandAugment):
    """See `transforms.RandAugment`."""


class TrivialAugmentWide(_Signs, augmentation.TrivialAugmentWide):
    """See `transforms.TrivialAugmentWide`."""


class AugMix(_Signs, augmentation.AugMix):
    """See `transforms.AugMix`."""


class AutoAugment(_Signs, policies.AutoAugment):
    """See `transforms.AutoAugment`."""

    def steps(self, height: int, width: int) -> list[tuple[str, float]]:
        """See `Augment`."""
        found = []
        for name, p, place in self.policies[int(randint(len(self.policies), (1,)))]:
            if rand(()) <= p:
                magnitude = policies.strength(name, place, height, width)
                found.append((name, self.signed(name, magnitude)))
        return found
