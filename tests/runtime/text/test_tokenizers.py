"""Text to tokens and back: files of every age, batches, conversations, batches to train on."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

import flambeau as torch
from flambeau import text
from flambeau.text.streaming import GrowingText

from .words import TEXT, byte_pairs, word_pieces

pytest.importorskip("tokenizers")


def test_word_pieces_of_a_vocabulary_file(tmp_path: Path) -> None:
    t = word_pieces(tmp_path)
    assert t.tokenize("The CATS sitting, unhappy!") == [
        "the", "cat", "##s", "sit", "##ting", ",", "un", "##happy", "!",
    ]  # fmt: skip
    assert t("a cat").input_ids == [2, 13, 6, 3]
    assert t.decode([2, 13, 6, 10, 3], skip_special_tokens=True) == "a cats"
    assert (t.mask_token, t.mask_token_id, t.bos_token_id, len(t)) == ("[MASK]", 4, None, 18)
    pair = t("a cat", "the mat")
    assert pair.input_ids == [2, 13, 6, 3, 5, 9, 3]
    assert pair.token_type_ids == [0, 0, 0, 0, 1, 1, 1]
    assert t("cats")["input_ids"] == [2, 6, 10, 3]
    assert t(["cats sit"], return_offsets_mapping=True).offset_mapping[0][1:4] == [
        (0, 3), (3, 4), (5, 8),
    ]  # fmt: skip
    assert t(["cats sit"]).word_ids() == [None, 0, 0, 1, None]


def test_batches_are_filled_up_and_cut(tmp_path: Path) -> None:
    t = word_pieces(tmp_path)
    batch = t(["a cat", "the cat sat on the mat on a mat"], padding=True, truncation=True,
              return_tensors="pt")  # fmt: skip
    assert batch.input_ids.tolist() == [[2, 13, 6, 3, 0, 0, 0, 0], [2, 5, 6, 7, 8, 5, 9, 3]]
    assert batch["attention_mask"].sum(1).tolist() == [4, 8]
    assert batch.to("cpu").input_ids.dtype is torch.int64
    left = t(["a", "a cat"], padding="max_length", max_length=5, padding_side="left")
    assert left.input_ids == [[0, 0, 2, 13, 3], [0, 2, 13, 6, 3]]
    assert t(["a"], padding=True, pad_to_multiple_of=4, return_tensors="np").input_ids.shape == (
        1, 4,
    )  # fmt: skip
    parts = t("on the cat sat the mat", truncation=True, max_length=5, stride=1,
              return_overflowing_tokens=True)  # fmt: skip
    assert parts.input_ids == [[2, 8, 5, 6, 3], [2, 6, 7, 5, 3], [2, 5, 9, 3]]
    assert parts.overflow_to_sample_mapping == [0, 0, 0]
    # A call leaves no setting behind.
    assert t("the cat sat on the mat on a mat").input_ids[-1] == 3
    assert len(t("the cat sat on the mat on a mat").input_ids) == 11


def test_byte_pairs_give_any_text_back(tmp_path: Path) -> None:
    t = byte_pairs()
    strange = "the cats — ça va? 東京\n\t🙂"
    assert t.decode(t(strange).input_ids) == strange
    assert len(t(TEXT).input_ids) < len(TEXT) / 2
    t.save_pretrained(tmp_path)
    again = text.AutoTokenizer.from_pretrained(tmp_path)
    assert again(TEXT).input_ids == t(TEXT).input_ids
    assert again.eos_token == t.pad_token == "<|endoftext|>"
    # The same as GPT-2's two files.
    model = json.loads(t.backend.to_str())["model"]
    older = tmp_path / "older"
    older.mkdir()
    (older / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in model["merges"])
    (older / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    from_files = text.Tokenizer.from_pretrained(older)
    assert from_files(strange).input_ids == t(strange).input_ids
    assert from_files("a<|endoftext|>").input_ids[-1] == t.eos_token_id == from_files.eos_token_id


def test_text_grows_by_whole_letters() -> None:
    t = byte_pairs()
    written = "the mat 🙂 東 ça"
    growing = GrowingText(t)
    pieces = [growing.add(token) for token in t(written).input_ids]
    assert "".join(pieces) + growing.finish() == written == growing.text
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)
    assert "🙂" in "".join(p for p in pieces if len(p.encode()) >= 4)


def test_special_tokens_can_be_added(tmp_path: Path) -> None:
    t = byte_pairs()
    before = len(t)
    assert t.add_special_tokens({"mask_token": "<mask>", "additional_special_tokens": ["<b>"]}) == 2
    assert t.add_tokens(["flambeau"]) == 1
    assert (t.mask_token_id, len(t)) == (before, before + 3)
    assert t.tokenize("a flambeau<b>")[-2:] == ["flambeau", "<b>"]
    assert t.decode(t("x<b>").input_ids, skip_special_tokens=True) == "x"
    assert t.convert_ids_to_tokens(t.convert_tokens_to_ids(["<b>", "the"])) == ["<b>", "the"]


TEMPLATE = """{% for m in messages %}
{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}
<{{ m.role }}>{{ m.content | tojson }}{{ eos_token }}
{% endfor %}
{% if add_generation_prompt %}<assistant>{% endif %}"""


def test_conversations_are_written_by_the_template() -> None:
    pytest.importorskip("jinja2")
    t = byte_pairs()
    talk = [{"role": "user", "content": "a <b> & é"}]
    with pytest.raises(ValueError, match="expected a model with a chat template"):
        t.apply_chat_template(talk)
    t.chat_template = TEMPLATE
    written = '<user>"a <b> & é"<|endoftext|>\n'
    assert t.apply_chat_template(talk, tokenize=False) == written
    asked = t.apply_chat_template([talk, talk], tokenize=False, add_generation_prompt=True)
    assert asked == [written + "<assistant>"] * 2
    tokens = t.apply_chat_template(talk, return_tensors="pt")
    assert tokens.shape[0] == 1
    assert t.decode(tokens[0]) == written
    with pytest.raises(ValueError, match="chat template: no tools"):
        t.apply_chat_template([{"role": "tool", "content": ""}])
    with pytest.raises(ValueError, match="expected messages as dicts with role"):
        t.apply_chat_template(["hello"])


def gguf_tokenizer(path: Path, pre: str = "gpt-2") -> text.Tokenizer:
    """The pairs of `byte_pairs` as metadata of a GGUF file without tensors."""
    model = json.loads(byte_pairs().backend.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)

    def string(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def strings(values: list[str]) -> bytes:
        return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(string, values))

    kinds = [3 if token == "<|endoftext|>" else 1 for token in tokens]
    pairs = {
        "model": struct.pack("<I", 8) + string("gpt2"),
        "pre": struct.pack("<I", 8) + string(pre),
        "tokens": strings(tokens),
        "token_type": struct.pack(f"<IIQ{len(kinds)}i", 9, 5, len(kinds), *kinds),
        "merges": strings([" ".join(pair) for pair in model["merges"]]),
        "eos_token_id": struct.pack("<II", 4, model["vocab"]["<|endoftext|>"]),
        "bos_token_id": struct.pack("<II", 4, model["vocab"]["<|endoftext|>"]),
        "add_bos_token": struct.pack("<I?", 7, True),
    }
    content = b"".join(string(f"tokenizer.ggml.{k}") + v for k, v in pairs.items())
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + content)
    return text.Tokenizer.from_pretrained(path)


def test_a_tokenizer_in_a_gguf_file(tmp_path: Path) -> None:
    t = byte_pairs()
    found = gguf_tokenizer(tmp_path / "a.gguf")
    assert found.eos_token == "<|endoftext|>"
    ids = found("the cat sat 12").input_ids
    assert ids == [t.bos_token_id, *t("the cat sat 12").input_ids]
    assert found.decode(ids, skip_special_tokens=True) == "the cat sat 12"
    for pre, pieces in {"smollm": ["1", "2", "3", "4"], "llama-bpe": ["123", "4"]}.items():
        # Training never saw a digit, so each is a token; how they are cut shows before.
        cut = gguf_tokenizer(tmp_path / "b.gguf", pre).backend.pre_tokenizer
        assert [piece for piece, _ in cut.pre_tokenize_str("1234")] == pieces
    with pytest.raises(RuntimeError, match=r"expected a tokenizer.ggml.pre of .* Got dbrx"):
        gguf_tokenizer(tmp_path / "c.gguf", "dbrx")


def test_batches_to_train_on(tmp_path: Path) -> None:
    t = word_pieces(tmp_path)
    texts = [t("the cat sat on the mat"), t("a cat")]
    batch = text.DataCollatorWithPadding(t, pad_to_multiple_of=5)(
        [{**encoded, "label": k} for k, encoded in enumerate(texts)]
    )
    assert batch.input_ids.shape == batch.attention_mask.shape == (2, 10)
    assert batch.labels.tolist() == [0, 1]
    causal = text.DataCollatorForLanguageModeling(t, mlm=False)([[5, 6, 7], [5]])
    assert causal.labels.tolist() == [[5, 6, 7], [5, -100, -100]]
    assert causal.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    with pytest.raises(ValueError, match="expected a tokenizer with a mask_token"):
        text.DataCollatorForLanguageModeling(byte_pairs())


def test_masked_language_modelling_asks_for_the_shares_of_the_paper(tmp_path: Path) -> None:
    t = word_pieces(tmp_path)
    torch.manual_seed(0)
    words = [[2, *([5, 6, 7, 8, 9, 13] * 20), 3] for _ in range(100)]
    batch = text.DataCollatorForLanguageModeling(t, mlm_probability=0.3)([*words, [2, 5, 3]])
    tokens, labels = batch.input_ids.numpy(), batch.labels.numpy()
    asked = labels != -100
    original = np.where(asked, labels, tokens)
    assert (original[:100] == np.array(words)).all()
    assert not np.isin(original[asked], [0, 2, 3]).any()
    count = 100 * 120  # four standard deviations of the first share are .017, of the others .027
    assert abs(asked.sum() / count - 0.3) < 0.017
    masked, kept = (tokens == 4)[asked].mean(), (tokens == labels)[asked].mean()
    assert abs(masked - (0.8 + 0.1 / 18)) < 0.027
    assert abs(kept - (0.1 + 0.1 / 18)) < 0.027


def test_packing_leaves_no_gaps() -> None:
    pieces = list(text.pack([[1, 2, 3], [4, 5], [6, 7, 8, 9]], 4, end=0))
    assert [p.tolist() for p in pieces] == [[1, 2, 3, 0], [4, 5, 0, 6], [7, 8, 9, 0]]


def test_wrong_texts_say_what_was_expected(tmp_path: Path) -> None:
    t, pairs = word_pieces(tmp_path), byte_pairs()
    with pytest.raises(TypeError, match=r"expected a text or a list of texts. Got int"):
        t(3)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"expected a text or a list of texts. Got one with NoneType"
    ):
        t(["a", None])
    with pytest.raises(ValueError, match=r"Got 3 to 4 tokens. Say padding=True"):
        t(["a", "a cat"], return_tensors="pt")
    with pytest.raises(ValueError, match="expected max_length with truncation"):
        pairs("a", truncation=True)
    with pytest.raises(ValueError, match="'<p>' is none; make it one by add_special_tokens"):
        pairs.pad_token = "<p>"
    pairs.pad_token = None
    with pytest.raises(ValueError, match=r"tokenizer.pad_token = tokenizer.eos_token"):
        pairs(["a", "b c"], padding=True)
    with pytest.raises(RuntimeError, match=r"batch_decode takes those"):
        t.decode([[5]])
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(RuntimeError, match=r"expected a tokenizer in .*tokenizer.json"):
        text.Tokenizer.from_pretrained(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(RuntimeError, match=r"vocab.json \+ merges.txt, .* Got none"):
        text.Tokenizer.from_pretrained(tmp_path / "none")


def test_without_the_library_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r"pip install 'flambeau\[text\]'"):
        text.Tokenizer.from_pretrained(tmp_path)


def test_numbers_of_any_library_are_decoded(tmp_path: Path) -> None:
    t = word_pieces(tmp_path)
    for ids in ([13, 6], np.array([13, 6]), torch.tensor([13, 6]), list(np.array([13, 6])),
                list(torch.tensor([13, 6])), (13, 6)):  # fmt: skip
        assert t.decode(ids) == "a cat"
    for one in (6, np.int64(6), torch.tensor(6), np.array(6)):
        assert t.decode(one) == "cat"
    assert t.convert_ids_to_tokens(6) == "cat"
    assert t.convert_ids_to_tokens(torch.tensor([13, 6])) == ["a", "cat"]
    for batch in ([[13, 6]], torch.tensor([[13, 6]]), [torch.tensor([13, 6])]):
        with pytest.raises(RuntimeError, match="batch_decode takes those"):
            t.decode(batch)


def test_special_tokens_are_listed_and_columns_are_those_asked_for(tmp_path: Path) -> None:
    t = word_pieces(tmp_path)
    assert t.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert t.all_special_ids == [1, 3, 0, 2, 4]
    assert set(t("a", return_attention_mask=False, return_token_type_ids=False)) == {"input_ids"}
    with pytest.raises(ValueError, match=r"a text_pair for each text. Got 2 texts and 1 pairs"):
        t(["a", "cat"], ["mat"])


def test_what_a_template_asks_for_reaches_it() -> None:
    pytest.importorskip("jinja2")
    t = byte_pairs()
    t.chat_template = "{% if thinks %}the {% endif %}{{ messages[0].content }}"
    talk = [{"role": "user", "content": "cat"}]
    assert t.apply_chat_template(talk, tokenize=False, thinks=True) == "the cat"
    found = t.apply_chat_template(talk, thinks=False, return_tensors="pt", return_dict=True)
    assert t.decode(found.input_ids[0]) == "cat"
