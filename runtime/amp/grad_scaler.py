"""Scaling losses, so that gradients in float16 neither vanish nor overflow.

Source: Micikevicius et al., Mixed Precision Training, arXiv:1710.03740, section 3.2.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ..autograd.grad_mode import no_grad
from ..backends.cuda import gradients
from ..core import dtypes
from ..core.callsite import count_write
from ..core.creation import full
from ..core.tensor import Tensor

__all__ = ["GradScaler"]

READY, UNSCALED, STEPPED = "ready", "unscaled", "stepped"


class GradScaler:
    """Multiplies losses by a scale, which grows while gradients stay finite and shrinks when they
    do not; steps with gradients that are not finite are left out.

    `growth_factor` after `growth_interval` good steps, `backoff_factor` after a bad one. For
    "cuda" without a GPU it warns and is not enabled.
    Raises: AssertionError for factors that would not grow or not shrink.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and device == "cuda" and not _has_cuda():
            warnings.warn(
                "GradScaler: expected a GPU for device='cuda'. Got none: it is not enabled.",
                stacklevel=2,
            )
            enabled = False
        if enabled and not growth_factor > 1.0:
            raise AssertionError(
                f"GradScaler: expected growth_factor above 1. Got {growth_factor}."
            )
        if enabled and not backoff_factor < 1.0:
            raise AssertionError(
                f"GradScaler: expected backoff_factor below 1. Got {backoff_factor}."
            )
        self._device = device
        self._enabled = enabled
        self._scale = float(init_scale)
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._has_scaled = False  # scale() comes before all else in an iteration
        self._stages: dict[int, str] = {}
        self._found_inf: dict[int, bool] = {}

    def scale(self, outputs: Any) -> Any:
        """A tensor, or each of several in a list, tuple or other iterable, times the scale, which
        is a 0-d float32."""
        if not self._enabled:
            return outputs
        self._has_scaled = True
        if isinstance(outputs, Tensor):
            return outputs * full((), self._scale, dtype=dtypes.float32, device=outputs.device)
        if isinstance(outputs, list | tuple):
            return type(outputs)([self.scale(o) for o in outputs])
        if isinstance(outputs, Iterable):
            return map(self.scale, outputs)
        raise ValueError(f"scale: expected a tensor or several. Got {type(outputs).__name__}.")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, in place: to clip them,
        say, before `step`.

        Raises: RuntimeError for a second time since `update`, AssertionError if nothing was scaled,
        ValueError for gradients in float16, whose parameters should be in float32.
        """
        if not self._enabled:
            return
        stage = self._stages.get(id(optimizer), READY)
        if stage is not READY:
            done = "stepped" if stage is STEPPED else "been unscaled"
            raise RuntimeError(
                f"unscale_: expected an optimizer that has not {done} since the last update()."
            )
        if not self._has_scaled:
            raise AssertionError("unscale_: expected scale() of a loss before it.")
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        grads = [p.grad for p in parameters if p.grad is not None]
        if any(g.dtype is dtypes.float16 for g in grads):
            raise ValueError(
                "unscale_: expected gradients of float32. Got float16, as the parameters are: keep "
                "them in float32, autocast lowers what may be lowered."
            )
        if grads:
            self._found_inf[id(optimizer)] = self._unscaled(grads)
        self._stages[id(optimizer)] = UNSCALED

    @no_grad()
    def _unscaled(self, grads: list[Tensor]) -> bool:
        """Divide by the scale; whether something is not finite."""
        arrays = gradients.together(grads)
        if arrays is None:
            found_inf = False
            for g in grads:
                g.mul_(1.0 / self._scale)
                values = g.coalesce().values() if g.is_sparse else g
                found_inf |= not bool(values.isfinite().all())
            return found_inf
        found = full((), 0.0, dtype=dtypes.float32, device=grads[0].device)
        gradients.scale(arrays, 1.0 / self._scale, found._array)
        for g in grads:
            count_write(g._writes, "unscale_")
        return bool(found)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(...)` with unscaled gradients; not if one of them is not finite.

        Raises: RuntimeError for a second time since `update`, or with a closure; AssertionError if
        there are no gradients.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs or (args and callable(args[0])):
            raise RuntimeError("step: expected no closure: GradScaler runs the optimizer once.")
        if self._stages.get(id(optimizer)) is STEPPED:
            raise RuntimeError("step: expected one step per optimizer before update().")
        if self._stages.get(id(optimizer), READY) is READY:
            self.unscale_(optimizer)
        if id(optimizer) not in self._found_inf:
            raise AssertionError(
                "step: expected gradients of the optimizer's parameters. Got none."
            )
        result = None if self._found_inf[id(optimizer)] else optimizer.step(*args, **kwargs)
        self._stages[id(optimizer)] = STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adjust the scale to what the steps since the last time found, or set it.

        Raises: AssertionError if there was no step to learn from.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._found_inf:
            raise AssertionError("update: expected a step or unscale_ of an optimizer before it.")
        elif any(self._found_inf.values()):
            self._scale *= self._backoff_factor
            self._growth_tracker = 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                self._scale *= self._growth_factor
                self._growth_tracker = 0
        self._stages.clear()
        self._found_inf.clear()

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def get_scale(self) -> float:
        """The scale; 1 if not enabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale is multiplied by after enough good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set it."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is multiplied by after a bad step."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set it."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps in a row let the scale grow."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set it."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        return self._growth_tracker if self._enabled else 0

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors, interval and how many good steps there were; empty if not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`. Raises: RuntimeError if it is of a scaler that was not
        enabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("load_state_dict: expected the state of an enabled GradScaler.")
        for name in ("scale", "growth_factor", "backoff_factor", "growth_interval"):
            setattr(self, f"_{name}", state_dict[name])
        self._growth_tracker = state_dict["_growth_tracker"]


def _has_cuda() -> bool:
    from ..cuda import is_available

    return is_available()
