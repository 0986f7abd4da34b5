"""Text to numbers of tokens and back, in batches."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.creation import tensor
from ..core.tensor import Tensor
from ..errors import ShapeError
from . import chat, tokenizer_files
from .configuration import write_json
from .tokenizer_files import SPECIAL

__all__ = ["AutoTokenizer", "BatchEncoding", "Tokenizer"]

COLUMNS = {
    "input_ids": "ids",
    "token_type_ids": "type_ids",
    "attention_mask": "attention_mask",
    "special_tokens_mask": "special_tokens_mask",
    "offset_mapping": "offsets",
}
"""What a batch may have for each text, and what the library calls it."""


class BatchEncoding(dict[str, Any]):
    """What a tokenizer gives: `input_ids`, `attention_mask` and what was asked for, as a dict to
    call a model with (`model(**batch)`), read as attributes too."""

    encodings: Sequence[Any] = ()
    """What the library made of each text."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"BatchEncoding has no {name!r}. It has {', '.join(self)}.")

    def to(self, device: Any) -> BatchEncoding:
        """The same with its tensors on `device`."""
        moved = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in self.items()}
        made = BatchEncoding(moved)
        made.encodings = self.encodings
        return made

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a text the number of its word, None for special ones."""
        found: list[int | None] = self.encodings[batch_index].word_ids
        return found

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a text as they are written."""
        found: list[str] = self.encodings[batch_index].tokens
        return found


