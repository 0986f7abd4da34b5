"""Small tokenizers, built in memory or as the files of older models."""

from __future__ import annotations

import json
from pathlib import Path

from flambeau.text import Tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "mat", "##s",
          "##ting", "sit", "a", "!", ",", "un", "##happy"]  # fmt: skip

TEXT = "the cat sat on the mat, the cats sat on the mats; the dog sat there too. " * 4


def word_pieces(folder: Path) -> Tokenizer:
    """BERT's, from a vocab.txt."""
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 8}))
    return Tokenizer.from_pretrained(folder)


def byte_pairs() -> Tokenizer:
    """One that learned its pairs from `TEXT`."""
    return Tokenizer.train([TEXT], vocab_size=300)
