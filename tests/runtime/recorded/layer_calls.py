"""Layers that take more than one tensor, and what PyTorch computes with them, recorded once.

`python -m tests.runtime.recorded.layer_calls`, in an environment that has PyTorch, writes
layer_calls.json anew. The tests read it and never import PyTorch.
"""

# ruff: noqa: E501 - a table reads best with a row a line

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_suffix(".json")

CALLS: dict[str, str] = {
    "nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10])": "m(X(5, 16), torch.tensor([1, 5, 12, 19, 2]))",
    "nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], head_bias=True)": "[m.log_prob(X(5, 16)), m.predict(X(5, 16))]",
    "nn.RReLU()": "m(X(4, 5))",
    "nn.RReLU(inplace=True)": "m(X(4, 5) * 1)",
    "nn.Threshold(0.1, 2)": "m(X(4, 5))",
    "nn.GLU()": "m(X(4, 6))",
    "nn.Softmin(1)": "m(X(4, 5))",
    "nn.Softmax2d()": "m(X(2, 3, 4, 5))",
    "nn.Softshrink()": "m(X(4, 5))",
    "nn.Hardshrink(0.3)": "m(X(4, 5))",
    "nn.PReLU(5)": "m(X(4, 5))",
    "nn.CELU(0.7)": "m(X(4, 5))",
    "nn.SELU(inplace=True)": "m(X(4, 5) * 1)",
    "nn.Tanhshrink()": "m(X(4, 5))",
    "nn.Hardtanh(min_value=-0.5, max_value=0.3)": "m(X(4, 5))",
    "nn.AlphaDropout(0.3)": "m(X(4, 5))",
    "nn.FeatureAlphaDropout()": "m(X(3, 4, 5))",
    "nn.Dropout3d()": "m(X(2, 3, 4, 5, 2))",
    "nn.Embedding(30, 4, -1, 2.0, scale_grad_by_freq=True)": "m(torch.tensor([[0, 1], [1, 29]]))",
    "nn.EmbeddingBag(5, 4)": "m(torch.tensor([[0, 1], [2, 2]]))",
    "nn.EmbeddingBag(5, 4, mode='max')": "m(torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1]))",
    "nn.EmbeddingBag(5, 4, 1.0, 3.0, True, 'sum', False, None, True, 1)": "m(torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 4]), torch.arange(4.0))",
    "nn.Bilinear(2, 3, 4)": "m(X(5, 2), X(5, 3))",
    "nn.CTCLoss()": "m(X(5, 2, 4).log_softmax(2), torch.tensor([[1, 2, 2], [3, 1, 1]]), (5, 4), (3, 2))",
    "nn.CTCLoss(2, 'sum', True)": "m(X(5, 2, 4).log_softmax(2), torch.tensor([[1, 1, 1], [3, 1, 1]]), (3, 4), (3, 2))",
    "nn.TripletMarginLoss(0.3, 1, 1e-3, True, reduction='none')": "m(X(4, 5), X(4, 5), X(4, 5))",
    "nn.MarginRankingLoss(0.3)": "m(X(4), X(4), torch.tensor([1.0, -1, 1, -1]))",
    "nn.HingeEmbeddingLoss(0.3)": "m(X(4), torch.tensor([1.0, -1, 1, -1]))",
    "nn.CosineEmbeddingLoss(0.3, reduction='sum')": "m(X(4, 3), X(4, 3), torch.tensor([1.0, -1, 1, -1]))",
    "nn.MultiLabelMarginLoss()": "m(X(2, 4), torch.tensor([[3, 0, -1, 1], [0, -1, 1, 2]]))",
    "nn.SoftMarginLoss()": "m(X(4), torch.tensor([1.0, -1, 1, -1]))",
    "nn.MultiLabelSoftMarginLoss(torch.tensor([1.0, 2, 3]))": "m(X(2, 3), torch.tensor([[1.0, 0, 1], [0, 1, 1]]))",
    "nn.MultiMarginLoss(2, 0.5, torch.tensor([1.0, 2, 3]))": "m(X(2, 3), torch.tensor([1, 2]))",
    "nn.PoissonNLLLoss(False, True)": "m(X(5).abs(), torch.tensor([1.0, 2, 3, 4, 5]))",
    "nn.GaussianNLLLoss(full=True)": "m(X(5, 2), X(5, 2), X(5, 1).abs())",
    "nn.NLLLoss2d()": "m(X(2, 3, 4, 4), torch.ones(2, 4, 4).long())",
    "nn.LinearCrossEntropyLoss(5, 4, bias=True, label_smoothing=0.1)": "m(X(3, 5), torch.tensor([1, 2, 3]))",
    "nn.LinearCrossEntropyLoss(5, 4, out_features=(2,), ignore_index=1, reduction='none')": "m(X(3, 5), torch.tensor([[1, 2], [2, 3], [0, 0]]))",
    "nn.ParameterList([torch.ones(2), nn.Parameter(torch.ones(3, 4)), 3])": "[m[0] * X(2), m[1][0]]",
    "nn.ParameterDict({'b': torch.ones(2), 'a': 3})": "m['b'] * X(2)",
    "2 * nn.Sequential(nn.Linear(3, 3), nn.ReLU())": "m(X(2, 3))",
    "nn.RNN(3, 4, 2, 'relu', False, True, 0.3, True)": "m(X(5, 2, 3), X(4, 5, 4))",
    "nn.RNN(3, 4)": "m(X(5, 3))",
    "nn.LSTM(3, 4)": "m(X(5, 2, 3))",
    "nn.LSTM(3, 4, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True, proj_size=2)": "m(X(2, 5, 3))",
    "nn.LSTM(3, 4, 2, bidirectional=True, dropout=0.4)": "m(nn.utils.rnn.pack_padded_sequence(X(3, 5, 3), [2, 5, 3], True, False), (X(4, 3, 4), X(4, 3, 4)))",
    "nn.GRU(3, 4, 3, True, False, 0.2, True)": "m(X(5, 2, 3), X(6, 2, 4))",
    "nn.GRU(3, 4, bidirectional=True, num_layers=2)": "m(nn.utils.rnn.pack_sequence([X(4, 3), X(5, 3), X(1, 3)], enforce_sorted=False))",
    "nn.RNN(3, 4, bias=False)": "nn.utils.rnn.pad_packed_sequence(m(nn.utils.rnn.pack_sequence([X(4, 3), X(5, 3)], False))[0], True, -1.0, 7)",
    "nn.GRUCell(3, 4)": "m(X(2, 3))",
    "nn.RNNCell(3, 4, False, 'relu')": "m(X(2, 3), X(2, 4))",
    "nn.LSTMCell(3, 4, bias=False)": "m(X(2, 3), (X(2, 4), X(2, 4)))",
    "nn.LSTMCell(3, 4)": "m(X(3))",
    "nn.MultiheadAttention(4, 2)": "m(X(5, 3, 4), X(6, 3, 4), X(6, 3, 4))",
    "nn.MultiheadAttention(4, 2, batch_first=True, dropout=0.3)": "m(X(5, 3, 4), X(5, 6, 4), X(5, 6, 4))",
    "nn.MultiheadAttention(4, 2, kdim=3, vdim=5)": "m(X(5, 3, 4), X(6, 3, 3), X(6, 3, 5), need_weights=False)",
    "nn.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True, bias=False)": "m(X(5, 3, 4), X(6, 3, 4), X(6, 3, 4), average_attn_weights=False)",
    "nn.MultiheadAttention(4, 2, add_bias_kv=True)": "m(X(5, 4), X(6, 4), X(6, 4), attn_mask=torch.ones(5, 6).triu(1).bool(), key_padding_mask=torch.tensor([0, 0, 0, 1, 0, 1]).bool())",
    "nn.MultiheadAttention(4, 1)": "(lambda x: m(x, x, x, attn_mask=torch.ones(5, 5).triu(1).bool(), is_causal=True, need_weights=False))(X(5, 3, 4))",
    "nn.MultiheadAttention(6, 3)": "(lambda x: m(x, x, x, attn_mask=torch.ones(5, 5).tril(1).bool(), need_weights=False))(X(5, 3, 6))",
    "nn.TransformerEncoderLayer(4, 2, 8)": "m(X(5, 3, 4))",
    "nn.TransformerEncoderLayer(4, 2, 8, norm_first=True, activation='gelu', bias=False)": "m(X(5, 3, 4))",
    "nn.TransformerEncoderLayer(4, 2, 8, dropout=0.5, batch_first=True)": "m(X(5, 3, 4), src_key_padding_mask=torch.tensor([[0, 0, 1]] * 5).bool())",
    "nn.TransformerDecoderLayer(4, 2, 8, activation=nn.ReLU(), norm_first=True, batch_first=True)": "m(X(3, 5, 4), X(3, 6, 4), nn.Transformer.generate_square_subsequent_mask(5))",
    "nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2, nn.LayerNorm(4))": "m(X(5, 3, 4), nn.Transformer.generate_square_subsequent_mask(5))",
    "nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8), 2)": "m(X(5, 3, 4), X(6, 3, 4))",
    "nn.Transformer(4, 2, 2, 2, 8, batch_first=True)": "m(X(3, 5, 4), X(3, 6, 4), src_key_padding_mask=torch.tensor([[0, 0, 0, 1, 1]] * 3).bool())",
    "nn.Transformer(4, 2, 1, 1, 8)": "m(X(5, 4), X(6, 4))",
}  # fmt: skip


