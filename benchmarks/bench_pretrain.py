"""A pre-training step of the base model, MLM + ITM on 4 pairs with AdamW: ours against the original's plan in PyTorch.

    python benchmarks/bench_pretrain.py [--rounds 2] [--threads 2] [--output results.json]

The peer computes what the original computes, from the modules of the Hugging Face port (see hf_peer.py): each objective
passes both towers and all cross-modal layers, MLM scores the whole vocabulary at every position; torch's fused AdamW.
Both train with the model's dropout of 0.1 on images of 288 pixels and texts of up to 50 tokens, 15% of them masked, and
two of the four texts are paired with false images. As the two together may need more memory than there is, each timed
step is the third of a fresh process: the first two get their memory from the system, which takes up to half as long as
the step itself. The first one is without dropout; both sides must agree in its loss and the norm of its gradient. Peak
memory is the resident memory of the whole process, loading included.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from side_by_side import arguments, compare, random_pairs, report

TARGET = 1.2
#: Relative difference of the loss (12 at random weights) and of the gradient's norm.
TOLERANCE = 1e-3
LEARNING_RATE, WEIGHT_DECAY = 1e-5, 0.01


def training_batch() -> dict[str, np.ndarray]:
    """`random_pairs` with the inputs of MLM and ITM."""
    batch = random_pairs()
    draw = np.random.default_rng(1)
    ids = batch["input_ids"]
    masked = (draw.random(ids.shape) < 0.15) & (batch["attention_mask"] == 1)
    itm_labels = np.array([1, 0, 1, 0])
    false = draw.standard_normal((2, *batch["pixel_values"].shape[1:]), dtype=np.float32)
    return batch | {"mlm_input_ids": np.where(masked, 50264, ids), "mlm_labels": np.where(masked, ids, -100),
                    "itm_labels": itm_labels, "false_pixel_values": false}


def ours(threads: int, folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """A step of ours, which returns what `_loss_and_norm` computed in the first one, without dropout."""
    from bridgetower.runtime import set_cpu_threads, tune_cpu

    tune_cpu()
    import paddle

    from bridgetower import BridgeTowerForPreTraining
    from bridgetower.training.optimization import AdamW, parameter_groups

    set_cpu_threads(threads)
    model = BridgeTowerForPreTraining.from_pretrained(str(folder))
    batch = {name: paddle.to_tensor(value) for name, value in training_batch().items()}
    optimizer = AdamW(LEARNING_RATE, parameter_groups(model, WEIGHT_DECAY, 5.0, 5.0))
    model.eval()
    check = _loss_and_norm(model(**batch).loss, model.parameters())
    optimizer.step()
    optimizer.clear_grad(set_to_zero=False)
    model.train()

    def step() -> np.ndarray:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)
        return check

    return {"step": step}


def peer(threads: int, folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """The same of the port."""
    import torch
    from hf_peer import load

    model = load(folder, "PortForPreTraining", threads)
    batch = {name: torch.from_numpy(value) for name, value in training_batch().items()}
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, (0.9, 0.98), 1e-8, WEIGHT_DECAY, fused=True)
    check = _loss_and_norm(model(**batch), model.parameters())
    optimizer.step()
    optimizer.zero_grad()
    model.train()

    def step() -> np.ndarray:
        model(**batch).backward()
        optimizer.step()
        optimizer.zero_grad()
        return check

    return {"step": step}


def _loss_and_norm(loss: Any, parameters: Any) -> np.ndarray:
    """In units in which one tolerance fits both: the loss over 10, the norm in its logarithm."""
    loss.backward()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = sum(float((gradient * gradient).sum()) for gradient in gradients) ** 0.5
    return np.array([float(loss.detach()) / 10, np.log(norm)])


def main() -> None:
    """Measure in turn, print a table, write JSON."""
    args = arguments(__doc__, rounds=2).parse_args()
    from hf_peer import make_checkpoint

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_checkpoint(folder, "PortForPreTraining", tie_word_embeddings=False)
        comparisons = compare(ours, peer, args, warmup=1, tolerance=TOLERANCE, together=False, folder=folder)
    print("The largest difference is that of the loss and of the norm of its gradient without dropout.")
    report("Pre-training step, base, MLM + ITM, 4 pairs", comparisons, args, TARGET, with_memory=True)


if __name__ == "__main__":
    main()
