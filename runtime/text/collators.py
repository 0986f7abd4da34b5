"""From tokenized texts to the batches that models train on, for a DataLoader's `collate_fn`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..core import dtypes
from ..core.creation import tensor
from ..core.tensor import Tensor
from ..ops.sampling import rand, randint
from .tokenizer import BatchEncoding, Tokenizer

__all__ = ["DataCollatorForLanguageModeling", "DataCollatorWithPadding", "pack"]

IGNORED = -100
"""The label that counts nothing."""

FILLERS = {"attention_mask": 0, "token_type_ids": 0, "labels": IGNORED, "special_tokens_mask": 1}
"""What each column of a shorter text is filled up with; `input_ids` with the padding token."""


class DataCollatorWithPadding:
    """Texts of a batch as tensors (batch, n), filled up to the longest.

    Each is a dict of lists, as the tokenizer gives, or one of numbers for the whole text:
    `label` and `labels` become `labels` (batch,); labels of each token are filled up with -100.
    """

    def __init__(self, tokenizer: Tokenizer, pad_to_multiple_of: int = 1) -> None:
        self.tokenizer, self.pad_to_multiple_of = tokenizer, pad_to_multiple_of

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> BatchEncoding:
        """The batch of `features`."""
        longest = max(len(f["input_ids"]) for f in features)
        longest = -(-longest // self.pad_to_multiple_of) * self.pad_to_multiple_of
        batch = BatchEncoding()
        for name in features[0]:
            column = [f[name] for f in features]
            key = "labels" if name == "label" else name
            if isinstance(column[0], int | float):
                batch[key] = tensor(column)
                continue
            rows = [c.tolist() if isinstance(c, Tensor) else list(c) for c in column]
            filler = FILLERS.get(key)
            batch[key] = self._filled(rows, longest, filler)
        if "attention_mask" not in batch:
            ones = [[1] * len(f["input_ids"]) for f in features]
            batch["attention_mask"] = self._filled(ones, longest, 0)
        return batch

    def _filled(self, rows: list[list[Any]], longest: int, filler: int | None) -> Tensor:
        if filler is None:
            short = any(len(row) < longest for row in rows)
            filler = self.tokenizer.padding_number() if short else 0
        on_left = self.tokenizer.padding_side == "left"
        gaps = [[filler] * (longest - len(row)) for row in rows]
        return tensor([g + r if on_left else r + g for r, g in zip(rows, gaps, strict=True)])


class DataCollatorForLanguageModeling(DataCollatorWithPadding):
    """Texts with labels to learn language from.

    With `mlm` a share `mlm_probability` of the tokens is asked for, of which 80 % are masked, 10 %
    replaced by any token and 10 % left (source: arXiv:1810.04805, section 3.1); else the labels are
    the texts themselves, for a causal model. Padding counts nothing, special tokens are never asked
    for. Draws come from the runtime's generator: `manual_seed` repeats them.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        mlm: bool = True,
        mlm_probability: float = 0.15,
        pad_to_multiple_of: int = 1,
    ) -> None:
        super().__init__(tokenizer, pad_to_multiple_of)
        if mlm and tokenizer.mask_token is None:
            raise ValueError(
                "DataCollatorForLanguageModeling: expected a tokenizer with a mask_token for "
                "mlm=True. A causal model takes mlm=False."
            )
        self.mlm, self.mlm_probability = mlm, mlm_probability

    def __call__(self, features: Sequence[Any]) -> BatchEncoding:
        """The batch of `features`: dicts, or bare lists or tensors of tokens."""
        named = [f if isinstance(f, Mapping) else {"input_ids": f} for f in features]
        batch = super().__call__(named)
        special = batch.pop("special_tokens_mask", None)
        tokens, is_real = batch["input_ids"], batch["attention_mask"].bool()
        if self.mlm:
            batch["input_ids"], batch["labels"] = self._masked(tokens, is_real, special)
        else:
            batch["labels"] = tokens.masked_fill(is_real.logical_not(), IGNORED)
        return batch

    def _masked(
        self, tokens: Tensor, is_real: Tensor, special: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The tokens with some masked, and what they were."""
        if special is None:
            special = (tokens[..., None] == tensor(self.tokenizer.all_special_ids)).any(-1)
        may = is_real & special.bool().logical_not()
        asked = may & (rand(*tokens.shape) < self.mlm_probability)
        labels = tokens.masked_fill(asked.logical_not(), IGNORED)
        fate = rand(*tokens.shape)
        changed = tokens.masked_fill(asked & (fate < 0.8), self.tokenizer.mask_token_id)
        others = randint(len(self.tokenizer), tuple(tokens.shape), dtype=dtypes.int64)
        return others.where(asked & (fate >= 0.9), changed), labels


def pack(texts: Iterable[Sequence[int]], length: int, end: int | None = None) -> Iterator[Tensor]:
    """Token lists joined, with the token `end` behind each, and cut into pieces of `length`: no
    place of a batch is padding. What is left at the end is too short and dropped."""
    kept: list[int] = []
    for text in texts:
        kept.extend(text)
        if end is not None:
            kept.append(end)
        start = 0
        while len(kept) - start >= length:
            yield tensor(kept[start : start + length])
            start += length
        del kept[:start]
