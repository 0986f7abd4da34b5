"""Which kernels attention on the GPU may use: switches under PyTorch's names.

`flash` and `mem_efficient` are one kernel here, our own in tiles; it is used if either is on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class SDPAParams(NamedTuple):
    """The arguments that `can_use_flash_attention` and its kin judge."""

    query: Any
    key: Any
    value: Any
    attn_mask: Any = None
    dropout: float = 0.0
    is_causal: bool = False
    enable_gqa: bool = False


class Allowed:
    """The kernels that may be used."""

    flash = mem_efficient = math = cudnn = True

    def tiles(self) -> bool:
        """Whether our own kernel may be."""
        return self.flash or self.mem_efficient

    def cudnn_alone(self) -> bool:
        """Whether cuDNN was asked for."""
        return self.cudnn and not self.tiles()

    def leave_to_math(self) -> None:
        """Nothing, for what no other kernel computes. Raises: RuntimeError if that may not be."""
        if not self.math:
            raise RuntimeError(
                "scaled_dot_product_attention: expected arguments that an allowed kernel takes. "
                f"Got some that need the plain products, which are switched off (allowed: "
                f"{', '.join(n for n in NAMES if getattr(self, n)) or 'none'}). Allow "
                "SDPBackend.MATH too."
            )

    @contextmanager
    def only(self, **switches: bool) -> Iterator[None]:
        """A block in which the kernels are allowed that are set."""
        before = {name: getattr(self, name) for name in NAMES}
        vars(self).update({name: bool(switches.get(name)) for name in NAMES})
        try:
            yield
        finally:
            vars(self).update(before)


NAMES = ("flash", "mem_efficient", "math", "cudnn")
allowed = Allowed()


class AttentionSwitches:
    """The functions by which programs ask for the switches and set them."""

    SDPAParams = SDPAParams

    def flash_sdp_enabled(self) -> bool:
        """Whether attention in tiles may be used."""
        return allowed.flash

    def enable_flash_sdp(self, enabled: bool) -> None:
        """Let attention in tiles be used, or not (unless `mem_efficient` is allowed)."""
        allowed.flash = bool(enabled)

    def mem_efficient_sdp_enabled(self) -> bool:
        """Whether attention in tiles may be used, under its other name."""
        return allowed.mem_efficient

    def enable_mem_efficient_sdp(self, enabled: bool) -> None:
        """Let attention in tiles be used, or not (unless `flash` is allowed)."""
        allowed.mem_efficient = bool(enabled)

    def math_sdp_enabled(self) -> bool:
        """Whether attention may be computed by plain products."""
        return allowed.math

    def enable_math_sdp(self, enabled: bool) -> None:
        """Let attention be computed by plain products, or not."""
        allowed.math = bool(enabled)

    def cudnn_sdp_enabled(self) -> bool:
        """Whether attention may be computed by cuDNN, where it is installed."""
        return allowed.cudnn

    def enable_cudnn_sdp(self, enabled: bool) -> None:
        """Let attention be computed by cuDNN, or not."""
        allowed.cudnn = bool(enabled)

    @contextmanager
    def sdp_kernel(
        self,
        enable_flash: bool = True,
        enable_math: bool = True,
        enable_mem_efficient: bool = True,
        enable_cudnn: bool = True,
    ) -> Iterator[None]:
        """A `with` block with the switches set, as `torch.nn.attention.sdpa_kernel` sets them."""
        with allowed.only(
            flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient,
            cudnn=enable_cudnn,
        ):  # fmt: skip
            yield
