"""The rules of a session: where tensors are made, of which dtype, from which seed, and so on.

A rule holds from when it is set until it is changed, through restarts of the session too.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import flambeau as torch
from flambeau.magics.base import UsageError


class Policy:
    """The rules in force, as attributes; setting one applies it at once.

    `device`   where new tensors are made
    `dtype`    the default floating type
    `seed`     what the random streams began with; setting it begins them anew
    `clip`     what `%clip` takes: `1.0`, `"0.5 --value"`, or None for no clipping
    `anomaly`  whether backward passes look for NaN and remember where each node was recorded
    `safe`     whether every cell is undone if it fails, as `%%safe` does it for one
    `observe`  whether receipts count every operation (exact, but each one takes longer)

    Raises: what the runtime raises for a device or dtype that is not there; ValueError for a clip
    rule that is none. The rule before it then stays.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._seed: int | None = None
        self.safe = False
        self.observe = False

    @property
    def device(self) -> Any:
        """Where new tensors are made."""
        return torch.get_default_device()

    @device.setter
    def device(self, device: Any) -> None:
        torch.set_default_device(device)

    @property
    def dtype(self) -> Any:
        """The default floating type."""
        return torch.get_default_dtype()

    @dtype.setter
    def dtype(self, dtype: Any) -> None:
        torch.set_default_dtype(dtype)

    @property
    def seed(self) -> int | None:
        """The seed that was set last; None if none was."""
        return self._seed

    @seed.setter
    def seed(self, seed: int | None) -> None:
        if seed is not None:
            torch.manual_seed(seed)
        self._seed = seed

    @property
    def clip(self) -> Any:
        """The rule that `%clip` holds, which prints how often it bit; None for none."""
        return self._clipper.rule

    @clip.setter
    def clip(self, rule: float | str | None) -> None:
        try:
            with redirect_stdout(StringIO()):
                self._shell.run_line_magic("clip", "off" if rule is None else str(rule))
        except UsageError as error:
            raise ValueError(f"Policy.clip: {error}") from None

    @property
    def _clipper(self) -> Any:
        return self._shell.magics_manager.registry["ClipMagics"]

    @property
    def anomaly(self) -> bool:
        """Whether anomaly mode is on in this thread."""
        return bool(torch.is_anomaly_enabled())

    @anomaly.setter
    def anomaly(self, enabled: bool) -> None:
        torch.autograd.set_detect_anomaly(enabled)

    def renew(self) -> None:
        """Begin the random streams of the seed anew, as at the start of the session."""
        self.seed = self._seed

    def __repr__(self) -> str:
        names = ("device", "dtype", "seed", "clip", "anomaly", "safe", "observe")
        return "\n".join(f"{name:<8} {getattr(self, name)}" for name in names)
