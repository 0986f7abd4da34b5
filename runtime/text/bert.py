"""BERT, an encoder that reads both ways, and its heads. Source: arXiv:1810.04805."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .. import nn
from ..core.creation import zeros
from ..core.ranges import arange
from ..core.tensor import Tensor
from ..nn import functional as F
from ..nn.parameter import Parameter
from .configuration import PretrainedConfig
from .layers import activation, attend, padding_mask, token_loss
from .outputs import ModelOutput
from .pretrained import PreTrainedModel, check_tokens

__all__ = [
    "BertConfig",
    "BertForMaskedLM",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
]


@dataclass(kw_only=True)
class BertConfig(PretrainedConfig):
    """Sizes of a BERT; the defaults are those of bert-base-uncased."""

    model_types: ClassVar[tuple[str, ...]] = ("bert",)
    model_type: str = "bert"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    classifier_dropout: float | None = None
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = self.other.get("position_embedding_type", "absolute")
        if kind != "absolute":
            raise ValueError(f"BertConfig: expected absolute position embeddings. Got {kind!r}.")


class BertOutput(nn.Module):
    """What ends each half of a layer: a linear map, and the norm of its sum with the input."""

    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """norm(residual + dropout(dense(x)))."""
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class BertEmbeddings(nn.Module):
    """norm(word + position + segment)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(
            config.vocab_size, width, padding_idx=config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None
    ) -> Tensor:
        """(batch, n) -> (batch, n, hidden_size)."""
        n, device = input_ids.shape[1], input_ids.device
        if position_ids is None:
            position_ids = arange(n, device=device)
        if token_type_ids is None:
            token_type_ids = zeros(1, n, dtype=input_ids.dtype, device=device)
        around = self.position_embeddings(position_ids) + self.token_type_embeddings(token_type_ids)
        return self.dropout(self.LayerNorm(self.word_embeddings(input_ids) + around))


