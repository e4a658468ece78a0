"""Forward pass of the base model: ITM scores, MLM scores and features of 4 pairs, ours against the Hugging Face port.

    python benchmarks/bench_forward.py [--rounds 3] [--threads 2] [--output results.json]

Images of 288 pixels, texts of up to 50 tokens, float32, random weights, which both sides load from one folder; the
largest difference of their results is shown. The port runs under torch.inference_mode with fused attention (see
hf_peer.py), ours under paddle.no_grad with the CPU settings of `bridgetower.runtime`. Features are all token features
of both modalities and the pooled vector.

The rows of engines score ITM with what `export.py` writes, in every engine and precision that can run here (see
docs/inference.md). All ITM rows have the strongest PyTorch of their precision as peer: in float32 the faster of eager
and `torch.compile`, which a trial before the rounds decides, in bfloat16 the faster of both under autocast. PyTorch has
no int8 for this port; its float32 is the peer of those rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from side_by_side import arguments, compare, random_pairs, report

from bridgetower.export.engines import ENGINES, EngineSettings
from bridgetower.export.engines.interface import Precision
from bridgetower.export.manifest import FORMATS

ROOT = Path(__file__).resolve().parents[1]
TARGET = 1.2
#: Two float32 implementations sum in different orders; the largest entries are near 6. Bfloat16 has three digits, and
#: 8-bit weights say little where all weights are random.
TOLERANCE = {"float32": 2e-4, "bfloat16": 0.1, "int8": 1.0}
#: Engine and precision of each row, by its name.
Rows = Mapping[str, tuple[str, Precision]]


def engine_rows(folder: Path, threads: int) -> Rows:
    """What can run on this machine."""
    rows = {}
    for name, engine in ENGINES.items():
        for precision in engine.formats:
            if engine.obstacle(EngineSettings(folder, tuple(FORMATS), precision, "cpu", threads, True)) is None:
                rows[f"ITM, {name}, {precision}"] = name, precision
    return rows


def _flat(*arrays: Any) -> np.ndarray:
    return np.concatenate([np.asarray(array).reshape(-1) for array in arrays])


def ours(threads: int, folder: Path, rows: Rows) -> dict[str, Callable[[], np.ndarray]]:
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
    static = {case: BridgeTowerPredictor(folder / "static", engine, precision, "cpu", threads)
              for case, (engine, precision) in rows.items()}

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


def peer(threads: int, folder: Path, rows: Rows) -> dict[str, Callable[[], np.ndarray]]:
    """Cases of the port."""
    import torch
    from hf_peer import bfloat16, compiled, fastest, load

    model = load(folder, "PortForPreTraining", threads)
    batch = {name: torch.from_numpy(value) for name, value in random_pairs().items()}

    @torch.inference_mode()
    def features() -> np.ndarray:
        output = model.bridgetower(**batch)
        return _flat(output.text_features, output.image_features, output.pooler_output)

    def scores(base: Any) -> Callable[[], np.ndarray]:
        return torch.inference_mode()(lambda: model.itm_score(base(**batch).pooler_output).float().numpy())

    ways = {"eager": scores(model.bridgetower), "torch.compile": scores(compiled(model.bridgetower))}
    itm = fastest(ways)
    low = itm
    if any(precision == "bfloat16" for _, precision in rows.values()):
        low = fastest({f"{name}, autocast": bfloat16(way) for name, way in ways.items()})
    mlm = torch.inference_mode()(lambda: model.mlm_score(model.bridgetower(**batch).text_features).numpy())
    return {"ITM": itm, "MLM": mlm, "features": features,
            **{case: low if precision == "bfloat16" else itm for case, (_, precision) in rows.items()}}


def _export(folder: Path) -> None:
    """Export for ITM in all formats, with a tokenizer that fits the vocabulary: only its size matters here."""
    words = ["<s>", "<pad>", "</s>", "<unk>", *(f"word{number}" for number in range(50260)), "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    subprocess.run([sys.executable, str(ROOT / "export.py"), str(folder), "--task", "itm", "--output",
                    str(folder / "static"), "--format", *FORMATS], check=True, capture_output=True)


def main() -> None:
    """Measure in turn, print a table, write JSON."""
    args = arguments(__doc__, rounds=3).parse_args()
    from hf_peer import make_checkpoint

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_checkpoint(folder, "PortForPreTraining", tie_word_embeddings=False)
        _export(folder)
        rows = engine_rows(folder / "static", args.threads)
        tolerance = {case: TOLERANCE["float32"] for case in ("ITM", "MLM", "features")}
        tolerance |= {case: TOLERANCE[precision] for case, (_, precision) in rows.items()}
        comparisons = compare(ours, peer, args, tolerance=tolerance, folder=folder, rows=rows)
    report("Forward pass, base, 4 pairs", comparisons, args, TARGET)


if __name__ == "__main__":
    main()
