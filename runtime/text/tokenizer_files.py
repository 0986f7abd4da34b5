"""Tokenizers from the files that models come with, for the library `tokenizers` to run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..serialization import gguf
from .configuration import read_json
from .gguf_models import file_of

SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token",
           "mask_token")  # fmt: skip
"""The roles that special tokens have."""

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3 cuts text before pairs are joined."""

CUTS = {"llama-bpe": LLAMA3, "qwen2": LLAMA3.replace("{1,3}", "")}
"""Regular expressions of `tokenizer.ggml.pre`."""

CONTROL, USER_DEFINED = 3, 4
"""Kinds of tokens in GGUF that text is searched for first; the first kind is no text."""


def library() -> Any:
    """The module `tokenizers`. Raises: ImportError that tells how to get it."""
    try:
        import tokenizers
    except ImportError:
        raise ImportError(
            "flambeau.text: expected the package tokenizers, which is not installed. Get it with "
            "pip install 'flambeau[text]'."
        ) from None
    return tokenizers


def read(place: Path) -> tuple[Any, dict[str, Any]]:
    """The library's tokenizer in a folder or GGUF file, and its settings: special tokens by role,
    `chat_template`, `model_max_length`, sides. Raises: CheckpointError."""
    if place.suffix == ".gguf":
        return _from_gguf(place)
    if place.suffix == ".json":
        return library().Tokenizer.from_file(str(place)), _settings(place.parent)
    settings = _settings(place)
    for names, build in KINDS:
        paths = [place / name for name in names]
        if all(path.is_file() for path in paths):
            return build(paths, settings), settings
    wanted = ", ".join(" + ".join(names) for names, _ in KINDS)
    raise CheckpointError(
        f"from_pretrained: expected a tokenizer in {place}: {wanted} or a .gguf file. Got none."
    )


def _settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            settings.update(read_json(folder / name))
    for role in SPECIAL:
        if isinstance(settings.get(role), dict):
            settings[role] = settings[role]["content"]
    template = folder / "chat_template.jinja"
    if template.is_file():
        settings["chat_template"] = template.read_text(encoding="utf-8")
    return settings


def _whole(paths: list[Path], settings: dict[str, Any]) -> Any:
    try:
        return library().Tokenizer.from_file(str(paths[0]))
    except ImportError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise CheckpointError(
            f"from_pretrained: expected a tokenizer in {paths[0]}. {error}"
        ) from None


def _word_pieces(paths: list[Path], settings: dict[str, Any]) -> Any:
    """BERT's: words cut greedily into the longest pieces of a list. Source: arXiv:1810.04805."""
    lib = library()
    words = paths[0].read_text(encoding="utf-8").splitlines()
    settings.update({"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
                     "pad_token": "[PAD]", "mask_token": "[MASK]"} | settings)  # fmt: skip
    numbers = {word: k for k, word in enumerate(words)}
    made = lib.Tokenizer(lib.models.WordPiece(numbers, unk_token=settings["unk_token"]))
    made.normalizer = lib.normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
    )
    made.pre_tokenizer = lib.pre_tokenizers.BertPreTokenizer()
    made.decoder = lib.decoders.WordPiece()
    first, last = settings["cls_token"], settings["sep_token"]
    made.post_processor = lib.processors.BertProcessing(
        (last, numbers[last]), (first, numbers[first])
    )
    made.add_special_tokens([settings[role] for role in SPECIAL if settings.get(role) in numbers])
    return made


def _byte_pairs(paths: list[Path], settings: dict[str, Any]) -> Any:
    """GPT-2's: bytes joined by the list of pairs. Source: Radford et al. 2019, section 2.2."""
    numbers = json.loads(paths[0].read_text(encoding="utf-8"))
    lines = paths[1].read_text(encoding="utf-8").split("\n")
    merges = [(a, b) for a, _, b in (line.partition(" ") for line in lines) if b and a[:1] != "#"]
    lib = library()
    made = _of_bytes(numbers, merges, lib.pre_tokenizers.ByteLevel(add_prefix_space=False))
    end = "<|endoftext|>"
    if end in numbers:
        settings.update({"bos_token": end, "eos_token": end, "unk_token": end} | settings)
    made.add_special_tokens(
        sorted({settings[role] for role in SPECIAL if settings.get(role) in numbers})
    )
    return made


def _of_bytes(numbers: dict[str, int], merges: list[tuple[str, str]], cutting: Any) -> Any:
    lib = library()
    made = lib.Tokenizer(lib.models.BPE(numbers, merges))
    made.pre_tokenizer = cutting
    made.decoder = lib.decoders.ByteLevel()
    made.post_processor = lib.processors.ByteLevel(trim_offsets=False)
    return made


KINDS = (
    (("tokenizer.json",), _whole),
    (("vocab.json", "merges.txt"), _byte_pairs),
    (("encoder.json", "vocab.bpe"), _byte_pairs),  # as OpenAI called the two
    (("vocab.txt",), _word_pieces),
)
"""Files that make a tokenizer together, the best first, and what makes it."""


def _from_gguf(path: Path) -> tuple[Any, dict[str, Any]]:
    found = gguf.metadata(file_of(path))
    stored = {k.removeprefix("tokenizer.ggml."): v for k, v in found.items()}
    if stored.get("model") != "gpt2":
        raise CheckpointError(
            f"from_pretrained: expected a tokenizer of pairs of bytes (gpt2) in {path}. Got "
            f"{stored.get('model')!r}. Give the folder with the model's tokenizer.json."
        )
    tokens, kinds = stored["tokens"], stored.get("token_type", [])
    numbers = {token: k for k, token in enumerate(tokens)}
    merges = [tuple(pair.split(" ")) for pair in stored["merges"]]
    made = _of_bytes(numbers, merges, _cutting(stored.get("pre", "default")))
    lib = library()
    kind_of = dict(zip(tokens, kinds, strict=False))
    made.add_special_tokens([t for t, kind in kind_of.items() if kind == CONTROL])
    made.add_tokens([lib.AddedToken(t) for t, kind in kind_of.items() if kind == USER_DEFINED])
    settings = {"chat_template": found.get("tokenizer.chat_template")}
    for role, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"),
                      ("pad_token", "padding")):  # fmt: skip
        if (number := stored.get(f"{key}_token_id")) is not None:
            settings[role] = tokens[number]
    if stored.get("add_bos_token"):
        first = settings["bos_token"]
        made.post_processor = lib.processors.TemplateProcessing(
            single=f"{first} $A", pair=f"{first} $A $B", special_tokens=[(first, numbers[first])]
        )
    return made, settings


def _cutting(kind: str) -> Any:
    """What cuts text into pieces of which pairs of bytes are joined."""
    parts = library().pre_tokenizers
    if kind == "smollm":
        digits = parts.Digits(individual_digits=True)
        return parts.Sequence([digits, parts.ByteLevel(add_prefix_space=False)])
    if kind in CUTS:
        cut = parts.Split(library().Regex(CUTS[kind]), "isolated")
        return parts.Sequence([cut, parts.ByteLevel(add_prefix_space=False, use_regex=False)])
    if kind in ("default", "gpt-2"):
        return parts.ByteLevel(add_prefix_space=False)
    known = ", ".join(("default", "gpt-2", "smollm", *CUTS))
    raise CheckpointError(f"from_pretrained: expected a tokenizer.ggml.pre of {known}. Got {kind}.")
