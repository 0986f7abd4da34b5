"""Vision transformers: patches of an image as the words of a sentence."""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial
from typing import Any

from ... import cat, empty, nn, zeros
from ...core.tensor import Tensor
from ...errors import ShapeError
from ...fx import wrap
from ..ops.blocks import MLP
from .registry import register_model, weights_of_module

__all__ = ["VisionTransformer", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32"]

norm = partial(nn.LayerNorm, eps=1e-6)


class EncoderBlock(nn.Module):
    """Attention and a perceptron, each behind a norm and added to what it read. Source:
    arXiv:2010.11929, equations 2 and 3."""

    def __init__(
        self, num_heads: int, dim: int, mlp_dim: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.ln_1 = norm(dim)
        self.self_attention = nn.MultiheadAttention(
            dim, num_heads, dropout=attention_dropout, batch_first=True
        )
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm(dim)
        self.mlp = MLP(dim, [mlp_dim, dim], activation_layer=nn.GELU, dropout=dropout)
        for module in self.mlp.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)

    def forward(self, input: Tensor) -> Tensor:
        """(N, S, dim) -> (N, S, dim)."""
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """A learned vector for each place added, blocks in turn, and a norm."""

    def __init__(self, length: int, layers: int, heads: int, dim: int, *rest: Any) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(empty(1, length, dim).normal_(std=0.02))
        dropout = rest[1]
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            OrderedDict(
                (f"encoder_layer_{k}", EncoderBlock(heads, dim, *rest)) for k in range(layers)
            )
        )
        self.ln = norm(dim)

    def forward(self, input: Tensor) -> Tensor:
        """(N, S, dim) -> (N, S, dim)."""
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


@wrap
def _of_size(x: Tensor, side: int) -> Tensor:
    """Images as they are, if they are (N, 3, side, side); one node of a trace."""
    if tuple(x.shape[2:]) != (side, side):
        raise ShapeError(
            f"VisionTransformer: expected images (N, 3, {side}, {side}). Got shape "
            f"{tuple(x.shape)}; resize them."
        )
    return x


class VisionTransformer(nn.Module):
    """(N, 3, image_size, image_size) -> (N, num_classes): patches as vectors of `hidden_dim`, one
    more for the class, and an encoder. Source: arXiv:2010.11929, figure 1.

    `representation_size`: a hidden layer of that width before the classes.
    Raises: RuntimeError for images of another size.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(
                f"VisionTransformer: expected images of whole patches. Got a side of {image_size} "
                f"and patches of {patch_size}."
            )
        self.image_size, self.patch_size = image_size, patch_size
        self.hidden_dim, self.num_classes = hidden_dim, num_classes
        self.conv_proj = nn.Conv2d(3, hidden_dim, patch_size, stride=patch_size)
        self.class_token = nn.Parameter(zeros(1, 1, hidden_dim))
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.encoder = Encoder(
            self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout
        )
        heads: OrderedDict[str, nn.Module] = OrderedDict()
        if representation_size is not None:
            heads["pre_logits"] = nn.Linear(hidden_dim, representation_size)
            heads["act"] = nn.Tanh()
        heads["head"] = nn.Linear(representation_size or hidden_dim, num_classes)
        self.heads = nn.Sequential(heads)
        self._initialize()

    def _initialize(self) -> None:
        """N(0, 1 / fan_in), truncated; the head begins at 0."""
        fan_in = self.conv_proj.in_channels * self.patch_size**2
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / fan_in))
        nn.init.zeros_(self.conv_proj.bias)
        for name, layer in self.heads.named_children():
            if name == "pre_logits":
                nn.init.trunc_normal_(layer.weight, std=math.sqrt(1 / layer.in_features))
                nn.init.zeros_(layer.bias)
            elif name == "head":
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, image_size, image_size) -> (N, num_classes)."""
        x = _of_size(x, self.image_size)
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = cat((self.class_token.expand(x.shape[0], -1, -1), x), 1)
        return self.heads(self.encoder(x)[:, 0])


def _vit(patch: int, sizes: tuple[int, ...], options: dict[str, Any]) -> VisionTransformer:
    layers, heads, dim, hidden = sizes
    return VisionTransformer(
        patch_size=patch, num_layers=layers, num_heads=heads, hidden_dim=dim, mlp_dim=hidden,
        **{"image_size": 224, **options},
    )  # fmt: skip


BASE, LARGE, HUGE = (12, 12, 768, 3072), (24, 16, 1024, 4096), (32, 16, 1280, 5120)
"""Layers, heads, width and hidden units. Source: arXiv:2010.11929, table 1."""


@register_model
def vit_b_16(**options: Any) -> VisionTransformer:
    """ViT-B/16. Source: arXiv:2010.11929."""
    return _vit(16, BASE, options)


@register_model
def vit_b_32(**options: Any) -> VisionTransformer:
    """ViT-B/32. Source: arXiv:2010.11929."""
    return _vit(32, BASE, options)


@register_model
def vit_l_16(**options: Any) -> VisionTransformer:
    """ViT-L/16. Source: arXiv:2010.11929."""
    return _vit(16, LARGE, options)


@register_model
def vit_l_32(**options: Any) -> VisionTransformer:
    """ViT-L/32. Source: arXiv:2010.11929."""
    return _vit(32, LARGE, options)


@register_model
def vit_h_14(**options: Any) -> VisionTransformer:
    """ViT-H/14. Source: arXiv:2010.11929."""
    return _vit(14, HUGE, options)


__getattr__ = weights_of_module(__name__)
