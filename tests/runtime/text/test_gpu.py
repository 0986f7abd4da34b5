"""The models on a GPU, or on the stand-in for one, as on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as torch
from flambeau import text

from .tiny import bert_config, drawn, gpt2_config, llama_config

pytestmark = [pytest.mark.usefixtures("gpu"), pytest.mark.cuda]

TOKENS = torch.tensor([[0, 0, 5, 9, 4], [3, 8, 3, 6, 11]])
MASK = torch.tensor([[0, 0, 1, 1, 1], [1] * 5])


@pytest.mark.parametrize(("kind", "config"), [
    (text.GPT2LMHeadModel, gpt2_config), (text.LlamaForCausalLM, llama_config),
])  # fmt: skip
def test_texts_are_those_of_the_cpu(kind: Any, config: Any) -> None:
    model = drawn(kind, config(eos_token_id=None))
    options: list[dict[str, Any]] = [{}, {"num_beams": 3}, {"repetition_penalty": 1.5}]
    expected = [model.generate(TOKENS, MASK, max_new_tokens=6, **o) for o in options]
    model.cuda()
    for there, how in zip(expected, options, strict=True):
        found = model.generate(TOKENS.cuda(), MASK.cuda(), max_new_tokens=6, **how)
        assert found.is_cuda
        assert torch.equal(found.cpu(), there)
    model.generate(TOKENS.cuda(), MASK.cuda(), max_new_tokens=3, do_sample=True, top_p=0.9)


def test_bert_trains_there() -> None:
    model = drawn(text.BertForSequenceClassification, bert_config())
    expected = model(TOKENS, attention_mask=MASK, labels=torch.tensor([0, 1])).loss
    model.cuda()
    loss = model(TOKENS.cuda(), attention_mask=MASK.cuda(), labels=torch.tensor([0, 1]).cuda()).loss
    loss.backward()
    assert torch.allclose(loss.cpu(), expected, atol=1e-5)
    assert all(p.grad is not None for p in model.parameters())
