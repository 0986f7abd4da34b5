"""Texts as vectors whose angle tells how alike they are. Source: arXiv:1908.10084, section 3."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..autograd.grad_mode import no_grad
from ..core.creation import empty
from ..core.tensor import Tensor
from ..nn import functional as F
from .auto import AutoModel
from .configuration import read_json
from .tokenizer import Tokenizer

__all__ = ["SentenceEncoder", "mean_pooling"]


def mean_pooling(states: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean of a text's vectors (batch, n, width) over its tokens, without padding (0 in
    attention_mask (batch, n)): (batch, width)."""
    weight = attention_mask[..., None].to(states.dtype)
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1e-9)


class SentenceEncoder:
    """A model and its tokenizer that make one vector of each text: the mean of its tokens' vectors
    (or, with `pooling="cls"`, that of the first token).

        encoder = SentenceEncoder.from_pretrained("all-MiniLM-L6-v2")
        a, b = encoder.encode(["That is a happy person", "That is a happy dog"])
        a @ b   # the cosine of their angle: .69
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        pooling: str = "mean",
        max_seq_length: int | None = None,
    ) -> None:
        if pooling not in ("mean", "cls"):
            raise ValueError(f"SentenceEncoder: expected pooling 'mean' or 'cls'. Got {pooling!r}.")
        self.model, self.tokenizer, self.pooling = model, tokenizer, pooling
        self.max_seq_length = max_seq_length

    @classmethod
    def from_pretrained(cls, path: Any, **options: Any) -> SentenceEncoder:
        """The encoder in a local folder, pooled as 1_Pooling/config.json in it says."""
        place = Path(os.fspath(path))
        pooling, longest = "mean", None
        if (place / "1_Pooling" / "config.json").is_file():
            stated = read_json(place / "1_Pooling" / "config.json")
            pooling = "cls" if stated.get("pooling_mode_cls_token") else "mean"
        if (place / "sentence_bert_config.json").is_file():
            longest = read_json(place / "sentence_bert_config.json").get("max_seq_length")
        model = AutoModel.from_pretrained(place, **options)
        return cls(model, Tokenizer.from_pretrained(place), pooling, longest)

    def encode(
        self,
        sentences: str | Sequence[str],
        batch_size: int = 32,
        normalize_embeddings: bool = True,
    ) -> Tensor:
        """Vectors (texts, width), or (width,) of one text, of length 1 if `normalize_embeddings`.

        Texts of like length are read together, so that little padding is. No gradient is recorded.
        """
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        model = self.model
        order = sorted(range(len(texts)), key=lambda k: -len(texts[k]))
        found = empty(len(texts), model.config.hidden_size, dtype=model.dtype, device=model.device)
        with no_grad():
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                found[rows] = self._vectors([texts[k] for k in rows])
            if normalize_embeddings:
                found = F.normalize(found, dim=-1)
        return found[0] if isinstance(sentences, str) else found

    def _vectors(self, texts: list[str]) -> Tensor:
        longest = self.max_seq_length or self.tokenizer.model_max_length
        batch = self.tokenizer(
            texts,
            padding=True,
            truncation=longest is not None,
            max_length=longest,
            return_tensors="pt",
        ).to(self.model.device)
        states = self.model(**batch).last_hidden_state
        return states[:, 0] if self.pooling == "cls" else mean_pooling(states, batch.attention_mask)

    def similarity(self, a: Any, b: Any) -> Tensor:
        """Cosines of the angles of texts a and b: (len(a), len(b))."""
        first, second = (x if isinstance(x, Tensor) else self.encode(list(x)) for x in (a, b))
        return F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).mT
