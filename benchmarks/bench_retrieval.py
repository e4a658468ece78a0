"""Retrieval with reranking: ITC picks 16 candidates of each image and of each text, ITM scores them; base model.

    python benchmarks/bench_retrieval.py [--sizes 20 40 60] [--candidates 16] [--output results.json]

Galleries of 20, 40 and 60 images with 5 texts each, so that the growth of time can be read too. Ours is
`bridgetower.tasks.retrieval.retrieve`, what validation and prediction of `irtr_itm_itc` run.

The peer does what the original does, built from the modules of the Hugging Face port with fused attention (see
hf_peer.py) under torch.inference_mode: it keeps the tower states of the whole gallery, pads texts to 40 tokens, and
scores the candidates of each image, then those of each text, whether or not a pair was scored before. `--padding
longest` pads its texts to the longest one of the gallery.

Width and depth are those of the base model. Images have 160 pixels, because at 288 the 5,760 passes of the peer take
an hour on two cores; `--image_size 288` measures that. Float32, random weights, equal on both sides; all scores are
compared. Images and texts come as batches in memory: neither side decodes or tokenizes. One timed run of each
gallery, the smallest first.

The rows of engines do the same on the smallest gallery with what `export.py` writes, in every engine and precision
that can run here; a pair that both directions pick is scored once. In bfloat16 the peer runs under autocast; the peer
of int8 is float32. Scores are compared in float32 only: less exact vectors pick other candidates. The peer is not
compiled, since its candidates come one row at a time.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from engine_rows import Rows, engine_rows, export, write_tokenizer
from side_by_side import Comparison, arguments, compare, report

TARGET = 1.3
TEXTS_PER_IMAGE, MAX_TEXT_LEN, BATCH, WIDTH, ITC_WIDTH = 5, 40, 16, 768, 256
#: Of ITM logits of magnitude 1; two float32 implementations sum in different orders.
TOLERANCE = 2e-4
NOT_SCORED = -100.0


def gallery(images: int, image_size: int) -> dict[str, np.ndarray]:
    """Random images (M, 3, S, S) and texts (T, 40) with as many tokens as captions of COCO, 13 in the mean."""
    draw = np.random.default_rng(images)
    texts = images * TEXTS_PER_IMAGE
    lengths = draw.normal(13, 3, texts).round().clip(8, MAX_TEXT_LEN)
    mask = (np.arange(MAX_TEXT_LEN) < lengths[:, None]).astype(np.int64)
    return {"pixel_values": draw.standard_normal((images, 3, image_size, image_size), dtype=np.float32),
            "input_ids": np.where(mask == 1, draw.integers(4, 50000, mask.shape), 1), "attention_mask": mask}


def itc_weights(side: int) -> dict[str, np.ndarray]:
    """Weight (C, W) and bias (C,) of the ITC head of texts (0) or images (1)."""
    draw = np.random.default_rng(side)
    return {"weight": draw.standard_normal((ITC_WIDTH, WIDTH)).astype(np.float32),
            "bias": np.zeros(ITC_WIDTH, np.float32)}


def case_name(images: int) -> str:
    """What a gallery is called in the table."""
    return f"{images} images x {images * TEXTS_PER_IMAGE} texts"


def ours(threads: int, folder: Path, sizes: Sequence[int], candidates: int, image_size: int, padding: str, rows: Rows
         ) -> dict[str, Callable[[], np.ndarray]]:
    """Retrieval as the library runs it."""
    from bridgetower.runtime import set_cpu_threads, tune_cpu

    tune_cpu()
    import paddle

    from bridgetower import BridgeTowerForContrastiveRetrieval
    from bridgetower.export import BridgeTowerPredictor
    from bridgetower.tasks.retrieval import retrieve

    set_cpu_threads(threads)
    model = BridgeTowerForContrastiveRetrieval.from_pretrained(folder / "retrieval")

    def batches(**columns: np.ndarray) -> list[dict[str, paddle.Tensor]]:
        """As the loader makes them: texts no longer than the longest of their batch."""
        parts = []
        for start in range(0, len(columns["image_index"]), BATCH):
            part = {name: column[start:start + BATCH] for name, column in columns.items()}
            if "attention_mask" in part:
                longest = part["attention_mask"].sum(axis=1).max()
                part |= {name: part[name][:, :longest] for name in ("input_ids", "attention_mask")}
            parts.append({name: paddle.to_tensor(value) for name, value in part.items()})
        return parts

    def run(images: int) -> Callable[[], np.ndarray]:
        data, rows = gallery(images, image_size), np.arange(images)
        pictures = batches(pixel_values=data.pop("pixel_values"), image_index=rows)
        texts = batches(**data, image_index=rows.repeat(TEXTS_PER_IMAGE),
                        sample_index=np.arange(images * TEXTS_PER_IMAGE))
        return lambda: retrieve(model, pictures, texts, candidates).scores

    run(1)()  # warm-up
    smallest = gallery(min(sizes), image_size)
    return {case_name(images): run(images) for images in sizes} | {
        case: partial(_engine_scores, BridgeTowerPredictor(folder / "static", engine, precision, "cpu", threads),
                      smallest, candidates)
        for case, (engine, precision) in rows.items()}


def _engine_scores(predictor: Any, data: dict[str, np.ndarray], candidates: int) -> np.ndarray:
    """(M, T) scores of the candidates of both directions by an exported folder; NOT_SCORED elsewhere."""
    longest = data["attention_mask"].sum(axis=1).max()
    texts = predictor.encode_text(data["input_ids"][:, :longest], data["attention_mask"][:, :longest])
    images = predictor.encode_image(data["pixel_values"])
    similarity = images.vectors @ texts.vectors.T
    scores = np.full(similarity.shape, NOT_SCORED, np.float32)
    chosen = np.zeros(similarity.shape, bool)
    for axis in (0, 1):
        best = np.argsort(-similarity, axis=axis).take(np.arange(min(candidates, similarity.shape[axis])), axis=axis)
        np.put_along_axis(chosen, best, True, axis)
    pairs = np.argwhere(chosen)
    for start in range(0, len(pairs), BATCH):
        rows, columns = pairs[start:start + BATCH].T
        scores[rows, columns] = predictor.fuse(texts.take(columns), images.take(rows))
    return scores


def peer(threads: int, folder: Path, sizes: Sequence[int], candidates: int, image_size: int, padding: str, rows: Rows
         ) -> dict[str, Callable[[], np.ndarray]]:
    """Retrieval as the original runs it."""
    import torch
    from hf_peer import bfloat16, load

    model = load(folder, "BridgeTowerForImageAndTextRetrieval", threads)
    heads = [torch.nn.Linear(WIDTH, ITC_WIDTH), torch.nn.Linear(WIDTH, ITC_WIDTH)]
    for side, head in enumerate(heads):
        head.load_state_dict({name: torch.from_numpy(value) for name, value in itc_weights(side).items()})

    def run(images: int) -> Callable[[], np.ndarray]:
        data = {name: torch.from_numpy(value) for name, value in gallery(images, image_size).items()}
        if padding == "longest":
            longest = int(data["attention_mask"].sum(dim=1).max())
            data |= {name: data[name][:, :longest] for name in ("input_ids", "attention_mask")}
        return lambda: _rerank(model, heads, data, candidates)

    run(1)()  # warm-up
    exact, low = run(min(sizes)), bfloat16(run(min(sizes)))
    return {case_name(images): run(images) for images in sizes} | {
        case: low if precision == "bfloat16" else exact for case, (_, precision) in rows.items()}


def _rerank(model: Any, heads: Sequence[Any], data: dict[str, Any], candidates: int) -> np.ndarray:
    """The original's two directions, each scoring its own candidates; (M, T) the larger score of both."""
    import torch

    with torch.inference_mode():
        base = model.bridgetower
        mask = base.text_model.get_extended_attention_mask(data["attention_mask"], data["input_ids"].shape)
        text, text_vectors = _in_batches(lambda part: _text_states(base, heads[0], data["input_ids"][part], mask[part]),
                                         len(mask))
        image, image_vectors = _in_batches(lambda part: _image_states(base, heads[1], data["pixel_values"][part]),
                                           len(data["pixel_values"]))
        similarity = image_vectors @ text_vectors.T
        scores = torch.full((2, *similarity.shape), NOT_SCORED, dtype=torch.float32)
        for row, best in enumerate(similarity.topk(min(candidates, similarity.shape[1]), dim=1).indices):
            own = image[:, row:row + 1].expand(-1, len(best), -1, -1)
            scores[0, row, best] = _match(model, text[:, best], own, mask[best])
        for row, best in enumerate(similarity.T.topk(min(candidates, similarity.shape[0]), dim=1).indices):
            own = text[:, row:row + 1].expand(-1, len(best), -1, -1)
            scores[1, best, row] = _match(model, own, image[:, best], mask[row:row + 1])
        return scores.amax(dim=0).numpy()


