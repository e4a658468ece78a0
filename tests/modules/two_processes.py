"""Training steps of ITC with hard negatives, and the scores of a gallery, on this process's share of the rows.

Run by `test_two_processes.py` with one process and with two.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import paddle
import paddle.distributed as dist

from bridgetower import BridgeTowerForContrastiveRetrieval, BridgeTowerForPreTraining
from bridgetower.distributed import rank, world_size
from bridgetower.runtime import exit_together
from bridgetower.tasks.retrieval import retrieve
from tests.goldens import Golden
from tests.models import gradients


def train_step(model_name: str, global_negatives: str) -> dict[str, Any]:
    """Losses and gradient norms, averaged over the processes as data-parallel training does."""
    model_class = {"pretrain": BridgeTowerForPreTraining, "retrieval": BridgeTowerForContrastiveRetrieval}[model_name]
    golden = Golden("irtr_itm_itc")
    model = golden.model(model_class, gather_global_negative=global_negatives == "global")
    model.train()
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.Dropout):
            layer.p = 0.0
        if hasattr(layer, "dropout") and isinstance(layer.dropout, float):
            layer.dropout = 0.0
    rows = len(golden["in_text_ids"]) // world_size()
    mine = slice(rank() * rows, (rank() + 1) * rows)
    masks = golden["in_text_masks"][mine]
    length = int(masks.any(axis=0).nonzero()[0].max()) + 1  # each process pads to its own longest text
    batch = {"input_ids": golden["in_text_ids"][mine, :length], "attention_mask": masks[:, :length],
             "pixel_values": golden["in_image"][mine]}
    if model_name == "retrieval":
        batch["image_index"] = golden["in_img_index"][mine]
    result = model(**{name: paddle.to_tensor(value) for name, value in batch.items()},
                   draw=lambda weights: weights.argmax(axis=1))
    found = gradients(model, result.loss)
    values = {}
    for name, parameter in sorted(model.named_parameters()):
        value = paddle.to_tensor(found[name]) if name in found else paddle.zeros(parameter.shape)
        if world_size() > 1:
            dist.all_reduce(value)
        values[name] = float((value / world_size()).norm())
    losses = paddle.stack([result.itc_loss, result.itm_loss]).detach()
    if world_size() > 1:
        dist.all_reduce(losses)
    return {"losses": (losses / world_size()).tolist(), "gradients": values}


def score_gallery(candidates: int | None) -> dict[str, Any]:
    """Recalls and scores of a gallery of which each process brings a part; the parts overlap and are uneven."""
    golden = Golden("retrieval_rerank")
    model = golden.model(BridgeTowerForContrastiveRetrieval)
    position = {int(name): row for row, name in enumerate(golden["in_image_ids"])}
    belongs = np.array([position[int(name)] for name in golden["in_text_image_ids"]])
    parts = [(range(12), range(25))] if world_size() == 1 else [(range(8), range(14)), (range(7, 12), range(14, 25))]
    images, texts = (np.array(rows) for rows in parts[rank()])
    gallery = ({"pixel_values": golden["in_image"][images], "image_index": images},
               {"input_ids": golden["in_text_ids"][texts], "attention_mask": golden["in_text_masks"][texts],
                "image_index": belongs[texts], "sample_index": texts})
    batches = [[{name: paddle.to_tensor(value) for name, value in side.items()}] for side in gallery]
    result = retrieve(model, *batches, candidates=candidates)
    return {"recalls": result.recalls(), "scores": result.scores.tolist()}


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "pretrain, global": partial(train_step, "pretrain", "global"),
    "pretrain, local": partial(train_step, "pretrain", "local"),
    "retrieval, global": partial(train_step, "retrieval", "global"),
    "gallery, 4": partial(score_gallery, 4),
    "gallery, all": partial(score_gallery, None),
}


def main(output: str) -> None:
    """Compute all cases; the first process writes the results to the file `output`."""
    if int(dist.ParallelEnv().world_size) > 1:
        dist.init_parallel_env()
    results = {name: case() for name, case in CASES.items()}
    if rank() == 0:
        with open(output, "w", encoding="utf-8") as file:
            json.dump(results | {"processes": world_size()}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
    exit_together(0)
