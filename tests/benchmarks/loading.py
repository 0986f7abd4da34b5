"""An epoch of a DataLoader with two workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .case import Case, Rival, Step

COUNT, BATCH = 20_000, 128


def epoch(torch: Any) -> Step:
    """28x28 bytes become floats from 0 to 1, one image at a time, as a transform makes them."""
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28), dtype=np.uint8)
    labels = np.arange(COUNT) % 10

    class Images(torch.utils.data.Dataset):  # type: ignore[misc, name-defined]
        def __len__(self) -> int:
            return COUNT

        def __getitem__(self, index: int) -> tuple[Any, int]:
            image = torch.from_numpy(images[index]).float().div_(255).unsqueeze(0)
            return image, int(labels[index])

    loader = torch.utils.data.DataLoader(Images(), batch_size=BATCH, shuffle=True, num_workers=2)

    def step() -> None:
        for _x, _y in loader:
            pass

    return step


CASES = [Case("DataLoader, 20k images 28x28, 2 workers, epoch", epoch, (Rival(0.9),), forks=True)]
