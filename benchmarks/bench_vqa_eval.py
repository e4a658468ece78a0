"""Evaluation of VQA: 5 questions about each image of 576 pixels, base model, ours against the Hugging Face port.

    python benchmarks/bench_vqa_eval.py [--images 2] [--rounds 3] [--threads 2] [--output results.json]

Ours is `BridgeTowerTrainer.evaluate`, the way of `train.py --do_eval`: sampler, collator, loader, model, loss and
score. An image passes its tower once for all its questions, which are padded to the longest one.

The peer does what the original does: every question passes with its own image, padded to 50 tokens. Its model is the
port with fused attention (see hf_peer.py) and a head of torch modules, under torch.inference_mode; it computes logits
and nothing else. `--padding longest` pads its questions as ours are.

Float32, random weights, equal on both sides; the logits are compared. Images are in memory: neither side decodes.

The rows of engines answer the questions with what `export.py` writes, an image at a time with all its questions, in
every engine and precision that can run here. Their peer is the faster of the port and of the port through
`torch.compile`, in bfloat16 under autocast; int8 is compared with float32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from engine_rows import Rows, engine_rows, export, tolerances, torch_rows, write_tokenizer
from side_by_side import arguments, compare, report

ROOT = Path(__file__).parent.parent
TARGET = 1.8
IMAGE_SIZE, PATCH_SIZE, WIDTH, NUM_ANSWERS, MAX_TEXT_LEN = 576, 16, 768, 3129, 50
#: Of logits of magnitude 1; two float32 implementations sum in different orders.
TOLERANCE = 2e-4
QUESTIONS = ("What color is the bus?", "How many people are there in the picture?", "Is it raining?",
             "What is the man on the left side of the street holding in his hand?", "Where was this photo taken?")


@dataclass(frozen=True)
class Gallery:
    """`images` random images, each with all of QUESTIONS; the same in every process."""

    images: int

    @cached_property
    def pixel_values(self) -> np.ndarray:
        """(images, 3, S, S) float32."""
        shape = self.images, 3, IMAGE_SIZE, IMAGE_SIZE
        return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

    @cached_property
    def tokenizer(self) -> Any:
        """A tokenizer that knows the words of the questions; their ids matter to no one's speed."""
        from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
        from bridgetower.preparation.train_tokenizer import train_tokenizer

        return BridgeTowerTokenizer(train_tokenizer(QUESTIONS * 2, 1000), "roberta")

    @property
    def image_rows(self) -> np.ndarray:
        """(questions,) the image of each question."""
        return np.repeat(np.arange(self.images), len(QUESTIONS))


def head_weights() -> dict[str, np.ndarray]:
    """Weights of the classifier by our names, linear ones as (in, out)."""
    draw = np.random.default_rng(1)
    shapes = {"fc1.weight": (2 * WIDTH, 2 * WIDTH), "fc1.bias": (2 * WIDTH,), "norm.weight": (2 * WIDTH,),
              "norm.bias": (2 * WIDTH,), "fc2.weight": (2 * WIDTH, NUM_ANSWERS), "fc2.bias": (NUM_ANSWERS,)}
    return {name: (0.02 * draw.standard_normal(shape) + (name == "norm.weight")).astype(np.float32)
            for name, shape in shapes.items()}


def case_name(images: int) -> str:
    """What the evaluation is called in the table."""
    return f"{images} images, {images * len(QUESTIONS)} questions"


def ours(threads: int, folder: Path, images: int, batch_size: int, padding: str, rows: Rows
         ) -> dict[str, Callable[[], np.ndarray]]:
    """Evaluation by the Trainer."""
    import sys

    from bridgetower.runtime import set_cpu_threads, shorten_paddlenlp_log, tune_cpu

    tune_cpu()
    shorten_paddlenlp_log()
    from bridgetower import BridgeTowerForQuestionAnswering
    from bridgetower.datasets import Collator
    from bridgetower.export import BridgeTowerPredictor
    from bridgetower.tasks import get_task

    sys.path.insert(0, str(ROOT))
    from trainer_util import BridgeTowerTrainer, parse_arguments

    set_cpu_threads(threads)
    args, experiment = parse_arguments([
        "--config_name", str(ROOT / "configs" / "vqav2_config.json"), "--output_dir", str(folder / "run"),
        "--do_eval", "--device", "cpu", "--per_device_eval_batch_size", str(batch_size), "--disable_tqdm", "true",
        "--dataloader_num_workers", "0"])
    gallery = Gallery(images)
    model = BridgeTowerForQuestionAnswering.from_pretrained(folder / "vqa")
    logits: list[np.ndarray] = []
    model.register_forward_post_hook(lambda layer, inputs, output: logits.append(output.logits.numpy()))
    collator = Collator(gallery.tokenizer, MAX_TEXT_LEN, share_images=True, num_answers=NUM_ANSWERS)
    trainer = BridgeTowerTrainer(model, args=args, task=get_task(experiment.task), experiment=experiment,
                                 eval_collator=collator, eval_dataset=_questions(gallery), tokenizer=gallery.tokenizer)

    def evaluate() -> np.ndarray:
        logits.clear()
        trainer.evaluate()
        return np.concatenate(logits)

    return {case_name(images): evaluate, **{
        case: partial(_answer, BridgeTowerPredictor(folder / "static", engine, precision, "cpu", threads), gallery)
        for case, (engine, precision) in rows.items()}}