def tensors_of(value: Any) -> list[Any]:
    """All tensors in a result."""
    if hasattr(value, "batch_sizes"):
        return [value.data]
    if isinstance(value, tuple | list):
        return [t for v in value for t in tensors_of(v)]
    return [] if value is None else [value]


def outcome(torch: Any, make: str, call: str) -> dict[str, Any]:
    """Seeded, the layer's repr and keys, and sums and sums of absolute values of the outputs and of
    the gradients of inputs and parameters."""
    torch.manual_seed(1)
    inputs: list[Any] = []

    def draw(*sizes: int) -> Any:
        inputs.append(torch.randn(*sizes).requires_grad_())
        return inputs[-1]

    names: dict[str, Any] = {"nn": torch.nn, "torch": torch, "X": draw}
    layer = names["m"] = eval(make, names)
    outs = tensors_of(eval(call, names))
    # Weights of their own for the elements, as norms would take equal ones away.
    total = sum(
        (t.double().reshape(-1) * torch.arange(float(t.numel())).cos().double()).sum()
        for t in outs
        if t.requires_grad
    )
    total.backward()
    grads = [t.grad for t in (*inputs, *layer.parameters())]
    sums = [
        None if t is None else [float(t.double().sum()), float(t.double().abs().sum())]
        for t in (*outs, *grads)
    ]
    return {"repr": repr(layer), "keys": list(layer.state_dict()), "sums": sums}


def main() -> None:
    """Record."""
    import torch

    found = {make: outcome(torch, make, call) for make, call in CALLS.items()}
    rows = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()]
    RECORD.write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
