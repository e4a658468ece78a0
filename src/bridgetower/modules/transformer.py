"""Post-norm transformer layers: the block of BERT and RoBERTa, and the cross-modal layer built on it."""

from __future__ import annotations

from paddle import Tensor, nn

from .attention import FeedForward, MultiHeadAttention
from .layers import Dropout, LayerNorm

__all__ = ["BertCrossLayer", "BertLayer"]


class BertLayer(nn.Layer):
    """Self-attention and feed-forward, each followed by dropout, a residual sum and LayerNorm (BERT, section 3)."""

    def __init__(self, width: int, num_heads: int, hidden_width: int, activation: str, dropout: float,
                 attention_dropout: float, layer_norm_eps: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(width, num_heads, dropout=attention_dropout)
        self.attention_norm = LayerNorm(width, layer_norm_eps)
        self.mlp = FeedForward(width, hidden_width, activation)
        self.mlp_norm = LayerNorm(width, layer_norm_eps)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None, attentions: list[Tensor] | None = None) -> Tensor:
        """(B, L, D) with an additive mask (B, 1, 1, L) -> (B, L, D); `attentions` gets the weights (B, H, L, L)."""
        x = self.attention_norm(x + self.dropout(self.attention(x, mask=mask, attentions=attentions)))
        return self.mlp_norm(x + self.dropout(self.mlp(x)))


class BertCrossLayer(nn.Layer):
    """One cross-modal layer of one modality: self-attention, attention to the other modality, feed-forward."""

    def __init__(self, width: int, num_heads: int, hidden_width: int, activation: str, dropout: float,
                 attention_dropout: float, layer_norm_eps: float) -> None:
        super().__init__()
        self.self_attention = MultiHeadAttention(width, num_heads, dropout=attention_dropout)
        self.self_attention_norm = LayerNorm(width, layer_norm_eps)
        self.cross_attention = MultiHeadAttention(width, num_heads, dropout=attention_dropout)
        self.cross_attention_norm = LayerNorm(width, layer_norm_eps)
        self.mlp = FeedForward(width, hidden_width, activation)
        self.mlp_norm = LayerNorm(width, layer_norm_eps)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, other: Tensor, mask: Tensor | None = None, other_mask: Tensor | None = None,
                num_queries: int | None = None, attentions: list[Tensor] | None = None) -> Tensor:
        """Update one modality.

        Args:
            x: (B, Q, D) states of this modality.
            other: (B, N, D) states of the other one.
            mask: (B, 1, 1, Q) additive mask of this modality.
            other_mask: (B, 1, 1, N) additive mask of the other one.
            num_queries: compute only so many tokens of the output; they equal the first ones of the whole output.
            attentions: a list that gets the weights of self-attention (B, H, Q, Q) and cross-attention (B, H, Q, N).

        Returns:
            (B, Q, D), or (B, num_queries, D).
        """
        rows = x if num_queries is None else x[:, :num_queries]
        rows = self.self_attention_norm(rows + self.dropout(self.self_attention(rows, x, mask, attentions)))
        attended = self.cross_attention(rows, other, other_mask, attentions)
        rows = self.cross_attention_norm(rows + self.dropout(attended))
        return self.mlp_norm(rows + self.dropout(self.mlp(rows)))
