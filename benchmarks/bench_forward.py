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

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from engine_rows import TOLERANCE, Rows, engine_rows, export, tolerances, torch_rows, write_tokenizer
from side_by_side import arguments, compare, random_pairs, report

TARGET = 1.2


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
    from hf_peer import compiled, load

    model = load(folder, "PortForPreTraining", threads)
    batch = {name: torch.from_numpy(value) for name, value in random_pairs().items()}

    @torch.inference_mode()
    def features() -> np.ndarray:
        output = model.bridgetower(**batch)
        return _flat(output.text_features, output.image_features, output.pooler_output)

    def scores(base: Any) -> Callable[[], np.ndarray]:
        return torch.inference_mode()(lambda: model.itm_score(base(**batch).pooler_output).float().numpy())

    ways = {"eager": scores(model.bridgetower), "torch.compile": scores(compiled(model.bridgetower))}
    mlm = torch.inference_mode()(lambda: model.mlm_score(model.bridgetower(**batch).text_features).numpy())
    by_engine = torch_rows(rows, ways)
    exact = next(by_engine[case] for case, (_, precision) in rows.items() if precision == "float32")
    return {"ITM": exact, "MLM": mlm, "features": features, **by_engine}


def main() -> None:
    """Measure in turn, print a table, write JSON."""
    args = arguments(__doc__, rounds=3).parse_args()
    from hf_peer import make_checkpoint

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_checkpoint(folder, "PortForPreTraining", tie_word_embeddings=False)
        write_tokenizer(folder)
        export(folder, "itm", folder / "static")
        rows = engine_rows("ITM", folder / "static", args.threads)
        tolerance = dict.fromkeys(("ITM", "MLM", "features"), TOLERANCE["float32"]) | tolerances(rows)
        comparisons = compare(ours, peer, args, tolerance=tolerance, folder=folder, rows=rows)
    report("Forward pass, base, 4 pairs", comparisons, args, TARGET)


if __name__ == "__main__":
    main()
