"""Texts that models write: checked against reading everything again at each step, and against all
texts that there are."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import text
from flambeau.text.choosing import likely
from flambeau.text.generation_options import GenerationConfig

from .tiny import drawn, gpt2_config, llama_config
from .words import byte_pairs

PROMPTS = torch.tensor([[5, 9, 4, 22, 7], [3, 8, 3, 6, 11]])

MODELS = {
    "gpt2": lambda **changes: drawn(text.GPT2LMHeadModel, gpt2_config(**changes)),
    "llama": lambda **changes: drawn(text.LlamaForCausalLM, llama_config(**changes)),
}


def greedy(model: Any, tokens: list[int], new: int) -> list[int]:
    """The best next token, again and again, each time from the whole text."""
    with torch.no_grad():
        for _ in range(new):
            tokens = [*tokens, int(model(torch.tensor([tokens])).logits[0, -1].argmax())]
    return tokens


@pytest.mark.parametrize("name", MODELS)
def test_greedy_texts_are_those_of_reading_all_again(name: str) -> None:
    model = MODELS[name](eos_token_id=None)
    found = model.generate(PROMPTS, max_new_tokens=12)
    assert found.tolist() == [greedy(model, row, 12) for row in PROMPTS.tolist()]
    assert found.dtype is torch.int64
    assert not found.requires_grad


@pytest.mark.parametrize("name", MODELS)
def test_prompts_of_unequal_length_go_on_as_if_alone(name: str) -> None:
    model = MODELS[name](eos_token_id=None)
    padded = torch.tensor([[0, 0, 5, 9, 4], [3, 8, 3, 6, 11]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1] * 5])
    found = model.generate(padded, mask, max_new_tokens=8)
    assert found[0, 2:].tolist() == greedy(model, [5, 9, 4], 8)
    assert found[1].tolist() == greedy(model, [3, 8, 3, 6, 11], 8)
    with pytest.raises(ValueError, match="expected padding on the left"):
        model.generate(padded.flip(1), mask.flip(1))


def test_a_text_ends_at_its_last_token_and_is_filled_up() -> None:
    model = MODELS["gpt2"](eos_token_id=None)
    first, second = (greedy(model, row, 10) for row in PROMPTS.tolist())
    end = next(t for t in first[6:] if t not in second)
    stop = first.index(end, 5)
    found = model.generate(PROMPTS, max_new_tokens=10, eos_token_id=[end, 29], pad_token_id=0)
    assert found[0].tolist() == first[: stop + 1] + [0] * (15 - stop - 1)
    assert found[1].tolist() == second
    alone = model.generate(PROMPTS[:1], max_new_tokens=10, eos_token_id=end)
    assert alone[0].tolist() == first[: stop + 1]
    longer = model.generate(
        PROMPTS[:1], max_new_tokens=10, eos_token_id=end, min_new_tokens=stop - 3
    )
    assert longer.shape[1] > stop + 1


def test_lengths_are_bounded_by_options_and_by_the_model() -> None:
    model = MODELS["llama"](eos_token_id=None)
    assert model.generate(PROMPTS, max_length=7).shape == (2, 7)
    assert model.generate(PROMPTS).shape == (2, 40)
    with pytest.raises(ValueError, match="expected max_length above the 5 tokens"):
        model.generate(PROMPTS, max_length=5)
    with pytest.raises(RuntimeError, match="expected at most 39 tokens in the prompt"):
        model.generate(torch.zeros(1, 41, dtype=torch.int64))


def test_a_seed_draws_the_same_text_and_several_of_a_prompt_differ() -> None:
    model = MODELS["llama"](eos_token_id=None)
    options = {"do_sample": True, "num_return_sequences": 3, "max_new_tokens": 8, "top_k": 20}
    torch.manual_seed(1)
    first = model.generate(PROMPTS, **options)
    torch.manual_seed(1)
    assert torch.equal(model.generate(PROMPTS, **options), first)
    assert first.shape == (6, 13)
    assert torch.equal(first[::3, :5], PROMPTS)
    assert len({tuple(row) for row in first[:3].tolist()}) > 1
    own = [
        model.generate(PROMPTS, generator=torch.Generator().manual_seed(7), **options)
        for _ in range(2)
    ]
    assert torch.equal(*own)
    nearly = model.generate(PROMPTS, do_sample=True, temperature=1e-4, max_new_tokens=8)
    assert torch.equal(nearly, model.generate(PROMPTS, max_new_tokens=8))


def test_candidates_are_those_of_the_definitions() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 12)).astype(np.float32) * 2
    for options in ({"top_k": 3}, {"top_p": 0.7}, {"top_k": 0, "top_p": 0.5}, {"min_p": 0.2},
                    {"top_k": 6, "top_p": 0.6, "temperature": 0.5}, {"top_k": 0}):  # fmt: skip
        given = GenerationConfig(do_sample=True, **options)
        kept, tokens = likely(torch.tensor(scores), given)
        for row, found in enumerate(kept.tolist()):
            ids = range(12) if tokens is None else tokens[row].tolist()
            chosen = {t for t, value in zip(ids, found, strict=True) if value > -np.inf}
            x = scores[row].astype(float) / given.temperature
            order = np.argsort(-x)[: given.top_k or 12]
            shares = np.exp(x[order] - x[order].max())
            shares /= shares.sum()
            expected = []
            for k, token in enumerate(order):
                if shares[:k].sum() < given.top_p and shares[k] >= given.min_p * shares[0]:
                    expected.append(int(token))
            assert chosen == set(expected), options


def test_repetition_is_penalized_where_tokens_were_and_padding_was_not() -> None:
    model = MODELS["gpt2"](eos_token_id=None)
    padded = torch.tensor([[0, 0, 5, 9, 4]])
    mask = torch.tensor([[0, 0, 1, 1, 1]])
    found = model.generate(padded, mask, max_new_tokens=10, repetition_penalty=1.8)[0, 2:].tolist()
    tokens = [5, 9, 4]
    with torch.no_grad():
        for _ in range(10):
            scores = model(torch.tensor([tokens])).logits[0, -1].numpy()
            for token in set(tokens):
                scores[token] *= 1.8 if scores[token] < 0 else 1 / 1.8
            tokens.append(int(scores.argmax()))
    assert found == tokens
    plain = greedy(model, [5, 9, 4], 20)
    runs = list(itertools.pairwise(plain))
    assert len(set(runs)) < len(runs)
    varied = model.generate(torch.tensor([[5, 9, 4]]), max_new_tokens=20, no_repeat_ngram_size=2)
    runs = list(itertools.pairwise(varied[0].tolist()))
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_enough_beams_find_the_best_of_all_texts(penalty: float) -> None:
    vocabulary, new, end = 5, 3, 4
    model = MODELS["gpt2"](vocab_size=vocabulary, eos_token_id=end, bos_token_id=0)
    prompts = torch.tensor([[1, 2, 3], [0, 3, 0]])
    found = model.generate(
        prompts, max_new_tokens=new, num_beams=64, length_penalty=penalty, num_return_sequences=2,
        pad_token_id=0,
    )  # fmt: skip
    for row, prompt in enumerate(prompts.tolist()):
        rated = []
        for tail in itertools.product(range(vocabulary), repeat=new):
            if end in tail:
                tail = tail[: tail.index(end) + 1]
            with torch.no_grad():
                shares = model(torch.tensor([[*prompt, *tail]])).logits[0].log_softmax(-1)
            total = sum(shares[2 + k, token].item() for k, token in enumerate(tail))
            rated.append((total / len(tail) ** penalty, tail))
        best = [tail for _, tail in sorted(set(rated), reverse=True)][:2]
        for tail, text_found in zip(best, found[2 * row : 2 * row + 2].tolist(), strict=True):
            filled = [*prompt, *tail] + [0] * (found.shape[1] - 3 - len(tail))
            assert text_found == filled


def test_one_text_streams_as_generate_returns_it() -> None:
    model = MODELS["llama"](eos_token_id=None)

    class Letters:
        def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
            return "".join(chr(97 + k) for k in ids)

        def batch_decode(self, rows: Any) -> list[str]:
            return [self.decode(row.tolist(), True) for row in rows]

    letters = Letters()
    whole = letters.decode(model.generate(PROMPTS[:1], max_new_tokens=9)[0, 5:].tolist(), True)
    pieces = list(model.stream(PROMPTS[:1], tokenizer=letters, max_new_tokens=9))
    assert len(pieces) == 9
    assert "".join(pieces) == whole
    stopped = model.generate(
        PROMPTS[:1], max_new_tokens=9, stop_strings=[whole[3:5]], tokenizer=letters
    )
    assert stopped.shape[1] == 5 + whole.index(whole[3:5]) + 2

    class Impatient(text.TextStreamer):
        def on_text(self, piece: str, is_last: bool) -> None:
            if len(self.text) == 4 and not is_last:
                raise KeyboardInterrupt

    streamer = Impatient(letters, skip_prompt=True)
    came = model.generate(PROMPTS[:1], max_new_tokens=9, streamer=streamer)
    assert letters.decode(came[0, 5:].tolist(), True) == streamer.text == whole[:4]
    with pytest.raises(ValueError, match=r"expected one text. Got 2"):
        model.generate(PROMPTS, streamer=text.TextStreamer(letters))


def test_functions_of_the_caller_change_scores_and_end_texts() -> None:
    model = MODELS["gpt2"](eos_token_id=None)
    first, second = (greedy(model, row, 8) for row in PROMPTS.tolist())

    def without(tokens: Any, scores: Any) -> Any:
        assert tokens.shape[0] == scores.shape[0] == 2
        return scores.index_fill(1, torch.tensor(first[5:6]), -torch.inf)

    found = model.generate(PROMPTS, max_new_tokens=8, logits_processor=[without])
    assert first[5] not in found[:, 5:]
    short = model.generate(
        PROMPTS, max_new_tokens=8, pad_token_id=0,
        stopping_criteria=[lambda tokens, scores: tokens[:, -1] == first[6]],
    )  # fmt: skip
    end = first.index(first[6], 5) + 1
    assert short[0].tolist()[:end] == first[:end]
    assert not short[0, end:].any()
    if first[6] not in second[5:]:
        assert short[1].tolist() == second
    all_end = [lambda tokens, scores: tokens.shape[1] >= 7]
    assert model.generate(PROMPTS, max_new_tokens=8, stopping_criteria=all_end).shape == (2, 7)


def chat_of(name: str, **sizes: Any) -> text.Chat:
    """One that reads and writes letters of a small tokenizer."""
    pytest.importorskip("tokenizers")
    pytest.importorskip("jinja2")
    tokenizer = byte_pairs()
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}{% endfor %}"
    model = MODELS[name](vocab_size=len(tokenizer), eos_token_id=None, **sizes)
    return text.Chat(model, tokenizer, system="sat", max_new_tokens=6)


def test_a_chat_remembers_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    chat = chat_of("gpt2", n_positions=200)
    tokenizer = chat.tokenizer
    chat("the cat")
    said = capsys.readouterr().out
    assert [m["role"] for m in chat.messages] == ["system", "user", "assistant"]
    assert chat.messages[2]["content"] == said.strip()
    prompt = tokenizer("<s>sat<u>the cat", return_tensors="pt").input_ids
    written = chat.model.generate(prompt, max_new_tokens=6)[0, prompt.shape[1] :]
    assert said == tokenizer.decode(written) + "\n"
    pieces = chat.answer("on the mat", max_new_tokens=9)
    came = next(pieces)
    pieces.close()
    assert chat.messages[-2:] == [
        {"role": "user", "content": "on the mat"}, {"role": "assistant", "content": came.strip()},
    ]  # fmt: skip


def test_a_model_in_training_goes_on_training_after_it_wrote() -> None:
    model = MODELS["gpt2"](eos_token_id=None).train()
    assert torch.equal(
        model.generate(PROMPTS, max_new_tokens=5), model.generate(PROMPTS, max_new_tokens=5)
    )
    assert model.training
    stream = model.stream(PROMPTS[:1], tokenizer=None, max_new_tokens=5)
    stream.close()
    assert model.training
    assert torch.is_grad_enabled()


def test_options_of_a_folder_hold_until_changed(tmp_path: Path) -> None:
    model = MODELS["gpt2"](eos_token_id=None)
    model.generation_config = GenerationConfig(max_length=9, repetition_penalty=1.5)
    model.save_pretrained(tmp_path)
    again = text.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.generation_config == model.generation_config
    assert again.generate(PROMPTS).shape == (2, 9)
    assert again.generate(PROMPTS, max_new_tokens=2).shape == (2, 7)


def test_options_without_sense_are_refused() -> None:
    model = MODELS["gpt2"]()
    for options, error, message in (
        ({"temperature": 0.0}, ValueError, "temperature above 0; do_sample=False takes the best"),
        ({"top_p": 1.5}, ValueError, r"top_p in \(0, 1\]. Got 1.5"),
        ({"num_return_sequences": 2}, ValueError, "all would be the same"),
        ({"num_beams": 2, "do_sample": True}, ValueError, "not both"),
        ({"tempreature": 1.0}, TypeError, "tempreature is no option. There are: input_ids"),
        ({"stop_strings": "x"}, ValueError, "expected tokenizer= with stop_strings"),
    ):
        with pytest.raises(error, match=message):
            model.generate(PROMPTS, **options)
    with pytest.raises(RuntimeError, match=r"expected input_ids .* Got \(5,\)"):
        model.generate(PROMPTS[0])
    with pytest.raises(RuntimeError, match=r"expected input_ids .* Got <class 'str'>"):
        model.generate("Once upon a time")


@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_that_fills_the_model_is_refused_by_its_length(name: str) -> None:
    model = MODELS[name]()
    full = torch.ones(1, 40, dtype=torch.int64)
    for options in ({}, {"num_beams": 2}):
        with pytest.raises(RuntimeError, match=r"at most 39 tokens in the prompt.*Got 40"):
            model.generate(full, max_new_tokens=1, **options)
    assert model.generate(full[:, 1:], max_new_tokens=5, eos_token_id=[]).shape == (1, 40)


@pytest.mark.parametrize("name", MODELS)
def test_a_cache_of_the_beginning_is_not_read_again(name: str) -> None:
    model = MODELS[name](eos_token_id=None)
    lengths: list[int] = []
    model.base_model.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    expected = model.generate(PROMPTS, max_new_tokens=6)
    cache = model.make_cache(2, 40, room=3)
    lengths.clear()
    first = model.generate(PROMPTS[:, :3], max_new_tokens=2, past_key_values=cache)
    assert (cache.length, first.shape[1], lengths) == (4, 5, [3, 1])
    with pytest.raises(ValueError, match="expected input_ids that go on after the 4 tokens"):
        model.generate(PROMPTS[:, :4], past_key_values=cache)
    cache.crop(3)
    lengths.clear()
    found = model.generate(PROMPTS, max_new_tokens=6, past_key_values=cache)
    assert lengths == [2, 1, 1, 1, 1, 1]
    assert torch.equal(found, expected)
    cache.crop(2)
    beams = model.generate(PROMPTS, max_new_tokens=4, num_beams=3, past_key_values=cache)
    assert torch.equal(beams, model.generate(PROMPTS, max_new_tokens=4, num_beams=3))


def test_scores_come_with_the_texts_where_they_are_asked_for() -> None:
    model = MODELS["gpt2"](eos_token_id=None)
    asked = {"return_dict_in_generate": True, "output_scores": True, "use_cache": True}
    out = model.generate(PROMPTS, max_new_tokens=3, repetition_penalty=1.3, **asked)
    assert len(out.scores) == 3
    assert [s.argmax(-1).tolist() for s in out.scores] == out.sequences[:, 5:].mT.tolist()
    out = model.generate(PROMPTS, max_new_tokens=3, num_beams=4, num_return_sequences=2, **asked)
    for text_found, score in zip(out.sequences, out.sequences_scores.tolist(), strict=True):
        shares = model(text_found[None]).logits[0].log_softmax(-1)
        total = sum(shares[k - 1, text_found[k]].item() for k in range(5, 8))
        assert score == pytest.approx(total / 3, rel=1e-5)
    assert model.generate(PROMPTS, return_dict_in_generate=True).scores is None
    with pytest.raises(ValueError, match="expected output_scores with return_dict_in_generate"):
        model.generate(PROMPTS, output_scores=True)


def test_a_chat_reads_each_message_once_until_the_weights_change() -> None:
    chat = chat_of("llama", max_position_embeddings=200)
    lengths: list[int] = []
    chat.model.model.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))

    def asked(question: str) -> tuple[int, int]:
        """Tokens of the prompt that were read, and all of them."""
        lengths.clear()
        said = "".join(chat.answer(question))
        read = lengths[0]
        fresh = text.Chat(chat.model, chat.tokenizer, max_new_tokens=6)
        fresh.messages = chat.messages[:-2]
        lengths.clear()
        assert "".join(fresh.answer(question)) == said
        return read, lengths[0]

    read, first = asked("the cat")
    assert read == first
    read, second = asked("the dog")
    assert read == second - first
    with torch.no_grad():
        chat.model.lm_head.weight.mul_(-1)
    read, third = asked("on the mat")
    assert read == third
    chat.messages.clear()
    read, whole = asked("the mat")
    assert read >= whole - 1  # "<" at most is as it was


def test_a_chat_longer_than_the_model_leaves_the_oldest_messages_out() -> None:
    chat = chat_of("gpt2", n_positions=40)
    said = [{"role": role, "content": "the mat, the dog"} for role in ("user", "assistant")]
    chat.messages += said * 2
    of_all = chat.tokenizer.apply_chat_template([*chat.messages, *said[:1]], return_tensors="pt")
    assert of_all.shape[1] > 40 - 6
    with pytest.warns(UserWarning, match="no longer reads the oldest 2 messages"):
        answer = "".join(chat.answer("the dog"))
    assert len(chat.messages) == 7
    fresh = text.Chat(chat.model, chat.tokenizer, max_new_tokens=6)
    fresh.messages = [chat.messages[0], *said]
    assert "".join(fresh.answer("the dog")) == answer
    fresh.messages.clear()
    with pytest.raises(RuntimeError, match="at most 39 tokens in the prompt"):
        list(fresh.answer("the cat sat on the mat; " * 9))