class Tokenizer:
    """A tokenizer of the library `tokenizers` with the calls that models' examples make.

    `tokenizer(texts, padding=True, truncation=True, return_tensors="pt")` gives what a model is
    called with; `decode` goes back; `apply_chat_template` writes conversations. The special tokens
    are attributes by role (`pad_token`, `eos_token`, `mask_token` ...), with their numbers
    (`pad_token_id` ...), None if there is none.
    """

    def __init__(self, backend: Any, **settings: Any) -> None:
        self.backend = backend
        backend.no_padding()
        backend.no_truncation()
        self.settings = settings
        self.special = {role: settings.get(role) for role in SPECIAL}
        self.chat_template = settings.get("chat_template")
        self.padding_side: str = settings.get("padding_side", "right")
        self.truncation_side: str = settings.get("truncation_side", "right")
        longest = settings.get("model_max_length")
        self.model_max_length = int(longest) if longest and longest < 1 << 30 else None

    @classmethod
    def from_pretrained(cls, path: Any, **changes: Any) -> Tokenizer:
        """The tokenizer in a model's folder (tokenizer.json, vocab.json + merges.txt or vocab.txt,
        with tokenizer_config.json), a tokenizer.json or a GGUF file.

        `changes` replace its settings, such as `padding_side="left"`. Raises: CheckpointError.
        """
        backend, settings = tokenizer_files.read(Path(os.fspath(path)))
        return cls(backend, **{**settings, **changes})

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, end: str = "<|endoftext|>") -> Tokenizer:
        """A byte-level tokenizer of at most `vocab_size` tokens whose pairs are the frequent ones
        of `texts`; `end` stands between texts. Source: arXiv:1508.07909, section 3.2."""
        lib = tokenizer_files.library()
        cutting = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made = lib.Tokenizer(lib.models.BPE())
        made.pre_tokenizer, made.decoder = cutting, lib.decoders.ByteLevel()
        made.post_processor = lib.processors.ByteLevel(trim_offsets=False)
        trainer = lib.trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[end],
            initial_alphabet=cutting.alphabet(),
            show_progress=False,
        )
        made.train_from_iterator(texts, trainer)
        return cls(made, bos_token=end, eos_token=end, pad_token=end)

    def save_pretrained(self, path: Any) -> None:
        """Write tokenizer.json and tokenizer_config.json into a folder."""
        folder = Path(path)
        settings = {**self.settings, **self.special, "chat_template": self.chat_template}
        settings["padding_side"] = self.padding_side
        stated = {name: value for name, value in settings.items() if value is not None}
        write_json(folder / "tokenizer_config.json", stated)
        self.backend.no_padding()
        self.backend.no_truncation()
        self.backend.save(str(folder / "tokenizer.json"))

    # -- special tokens --------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        role = name.removesuffix("_id")
        if role in SPECIAL and "special" in self.__dict__:
            token = self.special[role]
            return token if role == name or token is None else self.backend.token_to_id(token)
        raise AttributeError(f"Tokenizer has no {name!r}.")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SPECIAL:
            if value is not None and self.backend.token_to_id(value) is None:
                raise ValueError(
                    f"Tokenizer: expected {name} to be a token. {value!r} is none; make it one by "
                    f"add_special_tokens({{{name!r}: {value!r}}})."
                )
            self.special[name] = value
        else:
            object.__setattr__(self, name, value)

    def add_special_tokens(self, tokens: dict[str, Any]) -> int:
        """Add tokens by role, or a list as "additional_special_tokens"; how many are new. A model
        then needs `resize_token_embeddings(len(tokenizer))`."""
        extra = tokens.get("additional_special_tokens", [])
        roles = {role: token for role, token in tokens.items() if role in SPECIAL}
        added: int = self.backend.add_special_tokens([*roles.values(), *extra])
        self.special.update(roles)
        return added

    def add_tokens(self, tokens: Sequence[str]) -> int:
        """Add words that are never cut; how many are new."""
        added: int = self.backend.add_tokens(list(tokens))
        return added

    def __len__(self) -> int:
        return int(self.backend.get_vocab_size())

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, without added ones."""
        return int(self.backend.get_vocab_size(with_added_tokens=False))

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens of all roles, each once."""
        return list(dict.fromkeys(t for t in self.special.values() if t is not None))

    @property
    def all_special_ids(self) -> list[int]:
        """Their numbers."""
        return [self.backend.token_to_id(token) for token in self.all_special_tokens]

    def get_vocab(self) -> dict[str, int]:
        """The number of each token."""
        found: dict[str, int] = self.backend.get_vocab()
        return found

    # -- text to numbers -------------------------------------------------------------------------

    def __call__(
        self,
        text: str | Sequence[Any],
        text_pair: str | Sequence[str] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        is_split_into_words: bool = False,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool = True,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_overflowing_tokens: bool = False,
    ) -> BatchEncoding:
        """The numbers of the tokens of one text or many (or pairs of texts).

        `padding` is True or "longest" (of the batch) or "max_length"; `truncation` is True, or
        "only_first" or "only_second" of a pair; both go by `max_length`, or the model's own. The
        rests of truncated texts follow with `return_overflowing_tokens`, `stride` tokens shared.
        `return_tensors` is "pt" for tensors, "np" for arrays, None for lists; one text alone as a
        list has no batch dimension. Raises: ValueError for texts of unequal length as a tensor.
        """
        if not isinstance(text, Sequence):
            raise TypeError(
                f"Tokenizer: expected a text or a list of texts. Got {type(text).__name__}."
            )
        is_words = is_split_into_words and bool(text) and isinstance(text[0], str)
        is_one = isinstance(text, str) or is_words
        texts: list[Any] = [text] if is_one else list(text)
        self._truncate(truncation, max_length, stride)
        self._pad(padding, max_length, pad_to_multiple_of, padding_side)
        pairs = [text_pair] if isinstance(text_pair, str) else text_pair
        found = self._encoded(texts, pairs, is_split_into_words, add_special_tokens)
        sources = list(range(len(found)))
        if return_overflowing_tokens:
            sources = [k for k, e in enumerate(found) for _ in range(1 + len(e.overflowing))]
            found = [part for e in found for part in (e, *e.overflowing)]
        if return_token_type_ids is None:
            return_token_type_ids = self.special["cls_token"] is not None
        is_wanted = {
            "input_ids": True,
            "token_type_ids": return_token_type_ids,
            "attention_mask": return_attention_mask,
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        columns = {
            name: [getattr(e, attribute) for e in found]
            for name, attribute in COLUMNS.items()
            if is_wanted[name]
        }
        if return_overflowing_tokens:
            columns["overflow_to_sample_mapping"] = sources
        is_alone = is_one and return_tensors is None and not return_overflowing_tokens
        made = BatchEncoding(
            {k: v[0] if is_alone else _as(return_tensors, k, v) for k, v in columns.items()}
        )
        made.encodings = found
        return made

    def _encoded(
        self, texts: list[Any], pairs: Any, is_split: bool, adds_special: bool
    ) -> list[Any]:
        """What the library makes of the texts, as it was set for this call; then it is unset."""
        try:
            inputs = texts if pairs is None else _pairs(texts, pairs)
            found: list[Any] = self.backend.encode_batch(
                inputs, is_pretokenized=is_split, add_special_tokens=adds_special
            )
        except TypeError:
            wrong = next((t for t in texts if not isinstance(t, str)), texts)
            raise TypeError(
                "Tokenizer: expected a text or a list of texts. Got one with "
                f"{type(wrong).__name__}."
            ) from None
        finally:
            self.backend.no_truncation()
            self.backend.no_padding()
        return found

    def _truncate(self, truncation: bool | str, max_length: int | None, stride: int) -> None:
        if not truncation or truncation == "do_not_truncate":
            return
        longest = max_length or self.model_max_length
        if longest is None:
            raise ValueError(
                "Tokenizer: expected max_length with truncation; the tokenizer names no longest."
            )
        strategy = truncation if isinstance(truncation, str) else "longest_first"
        self.backend.enable_truncation(
            longest, stride=stride, strategy=strategy, direction=self.truncation_side
        )

    def _pad(
        self, padding: bool | str, longest: int | None, multiple: int | None, side: str | None
    ) -> None:
        if not padding or padding == "do_not_pad":
            return
        length = None
        if padding == "max_length":
            length = longest or self.model_max_length
            if length is None:
                raise ValueError("Tokenizer: expected max_length with padding='max_length'.")
        elif padding not in (True, "longest"):
            raise ValueError(
                f"Tokenizer: expected padding True, 'longest' or 'max_length'. Got {padding!r}."
            )
        self.backend.enable_padding(
            direction=side or self.padding_side,
            pad_id=self.padding_number(),
            pad_token=self.pad_token,
            length=length,
            pad_to_multiple_of=multiple,
        )

    def padding_number(self) -> int:
        """The number of the token that fills texts up. Raises: ValueError if there is none."""
        if self.pad_token is None:
            raise ValueError(
                "Tokenizer: expected a pad_token for padding. Set one: "
                "tokenizer.pad_token = tokenizer.eos_token."
            )
        number: int = self.pad_token_id
        return number

    def encode(self, text: str, text_pair: str | None = None, **options: Any) -> Any:
        """The `input_ids` of one text."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text as they are written, without special ones."""
        found: list[str] = self.backend.encode(text, add_special_tokens=False).tokens
        return found

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The number of a token, or of each of a list; of unknown ones that of `unk_token`."""
        if isinstance(tokens, str):
            found = self.backend.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        """The token of a number, or of each of many."""
        found = [self.backend.id_to_token(k) for k in _numbers(ids)]
        return found[0] if isinstance(ids, int) else found

    # -- and back --------------------------------------------------------------------------------

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **unused: Any) -> str:
        """The text of the tokens of one text: a list or tensor of numbers."""
        found: str = self.backend.decode(
            _numbers(token_ids), skip_special_tokens=skip_special_tokens
        )
        return found

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **unused: Any) -> Any:
        """The text of each row."""
        return [self.decode(row, skip_special_tokens) for row in sequences]

    # -- conversations ---------------------------------------------------------------------------

    def apply_chat_template(
        self,
        conversation: Any,
        *,
        tokenize: bool = True,
        add_generation_prompt: bool = False,
        chat_template: str | None = None,
        return_dict: bool = False,
        **options: Any,
    ) -> Any:
        """A conversation (a list of dicts with role and content), or a list of them, as the model
        was trained to read it; `add_generation_prompt` ends with the beginning of an answer.

        Its text if not `tokenize`; else its `input_ids`, or with `return_dict` all that calling the
        tokenizer gives. `options` that it knows go to that call, others to the template, such as
        `enable_thinking=False`. Raises: ValueError without a template.
        """
        template = chat_template or self.chat_template
        if isinstance(template, list):  # named ones
            template = {t["name"]: t["template"] for t in template}.get("default")
        if template is None:
            raise ValueError(
                "apply_chat_template: expected a model with a chat template. This one has none: it "
                "was not trained to chat, or the template must be given as chat_template=."
            )
        is_one = not conversation or isinstance(conversation[0], dict)
        names: dict[str, Any] = {
            role: token for role, token in self.special.items() if token is not None
        }
        known = inspect.signature(type(self).__call__).parameters
        names.update({name: value for name, value in options.items() if name not in known})
        options = {name: value for name, value in options.items() if name in known}
        texts = [
            chat.render(template, messages, add_generation_prompt, **names)
            for messages in ([conversation] if is_one else conversation)
        ]
        text = texts[0] if is_one else texts
        if not tokenize:
            return text
        found = self(text, add_special_tokens=False, **options)
        return found if return_dict else found["input_ids"]

    def __repr__(self) -> str:
        special = ", ".join(f"{role}={t!r}" for role, t in self.special.items() if t is not None)
        return f"Tokenizer({len(self):,} tokens, {special})"


AutoTokenizer = Tokenizer


def _pairs(texts: Sequence[Any], others: Sequence[Any]) -> list[tuple[Any, Any]]:
    if len(texts) != len(others):
        raise ValueError(
            f"Tokenizer: expected a text_pair for each text. Got {len(texts)} texts and "
            f"{len(others)} pairs."
        )
    return list(zip(texts, others, strict=True))


def _numbers(ids: Any) -> list[int]:
    """One number or many, of Python, NumPy or a tensor. Raises: ShapeError for a batch of many."""
    found = ids.tolist() if hasattr(ids, "tolist") else ids
    if isinstance(found, int):
        return [found]
    found = [k.item() if hasattr(k, "item") and not k.shape else k for k in found]
    if not all(isinstance(k, int) for k in found):
        raise ShapeError(
            "decode: expected the tokens of one text, (n,). Got a batch; batch_decode takes those."
        )
    return found


def _as(kind: str | None, name: str, rows: list[Any]) -> Any:
    """Rows as lists (kind None), an array or a tensor."""
    if kind is None:
        return rows
    if kind not in ("pt", "np"):
        raise ValueError(f"Tokenizer: expected return_tensors 'pt', 'np' or None. Got {kind!r}.")
    if rows and isinstance(rows[0], list):
        lengths = {len(row) for row in rows}
        if len(lengths) > 1:
            raise ValueError(
                f"Tokenizer: expected texts of one length to make a tensor of {name}. Got "
                f"{min(lengths)} to {max(lengths)} tokens. Say padding=True, and truncation=True "
                "if some are too long."
            )
    return tensor(rows) if kind == "pt" else np.array(rows)
