"""The image tower: the ViT of CLIP, or a plain ViT / DeiT, returning the states of its top blocks."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ..config import BridgeTowerVisionConfig
from .attention import FeedForward, MultiHeadAttention
from .layers import LayerNorm, PatchEmbedding, size_of
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

    def forward(self, x: Tensor, attentions: list[Tensor] | None = None) -> Tensor:
        """(B, N, W) -> (B, N, W); `attentions` gets the weights (B, H, N, N)."""
        x = x + self.attention(self.attention_norm(x), attentions=attentions)
        return x + self.mlp(self.mlp_norm(x))


class ImageTower(nn.Layer):
    """A vision transformer whose top states all pass through its last LayerNorm.

    `kind="clip"` has a LayerNorm before the first block and patches without bias, `kind="vit"` has neither.
    """

    def __init__(self, config: BridgeTowerVisionConfig) -> None:
        super().__init__()
        is_clip = config.kind == "clip"
        width = config.hidden_size
        self.patch_size = config.patch_size
        self.image_size = config.image_size
        self.num_channels = config.num_channels
        self.patch_embedding = PatchEmbedding(config.num_channels, width, config.patch_size, has_bias=not is_clip)
        self.class_embedding = self.create_parameter([width])
        self.position_embedding = self.create_parameter([config.num_tokens, width])
        self.pre_norm = LayerNorm(width, config.layer_norm_eps) if is_clip else nn.Identity()
        self.layers = nn.LayerList([ImageBlock(config) for _ in range(config.num_hidden_layers)])
        self.post_norm = LayerNorm(width, config.layer_norm_eps)
        self.enable_recompute = False

    def embed(self, pixel_values: Tensor, interpolate_pos_encoding: bool = False) -> Tensor:
        """The input of the first block: (B, 3, S, S) -> (B, N, W), the class token first.

        Raises:
            ValueError: images of another size, or with another number of channels than `num_channels`.
        """
        channels, height, width = pixel_values.shape[1:]
        if channels != self.num_channels:
            raise ValueError(f"images have {channels} channels, the model reads {self.num_channels}; make pixel_values "
                             f"with BridgeTowerImageProcessor(num_channels={self.num_channels})")
        if (height, width) == (self.image_size, self.image_size):
            positions = self.position_embedding
        elif interpolate_pos_encoding:
            positions = self._interpolated_positions(height, width)
        else:
            raise ValueError(f"images are {width}x{height} pixels, the model is built for "
                             f"{self.image_size}x{self.image_size}; resize them, set image_size, or pass "
                             "interpolate_pos_encoding=True")
        if pixel_values.dtype != self.patch_embedding.weight.dtype:  # float64, or weights in half precision
            pixel_values = pixel_values.astype(self.patch_embedding.weight.dtype)
        patches = self.patch_embedding(pixel_values).flatten(2).transpose([0, 2, 1])
        tokens = self.class_embedding.expand([size_of(patches, 0), 1, -1]).astype(patches.dtype)
        return self.pre_norm(paddle.concat([tokens, patches], axis=1) + positions)

    def _interpolated_positions(self, height: int, width: int) -> Tensor:
        """Resize the position table to images of another size, (grid^2 + 1, W) -> (N, W), as the port does."""
        grid, patch = self.image_size // self.patch_size, self.patch_size
        table = self.position_embedding[1:].transpose([1, 0]).reshape([1, -1, grid, grid])
        table = F.interpolate(table, [height // patch, width // patch], mode="bicubic", align_corners=False)
        return paddle.concat([self.position_embedding[:1], table.flatten(2).squeeze(0).transpose([1, 0])])

    def forward(self, pixel_values: Tensor | None, num_states: int = 1, image_embeds: Tensor | None = None,
                interpolate_pos_encoding: bool = False, with_last_norm: bool = True,
                attentions: list[Tensor] | None = None) -> list[Tensor]:
        """Encode a batch of images.

        Args:
            pixel_values: (B, 3, S, S), S the image size of the configuration; (B, 1, S, S) with one channel; None
                with `image_embeds`.
            num_states: how many states to return, counted from the top; one more than there are blocks includes the
                input of the first block.
            image_embeds: (B, N, W) input of the first block, instead of `pixel_values`.
            interpolate_pos_encoding: resize the position table if the images have another size.
            with_last_norm: whether the last LayerNorm is applied to the states.
            attentions: a list that gets the attention weights (B, H, N, N) of every block.

        Returns:
            The states (B, N, W) of the top blocks, lowest block first; the class token is the first of the N tokens.

        Raises:
            ValueError: when the images do not have the size of the position table.
        """
        states = [self.embed(pixel_values, interpolate_pos_encoding) if image_embeds is None else image_embeds]
        for layer in self.layers:
            states.append(run_layer(self, layer, states[-1], attentions))
        top = states[len(states) - num_states:]
        return [self.post_norm(state) for state in top] if with_last_norm else top
