"""Folders of models: what is saved loads, and what others saved in older ways loads too."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import text

from .tiny import MODELS, bert_config, drawn, gpt2_config, llama_config

TOKENS = torch.tensor([[5, 9, 1, 22, 7, 7, 29, 3]])


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(TOKENS).logits


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shard", [10**9, 2000])
def test_a_saved_model_comes_back(name: str, shard: int, tmp_path: Path) -> None:
    model = MODELS[name]()
    model.save_pretrained(tmp_path, max_shard_size=shard)
    files = {p.name for p in tmp_path.iterdir()}
    assert ("model.safetensors" in files) == (shard > 2000)
    assert ("model.safetensors.index.json" in files) == (shard == 2000)
    again, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert not again.training
    assert again.config == model.config
    assert torch.equal(logits(again), logits(model))
    half = type(model).from_pretrained(tmp_path, dtype="bfloat16")
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


def test_tied_weights_are_one_and_stay_one(tmp_path: Path) -> None:
    model = drawn(text.GPT2LMHeadModel, gpt2_config())
    assert model.lm_head.weight is model.transformer.wte.weight
    model.save_pretrained(tmp_path)
    stored = torch.load(tmp_path / "model.safetensors")
    assert "lm_head.weight" not in stored
    again = text.GPT2LMHeadModel.from_pretrained(tmp_path)
    assert again.lm_head.weight is again.transformer.wte.weight
    assert again.num_parameters() == sum(t.numel() for t in stored.values())
    again.resize_token_embeddings(33)
    assert again.lm_head.weight is again.transformer.wte.weight
    assert torch.equal(logits(again)[..., :30], logits(model))
    assert again(torch.tensor([[32]])).logits.shape == (1, 1, 33)
    untied = drawn(text.LlamaForCausalLM, llama_config())
    untied.resize_token_embeddings(20)
    assert untied.lm_head.weight.shape == untied.model.embed_tokens.weight.shape == (20, 16)
    masked = drawn(text.BertForMaskedLM, bert_config())
    masked.resize_token_embeddings(31)
    assert logits(masked).shape == (1, 8, 31)


def older(name: str) -> str:
    """What TensorFlow's BERT calls a parameter."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


def test_older_files_load(tmp_path: Path) -> None:
    bert = drawn(text.BertForMaskedLM, bert_config())
    bert.config.save_pretrained(tmp_path)
    state = {older(k): t for k, t in bert.state_dict().items()}
    state["bert.embeddings.position_ids"] = torch.arange(12)[None]
    torch.save(state, tmp_path / "pytorch_model.bin")
    again, info = text.BertForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert torch.equal(logits(again), logits(bert))


def test_a_base_model_loads_from_one_with_a_head_and_back(tmp_path: Path) -> None:
    gpt = drawn(text.GPT2LMHeadModel, gpt2_config())
    gpt.save_pretrained(tmp_path / "gpt")
    inner = text.GPT2Model.from_pretrained(tmp_path / "gpt")
    inner.save_pretrained(tmp_path / "inner")
    stored = torch.load(tmp_path / "inner" / "model.safetensors")
    assert "wte.weight" in stored
    whole = text.GPT2LMHeadModel.from_pretrained(tmp_path / "inner")
    assert torch.equal(logits(whole), logits(gpt))


def test_weights_of_a_new_head_are_drawn_and_named(tmp_path: Path) -> None:
    drawn(text.BertForMaskedLM, bert_config()).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match=r"bert.pooler.dense.bias, .*classifier.weight are not in"):
        model = text.BertForSequenceClassification.from_pretrained(tmp_path, num_labels=5)
    assert model.classifier.weight.shape == (5, 16)
    assert 0.2 < model.classifier.weight.std().item() < 0.6
    model.save_pretrained(tmp_path / "five")
    with pytest.raises(RuntimeError, match=r"expected classifier.bias \(3,\). The file has \(5,\)"):
        text.BertForSequenceClassification.from_pretrained(tmp_path / "five", num_labels=3)
    with pytest.warns(UserWarning, match=r"classifier.bias, classifier.weight are not in"):
        text.BertForSequenceClassification.from_pretrained(
            tmp_path / "five", num_labels=3, ignore_mismatched_sizes=True
        )