def _answer(predictor: Any, gallery: Gallery) -> np.ndarray:
    """Logits by an exported folder."""
    ids = gallery.tokenizer.encode_texts(QUESTIONS, MAX_TEXT_LEN).ids
    texts = predictor.encode_text(**gallery.tokenizer.pad_ids(ids, max(map(len, ids))))
    return np.concatenate([predictor.fuse(texts, predictor.encode_image(image[None]))
                           for image in gallery.pixel_values])


def _questions(gallery: Gallery) -> Any:
    """A data set of the Trainer, in memory."""
    from bridgetower.datasets.samples import Sample, VqaTarget

    class Questions:
        table_names = ("vqav2_val",)
        image_rows = gallery.image_rows

        def __len__(self) -> int:
            return len(self.image_rows)

        def __getitem__(self, index: int) -> Sample:
            image = int(self.image_rows[index])
            return Sample(0, 0, index, image, 0, gallery.pixel_values[image], QUESTIONS[index % len(QUESTIONS)],
                          vqa=VqaTarget(index, [index % NUM_ANSWERS], [1.0], "in memory"))

    return Questions()


def peer(threads: int, folder: Path, images: int, batch_size: int, padding: str, rows: Rows
         ) -> dict[str, Callable[[], np.ndarray]]:
    """The port, each question with its own image."""
    import torch
    from hf_peer import compiled, load
    from torch import nn

    gallery = Gallery(images)
    model = load(folder, "BridgeTowerModel", threads)
    head = nn.Sequential(nn.Linear(2 * WIDTH, 2 * WIDTH), nn.LayerNorm(2 * WIDTH), nn.GELU(),
                         nn.Linear(2 * WIDTH, NUM_ANSWERS))
    places = {"fc1": "0", "norm": "1", "fc2": "3"}
    head.load_state_dict({places[name.partition(".")[0]] + "." + name.partition(".")[2]: torch.from_numpy(value.T)
                          for name, value in head_weights().items()})
    ids = gallery.tokenizer.encode_texts(QUESTIONS, MAX_TEXT_LEN).ids * images
    texts = gallery.tokenizer.pad_ids(ids, MAX_TEXT_LEN if padding == "max_length" else max(map(len, ids)))
    batch = {name: torch.from_numpy(value) for name, value in texts.items()}
    pixels, image_rows = torch.from_numpy(gallery.pixel_values), torch.from_numpy(gallery.image_rows)

    @torch.inference_mode()
    def evaluate(base: Any) -> np.ndarray:
        logits = [head(base(**{name: value[part] for name, value in batch.items()},
                            pixel_values=pixels[image_rows[part]]).pooler_output).float()
                  for part in (slice(start, start + batch_size) for start in range(0, len(image_rows), batch_size))]
        return torch.cat(logits).numpy()

    ways = {"eager": partial(evaluate, model)}
    if rows:
        ways["torch.compile"] = partial(evaluate, compiled(model))
    return {case_name(images): ways["eager"], **torch_rows(rows, ways)}


def save_for_vqa(folder: Path) -> None:
    """Give the checkpoint its classifier, and export it."""
    from bridgetower import BridgeTowerForQuestionAnswering

    model = BridgeTowerForQuestionAnswering.from_pretrained(folder, num_labels=NUM_ANSWERS)
    for name, value in head_weights().items():
        dict(model.classifier.named_parameters())[name].set_value(value)
    model.save_pretrained(folder / "vqa")
    write_tokenizer(folder / "vqa")
    export(folder / "vqa", "vqa", folder / "static")


def main() -> None:
    """Measure in turn, print a table, write JSON."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--images", type=int, default=2, help="images with 5 questions each")
    parser.add_argument("--batch_size", type=int, default=5, help="questions a batch, of both sides")
    parser.add_argument("--padding", choices=("max_length", "longest"), default="max_length",
                        help="what the peer pads to: 50 tokens as the original, or the longest question")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        from hf_peer import make_checkpoint

        make_checkpoint(Path(name), "BridgeTowerModel", vision={"image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE})
        save_for_vqa(Path(name))
        rows = engine_rows("VQA", Path(name) / "static", args.threads)
        comparisons = compare(ours, peer, args, tolerance={case_name(args.images): TOLERANCE} | tolerances(rows),
                              folder=Path(name), images=args.images, batch_size=args.batch_size, padding=args.padding,
                              rows=rows)
    report("VQA evaluation, base, images of 576 pixels", comparisons, args, TARGET)


if __name__ == "__main__":
    main()
