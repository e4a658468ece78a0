"""CLIP image towers in PyTorch, with the names of OpenAI's implementation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .reference import Tensors, count, fill, resize_table

_RENAMES = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
}
_POSITIONS = "embeddings.position_embedding.weight"


class ClipTower:
    """The image tower.

    Args:
        state: tensors by names without a prefix such as `visual.`.
        image_size: side S of the images, if it differs from that of the position table.
        settings: `heads`, `activation` and `layer_norm_eps` where they differ from those of the released towers.
    """

    def __init__(self, state: Tensors, image_size: int | None, settings: Mapping[str, Any]) -> None:
        from transformers import BridgeTowerVisionConfig
        from transformers.activations import ACT2FN
        from transformers.models.bridgetower.modeling_bridgetower import BridgeTowerVisionTransformer

        state = {_RENAMES.get(name, name): tensor for name, tensor in state.items()}
        width, channels, patch, _ = state["embeddings.patch_embedding.weight"].shape
        grid = round((state[_POSITIONS].shape[-2] - 1) ** 0.5) if image_size is None else image_size // patch
        state[_POSITIONS] = resize_table(state[_POSITIONS], grid)
        self.image = (channels, grid * patch, grid * patch)
        config = BridgeTowerVisionConfig(
            hidden_size=width, num_hidden_layers=count(state, "transformer.resblocks."), num_channels=channels,
            patch_size=patch, image_size=grid * patch, layer_norm_eps=settings.get("layer_norm_eps") or 1e-5,
        )  # fmt: skip
        self._visual = BridgeTowerVisionTransformer(config)
        heads = settings.get("heads") or max(1, width // 64)
        for block in self._visual.transformer.resblocks:
            block.attn.num_heads, block.attn.head_dim = heads, width // heads
            block.mlp["gelu"] = ACT2FN[settings.get("activation") or "quick_gelu"]
        fill(self._visual, state, ("position_ids",))

    def states(self, pixels: Any) -> list[Any]:
        """(B, 3, S, S) images -> the states (B, N, W) of all blocks, each after the last LayerNorm."""
        return list(self._visual(pixels, None))