def test_a_folder_that_is_not_the_model_s_says_why(tmp_path: Path) -> None:
    load = text.BertModel.from_pretrained
    with pytest.raises(RuntimeError, match=r"expected config.json in .*absent. Got no such folder"):
        load(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(RuntimeError, match=r"expected config.json in .*the folder has notes.txt"):
        load(tmp_path)
    bert_config().save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match=r"expected model.safetensors or pytorch_model.bin in"):
        load(tmp_path)
    with pytest.raises(RuntimeError, match=r"GPT2Model: expected a model of type gpt2. Got 'bert'"):
        text.GPT2Model.from_pretrained(tmp_path)
    index = {"weight_map": {"embeddings.LayerNorm.weight": "../elsewhere.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(RuntimeError, match=r"expected ../elsewhere.safetensors in .* It is absent"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(RuntimeError, match=r"expected JSON in"):
        load(tmp_path)


def test_what_config_json_says_beyond_our_fields_is_kept(tmp_path: Path) -> None:
    stored = {"model_type": "bert", "hidden_size": 16, "my_note": [1, 2], "id2label":
              {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(stored))
    config = text.BertConfig.from_pretrained(tmp_path, num_hidden_layers=1)
    assert (config.hidden_size, config.num_hidden_layers, config.num_labels) == (16, 1, 2)
    assert config.label2id == {"no": 0, "yes": 1}
    config.save_pretrained(tmp_path)
    again = json.loads((tmp_path / "config.json").read_text())
    assert {k: again[k] for k in stored} == stored


def gguf_text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def as_float(name: str, array: Any) -> tuple[int, bytes]:
    """GGML's type of float32, and the bytes."""
    return 0, np.ascontiguousarray(array).tobytes()


def gguf_file(model: Any, stored: Any = as_float) -> bytes:
    """A Llama as llama.cpp stores it: rows of queries and keys as neighbouring pairs, sizes
    reversed. `stored` gives type and bytes of an array."""
    config, state = model.config, model.state_dict()
    numbers = {"block_count": 2, "context_length": 40, "embedding_length": config.hidden_size,
               "feed_forward_length": config.intermediate_size, "attention.head_count": 4,
               "attention.head_count_kv": 2}  # fmt: skip
    reals = {"rope.freq_base": config.rope_theta, "attention.layer_norm_rms_epsilon": 1e-6}
    pairs = [gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("llama")]
    pairs += [gguf_text(f"llama.{k}") + struct.pack("<II", 4, v) for k, v in numbers.items()]
    pairs += [gguf_text(f"llama.{k}") + struct.pack("<If", 6, v) for k, v in reals.items()]
    names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj":
             "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
             "post_attention_layernorm": "ffn_norm", "model.embed_tokens": "token_embd",
             "model.norm": "output_norm", "lm_head": "output", "model.layers": "blk"}  # fmt: skip
    described, content = [], b""
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    for name, tensor in state.items():
        array = tensor.numpy()
        for old, new in names.items():
            name = name.replace(old, new)
        for part, heads in (("attn_q", 4), ("attn_k", 2)):
            if part in name:
                array = (
                    array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
                )
        sizes = struct.pack(f"<I{array.ndim}Q", array.ndim, *reversed(array.shape))
        kind, data = stored(name, np.ascontiguousarray(array))
        described.append(gguf_text(name) + sizes + struct.pack("<IQ", kind, len(content)))
        content += data
        content += bytes(-len(content) % 32)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(described), len(pairs))
    head += b"".join(pairs) + b"".join(described)
    return head + bytes(-len(head) % 32) + content


def test_a_gguf_file_is_the_model_it_was_made_of(tmp_path: Path) -> None:
    model = drawn(text.LlamaForCausalLM, llama_config())
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_file(model))
    again, info = text.LlamaForCausalLM.from_pretrained(path, output_loading_info=True)
    assert not any(info.values())
    assert torch.allclose(logits(again), logits(model), atol=1e-6)
    beside = text.LlamaForCausalLM.from_pretrained(tmp_path, gguf_file="tiny.gguf")
    assert torch.equal(logits(beside), logits(again))
    with pytest.raises(RuntimeError, match=r"expected a file .*absent.gguf"):
        text.LlamaForCausalLM.from_pretrained(tmp_path / "absent.gguf")


def test_what_examples_say_beside_the_path_is_understood(tmp_path: Path) -> None:
    drawn(text.BertForMaskedLM, bert_config()).save_pretrained(tmp_path)
    model = text.AutoModelForMaskedLM.from_pretrained(
        tmp_path, torch_dtype=torch.float16, device_map="auto", local_files_only=True
    )
    assert model.dtype is torch.float16
    assert model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    model.save_pretrained(tmp_path / "half")
    assert text.BertForMaskedLM.from_pretrained(tmp_path / "half", dtype="auto").dtype is (
        torch.float16
    )
    with pytest.raises(TypeError, match=r"BertConfig: num_lables is no field. There are archi"):
        text.AutoModelForSequenceClassification.from_pretrained(tmp_path, num_lables=3)
    with pytest.raises(ValueError, match=r"expected a configuration of GPT2LMHeadModel, Llama"):
        text.AutoModelForCausalLM.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(RuntimeError, match=r"expected a model_type of bert, gpt2, .* Got 't5'"):
        text.AutoModel.from_pretrained(tmp_path)


def test_a_dtype_of_no_such_name_is_refused(tmp_path: Path) -> None:
    MODELS["bert"]().save_pretrained(tmp_path)
    for name in ("bfloat61", "iinfo"):
        with pytest.raises(ValueError, match=f"expected a dtype such as 'bfloat16'.*'{name}'"):
            text.AutoModelForMaskedLM.from_pretrained(tmp_path, dtype=name)


def test_gguf_files_without_sizes_that_fit_are_refused(tmp_path: Path) -> None:
    content = gguf_file(drawn(text.LlamaForCausalLM, llama_config()))
    path = tmp_path / "broken.gguf"
    key = gguf_text("llama.attention.head_count")
    path.write_bytes(content.replace(key, gguf_text("llama.attention.head_cpunt")))
    with pytest.raises(RuntimeError, match=r"a whole number llama.attention.head_count .* None"):
        text.AutoModelForCausalLM.from_pretrained(path)
    four, seven = (key + struct.pack("<II", 4, n) for n in (4, 7))
    path.write_bytes(content.replace(four, seven))
    with pytest.raises(RuntimeError, match=r"expected pairs of rows for 7 heads. Got 16 rows"):
        text.LlamaForCausalLM.from_pretrained(path)
