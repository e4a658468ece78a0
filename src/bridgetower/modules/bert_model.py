"""The text tower: RoBERTa or BERT, returning the states of its top layers."""

from __future__ import annotations

import paddle
from paddle import Tensor, nn

from ..config import BridgeTowerTextConfig
from ..kernels import add_bias
from .attention import additive_mask
from .layers import Dropout, LayerNorm, size_of
from .recompute import run_layer
from .transformer import BertLayer

__all__ = ["TextTower"]


class TextEmbeddings(nn.Layer):
    """Word, position and token-type embeddings, normalised."""

    def __init__(self, config: BridgeTowerTextConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.pad_token_id = config.pad_token_id
        self.positions_skip_padding = config.kind == "roberta"

    def _position_ids(self, input_ids: Tensor | None, length: int | Tensor) -> Tensor:
        """(B, L) -> (B, L), or (L,) if the positions are the same in every row."""
        if not self.positions_skip_padding:
            return paddle.arange(length, dtype="int64")
        if input_ids is None:  # embeddings do not show which tokens are padding
            return paddle.arange(length, dtype="int64") + (self.pad_token_id + 1)
        # RoBERTa counts real tokens from pad + 1 on; every padding token has position pad.
        real = (input_ids != self.pad_token_id).astype("int64")
        return real.cumsum(1) * real + self.pad_token_id

    def forward(self, input_ids: Tensor | None, inputs_embeds: Tensor | None = None) -> Tensor:
        """(B, L) int64, or embedded words (B, L, W) if there are no ids -> (B, L, W)."""
        words: Tensor = inputs_embeds if input_ids is None else self.word_embeddings(input_ids)
        states = words + self.position_embeddings(self._position_ids(input_ids, size_of(words, 1)))
        # Every token has type 0: neither the original nor the Hugging Face port passes other types.
        states = add_bias(states, self.token_type_embeddings(paddle.zeros([], "int64")))
        return self.dropout(self.norm(states))


class TextTower(nn.Layer):
    """RoBERTa or BERT without its pooler."""

    def __init__(self, config: BridgeTowerTextConfig) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(config)
        self.layers = nn.LayerList([
            BertLayer(config.hidden_size, config.num_attention_heads, config.intermediate_size, config.hidden_act,
                      config.hidden_dropout_prob, config.attention_probs_dropout_prob, config.layer_norm_eps)
            for _ in range(config.num_hidden_layers)
        ])
        self.max_length = config.max_position_embeddings - (config.pad_token_id + 1 if config.kind == "roberta" else 0)
        self.enable_recompute = False

    def forward(self, input_ids: Tensor | None, attention_mask: Tensor, num_states: int = 1,
                inputs_embeds: Tensor | None = None, attentions: list[Tensor] | None = None) -> list[Tensor]:
        """Encode a batch of texts.

        Args:
            input_ids: (B, L) int64; None with `inputs_embeds`.
            attention_mask: (B, L), 1 = real token.
            num_states: how many states to return, counted from the top; one more than there are layers includes the
                embeddings.
            inputs_embeds: (B, L, W) embedded words, read if there are no `input_ids`.
            attentions: a list that gets the attention weights (B, H, L, L) of every layer.

        Returns:
            The states (B, L, W) of the top layers, lowest first.

        Raises:
            ValueError: when the texts are longer than the position table.
        """
        length = attention_mask.shape[1]
        # While a model is traced for export, the length is not known; `BridgeTowerPredictor` checks it.
        if paddle.in_dynamic_mode() and length > self.max_length:
            raise ValueError(f"texts have {length} tokens, the position table of the text tower holds "
                             f"{self.max_length}; lower max_text_len")
        mask = additive_mask(attention_mask)
        states = [self.embeddings(input_ids, inputs_embeds)]
        for layer in self.layers:
            states.append(run_layer(self, layer, states[-1], mask, attentions))
        return states[len(states) - num_states:]
