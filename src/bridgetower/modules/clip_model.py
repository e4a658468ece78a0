"""The image tower: the ViT of CLIP, or a plain ViT / DeiT, returning the states of its top blocks."""

from __future__ import annotations

import paddle
from paddle import Tensor, nn

from ..config import BridgeTowerVisionConfig
from .attention import FeedForward, MultiHeadAttention
from .layers import LayerNorm, PatchEmbedding
from .recompute import run_layer

__all__ = ["ImageTower"]


class ImageBlock(nn.Layer):
    """A pre-norm transformer block, without dropout as in CLIP."""

    def __init__(self, config: BridgeTowerVisionConfig) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.attention = MultiHeadAttention(config.hidden_size, config.num_attention_heads)
        self.mlp_norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.mlp = FeedForward(config.hidden_size, config.intermediate_size, config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, W) -> (B, N, W)."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class ImageTower(nn.Layer):
    """A vision transformer whose top states all pass through its last LayerNorm.

    `kind="clip"` has a LayerNorm before the first block and patches without bias, `kind="vit"` has neither.
    """

    def __init__(self, config: BridgeTowerVisionConfig) -> None:
        super().__init__()
        is_clip = config.kind == "clip"
        width = config.hidden_size
        self.image_size = config.image_size
        self.patch_embedding = PatchEmbedding(config.num_channels, width, config.patch_size, has_bias=not is_clip)
        self.class_embedding = self.create_parameter([width])
        self.position_embedding = self.create_parameter([config.num_tokens, width])
        self.pre_norm = LayerNorm(width, config.layer_norm_eps) if is_clip else nn.Identity()
        self.layers = nn.LayerList([ImageBlock(config) for _ in range(config.num_hidden_layers)])
        self.post_norm = LayerNorm(width, config.layer_norm_eps)
        self.enable_recompute = False

    def forward(self, pixel_values: Tensor, num_states: int = 1) -> list[Tensor]:
        """Encode a batch of images.

        Args:
            pixel_values: (B, 3, S, S), S the image size of the configuration, in pixels.
            num_states: how many of the top blocks to return.

        Returns:
            The states (B, N, W) of the top blocks after the last LayerNorm, lowest block first; the class token is the
            first of the N tokens.

        Raises:
            ValueError: when the images do not have the size of the position table.
        """
        if tuple(pixel_values.shape[2:]) != (self.image_size, self.image_size):
            raise ValueError(f"images are {pixel_values.shape[3]}x{pixel_values.shape[2]} pixels, the model is built "
                             f"for {self.image_size}x{self.image_size}; resize them or set image_size")
        patches = self.patch_embedding(pixel_values).flatten(2).transpose([0, 2, 1])
        tokens = self.class_embedding.expand([patches.shape[0], 1, -1]).astype(patches.dtype)
        x = self.pre_norm(paddle.concat([tokens, patches], axis=1) + self.position_embedding)
        states = []
        for layer in self.layers:
            x = run_layer(self, layer, x)
            states.append(x)
        return [self.post_norm(state) for state in states[len(states) - num_states:]]
