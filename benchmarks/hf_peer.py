"""The peer of the benchmarks: the Hugging Face port of BridgeTower on PyTorch, with the attention that serves it best.

transformers offers the port without `sdpa`: its text and cross-modal layers multiply, mask and normalise step by step.
`load` gives them `torch.nn.functional.scaled_dot_product_attention`; the image tower's `nn.MultiheadAttention` calls it
of itself. Nothing here is imported by a process that measures ours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from side_by_side import least_seconds
from transformers.models.bridgetower import modeling_bridgetower as port

__all__ = ["PortForPreTraining", "as_shipped", "bfloat16", "compiled", "fastest", "load", "make_checkpoint"]

_SHIPPED_ATTENTION = port.BridgeTowerSelfAttention.forward


class PortForPreTraining(port.BridgeTowerPreTrainedModel):
    """The port with the heads of MLM and ITM, trained as the original trains.

    Each objective passes both towers and all cross-modal layers again, and MLM scores the whole vocabulary at every
    position (the original's `compute_mlm` and `compute_itm`).
    """

    def __init__(self, config: transformers.BridgeTowerConfig) -> None:
        super().__init__(config)
        self.bridgetower = port.BridgeTowerModel(config)
        self.mlm_score = port.BridgeTowerMLMHead(config)
        self.itm_score = port.BridgeTowerITMHead(2 * config.hidden_size)
        self.post_init()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, pixel_values: torch.Tensor,
                mlm_input_ids: torch.Tensor, mlm_labels: torch.Tensor, itm_labels: torch.Tensor,
                false_pixel_values: torch.Tensor) -> torch.Tensor:
        """The sum of both losses, from the batch that our `BridgeTowerForPreTraining` takes."""
        text = self.bridgetower(mlm_input_ids, attention_mask, pixel_values=pixel_values).text_features
        mlm_loss = F.cross_entropy(self.mlm_score(text).flatten(0, 1), mlm_labels.flatten(), ignore_index=-100)
        images = pixel_values.clone()
        images[itm_labels == 0] = false_pixel_values
        pooled = self.bridgetower(input_ids, attention_mask, pixel_values=images).pooler_output
        return mlm_loss + F.cross_entropy(self.itm_score(pooled), itm_labels)


def _model_class(name: str) -> Any:
    return PortForPreTraining if name == "PortForPreTraining" else getattr(transformers, name)


def make_checkpoint(folder: Path, name: str, *, seed: int = 0, vision: dict[str, Any] | None = None,
                    text: dict[str, Any] | None = None, **config: Any) -> None:
    """Save a random model of the port, which both sides load.

    Args:
        folder: of `config.json` and the weights.
        name: class of transformers, for instance `BridgeTowerForMaskedLM`, or `PortForPreTraining`.
        seed: of the weights.
        vision, text: settings of the towers; left out, they have the base size and images of 288 pixels.
        config: settings of the model.
    """
    torch.manual_seed(seed)
    # Bridges of the paper, and the sizes that transformers' defaults leave at those of RoBERTa base.
    settings = transformers.BridgeTowerConfig(vision_config={"image_size": 288, **(vision or {})},
                                              text_config=text or {}, **config)
    _model_class(name)(settings).save_pretrained(folder)


def load(folder: Path, name: str, threads: int) -> Any:
    """The model that `make_checkpoint` saved, in evaluation mode, on so many threads."""
    torch.set_num_threads(threads)
    port.BridgeTowerSelfAttention.forward = _attention
    return _model_class(name).from_pretrained(folder).eval()


def compiled(model: Any) -> Any:
    """The model through `torch.compile`."""
    return torch.compile(model, dynamic=False)


def as_shipped(function: Callable[[], Any]) -> Callable[[], Any]:
    """The function with the attention that transformers ships."""

    def run() -> Any:
        port.BridgeTowerSelfAttention.forward = _SHIPPED_ATTENTION
        try:
            return function()
        finally:
            port.BridgeTowerSelfAttention.forward = _attention

    return run


def bfloat16(function: Callable[[], Any]) -> Callable[[], Any]:
    """The function under bfloat16 autocast."""

    def cast() -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return function()

    return cast


def fastest(candidates: Mapping[str, Callable[[], Any]]) -> Callable[[], Any]:
    """The fastest of several ways to compute the same: the least of two runs of each counts, after one to warm up."""
    seconds = {name: least_seconds(function, rounds=2) for name, function in candidates.items()}
    best = min(seconds, key=seconds.__getitem__)
    print("PyTorch:", ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()), f"-> {best}",
          file=sys.stderr)
    return candidates[best]


def _attention(self: Any, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None,
               head_mask: torch.Tensor | None = None, encoder_hidden_states: torch.Tensor | None = None,
               **unused: Any) -> tuple[torch.Tensor, None]:
    """The port's attention, (B, Q, D) to itself or to (B, K, D), in one call instead of six."""
    context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    query, key, value = (
        layer(states).unflatten(-1, (self.num_attention_heads, self.attention_head_size)).transpose(1, 2)
        for layer, states in ((self.query, hidden_states), (self.key, context), (self.value, context)))
    dropout = self.dropout.p if self.training else 0.0
    states = F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, dropout_p=dropout)
    return states.transpose(1, 2).flatten(2), None
