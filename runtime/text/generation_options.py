"""How a model continues a text: the options of `generate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ShapeError

GENERATION_FILE = "generation_config.json"


@dataclass(kw_only=True)
class GenerationConfig:
    """The options of `generate`, as in a folder's generation_config.json.

    - `max_new_tokens` after the prompt (128 if neither it nor `max_length`, which counts the prompt
      too, is given), `min_new_tokens` before the text may end;
    - `do_sample`: draw each token, from probabilities sharpened by `temperature` below 1, among the
      `top_k` best (0: all), the fewest that have `top_p` of the probability together, and those
      with at least `min_p` of the best one's;
    - `repetition_penalty` above 1 divides the scores of tokens that were there (multiplies, below
      0); no `no_repeat_ngram_size` tokens come twice in the same order;
    - `num_beams` above 1: the best text found with that many at a time, scores summed and divided
      by length ** `length_penalty`; with `early_stopping` as soon as there are so many;
    - `num_return_sequences` continuations of each prompt;
    - `eos_token_id` (or several) ends a text, any of `stop_strings` too; what ended is filled up
      with `pad_token_id`;
    - `return_dict_in_generate`: a `ModelOutput` with the texts as `sequences`, with `output_scores`
      also what each step chose by, `scores`, or the sums of beams, `sequences_scores`.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    early_stopping: bool = False
    num_return_sequences: int = 1
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    stop_strings: str | list[str] | None = None
    return_dict_in_generate: bool = False
    output_scores: bool = False

    def __post_init__(self) -> None:
        for name, holds, wanted in (
            ("temperature", self.temperature > 0, "above 0; do_sample=False takes the best"),
            ("top_k", self.top_k >= 0, "0 for all, or above"),
            ("top_p", 0 < self.top_p <= 1, "in (0, 1]"),
            ("min_p", 0 <= self.min_p <= 1, "in [0, 1]"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
            ("num_beams", self.num_beams >= 1, "1 or more"),
            ("num_return_sequences", self.num_return_sequences >= 1, "1 or more"),
            ("max_new_tokens", self.max_new_tokens is None or self.max_new_tokens > 0, "above 0"),
            (
                "output_scores",
                self.return_dict_in_generate or not self.output_scores,
                "with return_dict_in_generate=True, which has a place for them",
            ),
        ):
            if not holds:
                raise ValueError(f"generate: expected {name} {wanted}. Got {getattr(self, name)}.")
        if self.num_beams > 1 and self.do_sample:
            raise ValueError("generate: expected do_sample or num_beams above 1, not both.")
        if not self.do_sample and self.num_return_sequences > self.num_beams:
            raise ValueError(
                f"generate: expected do_sample, or at least {self.num_return_sequences} num_beams, "
                f"for num_return_sequences={self.num_return_sequences}: all would be the same."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GenerationConfig:
        """The options among `values`; None there says nothing."""
        names = {f.name for f in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in names and v is not None})

    def changed(self, changes: Mapping[str, Any]) -> GenerationConfig:
        """A copy with `changes`. Raises: TypeError for a name that is no option."""
        changes = {k: v for k, v in changes.items() if k not in UNNEEDED}
        names = [f.name for f in dataclasses.fields(self)]
        unknown = sorted(set(changes) - set(names))
        if unknown:
            raise TypeError(
                f"generate: {unknown[0]} is no option. There are: input_ids, attention_mask, "
                f"streamer, tokenizer, generator, logits_processor, stopping_criteria, "
                f"{', '.join(names)}."
            )
        if "max_new_tokens" in changes and "max_length" not in changes:
            changes = {**changes, "max_length": None}
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The options that differ from the defaults."""
        default = GenerationConfig()
        given = dataclasses.asdict(self)
        return {k: v for k, v in given.items() if v != getattr(default, k)}

    @property
    def ends(self) -> list[int]:
        """The tokens that end a text."""
        end = self.eos_token_id
        return [] if end is None else list(end) if isinstance(end, list) else [end]

    @property
    def stops(self) -> list[str]:
        """The strings that end a text."""
        given = self.stop_strings
        return [given] if isinstance(given, str) else list(given or [])

    def longest(self, prompt: int, limit: int) -> int:
        """Tokens in all, at most what the model has places for. Raises: ShapeError if the prompt
        takes all of them."""
        if prompt >= limit:
            raise ShapeError(
                f"generate: expected at most {limit - 1} tokens in the prompt, as the model has "
                f"places for {limit} and writes one at least. Got {prompt}. Truncate it."
            )
        if self.max_new_tokens is not None:
            return min(prompt + self.max_new_tokens, limit)
        if self.max_length is not None:
            if self.max_length <= prompt:
                raise ValueError(
                    f"generate: expected max_length above the {prompt} tokens of the prompt. Got "
                    f"{self.max_length}. Say max_new_tokens instead."
                )
            return min(self.max_length, limit)
        return min(prompt + DEFAULT_NEW, limit)


DEFAULT_NEW = 128
"""New tokens if nobody says how many: a paragraph."""

UNNEEDED = {"use_cache"}
"""What examples also say: here keys and values are always kept."""
