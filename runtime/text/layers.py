"""What the models share: activations by name, GPT-2's linear map, masks that are added to scores,
attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import nn
from ..core import dtypes
from ..core.creation import empty, zeros
from ..core.ranges import arange
from ..core.tensor import Tensor
from ..jit import is_tracing
from ..nn import functional as F
from ..nn.parameter import Parameter


def _quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x). Source: arXiv:1606.08415, section 2."""
    return x * (1.702 * x).sigmoid()


_tanh_gelu = partial(F.gelu, approximate="tanh")

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
    "quick_gelu": _quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": F.tanh,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function that a configuration names. Raises: ValueError for an unknown one."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}. Got {name!r}.")
    return ACTIVATIONS[name]


class Conv1D(nn.Module):
    """x @ weight + bias: (..., inputs) -> (..., outputs). GPT-2's files hold the weight as (inputs,
    outputs), the transpose of what `Linear` has."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = Parameter(empty(inputs, outputs))
        self.bias = Parameter(zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        return F.linear(x, self.weight.t(), self.bias)

    def extra_repr(self) -> str:
        """The sizes."""
        inputs, outputs = self.weight.shape
        return f"nf={outputs}, nx={inputs}"


def _has_padding(attention_mask: Tensor) -> bool:
    """Whether a mask hides anything; on a GPU the answer would wait for it, so it is yes, and in a
    trace, whose masks are others later."""
    if attention_mask.device.type != "cpu" or is_tracing():
        return True
    return not bool(attention_mask.all())


def padding_mask(attention_mask: Tensor | None, dtype: Any) -> Tensor | None:
    """What is added to scores (batch, heads, queries, n): -inf at padding, where
    `attention_mask` (batch, n) is 0. None if there is none."""
    if attention_mask is None or not _has_padding(attention_mask):
        return None
    scores = attention_mask.new_zeros(attention_mask.shape, dtype=dtype)
    return scores.masked_fill(attention_mask == 0, -math.inf)[:, None, None]


def causal_mask(
    attention_mask: Tensor | None, queries: int, past: int, like: Tensor, window: int | None = None
) -> tuple[Tensor | None, bool]:
    """The mask for `queries` tokens after `past` others, and whether causality alone says it all.

    Query i, at place past + i, sees the places up to its own, the last `window` of them if given,
    and no padding.
    """
    length = past + queries
    padding = padding_mask(attention_mask, like.dtype)
    bounded = window is not None and length > window
    if queries == 1 and not bounded:
        return padding, False
    if padding is None and past == 0 and not bounded:
        return None, True
    at = arange(past, length, device=like.device)[:, None]
    places = arange(length, device=like.device)
    hidden = places > at
    if bounded and window is not None:
        hidden = hidden | (places <= at - window)
    mask = like.new_zeros((queries, length)).masked_fill(hidden, -math.inf)[None, None]
    return (mask if padding is None else mask + padding), False


def places_of(attention_mask: Tensor | None, queries: int, past: int, device: Any) -> Tensor:
    """The number of each query's place, (batch or 1, queries): padding before it does not count."""
    if attention_mask is None:
        return arange(past, past + queries, device=device)[None]
    return (attention_mask.to(dtypes.int64).cumsum(-1) - 1).clamp(min=0)[:, -queries:]


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    is_causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """Attention over (batch, heads, n, width) as (batch, n, heads * width).

    Key and value may have fewer heads, each of which serves several of query, one after the other.
    Source: arXiv:2305.13245, section 2.2.
    """
    batch, heads, n, width = query.shape
    group = heads // key.shape[1]
    if group > 1 and n == 1:
        # The queries of a group look at the same keys: they are rows of one product, no copies.
        query = query.view(batch, key.shape[1], group, width)
        found = F.scaled_dot_product_attention(query, key, value, mask, dropout)
        return found.reshape(batch, 1, heads * width)
    found = F.scaled_dot_product_attention(
        query, key, value, mask, dropout, is_causal, enable_gqa=group > 1
    )
    return found.transpose(1, 2).reshape(batch, n, heads * width)


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of logits (..., classes) by labels (...); -100 counts nothing."""
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))


def next_token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """`token_loss` of what each place says of the next one: logits (batch, n, vocabulary), labels
    (batch, n)."""
    return token_loss(logits[:, :-1], labels[:, 1:])