def _in_batches(encode: Callable[[slice], tuple[Any, Any]], count: int) -> tuple[Any, Any]:
    """States (K, count, tokens, D) and ITC vectors (count, C) of a whole gallery."""
    import torch

    parts = [encode(slice(start, start + BATCH)) for start in range(0, count, BATCH)]
    return torch.cat([states for states, _ in parts], dim=1), torch.cat([vectors for _, vectors in parts])


def _text_states(base: Any, head: Any, input_ids: Any, mask: Any) -> tuple[Any, Any]:
    """Projected top states (K, B, L, D) of the text tower, and unit vectors (B, C)."""
    import torch

    x, states = base.text_model.embeddings(input_ids=input_ids), []
    for layer in base.text_model.encoder.layer:
        x = layer(x, mask)[0]
        states.append(x)
    top = torch.stack(states[-base.config.num_hidden_layers:])
    projected = base.cross_modal_text_transform(top) + base.token_type_embeddings.weight[0]
    return projected, torch.nn.functional.normalize(head(x[:, 0]))


def _image_states(base: Any, head: Any, pixel_values: Any) -> tuple[Any, Any]:
    """Projected top states (K, B, N, D) of the image tower, and unit vectors (B, C)."""
    import torch

    visual = base.vision_model.visual
    x, states = visual.forward_pre(pixel_values), []
    for block in visual.transformer.resblocks:
        x = block(x)
        states.append(x)
    top = torch.stack([visual.forward_post(state) for state in states[-base.config.num_hidden_layers:]])
    projected = base.cross_modal_image_transform(top) + base.token_type_embeddings.weight[1]
    return projected, torch.nn.functional.normalize(head(top[-1][:, 0]))


