"""Beam search: the best text among several that are followed at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ..core.creation import full, tensor
from ..core.tensor import Tensor
from ..nn import functional as F
from .choosing import Scores
from .generation_options import GenerationConfig


@dataclass
class _Finished:
    """The complete texts of one prompt, at most `size` of them, the best first."""

    size: int
    texts: list[tuple[float, list[int]]] = field(default_factory=list)

    def add(self, score: float, tokens: list[int]) -> None:
        self.texts.append((score, tokens))
        self.texts.sort(key=lambda text: -text[0])
        del self.texts[self.size :]

    def is_settled(self, best_open: float, stops_early: bool) -> bool:
        """Whether no open text can still come in."""
        full = len(self.texts) == self.size
        return full and (stops_early or self.texts[-1][0] >= best_open)


class BeamSearch:
    """The beams of `prompts` texts: `advance` takes scores of the next token and gives the tokens
    that rows go on with, and the rows that they continue."""

    def __init__(self, options: GenerationConfig, prompts: int, prompt_length: int) -> None:
        self.options, self.prompts, self.start = options, prompts, prompt_length
        self.beams = options.num_beams
        self.finished = [_Finished(self.beams) for _ in range(prompts)]
        self.settled = [False] * prompts
        self.sums: Tensor | None = None  # of logarithms, (prompts, beams)

    def _scaled(self, total: float, length: int) -> float:
        return total / length**self.options.length_penalty

    def advance(self, logits: Tensor, tokens: Tensor, scores: Scores) -> tuple[Tensor, Tensor]:
        """logits (prompts * beams, vocabulary) after tokens (prompts * beams, n)."""
        shares = scores(F.log_softmax(logits.float(), -1), tokens)
        if self.sums is None:  # all beams of a prompt are still the same: only the first counts
            self.sums = full((self.prompts, self.beams), -math.inf, device=logits.device)
            self.sums[:, 0] = 0.0
        totals = (shares.view(self.prompts, self.beams, -1) + self.sums[..., None]).flatten(1)
        vocabulary = shares.shape[-1]
        # Twice as many as beams: at most half of them end now, so enough are left to go on with.
        best, at = totals.topk(min(2 * self.beams, totals.shape[1]), -1)
        ends = set(self.options.ends)
        length = tokens.shape[1] + 1 - self.start
        rows: list[int] = []
        chosen: list[int] = []
        sums: list[float] = []
        for prompt, (values, places) in enumerate(zip(best.tolist(), at.tolist(), strict=True)):
            going = self._sort(prompt, values, places, vocabulary, ends, tokens, length)
            rows += [prompt * self.beams + beam for _, beam, _ in going]
            chosen += [token for _, _, token in going]
            sums += [value for value, _, _ in going]
        self.sums = tensor(sums, device=logits.device).view(self.prompts, self.beams)
        device = logits.device
        return tensor(chosen, device=device), tensor(rows, device=device)

    def _sort(
        self, prompt: int, values: Any, places: Any, vocabulary: int, ends: set[int],
        tokens: Tensor, length: int,
    ) -> list[tuple[float, int, int]]:  # fmt: skip
        """The candidates of a prompt that go on; those that end are put with the finished."""
        going: list[tuple[float, int, int]] = []
        for rank, (value, place) in enumerate(zip(values, places, strict=True)):
            beam, token = divmod(place, vocabulary)
            if token in ends:
                if rank < self.beams and not self.settled[prompt] and value > -math.inf:
                    text = tokens[prompt * self.beams + beam].tolist()
                    self.finished[prompt].add(self._scaled(value, length), [*text, token])
            elif len(going) < self.beams:
                going.append((value, beam, token))
        while len(going) < self.beams:  # a vocabulary smaller than the beams
            going.append((-math.inf, 0, places[0] % vocabulary))
        best_open = self._scaled(going[0][0], length)
        if self.finished[prompt].is_settled(best_open, self.options.early_stopping):
            self.settled[prompt] = True
        return going

    @property
    def is_done(self) -> bool:
        """Whether all prompts have their texts."""
        return all(self.settled)

    def results(self, tokens: Tensor, count: int) -> list[tuple[float, list[int]]]:
        """The `count` best texts of each prompt with their scores; open ones (rows of tokens) count
        as they are."""
        assert self.sums is not None
        length = tokens.shape[1] - self.start
        found: list[tuple[float, list[int]]] = []
        for prompt, finished in enumerate(self.finished):
            if not self.settled[prompt]:
                for beam, total in enumerate(self.sums[prompt].tolist()):
                    if total > -math.inf:
                        text = tokens[prompt * self.beams + beam].tolist()
                        finished.add(self._scaled(total, length), text)
            found += finished.texts[:count]
        return found