class BertSelfAttention(nn.Module):
    """Attention of all to all, by heads."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.rate = config.attention_probs_dropout_prob

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, n, width) -> the same."""
        batch, n, width = x.shape
        q, k, v = (
            layer(x).view(batch, n, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        return attend(q, k, v, mask, dropout=self.rate if self.training else 0.0)


class BertAttention(nn.Module):
    """Attention and what mixes its heads."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.self = BertSelfAttention(config)
        self.output = BertOutput(config.hidden_size, config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, n, width) -> the same."""
        return self.output(self.self(x, mask), x)


class BertIntermediate(nn.Module):
    """The wide half of the perceptron."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., intermediate_size)."""
        return self.activation(self.dense(x))


class BertLayer(nn.Module):
    """Attention, then a perceptron, each with its residual and then its norm."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config.intermediate_size, config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(batch, n, width) -> the same."""
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class BertEncoder(nn.Module):
    """The layers."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(config) for _ in range(config.num_hidden_layers))


class BertPooler(nn.Module):
    """tanh of a linear map of the first token."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n, width) -> (batch, width)."""
        return self.dense(x[:, 0]).tanh()


class BertPreTrainedModel(PreTrainedModel):
    """What all BERTs have."""

    config_class = BertConfig
    base_model_prefix = "bert"
    derived = ("embeddings.position_ids", "embeddings.token_type_ids")

    def get_input_embeddings(self) -> Any:
        """The words' `Embedding`."""
        return self.base_model.embeddings.word_embeddings


class BertModel(BertPreTrainedModel):
    """The encoder: `last_hidden_state` (batch, n, hidden_size), and, from its first token,
    `pooler_output` (batch, hidden_size) unless `add_pooling_layer` is False."""

    def __init__(self, config: BertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config) if add_pooling_layer else None
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> ModelOutput:
        """input_ids, attention_mask (0 at padding) and token_type_ids are (batch, n)."""
        check_tokens(self, input_ids, attention_mask, self.config.max_position_embeddings)
        x = self.embeddings(input_ids, token_type_ids, position_ids)
        mask = padding_mask(attention_mask, x.dtype)
        states = [x] if output_hidden_states else []  # else each is free after the next
        for layer in self.encoder.layer:
            x = self.run_layer(layer, x, mask)
            if output_hidden_states:
                states.append(x)
        return ModelOutput(
            last_hidden_state=x,
            pooler_output=None if self.pooler is None else self.pooler(x),
            hidden_states=tuple(states) if output_hidden_states else None,
        )


class BertPredictions(nn.Module):
    """The head that guesses words: dense, activation, norm, and the words' embeddings."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.transform = nn.Module()
        self.transform.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.activation = activation(config.hidden_act)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bias = Parameter(zeros(config.vocab_size))

    def forward(self, x: Tensor) -> Tensor:
        """(..., hidden_size) -> (..., vocab_size)."""
        x = self.transform.LayerNorm(self.activation(self.transform.dense(x)))
        return F.linear(x, self.decoder.weight, self.bias)


class BertForMaskedLM(BertPreTrainedModel):
    """The words that masks stand for: `logits` (batch, n, vocab_size)."""

    tied_weights: ClassVar[dict[str, str]] = {
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight"
    }

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.cls = nn.Module()
        self.cls.predictions = BertPredictions(config)
        self.post_init()

    def get_output_embeddings(self) -> Any:
        """The map to words."""
        return self.cls.predictions.decoder

    def resize_token_embeddings(self, new_num_tokens: int) -> Any:
        """As of every model, with the bias of the words."""
        self._resize(self.cls.predictions, "bias", new_num_tokens)
        return super().resize_token_embeddings(new_num_tokens)

    def forward(self, input_ids: Tensor, *, labels: Tensor | None = None, **inputs: Any) -> Any:
        """`labels` (batch, n), -100 where nothing is asked, give a `loss`."""
        logits = self.cls.predictions(self.bert(input_ids, **inputs).last_hidden_state)
        return ModelOutput(
            loss=None if labels is None else token_loss(logits, labels), logits=logits
        )


class _Classifier(BertPreTrainedModel):
    """A BERT with dropout and a linear map to the labels."""

    is_pooled: ClassVar[bool]

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=self.is_pooled)
        rate = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if rate is None else rate)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


class BertForSequenceClassification(_Classifier):
    """The kind of a text: `logits` (batch, num_labels)."""

    is_pooled = True

    def forward(self, input_ids: Tensor, *, labels: Tensor | None = None, **inputs: Any) -> Any:
        """`labels` give a `loss`: numbers (batch,) cross entropy, floats (batch, num_labels) for
        texts of several kinds the logistic loss, and with one label the mean squared error."""
        logits = self.classifier(self.dropout(self.bert(input_ids, **inputs).pooler_output))
        return ModelOutput(
            loss=None if labels is None else self._loss(logits, labels), logits=logits
        )

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        kind = self.config.problem_type
        if kind == "regression" or (kind is None and self.config.num_labels == 1):
            return F.mse_loss(logits.reshape(-1), labels.reshape(-1).to(logits.dtype))
        if kind == "multi_label_classification" or (kind is None and labels.is_floating_point()):
            return F.binary_cross_entropy_with_logits(logits, labels)
        return token_loss(logits, labels)


class BertForTokenClassification(_Classifier):
    """The kind of each token: `logits` (batch, n, num_labels)."""

    is_pooled = False

    def forward(self, input_ids: Tensor, *, labels: Tensor | None = None, **inputs: Any) -> Any:
        """`labels` (batch, n), -100 where nothing is asked, give a `loss`."""
        logits = self.classifier(self.dropout(self.bert(input_ids, **inputs).last_hidden_state))
        return ModelOutput(
            loss=None if labels is None else token_loss(logits, labels), logits=logits
        )


class BertForQuestionAnswering(BertPreTrainedModel):
    """Where the answer begins and ends: `start_logits` and `end_logits` (batch, n)."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        *,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **inputs: Any,
    ) -> Any:
        """`start_positions` and `end_positions` (batch,) give a `loss`; one beyond the text, for an
        answer that was cut off, counts nothing."""
        logits = self.qa_outputs(self.bert(input_ids, **inputs).last_hidden_state)
        start, end = logits.unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            n = input_ids.shape[1]
            losses = [
                F.cross_entropy(scores, at.reshape(-1).clamp(0, n), ignore_index=n)
                for scores, at in ((start, start_positions), (end, end_positions))
            ]
            loss = (losses[0] + losses[1]) / 2
        return ModelOutput(loss=loss, start_logits=start, end_logits=end)
