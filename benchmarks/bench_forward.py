"""Forward pass of the base model: ITM scores, MLM scores and features of 4 pairs, ours against the Hugging Face port.

    python benchmarks/bench_forward.py [--rounds 10] [--threads 2] [--output results.json]

Images of 288 pixels, texts of up to 50 tokens, float32, random weights, which both sides load from one folder; the
largest difference of their results is shown. The port runs under torch.inference_mode with fused attention (see
hf_peer.py), ours under paddle.no_grad with the CPU settings of `bridgetower.runtime`. Features are all token features
of both modalities and the pooled vector.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hf_peer import load, make_checkpoint, random_pairs
from side_by_side import arguments, compare, report

TARGET = 1.2
#: Relative to features of magnitude 1 to 5 after LayerNorm; two float32 implementations sum in different orders.
TOLERANCE = 2e-4


def _flat(*arrays: Any) -> np.ndarray:
    return np.concatenate([np.asarray(array).reshape(-1) for array in arrays])


def ours(threads: int, folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """Cases of ours."""
    from bridgetower.runtime import tune_cpu

    tune_cpu()
    import paddle

    import bridgetower

    paddle.base.core.set_num_threads(threads)
    itm = bridgetower.BridgeTowerForImageAndTextRetrieval.from_pretrained(str(folder))
    mlm = bridgetower.BridgeTowerForMaskedLM.from_pretrained(str(folder))
    mlm.bridgetower = itm.bridgetower
    batch = {name: paddle.to_tensor(value) for name, value in random_pairs().items()}
    for model in (itm, mlm):
        model.eval()

    @paddle.no_grad()
    def features() -> np.ndarray:
        output = itm.bridgetower(**batch)
        return _flat(output.text_features, output.image_features, output.pooler_output)

    return {"ITM": paddle.no_grad()(lambda: itm(**batch).logits.numpy()),
            "MLM": paddle.no_grad()(lambda: mlm(**batch).logits.numpy()), "features": features}


def peer(threads: int, folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """Cases of the port."""
    import torch

    model = load(folder, "PortForPreTraining", threads)
    batch = {name: torch.from_numpy(value) for name, value in random_pairs().items()}

    @torch.inference_mode()
    def features() -> np.ndarray:
        output = model.bridgetower(**batch)
        return _flat(output.text_features, output.image_features, output.pooler_output)

    itm = torch.inference_mode()(lambda: model.itm_score(model.bridgetower(**batch).pooler_output).numpy())
    mlm = torch.inference_mode()(lambda: model.mlm_score(model.bridgetower(**batch).text_features).numpy())
    return {"ITM": itm, "MLM": mlm, "features": features}


def main() -> None:
    """Measure in turn, print a table, write JSON."""
    args = arguments(__doc__, rounds=10).parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_checkpoint(folder, "PortForPreTraining", tie_word_embeddings=False)
        comparisons = compare(ours, peer, args, warmup=2, tolerance=TOLERANCE, folder=folder)
    report("Forward pass, base, 4 pairs", comparisons, args, TARGET)


if __name__ == "__main__":
    main()
