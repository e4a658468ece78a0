"""Measures what training steps of a small model take: `python memory_peak.py CASE` prints the bytes as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import paddle
from paddle.base import core

import bridgetower
from bridgetower.training.memory import Method, Passes, need_of
from tests.models import small_config

LENGTH, LABELS = 24, 10
#: Name -> class, samples, changes of the configuration, what a sample passes through, recomputation.
CASES: dict[str, tuple[str, int, dict[str, Any], Passes, bool]] = {
    "pooled": ("BridgeTowerForQuestionAnswering", 10, {}, Passes(images=1, texts=1, pooled=1), False),
    "dropout": ("BridgeTowerForQuestionAnswering", 10, {"dropout": 0.1}, Passes(images=1, texts=1, pooled=1), False),
    "deep": ("BridgeTowerForQuestionAnswering", 6, {"num_hidden_layers": 6}, Passes(images=1, texts=1, pooled=1),
             False),
    "recompute": ("BridgeTowerForQuestionAnswering", 20, {}, Passes(images=1, texts=1, pooled=1), True),
    "weights": ("BridgeTowerForQuestionAnswering", 1, {}, Passes(images=1, texts=1, pooled=1), False),
}


def build(case: str) -> tuple[Any, int, Method, Passes]:
    """The model of a case, in training, with the samples of a pass."""
    name, batch, changes, passes, recompute = CASES[case]
    dropout = changes.pop("dropout", 0.0)
    text = dict(vocab_size=200, hidden_size=128, num_hidden_layers=6, num_attention_heads=2, intermediate_size=512,
                max_position_embeddings=LENGTH + 4, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    vision = dict(hidden_size=128, num_hidden_layers=6, patch_size=8, image_size=80)
    config = small_config(text_config=text, vision_config=vision, hidden_size=128, intermediate_size=512,
                          hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, num_labels=LABELS,
                          **{"num_hidden_layers": 3, **changes})
    model = getattr(bridgetower, name)(config)
    for layer in model.sublayers(include_self=True):
        if hasattr(layer, "enable_recompute"):
            layer.enable_recompute = recompute
    model.train()
    return model, batch, Method(recompute=recompute, keeps_weights=True), passes


def main() -> None:
    """Train a few steps and compare the peak of the last one with what is computed."""
    paddle.set_flags({"FLAGS_use_stride_kernel": True})  # as on a GPU, whose memory is the smaller one
    before = core.host_memory_stat_current_value("Allocated", 0)
    model, batch, method, passes = build(sys.argv[1])
    optimizer = paddle.optimizer.AdamW(1e-4, parameters=model.parameters())
    draw = np.random.default_rng(0)
    inputs = {"input_ids": paddle.to_tensor(draw.integers(3, 200, (batch, LENGTH))),
              "attention_mask": paddle.ones([batch, LENGTH], "int64"),
              "pixel_values": paddle.to_tensor(draw.standard_normal((batch, 3, 80, 80)).astype(np.float32)),
              "labels": paddle.to_tensor(draw.random((batch, LABELS)).astype(np.float32))}
    for _ in range(2):
        core.host_memory_stat_reset_peak_value("Allocated", 0)
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    peak = core.host_memory_stat_peak_value("Allocated", 0) - before
    parameters = sum(int(each.size) for each in model.parameters())
    need = need_of(model.config, parameters, passes, LENGTH, method)
    print(json.dumps({"measured": peak, "computed": need.total(batch), "states": need.states}))


if __name__ == "__main__":
    main()
