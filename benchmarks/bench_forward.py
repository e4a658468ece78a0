"""Forward pass of the base model: ITM scores, MLM scores and features of 4 pairs, ours against the Hugging Face port.

    python benchmarks/bench_forward.py [--rounds 10] [--threads 2] [--output results.json]

Images of 288 pixels, texts of up to 50 tokens, float32, random weights, which both sides load from one folder; the
largest difference of their results is shown. The port runs under torch.inference_mode with fused attention (see
hf_peer.py), ours under paddle.no_grad with the CPU settings of `bridgetower.runtime`. Features are all token features
of both modalities and the pooled vector.

The static rows score ITM with what `export.py` writes, by `paddle.inference` with and without oneDNN and in bfloat16
(see docs/inference.md), against the same float32 port.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from side_by_side import arguments, compare, random_pairs, report

ROOT = Path(__file__).resolve().parents[1]
TARGET = 1.2
#: Two float32 implementations sum in different orders; the largest entries are near 6. Bfloat16 has three digits.
STATIC = {"ITM, static": {}, "ITM, static, no oneDNN": {"onednn": False},
          "ITM, static, bfloat16": {"precision": "bfloat16"}}
TOLERANCE = {"ITM": 2e-4, "MLM": 2e-4, "features": 2e-4, **dict.fromkeys(STATIC, 2e-4), "ITM, static, bfloat16": 0.1}


def _flat(*arrays: Any) -> np.ndarray:
    return np.concatenate([np.asarray(array).reshape(-1) for array in arrays])


def ours(threads: int, folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """Cases of ours."""
    from bridgetower.runtime import set_cpu_threads, tune_cpu

    tune_cpu()
    import paddle

    import bridgetower
    from bridgetower.export import BridgeTowerPredictor

    set_cpu_threads(threads)
    itm = bridgetower.BridgeTowerForImageAndTextRetrieval.from_pretrained(str(folder))
    mlm = bridgetower.BridgeTowerForMaskedLM.from_pretrained(str(folder))
    mlm.bridgetower = itm.bridgetower
    batch = {name: paddle.to_tensor(value) for name, value in random_pairs().items()}
    for model in (itm, mlm):
        model.eval()
    static = {case: BridgeTowerPredictor(folder / "static", "paddle", device="cpu", threads=threads, **options)
              for case, options in STATIC.items()}

    @paddle.no_grad()
    def features() -> np.ndarray:
        output = itm.bridgetower(**batch)
        return _flat(output.text_features, output.image_features, output.pooler_output)

    def scores(predictor: BridgeTowerPredictor) -> np.ndarray:
        pairs = random_pairs()
        return predictor.fuse(predictor.encode_text(pairs["input_ids"], pairs["attention_mask"]),
                              predictor.encode_image(pairs["pixel_values"]))

    return {"ITM": paddle.no_grad()(lambda: itm(**batch).logits.numpy()),
            "MLM": paddle.no_grad()(lambda: mlm(**batch).logits.numpy()), "features": features,
            **{case: partial(scores, predictor) for case, predictor in static.items()}}


def peer(threads: int, folder: Path) -> dict[str, Callable[[], np.ndarray]]:
    """Cases of the port."""
    import torch
    from hf_peer import load

    model = load(folder, "PortForPreTraining", threads)
    batch = {name: torch.from_numpy(value) for name, value in random_pairs().items()}

    @torch.inference_mode()
    def features() -> np.ndarray:
        output = model.bridgetower(**batch)
        return _flat(output.text_features, output.image_features, output.pooler_output)

    itm = torch.inference_mode()(lambda: model.itm_score(model.bridgetower(**batch).pooler_output).numpy())
    mlm = torch.inference_mode()(lambda: model.mlm_score(model.bridgetower(**batch).text_features).numpy())
    return {"ITM": itm, "MLM": mlm, "features": features, **dict.fromkeys(STATIC, itm)}


def _export(folder: Path) -> None:
    """Export for ITM, with a tokenizer that fits the vocabulary: only its size matters here."""
    words = ["<s>", "<pad>", "</s>", "<unk>", *(f"word{number}" for number in range(50260)), "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    subprocess.run([sys.executable, str(ROOT / "export.py"), str(folder), "--task", "itm", "--output",
                    str(folder / "static")], check=True, capture_output=True)


def main() -> None:
    """Measure in turn, print a table, write JSON."""
    args = arguments(__doc__, rounds=10).parse_args()
    from hf_peer import make_checkpoint

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_checkpoint(folder, "PortForPreTraining", tie_word_embeddings=False)
        _export(folder)
        comparisons = compare(ours, peer, args, warmup=2, tolerance=TOLERANCE, folder=folder)
    report("Forward pass, base, 4 pairs", comparisons, args, TARGET)


if __name__ == "__main__":
    main()
