"""Models that write: token after token from what was read so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..autograd.grad_mode import no_grad
from ..core import dtypes
from ..core.creation import empty, ones, tensor, zeros
from ..core.tensor import Tensor
from ..errors import ShapeError
from .beams import BeamSearch
from .choosing import Scores, choose
from .configuration import read_json, write_json
from .generation_options import GENERATION_FILE, GenerationConfig
from .outputs import ModelOutput
from .streaming import GrowingText


class _Writing:
    """Texts in progress: their tokens in memory taken once, the cache, and who has ended."""

    def __init__(
        self,
        model: Any,
        prompt: Tensor,
        mask: Tensor | None,
        options: GenerationConfig,
        processors: Sequence[Any] = (),
        past: Any = None,
    ) -> None:
        self.model, self.options = model, options
        batch, self.length = prompt.shape
        self.longest = options.longest(self.length, model.config.longest)
        # Continuations of one prompt share its reading.
        times = options.num_beams if options.num_beams > 1 else options.num_return_sequences
        cache = model.make_cache(batch, self.longest) if past is None else past
        self.logits = self._read(_unread(prompt, cache), mask, cache).repeat_interleave(times, 0)
        self.cache = cache.repeat(times)
        rows, device = batch * times, prompt.device
        self.tokens = empty(rows, self.longest, dtype=dtypes.int64, device=device)
        self.tokens[:, : self.length] = prompt.repeat_interleave(times, 0)
        self.mask = None
        if mask is not None:
            mask = mask.repeat_interleave(times, 0)
            self.mask = ones(rows, self.longest, dtype=dtypes.int64, device=device)
            self.mask[:, : self.length] = mask
        self.scores = Scores(options, self.text, mask, processors)
        self.chosen_by: list[Tensor] = []
        self.has_ended = zeros(rows, dtype=dtypes.bool_, device=device)
        self.ends = tensor(options.ends, device=device) if options.ends else None
        pad = options.pad_token_id
        self.filler = pad if pad is not None else options.ends[0] if options.ends else 0

    @property
    def text(self) -> Tensor:
        """The tokens so far, (rows, length)."""
        return self.tokens[:, : self.length]

    def _read(self, tokens: Tensor, mask: Tensor | None, cache: Any) -> Tensor:
        out = self.model(tokens, mask, past_key_values=cache, logits_to_keep=1)
        logits: Tensor = out.logits[:, -1]
        return logits

    @no_grad()
    def write(self, tokens: Tensor) -> Tensor:
        """Put one token (rows,) after each text; those that have ended are filled up."""
        if self.ends is not None:
            if bool(self.has_ended.any()):
                tokens = tokens.masked_fill(self.has_ended, self.filler)
            self.has_ended = self.has_ended | (tokens[:, None] == self.ends).any(-1)
        self.tokens[:, self.length] = tokens
        self.length += 1
        return tokens

    @property
    def is_done(self) -> bool:
        """Whether all texts have ended, or there is no more room."""
        return self.length == self.longest or bool(self.has_ended.all())

    @no_grad()
    def read(self) -> None:
        """Let the model read the tokens written last."""
        mask = None if self.mask is None else self.mask[:, : self.length]
        self.logits = self._read(self.tokens[:, self.length - 1 : self.length], mask, self.cache)

    @no_grad()
    def choose(self, generator: Any) -> Tensor:
        """The next token of each text."""
        scores = self.scores(self.logits, self.text)
        if self.options.output_scores:
            self.chosen_by.append(scores)
        return choose(scores, self.options, generator)

    def result(self) -> Any:
        """The texts, or the dict around them that was asked for."""
        texts = self.text.clone()
        if not self.options.return_dict_in_generate:
            return texts
        return ModelOutput(sequences=texts, scores=tuple(self.chosen_by) or None)

    @no_grad()
    def search(self, beams: BeamSearch) -> Tensor:
        """The next token of each beam, after the texts were put in the order that it continues."""
        tokens, rows = beams.advance(self.logits, self.text, self.scores)
        self.tokens[:, : self.length] = self.text[rows]
        self.cache.reorder(rows)
        self.scores.reorder(rows)
        return tokens


class _Stops:
    """Ends texts in which a string of `options.stop_strings` has come, or where a function of the
    text and its scores says so."""

    def __init__(
        self, tokenizer: Any, options: GenerationConfig, start: int, criteria: Sequence[Any]
    ) -> None:
        self.criteria = criteria
        if options.stops and tokenizer is None:
            raise ValueError("generate: expected tokenizer= with stop_strings.")
        self.tokenizer, self.stops, self.start = tokenizer, options.stops, start
        # No token is less than a byte, so a string that ends now is in these last ones.
        self.reach = max((len(s.encode()) + 1 for s in self.stops), default=0)

    def look(self, writing: _Writing) -> None:
        """Mark the texts whose last tokens hold one."""
        if self.stops:
            tail = writing.text[:, max(self.start, writing.length - self.reach) :]
            texts = self.tokenizer.batch_decode(tail)
            found = [any(stop in text for stop in self.stops) for text in texts]
            writing.has_ended = writing.has_ended | tensor(found, device=tail.device)
        for criterion in self.criteria:
            verdict = criterion(writing.text, writing.logits)
            if not isinstance(verdict, Tensor):
                verdict = tensor(bool(verdict), device=writing.text.device)
            writing.has_ended = writing.has_ended | verdict


class GenerationMixin:
    """What a model with a cache and logits writes with."""

    config: Any
    generation_config: GenerationConfig | None = None

    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        generation_config: GenerationConfig | None = None,
        streamer: Any = None,
        tokenizer: Any = None,
        generator: Any = None,
        past_key_values: Any = None,
        logits_processor: Sequence[Any] = (),
        stopping_criteria: Sequence[Any] = (),
        **options: Any,
    ) -> Any:
        """Continue texts: input_ids (batch, n) -> (batch * num_return_sequences, n + new), the
        prompt first; a `ModelOutput` around them with `return_dict_in_generate`.

        Texts of unequal length are padded on the left, which `attention_mask` tells. `options` are
        those of `GenerationConfig`: `max_new_tokens=`, `do_sample=True`, `temperature=`, `top_p=`,
        `num_beams=` ... The same `generator` (or `manual_seed`) draws the same text. A `streamer`
        gets the tokens as they come; Ctrl-C then ends the text, and what came is returned.
        `logits_processor` are functions of the texts (rows, n) and scores (rows, vocabulary) that
        give other scores, `stopping_criteria` such that tell which texts end, (rows,), or whether
        all do. What `past_key_values`, a cache, holds of the prompt's beginning is not read again;
        it then holds all but the last token. Dropout is off meanwhile.
        Raises: ValueError, TypeError or ShapeError for what makes no sense.
        """
        given = self._options(generation_config, options)
        prompt, mask = _checked(input_ids, attention_mask)
        if given.num_beams > 1:
            if streamer is not None:
                raise ValueError(
                    "generate: expected no streamer with beams, which change the text."
                )
            return self._beams(
                prompt, mask, given, logits_processor, stopping_criteria, past_key_values
            )
        functions = logits_processor, stopping_criteria
        steps = self._steps(
            prompt, mask, given, tokenizer, generator, *functions, past=past_key_values
        )
        return _streamed(steps, prompt, streamer)

    def stream(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        tokenizer: Any,
        generation_config: GenerationConfig | None = None,
        generator: Any = None,
        past_key_values: Any = None,
        skip_special_tokens: bool = True,
        **options: Any,
    ) -> Iterator[str]:
        """The continuation of one text piece by piece, each as soon as it is certain:
        `for piece in model.stream(**inputs, tokenizer=tokenizer): print(piece, end="")`.

        Whoever stops asking ends the text. Options are those of `generate`.
        """
        given = self._options(generation_config, options)
        prompt, mask = _checked(input_ids, attention_mask)
        if prompt.shape[0] * given.num_return_sequences != 1 or given.num_beams > 1:
            raise ValueError("stream: expected one text without beams.")
        growing = GrowingText(tokenizer, skip_special_tokens)
        steps = self._steps(prompt, mask, given, tokenizer, generator, past=past_key_values)
        next(steps)
        for tokens in steps:
            if piece := growing.add(tokens.item()):
                yield piece
        if piece := growing.finish():
            yield piece

    def _options(self, given: GenerationConfig | None, changes: dict[str, Any]) -> GenerationConfig:
        base = given or self.generation_config or GenerationConfig()
        ends = ("eos_token_id", "pad_token_id", "bos_token_id")
        missing = {
            name: getattr(self.config, name)
            for name in ends
            if getattr(base, name) is None and name not in changes
        }
        return base.changed({**missing, **changes})

    def _steps(
        self,
        prompt: Tensor,
        mask: Any,
        options: GenerationConfig,
        tokenizer: Any,
        generator: Any,
        processors: Sequence[Any] = (),
        criteria: Sequence[Any] = (),
        past: Any = None,
    ) -> Iterator[Any]:
        """First the `_Writing`, then each step's tokens (rows,)."""
        stops = _Stops(tokenizer, options, prompt.shape[1], criteria)
        model: Any = self
        was_training = model.training
        model.eval()
        try:
            with no_grad():
                writing = _Writing(model, prompt, mask, options, processors, past)
            yield writing
            while True:
                tokens = writing.write(writing.choose(generator))
                stops.look(writing)
                yield tokens
                if writing.is_done:
                    return
                writing.read()
        finally:
            model.train(was_training)

    @no_grad()
    def _beams(
        self,
        prompt: Tensor,
        mask: Any,
        options: GenerationConfig,
        processors: Sequence[Any],
        criteria: Sequence[Any],
        past: Any,
    ) -> Any:
        if options.stops or criteria:
            raise ValueError("generate: expected no stop_strings or criteria with beams.")
        model: Any = self
        was_training = model.training
        model.eval()
        try:
            writing = _Writing(model, prompt, mask, options, processors, past)
            beams = BeamSearch(options, *prompt.shape)
            writing.ends = None  # the search itself knows which texts have ended
            while True:
                writing.write(writing.search(beams))
                if beams.is_done or writing.is_done:
                    break
                writing.read()
        finally:
            model.train(was_training)
        found = beams.results(writing.text, options.num_return_sequences)
        longest = max(len(text) for _, text in found)
        rows = [[*text, *[writing.filler] * (longest - len(text))] for _, text in found]
        out = tensor(rows, device=prompt.device)
        if not options.return_dict_in_generate:
            return out
        scores = tensor([score for score, _ in found]) if options.output_scores else None
        return ModelOutput(sequences=out, sequences_scores=scores)

    def read_beside(self, folder: Any) -> None:
        """Take the folder's generation_config.json over, if it has one."""
        if (folder / GENERATION_FILE).is_file():
            values = read_json(folder / GENERATION_FILE)
            self.generation_config = GenerationConfig.from_dict(values)

    def write_beside(self, folder: Any) -> None:
        """Write generation_config.json, if there are options of the model's own."""
        if self.generation_config is not None:
            write_json(folder / GENERATION_FILE, self.generation_config.to_dict())


