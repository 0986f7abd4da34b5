"""Layers that take more than one tensor, against recorded PyTorch; containers; packed sequences;
what is refused."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn.utils import rnn

from .recorded import layer_calls

RECORDED = json.loads(layer_calls.RECORD.read_text())


@pytest.mark.parametrize("make", layer_calls.CALLS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_layers_begin_compute_and_print_as_recorded(make: str) -> None:
    found, wanted = layer_calls.outcome(torch, make, layer_calls.CALLS[make]), RECORDED[make]
    assert found["repr"] == wanted["repr"]
    assert found["keys"] == wanted["keys"]
    for mine, theirs in zip(found["sums"], wanted["sums"], strict=True):
        assert (mine is None) == (theirs is None)
        if mine is not None:
            # float32 rounding grows with the terms that are added up
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5 * theirs[1] + 1e-5)


def test_rows_that_may_look_nowhere_get_zeros_and_finite_gradients() -> None:
    layer = nn.MultiheadAttention(4, 2, bias=False)
    x = torch.randn(3, 2, 4, requires_grad=True)
    mask = torch.tensor([[False, True, True], [True, True, True], [False, False, False]])
    out, weights = layer(x, x, x, need_weights=False, attn_mask=mask)
    assert weights is None
    assert (out[1] == 0).all()
    out.sum().backward()
    assert torch.isfinite(x.grad).all()
    scores = torch.nn.functional.scaled_dot_product_attention(
        x, x, x, torch.full((2, 2), float("-inf"))
    )
    scores.sum().backward()
    assert (scores == 0).all()
    assert torch.isfinite(x.grad).all()


def test_dropout_draws_in_the_order_of_memory() -> None:
    x = torch.ones(4, 5, 6)
    torch.manual_seed(0)
    wanted = torch.dropout(x, 0.5, True).permute(2, 0, 1)
    torch.manual_seed(0)
    assert torch.equal(torch.dropout(x.permute(2, 0, 1), 0.5, True), wanted)


def sequences(*lengths: int) -> list[Any]:
    return [torch.arange(2.0 * n).reshape(n, 2) + 10 * n for n in lengths]


def test_packing_sorts_and_unpacking_restores() -> None:
    given = sequences(2, 4, 1)
    packed = rnn.pack_sequence(given, enforce_sorted=False)
    assert packed.batch_sizes.tolist() == [3, 2, 1, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    begins = [given[k][0].tolist() for k in (1, 0, 2)]
    assert packed.data[:3].tolist() == begins
    for found, wanted in zip(rnn.unpack_sequence(packed), given, strict=True):
        assert torch.equal(found, wanted)
    padded, lengths = rnn.pad_packed_sequence(packed, True, -1.0, 5)
    assert lengths.tolist() == [2, 4, 1]
    assert padded.shape == (3, 5, 2)
    assert (padded[2, 1:] == -1.0).all()
    assert packed.double().data.dtype is torch.float64
    again = rnn.PackedSequence((packed.data, packed.batch_sizes), None, packed.sorted_indices)
    assert again.unsorted_indices.tolist() == [1, 0, 2]


def test_padding_goes_to_either_side() -> None:
    given = sequences(1, 2)
    right, left = rnn.pad_sequence(given), rnn.pad_sequence(given, True, 7.0, "left")
    assert right[:, 0].tolist() == [[10.0, 11.0], [0.0, 0.0]]
    assert left[0].tolist() == [[7.0, 7.0], [10.0, 11.0]]
    for found, wanted in zip(rnn.unpad_sequence(right, torch.tensor([1, 2])), given, strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_have_second_derivatives(name: str) -> None:
    torch.manual_seed(0)
    layer = getattr(nn, name)(2, 2, bidirectional=True).double()
    weights = list(layer.parameters())
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def function(x: Any, *_: Any) -> Any:
        return layer(x)[0]

    assert torch.autograd.gradgradcheck(function, (x, weights[1]))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.LSTM(3, 4)(torch.ones(5, 2, 4)), RuntimeError, "as input_size says"),
        (lambda: nn.LSTM(3, 4)(torch.ones(5)), ValueError, "2 or 3 dimensions"),
        (lambda: nn.LSTM(3, 4)(torch.ones(5, 2, 3).double()), ValueError, "torch.float32"),
        (lambda: nn.GRU(3, 4)(torch.ones(5, 2, 3), torch.ones(1, 3, 4)), RuntimeError, "1, 2, 4"),
        (lambda: nn.GRU(3, 4)(torch.ones(0, 2, 3)), RuntimeError, "at least one time"),
        (lambda: nn.GRU(3, 4, proj_size=2), ValueError, "only LSTM"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "below hidden_size"),
        (lambda: nn.GRU(3, 0), ValueError, "hidden_size above 0"),
        (lambda: nn.GRU(3, 4.0), TypeError, "int as hidden_size"),
        (lambda: nn.RNN(3, 4, nonlinearity="sine"), ValueError, "'tanh' or 'relu'"),
        (lambda: nn.RNN(3, 4, 2, dropout=2.0), ValueError, "dropout from 0 to 1"),
        (lambda: nn.LSTMCell(3, 4)(torch.ones(2, 4)), RuntimeError, "input .B, 3"),
        (lambda: nn.GRUCell(3, 4)(torch.ones(1, 2, 3)), ValueError, "input with 1 or 2"),
        (lambda: nn.MultiheadAttention(4, 3), AssertionError, "heads divide"),
        (lambda: nn.MultiheadAttention(0, 3), ValueError, "above 0"),
        (lambda: nn.MultiheadAttention(4, 2)(*[torch.ones(3, 4)] * 3, is_causal=True), RuntimeError,
         "needs the causal"),
        (lambda: nn.MultiheadAttention(4, 2)(*[torch.ones(3, 2, 4)] * 3, torch.ones(2, 3).long()),
         AssertionError, "key_padding_mask of bool"),
        (lambda: nn.MultiheadAttention(4, 2)(*[torch.ones(3, 2, 4)] * 3, torch.ones(3, 3).bool()),
         AssertionError, "key_padding_mask .2, 3"),
        (lambda: nn.MultiheadAttention(4, 2)(*[torch.ones(3, 4)] * 3, attn_mask=torch.ones(2, 3)),
         RuntimeError, "attn_mask .3, 3"),
        (lambda: nn.MultiheadAttention(4, 2)(*[torch.ones(3, 5)] * 3), AssertionError, "query"),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="sine"), RuntimeError, "'relu'"),
        (lambda: nn.Transformer(4, 2, 1, 1, 8)(torch.ones(5, 3, 4), torch.ones(5, 2, 4)),
         RuntimeError, "as many sequences"),
        (lambda: rnn.pack_sequence(sequences(1, 2)), RuntimeError, "do not rise"),
        (lambda: rnn.pack_padded_sequence(torch.ones(4, 2, 1), [5, 4]), RuntimeError, "1 to 4"),
        (lambda: rnn.pack_padded_sequence(torch.ones(4, 3, 1), [4, 4]), RuntimeError, "3 lengths"),
        (lambda: rnn.pad_sequence([torch.ones(2)], padding_side="top"), RuntimeError, "'left'"),
        (lambda: rnn.pad_packed_sequence(rnn.pack_sequence(sequences(3)), total_length=2),
         ValueError, "at least 3"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 9, [5, 5]), ValueError, "cutoffs that rise"),
        (lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 9, [5])(torch.ones(1, 4), torch.tensor([9])),
         RuntimeError, "0 to 8"),
        (lambda: nn.TripletMarginLoss(0.0), ValueError, "margin above 0"),
        (lambda: nn.MultiMarginLoss(3), ValueError, "p 1 or 2"),
        (lambda: nn.Bilinear(0, 1, 1), ValueError, "in1_features above 0"),
        (lambda: nn.Softmax2d()(torch.ones(2, 2)), ValueError, "N, C, H, W"),
        (lambda: nn.Embedding(3, 4, _weight=torch.ones(4, 3)), ValueError, "_weight .3, 4"),
        (lambda: nn.ParameterList(torch.ones(2)), TypeError, "several values"),
        (lambda: nn.ParameterList()[0], IndexError, "index"),
        (lambda: nn.ParameterDict({1: torch.ones(1)}), TypeError, "strings as keys"),
        (lambda: nn.Sequential() * 0, ValueError, "1 or more"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_explained(call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_dropout_between_layers_needs_two() -> None:
    with pytest.warns(UserWarning, match="only one"):
        nn.GRU(3, 4, dropout=0.5)


def test_parameter_lists_act_as_lists() -> None:
    found = nn.ParameterList([torch.ones(1), torch.ones(2)])
    assert all(isinstance(p, nn.Parameter) for p in found)
    found += [torch.ones(3)]
    found[0] = torch.zeros(4)
    assert [p.numel() for p in found] == [4, 2, 3]
    assert [p.numel() for p in found[1:]] == [2, 3]
    assert list(found.state_dict()) == ["0", "1", "2"]
    assert found[-1].numel() == 3
    with pytest.raises(RuntimeError, match="no forward"):
        found(1)


def test_parameter_dicts_act_as_dicts() -> None:
    found = nn.ParameterDict({"b": torch.ones(1), "a": torch.ones(2)})
    assert list(found) == ["a", "b"]
    assert list(nn.ParameterDict(OrderedDict(b=torch.ones(1), a=torch.ones(2)))) == ["b", "a"]
    assert found.get("c") is None
    assert found.setdefault("c", torch.ones(3)).numel() == 3
    assert found.popitem()[0] == "c"
    assert "c" not in found
    both = found | {"d": torch.ones(4)}
    assert list(both) == ["a", "b", "d"]
    assert both["a"] is found["a"]
    assert found.pop("a").numel() == 2
    found.clear()
    assert len(found) == 0
    assert list(found.parameters()) == []
