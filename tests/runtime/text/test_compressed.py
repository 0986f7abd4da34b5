"""Models whose weights stay in the few bits that a GGUF file has for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import text
from flambeau.text.compressed import Compressed, CompressedLinear, nearest_codes
from flambeau.text.layers import Conv1D

from .test_folders import gguf_file
from .tiny import bert_config, drawn, gpt2_config, llama_config

SIZES = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 96}
TOKENS = torch.tensor([[5, 9, 4, 22, 7], [3, 8, 3, 6, 11]])


def q8_0(array: Any) -> tuple[int, bytes]:
    """Type and blocks of a matrix: the largest of 32 numbers is 127 steps."""
    groups = array.reshape(-1, 32)
    scale = (np.abs(groups).max(1, keepdims=True) / 127).astype(np.float16)
    codes = np.rint(groups / scale.astype(np.float32)).astype(np.int8)
    return 8, np.concatenate(
        [scale.view(np.uint8).reshape(-1, 2), codes.view(np.uint8)], 1
    ).tobytes()


def q4_1(array: Any) -> tuple[int, bytes]:
    """The smallest of 32 numbers is code 0, the largest 15."""
    groups = array.reshape(-1, 32)
    low = groups.min(1, keepdims=True)
    scale = ((groups.max(1, keepdims=True) - low) / 15).astype(np.float16)
    codes = np.clip(np.rint((groups - low) / scale.astype(np.float32)), 0, 15).astype(np.uint8)
    head = [a.view(np.uint8).reshape(-1, 2) for a in (scale, low.astype(np.float16))]
    return 3, np.concatenate([*head, codes[:, :16] | codes[:, 16:] << 4], 1).tobytes()


def stored(name: str, array: Any) -> tuple[int, bytes]:
    """Norms as they are, words in 8 bits, the rest in 4."""
    if array.ndim == 1:
        return 0, array.tobytes()
    return (q8_0 if name.startswith(("token_embd", "output")) else q4_1)(array)


def file_of(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "tiny.gguf"
    model = drawn(text.LlamaForCausalLM, llama_config(**SIZES, **changes))
    path.write_bytes(gguf_file(model, stored))
    return path


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(TOKENS).logits


@pytest.mark.parametrize("ties", [False, True])
def test_a_compressed_model_computes_what_the_widened_one_does(tmp_path: Path, ties: bool) -> None:
    path = file_of(tmp_path, tie_word_embeddings=ties)
    wide = text.AutoModelForCausalLM.from_pretrained(path)
    model, info = text.AutoModelForCausalLM.from_pretrained(
        path, dtype="auto", output_loading_info=True
    )
    assert not any(info.values())
    assert torch.allclose(logits(model), logits(wide), rtol=1e-4, atol=1e-4)
    assert model.num_parameters() == wide.num_parameters()
    assert model.dtype is torch.float32
    held = [m for m in model.modules() if isinstance(m, Compressed)]
    assert len(held) == 2 * 7 + 2
    assert (model.lm_head.codes is model.model.embed_tokens.codes) == ties
    options = {"max_new_tokens": 8, "eos_token_id": None}
    assert torch.equal(model.generate(TOKENS, **options), wide.generate(TOKENS, **options))
    model.save_pretrained(tmp_path / "again")
    size = sum(p.stat().st_size for p in (tmp_path / "again").iterdir())
    wide.save_pretrained(tmp_path / "wide")
    assert size < 0.4 * sum(p.stat().st_size for p in (tmp_path / "wide").iterdir())
    for dtype in (None, "auto"):
        again = text.AutoModelForCausalLM.from_pretrained(tmp_path / "again", dtype=dtype)
        assert torch.equal(logits(again), logits(model))


def test_scales_keep_their_precision_when_a_model_changes_its_own(tmp_path: Path) -> None:
    model = text.AutoModelForCausalLM.from_pretrained(file_of(tmp_path), dtype="auto")
    before = logits(model)
    layer = model.model.layers[0].mlp.up_proj
    assert layer(torch.randn(2, 64, dtype=torch.bfloat16)).dtype is torch.bfloat16
    weight = layer.weight
    model.half()
    assert layer.scales.dtype is torch.float32
    assert torch.equal(layer.weight, weight)
    assert "4 bits, groups of 32" in repr(layer)
    model.float()
    assert torch.allclose(logits(model), before, atol=0.05)


def test_an_adapter_learns_through_compressed_weights(tmp_path: Path) -> None:
    model = text.AutoModelForCausalLM.from_pretrained(file_of(tmp_path), dtype="auto")
    model.requires_grad_(False)
    attention = model.model.layers[0].self_attn

    class Adapted(torch.nn.Module):
        def __init__(self, base: CompressedLinear) -> None:
            super().__init__()
            self.base = base
            self.down = torch.nn.Linear(base.in_features, 4, bias=False)
            self.up = torch.nn.Linear(4, base.out_features, bias=False)
            torch.nn.init.zeros_(self.up.weight)

        def forward(self, x: Any) -> Any:
            return self.base(x) + self.up(self.down(x))

    attention.q_proj = Adapted(attention.q_proj)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(12):
        loss = model(TOKENS, labels=TOKENS).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.05


def test_what_does_not_fit_compressed_weights_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    model = text.AutoModelForCausalLM.from_pretrained(path, dtype="auto")
    with pytest.raises(TypeError, match="They are compressed; load the model without"):
        model.resize_token_embeddings(70)
    model.save_pretrained(tmp_path / "again")
    with pytest.raises(RuntimeError, match=r"expected model\S+mlp\S+weight .*128.* codes of .*96"):
        text.AutoModelForCausalLM.from_pretrained(
            tmp_path / "again", config=llama_config(**{**SIZES, "intermediate_size": 128})
        )


@pytest.mark.parametrize("bits", [4, 8])
def test_codes_are_the_nearest_of_their_groups(bits: int) -> None:
    weight = torch.randn(5, 96) * torch.tensor([[1e-6], [0.1], [1.0], [30.0], [0.0]])
    parts = nearest_codes(weight, bits)
    found = CompressedLinear(parts).weight
    step = parts["scales"].repeat_interleave(32, 1)
    assert ((found - weight).abs() <= step * 0.5001).all()
    assert (step[3] < 2.0001 * weight[3].abs().max() / (2**bits - 2)).all()
    assert parts["codes"].nbytes == 5 * 96 * bits // 8
    assert torch.equal(found[4], weight[4])


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_any_model_is_compressed_and_stays_so_in_its_folder(tmp_path: Path, kind: str) -> None:
    model = {
        "llama": lambda: drawn(text.LlamaForCausalLM, llama_config(**SIZES)),
        "gpt2": lambda: drawn(text.GPT2LMHeadModel, gpt2_config(vocab_size=64, n_embd=64)),
        "bert": lambda: drawn(text.BertForMaskedLM, bert_config(
            vocab_size=64, hidden_size=64, intermediate_size=96)),
    }[kind]()  # fmt: skip
    model.save_pretrained(tmp_path)
    cls = type(model)
    small = cls.from_pretrained(tmp_path, load_in_8bit=True)
    after, count = logits(small), 0
    with torch.no_grad():
        for name, layer in small.named_modules():
            if isinstance(layer, Compressed):
                old = model.get_submodule(name)
                weight = old.weight.t() if isinstance(old, Conv1D) else old.weight
                assert (weight - layer.weight).abs().max() < 0.01 * weight.abs().max()
                weight.copy_(layer.weight)
                count += 1
    assert count == {"llama": 16, "gpt2": 11, "bert": 17}[kind]
    assert torch.allclose(logits(model), after, rtol=1e-3, atol=1e-3)
    assert torch.equal(logits(text.compress(cls.from_pretrained(tmp_path), bits=8)), after)
    small.save_pretrained(tmp_path / "small")
    assert torch.equal(logits(cls.from_pretrained(tmp_path / "small")), after)
    with pytest.raises(ValueError, match=r"expected 4 or 8 bits. Got 5"):
        text.compress(model, bits=5)
