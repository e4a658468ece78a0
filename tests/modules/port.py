"""Small random models of the Hugging Face port, and inputs for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

ROWS, LENGTH, SIZE, WORDS = 3, 7, 32, 50


def port_config(depth: int = 2, layers: int = 2, width: int = 48, tie: bool = True, **changes: Any
                ) -> transformers.BridgeTowerConfig:
    """A small configuration; the port takes the sizes of its cross-modal layers from the text tower."""
    text = dict(vocab_size=WORDS, hidden_size=width, num_hidden_layers=depth, num_attention_heads=4,
                intermediate_size=3 * width, max_position_embeddings=LENGTH + 4, tie_word_embeddings=tie)
    vision = dict(hidden_size=128, num_hidden_layers=depth, patch_size=16, image_size=SIZE)
    return transformers.BridgeTowerConfig(
        text_config=text, vision_config=vision, hidden_size=width, num_hidden_layers=layers, num_attention_heads=2,
        contrastive_hidden_size=24, tie_word_embeddings=tie, **changes)


def port_model(class_name: str, folder: Path, **changes: Any) -> Any:
    """A random model of the port, saved in `folder`, with biases and LayerNorms that are not at their start."""
    torch.manual_seed(0)
    model = getattr(transformers, class_name)(port_config(**changes))
    with torch.no_grad():
        for parameter in model.parameters():
            # Cross-modal states must depend on their inputs to say anything; the port starts at a std of 0.02.
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.eval()
    model.save_pretrained(folder)
    return model


def inputs() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    ids = draw.integers(3, WORDS, (ROWS, LENGTH))
    mask = np.ones_like(ids)
    ids[-1, -3:], mask[-1, -3:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask,
            "pixel_values": draw.standard_normal((ROWS, 3, SIZE, SIZE)).astype(np.float32)}
