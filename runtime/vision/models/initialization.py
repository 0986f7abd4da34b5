"""Initial values that families of models share, and numbers of channels that suit processors."""

from __future__ import annotations

from ... import nn

SMALL = 0.01
"""Standard deviation of linear layers of classifiers."""


def he_normal(model: nn.Module, linear: bool = False) -> None:
    """Weights of convolutions from N(0, 2 / fan_out), their biases 0; with `linear` those of linear
    layers from N(0, 0.01^2) and 0. Norms begin as the identity. Source: arXiv:1502.01852,
    equation 14."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear) and linear:
            nn.init.normal_(module.weight, 0, SMALL)
        else:
            continue
        if module.bias is not None and (linear or isinstance(module, nn.Conv2d)):
            nn.init.zeros_(module.bias)


def divisible(channels: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `channels`, but not less than 90 % of it: whole vectors
    of channels. Source: arXiv:1704.04861's published models."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * channels else nearest
