"""BERT, GPT-2 and Llama compute what their papers say; masks, padding and the cache change
nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import text
from flambeau.nn import functional as F

from . import reference
from .tiny import bert_config, drawn, gpt2_config, llama_config

TOKENS = np.array([[5, 9, 1, 22, 7, 7, 29, 3], [8, 2, 2, 11, 0, 4, 19, 6]])
CLOSE = {"rtol": 2e-5, "atol": 2e-5}  # float32, products of at most 24 terms, two layers

DECODERS = {
    "gpt2": (text.GPT2LMHeadModel, gpt2_config, reference.gpt2),
    "llama": (text.LlamaForCausalLM, llama_config, reference.llama),
}


def values(t: Any) -> Any:
    return t.detach().numpy()


def test_bert_is_the_paper_s_with_segments_and_padding() -> None:
    model = drawn(text.BertModel, bert_config())
    segments = (np.arange(8) > 4).astype(np.int64)
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    out = model(torch.tensor(TOKENS), mask, torch.tensor(segments).expand(2, 8))
    w = reference.weights_of(model)
    for k, real in enumerate((8, 5)):
        expected = reference.bert(w, model.config, TOKENS[k], segments, real)
        np.testing.assert_allclose(
            values(out.last_hidden_state[k, :real]), expected[:real], **CLOSE
        )
    pooled = np.tanh(reference.dense(values(out[0])[:, 0].astype(float), w, "pooler.dense"))
    np.testing.assert_allclose(values(out.pooler_output), pooled, **CLOSE)


@pytest.mark.parametrize("name", DECODERS)
def test_logits_are_the_paper_s(name: str) -> None:
    kind, config, expected = DECODERS[name]
    model = drawn(kind, config())
    found = values(model(torch.tensor(TOKENS)).logits)
    w = reference.weights_of(model)
    for row, logits in zip(TOKENS, found, strict=True):
        np.testing.assert_allclose(logits, expected(w, model.config, row), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("changes", [
    {"sliding_window": 3, "model_type": "mistral"}, {"model_type": "qwen2"}, {"head_dim": 6},
    {"model_type": "qwen3", "head_dim": 6},
    {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True, "rope_theta": 500.0},
])  # fmt: skip
def test_relatives_of_llama_are_the_paper_s(changes: dict[str, Any]) -> None:
    model = drawn(text.LlamaForCausalLM, llama_config(**changes))
    expected = reference.llama(reference.weights_of(model), model.config, TOKENS[0])
    found = values(model(torch.tensor(TOKENS[:1])).logits)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    if "sliding_window" in changes:
        cache, pieces = model.make_cache(1, 8), []
        for piece in torch.tensor(TOKENS[:1]).split([4, 1, 2, 1], 1):
            pieces.append(model(piece, past_key_values=cache).logits)
        np.testing.assert_allclose(values(torch.cat(pieces, 1))[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", DECODERS)
def test_reading_in_pieces_with_a_cache_gives_the_logits_of_reading_at_once(name: str) -> None:
    kind, config, _ = DECODERS[name]
    model, tokens = drawn(kind, config()), torch.tensor(TOKENS)
    with torch.no_grad():
        whole = model(tokens).logits
        cache, pieces = model.make_cache(2, 8), []
        for piece in tokens.split([3, 1, 2, 1, 1], 1):
            pieces.append(model(piece, past_key_values=cache).logits)
        assert cache.get_seq_length() == 8
        assert torch.allclose(torch.cat(pieces, 1), whole, atol=1e-5)
        assert torch.equal(model(tokens, logits_to_keep=1).logits, whole[:, -1:])
        with pytest.raises(RuntimeError, match=r"expected at most 8 tokens of 2 texts. Got 9 of 2"):
            model(tokens[:, :1], past_key_values=cache)


@pytest.mark.parametrize("name", DECODERS)
def test_padding_on_the_left_changes_no_logits(name: str) -> None:
    kind, config, _ = DECODERS[name]
    model, tokens = drawn(kind, config()), torch.tensor(TOKENS)
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.int64), tokens], 1)
    mask = torch.tensor([[0] * 3 + [1] * 8] * 2)
    with torch.no_grad():
        alone = model(tokens).logits
        assert torch.allclose(model(padded, mask).logits[:, 3:], alone, atol=1e-5)
        cache = model.make_cache(2, 11)
        model(padded[:, :7], mask[:, :7], past_key_values=cache)
        for k in range(7, 11):
            last = model(padded[:, k : k + 1], mask[:, : k + 1], past_key_values=cache).logits
            assert torch.allclose(last[:, 0], alone[:, k - 3], atol=1e-5)


def test_waves_longer_than_the_first_training_are_stretched_as_llama_3_1_s() -> None:
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}  # fmt: skip
    config = llama_config(head_dim=16, rope_theta=1e4, rope_scaling=rope)
    from flambeau.text.llama import frequencies

    for k, found in enumerate(frequencies(config).tolist()):
        plain = 1e4 ** (-2 * k / 16)
        wave = 2 * math.pi / plain
        smooth = (64 / wave - 1) / 3
        expected = plain
        if wave > 64:
            expected = plain / 8
        elif wave > 16:
            expected = (1 - smooth) * plain / 8 + smooth * plain
        assert found == pytest.approx(expected, rel=1e-5)
    with pytest.raises(
        ValueError, match=r"expected rope_type default, linear or llama3. Got 'yarn"
    ):
        frequencies(llama_config(rope_scaling={"type": "yarn", "factor": 2.0}))


def test_hidden_states_are_kept_where_asked_for() -> None:
    tokens = torch.tensor(TOKENS)
    for kind, config in ((text.BertModel, bert_config), (text.LlamaModel, llama_config)):
        model = drawn(kind, config())
        asked = model(tokens, output_hidden_states=True)
        assert [s.shape for s in asked.hidden_states] == [(2, 8, 16)] * 3
        plain = model(tokens)
        assert plain.hidden_states is None
        assert "hidden_states" not in plain
        assert torch.equal(plain[0], asked[0])
        last = asked.hidden_states[-1]
        expected = last if kind is text.BertModel else model.norm(last)
        assert torch.equal(expected, asked.last_hidden_state)


def test_losses_are_the_cross_entropy_of_what_is_asked() -> None:
    tokens = torch.tensor(TOKENS)
    labels = tokens.clone()
    labels[:, :4] = -100
    decoder = drawn(text.GPT2LMHeadModel, gpt2_config())
    out = decoder(tokens, labels=labels)
    expected = F.cross_entropy(out.logits[:, 3:-1].flatten(0, 1), tokens[:, 4:].flatten())
    assert torch.allclose(out.loss, expected)
    masked = drawn(text.BertForMaskedLM, bert_config())
    out = masked(tokens, labels=labels)
    assert torch.allclose(
        out.loss, F.cross_entropy(out.logits[:, 4:].flatten(0, 1), tokens[:, 4:].flatten())
    )


def test_the_heads_of_bert_train_towards_their_labels() -> None:
    tokens = torch.tensor(TOKENS)
    cases: list[tuple[Any, dict[str, Any], int, tuple[int, ...]]] = [
        (text.BertForSequenceClassification, {"labels": torch.tensor([0, 2])}, 3, (2, 3)),
        (text.BertForSequenceClassification, {"labels": torch.tensor([0.5, -1.0])}, 1, (2, 1)),
        (text.BertForSequenceClassification, {"labels": torch.ones(2, 3)}, 3, (2, 3)),
        (text.BertForTokenClassification, {"labels": tokens % 3}, 3, (2, 8, 3)),
        (text.BertForQuestionAnswering, {"start_positions": torch.tensor([1, 3]),
         "end_positions": torch.tensor([2, 7])}, 2, (2, 8)),
    ]  # fmt: skip
    for kind, asked, labels, shape in cases:
        torch.manual_seed(0)
        model = kind(bert_config(num_labels=labels, initializer_range=0.1)).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(8):
            optimizer.zero_grad()
            out = model(tokens, **asked)
            out.loss.backward()
            optimizer.step()
            losses.append(out.loss.item())
        assert out[1].shape == shape
        assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", DECODERS)
def test_checkpointed_layers_give_the_gradients_of_kept_ones(name: str) -> None:
    kind, config, _ = DECODERS[name]
    model, tokens = drawn(kind, config()).train(), torch.tensor(TOKENS)
    for dropout in (m for m in model.modules() if isinstance(m, torch.nn.Dropout)):
        dropout.p = 0.0
    for layer in model.modules():
        if hasattr(layer, "rate"):
            layer.rate = 0.0
    gradients = []
    for enable in (model.gradient_checkpointing_disable, model.gradient_checkpointing_enable):
        enable()
        model.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    for kept, again in zip(*gradients, strict=True):
        assert torch.allclose(kept, again, atol=1e-6)


def test_wrong_inputs_say_what_was_expected() -> None:
    bert, gpt = drawn(text.BertModel, bert_config()), drawn(text.GPT2Model, gpt2_config())
    with pytest.raises(RuntimeError, match=r"expected input_ids \(batch, length\). Got \(8,\)"):
        bert(torch.tensor(TOKENS[0]))
    with pytest.raises(RuntimeError, match=r"expected at most 12 tokens.* Got 13"):
        bert(torch.zeros(1, 13, dtype=torch.int64))
    with pytest.raises(RuntimeError, match=r"expected attention_mask \(2, 8\).* Got \(2, 7\)"):
        gpt(torch.tensor(TOKENS), torch.zeros(2, 7))
    with pytest.raises(TypeError, match=r"BertModel: expected a BertConfig. Got GPT2Config"):
        text.BertModel(gpt2_config())
    with pytest.raises(ValueError, match=r"expected one of gelu, .* Got 'swoosh'"):
        text.BertModel(bert_config(hidden_act="swoosh"))
    with pytest.raises(AttributeError, match=r"ModelOutput has no 'logit'. It has loss, logits"):
        _ = text.ModelOutput(loss=1.0, logits=2.0).logit
