"""Libraries written for PyTorch run on the runtime, which they find under its name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FLAMBEAU = str(Path(sys.executable).with_name("flambeau"))

HUGGING_FACE = """
import os
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from transformers import (
    BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, logging
)
logging.set_verbosity_error()

def filled(model):
    with torch.no_grad():
        for k, (name, p) in enumerate(model.named_parameters()):
            is_scale = ("norm" in name.lower() or "ln_" in name) and "weight" in name
            wave = 0.1 * torch.sin(torch.arange(p.numel()) * 0.7 + k)
            p.copy_(wave.reshape(p.shape) + (1.0 if is_scale else 0.0))
    return model.eval()

ids = torch.arange(14).reshape(2, 7) * 5 % 50
small = dict(hidden_size=32, num_hidden_layers=2, intermediate_size=64, vocab_size=50)
bert = filled(BertModel(BertConfig(num_attention_heads=2, **small)))
print([round(x, 3) for x in bert(ids).last_hidden_state[0, 0, :4].tolist()])
gpt = filled(GPT2LMHeadModel(GPT2Config(
    n_embd=32, n_layer=2, n_head=2, vocab_size=50, n_positions=64, bos_token_id=0, eos_token_id=0
)))
loss = gpt(ids, labels=ids).loss
loss.backward()
print(round(loss.item(), 3), round(gpt.transformer.h[0].attn.c_attn.weight.grad.norm().item(), 3))
llama = filled(LlamaForCausalLM(LlamaConfig(
    num_attention_heads=4, num_key_value_heads=2, **small
)))
print(llama.generate(ids[:1], max_new_tokens=8, do_sample=False, pad_token_id=0)[0, 7:].tolist())
"""

SMALLER = """
import sys
import torch
from einops import rearrange, reduce
from safetensors.torch import load_file, safe_open, save_file
x = torch.arange(16.0).reshape(1, 1, 4, 4).requires_grad_()
y = rearrange(x, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=2)
reduce(y, "b n d -> b n", "max").sum().backward()
print(y[0, 1].tolist(), x.grad.sum().item())
path = sys.argv[1]
save_file({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}, path)
found = load_file(path)
with safe_open(path, "pt") as file:
    print(found["b"].dtype, file.get_slice("a")[:, 1:].tolist())
"""


def run(code: str, path: Path, *arguments: str) -> list[str]:
    """The lines that `code`, a script, prints."""
    path.write_text(code)
    done = subprocess.run(
        [FLAMBEAU, "run", str(path), *arguments], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_hugging_faces_models_give_what_they_give_on_pytorch(tmp_path: Path) -> None:
    """The numbers are those of PyTorch 2.13 with Transformers 5.24."""
    assert run(HUGGING_FACE, tmp_path / "script.py") == [
        "[0.923, 1.421, 0.178, 0.075]",
        "5.345 1.749",
        "[18, 21, 48, 3, 49, 26, 17, 38]",
    ]


def test_einops_and_safetensors_find_what_they_need(tmp_path: Path) -> None:
    found = run(SMALLER, tmp_path / "script.py", str(tmp_path / "x.safetensors"))
    assert found == [
        "[2.0, 3.0, 6.0, 7.0] 4.0",
        "torch.bfloat16 [[1.0, 2.0], [4.0, 5.0]]",
    ]