def _streamed(steps: Any, prompt: Tensor, streamer: Any) -> Any:
    """The result of all steps, which `streamer`, if there is one, is told of and may end."""
    if streamer is not None:
        streamer.put(prompt)
    writing = next(steps)
    try:
        for tokens in steps:
            if streamer is not None:
                streamer.put(tokens)
    except KeyboardInterrupt:
        if streamer is None:
            raise
    finally:
        steps.close()
    if streamer is not None:
        streamer.end()
    return writing.result()


def _unread(prompt: Tensor, cache: Any) -> Tensor:
    """The tokens of the prompt behind those that the cache holds. Raises: ValueError if all are
    there, as scores come of reading the last one."""
    if cache.length >= prompt.shape[1]:
        raise ValueError(
            f"generate: expected input_ids that go on after the {cache.length} tokens of "
            f"past_key_values. Got {prompt.shape[1]}. past_key_values.crop(n) keeps the first n."
        )
    return prompt[:, cache.length :]


def _checked(input_ids: Any, attention_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The prompt, and its mask if anything in it is padding."""
    if not isinstance(input_ids, Tensor) or input_ids.ndim != 2 or input_ids.shape[1] == 0:
        shape = tuple(input_ids.shape) if isinstance(input_ids, Tensor) else type(input_ids)
        raise ShapeError(
            f"generate: expected input_ids (batch, length) with a token at least. Got {shape}. "
            'From text: model.generate(**tokenizer(text, return_tensors="pt")).'
        )
    if attention_mask is None or bool(attention_mask.all()):
        return input_ids, None
    if attention_mask.shape != input_ids.shape:
        raise ShapeError(
            f"generate: expected attention_mask {tuple(input_ids.shape)} like input_ids. Got "
            f"{tuple(attention_mask.shape)}."
        )
    if not bool(attention_mask[:, -1].all()):
        raise ValueError(
            "generate: expected padding on the left, so that each text ends where the next token "
            'comes. Tokenize with padding_side="left".'
        )
    return input_ids, attention_mask
