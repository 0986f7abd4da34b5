"""A conversation with a model at the prompt: it answers as it writes, and remembers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .tokenizer import Tokenizer

__all__ = ["Chat"]


class Chat:
    """Talk with a model that was trained to:

        chat = Chat(model, tokenizer, system="You answer in one sentence.", do_sample=True)
        chat("What is a tensor?")   # prints the answer as it comes; Ctrl-C keeps what came
        chat("And a vector?")
        chat.messages               # what was said, to go on from, or to change

    Options are those of `generate`. Raises: ValueError for a tokenizer without a chat template.
    """

    def __init__(
        self, model: Any, tokenizer: Tokenizer, system: str | None = None, **options: Any
    ) -> None:
        self.model, self.tokenizer, self.options = model, tokenizer, options
        self.messages: list[dict[str, str]] = []
        if system is not None:
            self.messages.append({"role": "system", "content": system})

    def __call__(self, text: str, **options: Any) -> None:
        """Say `text`, and print the answer."""
        for piece in self.answer(text, **options):
            print(piece, end="", flush=True)
        print()

    def answer(self, text: str, **options: Any) -> Iterator[str]:
        """Say `text`; the pieces of the answer. What came of it is remembered, also if the caller
        stops asking; if nothing came, neither is `text`."""
        asked = [*self.messages, {"role": "user", "content": text}]
        prompt = self.tokenizer.apply_chat_template(
            asked, add_generation_prompt=True, return_tensors="pt"
        ).to(self.model.device)
        came = ""
        try:
            for piece in self.model.stream(
                prompt, tokenizer=self.tokenizer, **{**self.options, **options}
            ):
                came += piece
                yield piece
        finally:
            if came:
                self.messages = [*asked, {"role": "assistant", "content": came.strip()}]
