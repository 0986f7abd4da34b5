"""A conversation with a model at the prompt: it answers as it writes, and remembers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from ..core.tensor import Tensor
from .generation_options import DEFAULT_NEW
from .tokenizer import Tokenizer

__all__ = ["Chat"]


class Chat:
    """Talk with a model that was trained to:

        chat = Chat(model, tokenizer, system="You answer in one sentence.", do_sample=True)
        chat("What is a tensor?")   # prints the answer as it comes; Ctrl-C keeps what came
        chat("And a vector?")
        chat.messages               # what was said, to go on from, or to change

    Options are those of `generate`. What the model has read of the conversation it does not read
    again. Once it has no places for all of it, the oldest exchanges are left out, with a warning.
    Raises: ValueError for a tokenizer without a chat template.
    """

    def __init__(
        self, model: Any, tokenizer: Tokenizer, system: str | None = None, **options: Any
    ) -> None:
        self.model, self.tokenizer, self.options = model, tokenizer, options
        self.messages: list[dict[str, str]] = []
        if system is not None:
            self.messages.append({"role": "system", "content": system})
        self._cache: Any = None
        self._read: list[int] = []  # the prompt that the cache begins with
        self._weights: Any = None  # what tells the weights that it was read with

    def __call__(self, text: str, **options: Any) -> None:
        """Say `text`, and print the answer."""
        for piece in self.answer(text, **options):
            print(piece, end="", flush=True)
        print()

    def answer(self, text: str, **options: Any) -> Iterator[str]:
        """Say `text`; the pieces of the answer. What came of it is remembered, also if the caller
        stops asking; if nothing came, neither is `text`."""
        asked = [*self.messages, {"role": "user", "content": text}]
        options = {**self.options, **options}
        prompt = self._prompt(asked, options.get("max_new_tokens") or DEFAULT_NEW)
        came = ""
        try:
            for piece in self.model.stream(
                prompt,
                tokenizer=self.tokenizer,
                past_key_values=self._remembered(prompt),
                **options,
            ):
                came += piece
                yield piece
        finally:
            if came:
                self.messages = [*asked, {"role": "assistant", "content": came.strip()}]

    def _prompt(self, asked: list[dict[str, str]], new: int) -> Tensor:
        """The tokens (1, n) of the latest messages that leave room for `new` others; the system's
        message and the last one stay in any case."""
        first = 1 if asked[0]["role"] == "system" else 0
        start = first
        while True:
            prompt: Tensor = self.tokenizer.apply_chat_template(
                asked[:first] + asked[start:], add_generation_prompt=True, return_tensors="pt"
            )
            if prompt.shape[1] + new <= self.model.config.longest or start + 2 >= len(asked):
                break
            start += 2
        if start > first:
            warnings.warn(
                f"Chat: the model has places for {self.model.config.longest} tokens; it no longer "
                f"reads the oldest {start - first} messages.",
                stacklevel=4,
            )
        return prompt.to(self.model.device)

    def _remembered(self, prompt: Tensor) -> Any:
        """The cache, holding as much of the beginning of `prompt` as was read for the last one."""
        tokens = prompt[0].tolist()
        weights = [(id(p), p._version, p.device) for p in self.model.parameters()]
        if self._weights != weights:
            self._read, self._weights = [], weights
            self._cache = self.model.make_cache(1, self.model.config.longest, room=len(tokens))
        known = zip(self._read, tokens[:-1], strict=False)  # the last one is read in any case
        shared = next((k for k, (a, b) in enumerate(known) if a != b), None)
        if shared is None:
            shared = min(len(self._read), len(tokens) - 1)
        self._cache.crop(shared)
        self._read = tokens
        return self._cache
