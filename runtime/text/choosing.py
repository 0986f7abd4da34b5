"""From scores to the next token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..core import dtypes
from ..core.creation import tensor, zeros
from ..core.tensor import Tensor
from ..nn import functional as F
from ..ops.sampling import multinomial
from ..ops.searching import where
from .generation_options import GenerationConfig


class Scores:
    """What changes the scores (rows, vocabulary) of the next token before one is chosen.

    It is told the tokens as they come, so that no step looks through the whole text again.
    """

    def __init__(
        self,
        options: GenerationConfig,
        prompt: Tensor,
        mask: Tensor | None,
        processors: Sequence[Any] = (),
    ) -> None:
        self.options, self.processors = options, processors
        self.prompt_length = prompt.shape[1]
        self.mask = mask
        self.seen: Tensor | None = None

    def __call__(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """The scores after the text `tokens` (rows, n), in float32."""
        options, scores = self.options, logits.float()
        if options.repetition_penalty != 1.0:
            scores = self._penalized(scores, tokens)
        if options.no_repeat_ngram_size:
            scores = _without_repeats(scores, tokens, options.no_repeat_ngram_size)
        if options.ends and tokens.shape[1] < self.prompt_length + options.min_new_tokens:
            scores = scores.index_fill(1, tensor(options.ends, device=scores.device), -math.inf)
        for process in self.processors:
            scores = process(tokens, scores)
        return scores

    def _penalized(self, scores: Tensor, tokens: Tensor) -> Tensor:
        """Divided by the penalty, or multiplied below 0, for tokens that were there.
        Source: arXiv:1909.05858, section 4.1."""
        if self.seen is None or self.seen.shape[0] != tokens.shape[0]:
            self.seen = zeros(*scores.shape, dtype=dtypes.bool_, device=scores.device)
            real = zeros(*tokens.shape, dtype=dtypes.bool_, device=scores.device).logical_not()
            if self.mask is not None:
                real[:, : self.mask.shape[1]] = self.mask.bool()
            rows, places = real.nonzero(as_tuple=True)
            self.seen[rows, tokens[rows, places]] = True
        else:
            self.seen.scatter_(1, tokens[:, -1:], True)
        penalty = self.options.repetition_penalty
        return where(self.seen, where(scores < 0, scores * penalty, scores / penalty), scores)

    def reorder(self, rows: Tensor) -> None:
        """Let row k go on from row rows[k], for beams."""
        if self.seen is not None:
            self.seen = self.seen[rows]


def _without_repeats(scores: Tensor, tokens: Tensor, size: int) -> Tensor:
    """-inf for what would end a run of `size` tokens that was there before."""
    scores = scores.clone()
    for row, text in enumerate(tokens.tolist()):
        last = text[len(text) - size + 1 :] if size > 1 else []
        banned = [
            text[k + size - 1]
            for k in range(len(text) - size + 1)
            if text[k : k + size - 1] == last
        ]
        if banned:
            scores[row, banned] = -math.inf
    return scores


def choose(scores: Tensor, options: GenerationConfig, generator: Any) -> Tensor:
    """The next token of each row, (rows,): the best, or one drawn as `options` say."""
    if not options.do_sample:
        return scores.argmax(-1)
    kept, tokens = likely(scores, options)
    drawn = multinomial(F.softmax(kept, -1), 1, generator=generator)
    return (drawn if tokens is None else tokens.gather(1, drawn))[:, 0]


def likely(scores: Tensor, options: GenerationConfig) -> tuple[Tensor, Tensor | None]:
    """The scores that tokens are drawn by, and the tokens they are of, best first (None: all in
    order). -inf leaves a token out. Sources: top-p arXiv:1904.09751, section 3.1; min-p
    arXiv:2407.01082, section 3."""
    if options.temperature != 1.0:
        scores = scores / options.temperature
    count = options.top_k or scores.shape[-1]
    if count >= scores.shape[-1] and options.top_p == 1.0 and options.min_p == 0.0:
        return scores, None
    kept, tokens = scores.topk(min(count, scores.shape[-1]), -1)
    if options.top_p < 1.0:
        shares = F.softmax(kept, -1)
        kept = kept.masked_fill(shares.cumsum(-1) - shares >= options.top_p, -math.inf)
    if options.min_p > 0.0:
        kept = kept.masked_fill(kept < kept[:, :1] + math.log(options.min_p), -math.inf)
    return kept, tokens
