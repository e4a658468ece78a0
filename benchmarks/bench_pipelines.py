"""Throughput of a pipeline: against its own model without reading pictures, and against a loop with the port.

    python benchmarks/bench_pipelines.py [--pictures 32] [--batch_size 8] [--depth 12] [--rounds 3] [--output FILE]

ITM scores of pairs of a photograph (JPEG files of 640 x 427 pixels) and a sentence of its own. *from files* is what a
user writes: ours `pipeline("image-text-matching", folder)`, the peer's a loop over batches with Pillow, the processor
of transformers, and the port with fused attention (see hf_peer.py) under torch.inference_mode. *prepared* gives both
models batches that are tensors already, which is the most that a loop around them could reach. *five texts* asks five
sentences of each of a fourth of the pictures, again from files: the pipeline passes a picture once through its tower.
*as shipped* are these loops with the port as transformers has it, without fused attention. Float32, random weights of
base width, loaded from one folder; the scores are compared.

The rows of engines are *from files* with the folder that export.py writes, in every engine and precision that can run
here. In bfloat16 the loop runs under autocast; int8 is compared with float32.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from engine_rows import Rows, engine_rows, export, tolerances
from PIL import Image
from side_by_side import arguments, compare, report

TARGET = 1.5
#: Of scores between 0 and 1: the two sides resize pictures with libraries that round differently.
TOLERANCE = 5e-3


def sentence(number: int) -> str:
    """A sentence of 2 to 5 words, and of 6 to 27 letters and spaces, each of them a token."""
    return " ".join(f"word{(number + place) % 10}" for place in range(2 + number % 4))


def write_inputs(folder: Path, pictures: int, depth: int) -> None:
    """A checkpoint of the port with its processor and a tokenizer of whole words, and photographs."""
    from hf_peer import make_checkpoint
    from sklearn.datasets import load_sample_images
    from transformers import BridgeTowerImageProcessor, BridgeTowerProcessor, RobertaTokenizerFast

    layers = {"num_hidden_layers": depth}
    make_checkpoint(folder, "BridgeTowerForImageAndTextRetrieval", vision=layers, text=layers,
                    num_hidden_layers=min(6, depth))
    # Sentences are split into letters: only the number of tokens matters. The rest fills the vocabulary of the port.
    words = ["<s>", "<pad>", "</s>", "<unk>", "Ġ", *"word0123456789"]
    words += [f"word{number}" for number in range(50264 - len(words))] + ["<mask>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = RobertaTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))
    BridgeTowerProcessor(BridgeTowerImageProcessor(), tokenizer).save_pretrained(folder)
    (folder / "photos").mkdir()
    for number in range(pictures):
        photo = load_sample_images().images[number % 2]
        Image.fromarray(np.roll(photo, 20 * number, axis=1)).save(folder / "photos" / f"{number:04}.jpg", quality=90)


def _inputs(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "photos").iterdir())
    return [{"image": path, "text": sentence(number)} for number, path in enumerate(paths)]


def _five_texts(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "photos").iterdir())
    paths = paths[:max(1, len(paths) // 4)]
    return [{"image": path, "text": sentence(number)} for path in paths for number in range(5)]


def ours(threads: int, folder: Path, batch_size: int, rows: Rows) -> dict[str, Callable[[], np.ndarray]]:
    """The pipeline, its model on tensors, and pipelines of exported models."""
    from bridgetower.runtime import set_cpu_threads, shorten_paddlenlp_log, tune_cpu

    tune_cpu()
    shorten_paddlenlp_log()
    import paddle

    from bridgetower import pipeline

    set_cpu_threads(threads)
    pipe = pipeline("image-text-matching", folder, "cpu", batch_size=batch_size, progress=False)
    inputs = _inputs(folder)
    engine = pipe.engine
    batches = []
    for start in range(0, len(inputs), batch_size):
        some = inputs[start:start + batch_size]
        pixels = engine.image_processor([Image.open(one["image"]) for one in some], "np")["pixel_values"]
        encoded = engine.tokenize([one["text"] for one in some])
        batches.append({name: paddle.to_tensor(value) for name, value in {**encoded, "pixel_values": pixels}.items()})

    @paddle.no_grad()
    def prepared() -> np.ndarray:
        logits = np.concatenate([engine.model(**batch).logits.numpy() for batch in batches])
        return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))

    def from_files(pipe: Any, inputs: list[dict[str, Any]]) -> np.ndarray:
        return np.array([one["score"] for one in pipe(inputs)])

    exported = {case: pipeline("image-text-matching", folder / "static", "cpu", engine=engine, precision=precision,
                               batch_size=batch_size, progress=False) for case, (engine, precision) in rows.items()}
    one = partial(from_files, pipe, inputs)
    five = partial(from_files, pipe, _five_texts(folder))
    return {"from files": one, "prepared": prepared, "five texts": five,
            "from files, as shipped": one, "five texts, as shipped": five,
            **{case: partial(from_files, each, inputs) for case, each in exported.items()}}


def peer(threads: int, folder: Path, batch_size: int, rows: Rows) -> dict[str, Callable[[], np.ndarray]]:
    """The loop that a user of transformers writes, and its model on tensors."""
    import torch
    from hf_peer import as_shipped, bfloat16, load
    from transformers import BridgeTowerProcessor

    model = load(folder, "BridgeTowerForImageAndTextRetrieval", threads)
    processor = BridgeTowerProcessor.from_pretrained(folder)
    inputs = _inputs(folder)

    def encode(some: list[dict[str, Any]]) -> Any:
        images = [Image.open(one["image"]).convert("RGB") for one in some]
        return processor(images, [one["text"] for one in some], padding=True, return_tensors="pt")

    @torch.inference_mode()
    def scores(batch: Any) -> np.ndarray:
        return model(**batch).logits.float().softmax(-1)[:, 1].numpy()

    def from_files(inputs: list[dict[str, Any]]) -> np.ndarray:
        return np.concatenate([scores(encode(inputs[start:start + batch_size]))
                               for start in range(0, len(inputs), batch_size)])

    batches = [encode(inputs[start:start + batch_size]) for start in range(0, len(inputs), batch_size)]
    exact = partial(from_files, inputs)
    five = partial(from_files, _five_texts(folder))
    return {"from files": exact, "prepared": lambda: np.concatenate(list(map(scores, batches))), "five texts": five,
            "from files, as shipped": as_shipped(exact), "five texts, as shipped": as_shipped(five),
            **{case: bfloat16(exact) if precision == "bfloat16" else exact
               for case, (_, precision) in rows.items()}}


def main() -> None:
    """Measure in turn, print a table and the share of the pipeline, write JSON."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--depth", type=int, default=12, help="layers of each tower (12, the base model)")
    args = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_inputs(folder, args.pictures, args.depth)
        export(folder, "itm", folder / "static")
        rows = engine_rows("exported", folder / "static", args.threads)
        cases = "from files", "prepared", "five texts", "from files, as shipped", "five texts, as shipped"
        tolerance = dict.fromkeys(cases, TOLERANCE)
        tolerance |= {case: max(TOLERANCE, value) for case, value in tolerances(rows).items()}
        comparisons = compare(ours, peer, args, tolerance=tolerance, folder=folder, batch_size=args.batch_size,
                              rows=rows)
    report(f"ITM of {args.pictures} pictures in batches of {args.batch_size}, towers of {args.depth} layers",
           comparisons, args, TARGET)
    files, prepared = (statistics.median(one.ours) for one in comparisons[:2])
    print(f"\nthe pipeline has {prepared / files:.0%} of the throughput of its model on prepared batches")


if __name__ == "__main__":
    main()
