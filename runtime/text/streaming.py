"""Text as its tokens come."""

from __future__ import annotations

from typing import Any

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for bytes that are only the beginning of a letter."""


class GrowingText:
    """The text of tokens that come one by one: `add` gives what each makes certain.

    A letter may be spread over several tokens, and a word's token may read differently at the
    beginning; so each is decoded together with the one before it.
    """

    def __init__(self, tokenizer: Any, skip_special_tokens: bool = True) -> None:
        self.tokenizer, self.skips = tokenizer, skip_special_tokens
        self.tokens: list[int] = []
        self.text = ""
        self._start = self._told = 0

    def _decoded(self, end: int) -> str:
        found: str = self.tokenizer.decode(self.tokens[self._start : end], self.skips)
        return found

    def add(self, token: int) -> str:
        """What text the next token adds; nothing while a letter is incomplete."""
        self.tokens.append(token)
        before, now = self._decoded(self._told), self._decoded(len(self.tokens))
        if len(now) <= len(before) or now.endswith(REPLACEMENT):
            return ""
        self._start, self._told = self._told, len(self.tokens)
        return self._gained(now[len(before) :])

    def finish(self) -> str:
        """What was held back."""
        before, now = self._decoded(self._told), self._decoded(len(self.tokens))
        self._start = self._told = len(self.tokens)
        return self._gained(now[len(before) :])

    def _gained(self, piece: str) -> str:
        self.text += piece
        return piece


class TextStreamer:
    """Prints a text as `generate(..., streamer=TextStreamer(tokenizer))` makes it.

    `skip_prompt` leaves the prompt out; `text` is what was written so far, also after Ctrl-C, which
    ends a streamed text: `generate` then returns what came. A subclass may do something else with
    the pieces in `on_text`.
    """

    def __init__(
        self, tokenizer: Any, skip_prompt: bool = False, skip_special_tokens: bool = True
    ) -> None:
        self.skip_prompt = skip_prompt
        self._growing = GrowingText(tokenizer, skip_special_tokens)
        self._is_prompt = True

    @property
    def text(self) -> str:
        """What was written so far."""
        return self._growing.text

    def put(self, tokens: Any) -> None:
        """Take the prompt's tokens (1, n), then each next one (1,). Raises: ValueError for more
        than one text."""
        if tokens.shape[0] != 1:
            raise ValueError(
                f"TextStreamer: expected one text. Got {tokens.shape[0]}: their pieces would mix."
            )
        numbers = tokens.reshape(-1).tolist()
        if self._is_prompt and self.skip_prompt:
            self._is_prompt = False
            return
        self._is_prompt = False
        piece = "".join(self._growing.add(number) for number in numbers)
        if piece:
            self.on_text(piece, False)

    def end(self) -> None:
        """The text is complete."""
        self.on_text(self._growing.finish(), True)

    def on_text(self, piece: str, is_last: bool) -> None:
        """Print a piece at once."""
        print(piece, end="\n" if is_last else "", flush=True)