def _match(model: Any, text_states: Any, image_states: Any, mask: Any) -> Any:
    """ITM's logits of a match (P,) of pairs of states (K, P, tokens, D)."""
    base = model.bridgetower
    text = base.cross_modal_text_layernorm(text_states[0])
    image = base.cross_modal_image_layernorm(image_states[0])
    for level in range(base.config.num_hidden_layers):
        if level:
            text = base.cross_modal_text_link_tower[level - 1](text_states[level], text, mask)
            image = base.cross_modal_image_link_tower[level - 1](image_states[level], image, None)
        text, image = (
            base.cross_modal_text_layers[level](text, image, attention_mask=mask, encoder_attention_mask=None)[0],
            base.cross_modal_image_layers[level](image, text, attention_mask=None, encoder_attention_mask=mask)[0])
    return model.itm_score(base.get_cls_features(text, image))[:, 1].float()


def print_growth(comparisons: Sequence[Comparison], args: argparse.Namespace) -> None:
    """How time grows with the gallery; the candidates of both directions are the pairs that the peer scores."""
    print("\n| gallery | candidates | ours, ms a candidate | peer, ms a candidate |\n| --- | --- | --- | --- |")
    for images, one in zip(args.sizes, comparisons, strict=False):  # the rows of engines follow
        texts = images * TEXTS_PER_IMAGE
        pairs = images * min(args.candidates, texts) + texts * min(args.candidates, images)
        cells = [f"{1000 * np.median(seconds) / pairs:.1f}" for seconds in (one.ours, one.peer)]
        print(f"| {one.case} | {pairs} | {cells[0]} | {cells[1]} |")


def save_for_retrieval(folder: Path) -> None:
    """Give the checkpoint its ITC heads, and export it."""
    from bridgetower import BridgeTowerForContrastiveRetrieval

    model = BridgeTowerForContrastiveRetrieval.from_pretrained(folder, contrastive_hidden_size=ITC_WIDTH)
    for side, head in enumerate((model.itc_text_head, model.itc_image_head)):
        weights = itc_weights(side)
        head.weight.set_value(weights["weight"].T)
        head.bias.set_value(weights["bias"])
    model.save_pretrained(folder / "retrieval")
    write_tokenizer(folder / "retrieval")
    export(folder / "retrieval", "retrieval", folder / "static")


def main() -> None:
    """Measure in turn, print tables, write JSON."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 40, 60], help="images of each gallery")
    parser.add_argument("--candidates", type=int, default=16, help="candidates of each image and of each text")
    parser.add_argument("--image_size", type=int, default=160, help="pixels, a multiple of 16")
    parser.add_argument("--padding", choices=("max_length", "longest"), default="max_length",
                        help="what the peer pads to: 40 tokens as the original, or the longest text")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        from hf_peer import make_checkpoint

        make_checkpoint(Path(name), "BridgeTowerForImageAndTextRetrieval", vision={"image_size": args.image_size})
        save_for_retrieval(Path(name))
        rows = engine_rows(case_name(min(args.sizes)), Path(name) / "static", args.threads)
        tolerance = dict.fromkeys(map(case_name, args.sizes), TOLERANCE) | {
            case: TOLERANCE if precision == "float32" else None for case, (_, precision) in rows.items()}
        comparisons = compare(ours, peer, args, warmup=0, tolerance=tolerance, folder=Path(name), sizes=args.sizes,
                              candidates=args.candidates, image_size=args.image_size, padding=args.padding, rows=rows)
    report(f"Retrieval, base, images of {args.image_size} pixels, {args.candidates} candidates", comparisons, args,
           TARGET)
    print_growth(comparisons, args)


if __name__ == "__main__":
    main()
