"""Retrieval between galleries of images and texts: encode, gather, pick candidates, rerank, recall.

One pipeline serves every variant: `candidates=None` scores all pairs by the model's matching head, `candidates=k` picks
the k best of each image and of each text by ITC and scores only those, `candidates=0` ranks by ITC alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import paddle
from paddle import Tensor

from ..datasets import ImageTextDataset
from ..datasets.source import Mode, Source
from ..distributed import all_gather_objects
from ..modules import BridgeTowerModel
from ..modules.matching import select_rows

__all__ = ["RetrievalModel", "RetrievalResult", "gallery_views", "pick_candidates", "recalls", "retrieve"]

logger = logging.getLogger(__name__)

#: Score of a pair that was not a candidate, as in the original.
NOT_SCORED = -100.0
RECALL_AT = (1, 5, 10)
#: A full gallery takes hours without ITC; this is how often progress is logged.
SECONDS_BETWEEN_LOGS = 30.0
Batch = Mapping[str, Tensor]


class RetrievalModel(Protocol):
    """What retrieval asks of a model; only ITC needs the two embeddings, only reranking the scores."""

    bridgetower: BridgeTowerModel

    def embed_text(self, states: list[Tensor]) -> Tensor:
        """States (B, L, W) of the text tower -> unit vectors (B, C)."""

    def embed_image(self, states: list[Tensor]) -> Tensor:
        """States (B, N, W) of the image tower -> unit vectors (B, C)."""

    def match_scores(self, pooled: Tensor) -> Tensor:
        """Pooled pairs (P, 2D) -> scores (P,)."""


@dataclass(frozen=True)
class RetrievalResult:
    """The scores of a gallery of M images and T texts.

    Attributes:
        scores: (M, T) float32, `NOT_SCORED` where a pair was no candidate.
        image_rows: (M,) int64 identity of each image, ascending.
        text_image_rows: (T,) int64 identity of the image that each text belongs to, texts in gallery order.
        similarity: (M, T) cosine of the ITC vectors; None without ITC.
    """

    scores: np.ndarray
    image_rows: np.ndarray
    text_image_rows: np.ndarray
    similarity: np.ndarray | None = None

    def recalls(self) -> dict[str, float]:
        """See `recalls`."""
        return recalls(self.scores, self.image_rows, self.text_image_rows)


@dataclass(frozen=True)
class _Texts:
    """All texts of the gallery: (T, L) ids and mask, (T,) identity of their images, (T, C) ITC vectors if wanted."""

    input_ids: np.ndarray
    attention_mask: np.ndarray
    image_rows: np.ndarray
    vectors: np.ndarray | None


@dataclass(frozen=True)
class _Sizes:
    """How much is computed together, see `retrieve`."""

    pairs: int
    texts: int
    images: int


def gallery_views(dataset: ImageTextDataset) -> tuple[ImageTextDataset, ImageTextDataset]:
    """The images and the texts of a caption dataset, each image and each text once."""
    limit = dataset.options.debug_limit
    views = []
    modes: tuple[Mode, Mode] = ("image_only", "text_only")
    for mode in modes:
        options = replace(dataset.options, mode=mode, draw_false_image=0, draw_false_text=0, training=False)
        sources = [Source(source.spec, source.tables, mode, limit) for source in dataset.sources]
        views.append(ImageTextDataset(sources, options))
    return views[0], views[1]


@paddle.no_grad()
def retrieve(model: RetrievalModel, images: Iterable[Batch], texts: Iterable[Batch], candidates: int | None = None,
             pairs_per_pass: int = 128, texts_per_pass: int = 256, images_per_pass: int = 64) -> RetrievalResult:
    """Score a gallery; with several processes each brings a part of the images and of the texts.

    Memory holds the tower states of `images_per_pass` images (or of one batch, if it has more) and of `texts_per_pass`
    texts, whatever the size of the gallery. An image that several batches or processes bring counts once.

    Args:
        model: in evaluation mode.
        images: batches with `pixel_values` (B, 3, S, S) and `image_index` (B,); read twice when `candidates` is a
            positive number.
        texts: batches with `input_ids`, `attention_mask` (B, L), `image_index` (B,) and `sample_index` (B,).
        candidates: None scores all pairs; else how many texts of each image and images of each text ITC picks to be
            scored; 0 leaves the scoring to ITC.
        pairs_per_pass: pairs that pass the cross-modal layers together.
        texts_per_pass: texts that pass the text tower together.
        images_per_pass: images whose pairs are scored before the next ones are read; a text passes its tower again
            for each such group of images that it is paired with.

    Raises:
        ValueError: without any image or text.
    """
    sizes = _Sizes(pairs_per_pass, texts_per_pass, images_per_pass)
    gallery = _read_texts(model, texts, with_vectors=candidates is not None)
    if candidates is None:
        rows, scores = _score(model, images, gallery, None, None, sizes)
        return RetrievalResult(scores, rows, gallery.image_rows)
    rows, vectors = _gathered_rows([(batch["image_index"].numpy(), _image_vectors(model, batch)) for batch in images])
    similarity = vectors @ gallery.vectors.T  # type: ignore[union-attr]
    if candidates == 0:
        return RetrievalResult(similarity, rows, gallery.image_rows, similarity)
    wanted = pick_candidates(similarity, candidates)
    rows, scores = _score(model, images, gallery, rows, wanted, sizes)
    return RetrievalResult(scores, rows, gallery.image_rows, similarity)


def pick_candidates(similarity: np.ndarray, count: int) -> np.ndarray:
    """The `count` best texts of each image and the `count` best images of each text; all, where there are fewer.

    Args:
        similarity: (M, T).
        count: positive.

    Returns:
        (M, T) bool; a pair that both sides pick is one pair.
    """
    picked = np.zeros(similarity.shape, bool)
    for axis in (0, 1):
        best = min(count, similarity.shape[axis])
        order = np.argpartition(-similarity, best - 1, axis=axis)
        np.put_along_axis(picked, np.take(order, range(best), axis=axis), True, axis=axis)
    return picked


def recalls(scores: np.ndarray, image_rows: np.ndarray, text_image_rows: np.ndarray) -> dict[str, float]:
    """Recall at 1, 5 and 10 in both directions.

    A pair that was not scored is never found. Of equal scores the first in gallery order ranks higher.

    Args:
        scores: (M, T).
        image_rows: (M,) identity of each image.
        text_image_rows: (T,) identity of the image of each text.

    Returns:
        Fractions `ir_r1` .. `ir_r10` (texts whose image is among the best), `tr_r1` .. `tr_r10` (images that have one
        of their texts among the best), `ir_mean`, `tr_mean`, `r_mean`.
    """
    result: dict[str, float] = {}
    for name, table, queries, gallery in (("ir", scores.T, text_image_rows, image_rows),
                                          ("tr", scores, image_rows, text_image_rows)):
        ranks = np.array([_best_rank(row, gallery == query) for row, query in zip(table, queries, strict=True)])
        result |= {f"{name}_r{k}": float((ranks < k).mean()) for k in RECALL_AT}
    for name in ("ir", "tr"):
        result[f"{name}_mean"] = float(np.mean([result[f"{name}_r{k}"] for k in RECALL_AT]))
    return result | {"r_mean": (result["ir_mean"] + result["tr_mean"]) / 2}


def _best_rank(scores: np.ndarray, is_positive: np.ndarray) -> float:
    """How many entries rank before the best positive one, infinity when none was scored."""
    if not is_positive.any() or (best := scores[is_positive].max()) == NOT_SCORED:
        return np.inf
    first = np.flatnonzero(is_positive & (scores == best))[0]
    return float((scores > best).sum() + (scores[:first] == best).sum())


def _image_vectors(model: RetrievalModel, batch: Batch) -> np.ndarray:
    """ITC vectors (B, C) of a batch of images; NumPy has no bfloat16."""
    return model.embed_image(model.bridgetower.encode_image(batch["pixel_values"])).astype("float32").numpy()


def _gathered_rows(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Join (row, value) parts of all processes, ascending by row, each row once."""
    parts = [part for process in all_gather_objects(parts) for part in process]
    if not parts:
        raise ValueError("there is nothing to retrieve from: a gallery is empty")
    rows, first = np.unique(np.concatenate([rows for rows, _ in parts]), return_index=True)
    return rows, np.concatenate([values for _, values in parts])[first]


def _read_texts(model: RetrievalModel, batches: Iterable[Batch], with_vectors: bool) -> _Texts:
    """The texts of all processes, in the order of the dataset, each once."""
    columns: list[dict[str, np.ndarray]] = []
    for batch in batches:
        part = {name: batch[name].numpy() for name in ("sample_index", "image_index", "input_ids", "attention_mask")}
        if with_vectors:
            states = model.bridgetower.encode_text(batch["input_ids"], batch["attention_mask"])
            part["vectors"] = model.embed_text(states).astype("float32").numpy()
        columns.append(part)
    columns = [part for process in all_gather_objects(columns) for part in process]
    if not columns:
        raise ValueError("there is nothing to retrieve from: the gallery of texts is empty")
    length = max(part["input_ids"].shape[1] for part in columns)
    for part in columns:  # batches are padded to different lengths; what is added is masked
        for name in ("input_ids", "attention_mask"):
            part[name] = np.pad(part[name], [(0, 0), (0, length - part[name].shape[1])])
    whole = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
    _, first = np.unique(whole["sample_index"], return_index=True)
    return _Texts(whole["input_ids"][first], whole["attention_mask"][first], whole["image_index"][first],
                  whole["vectors"][first] if with_vectors else None)


def _score(model: RetrievalModel, images: Iterable[Batch], texts: _Texts, image_rows: np.ndarray | None,
           wanted: np.ndarray | None, sizes: _Sizes) -> tuple[np.ndarray, np.ndarray]:
    """Score all pairs, or those `wanted` (M, T) among the images `image_rows`; returns the images and (M, T) scores."""
    parts, scored, logged = [], 0, time.monotonic()
    for rows, image in _projected_images(model, images, sizes.images):
        pairs = np.ones((len(rows), len(texts.input_ids)), bool)
        if wanted is not None and image_rows is not None:
            pairs = wanted[np.searchsorted(image_rows, rows)]
        parts.append((rows, _score_pairs(model, image, texts, pairs, sizes)))
        del image  # before the states of the next group come
        scored += int(pairs.sum())
        if time.monotonic() - logged > SECONDS_BETWEEN_LOGS:
            logged = time.monotonic()
            logger.info("retrieval: %d images, %d pairs scored by this process", sum(len(r) for r, _ in parts), scored)
    return _gathered_rows(parts)


def _projected_images(model: RetrievalModel, batches: Iterable[Batch], count: int
                      ) -> Iterator[tuple[np.ndarray, list[Tensor]]]:
    """Identities (G,) and projected states (G, N, D) of groups of images, as many batches as `count` images hold."""
    base = model.bridgetower
    group: list[tuple[np.ndarray, list[Tensor]]] = []
    for batch in batches:
        rows = batch["image_index"].numpy()
        if group and sum(len(others) for others, _ in group) + len(rows) > count:
            yield _joined(group)
        group.append((rows, base.project_image(base.encode_image(batch["pixel_values"]))))
    if group:
        yield _joined(group)


def _joined(group: list[tuple[np.ndarray, list[Tensor]]]) -> tuple[np.ndarray, list[Tensor]]:
    """One part of several, which are removed from `group`: each level's states go once they are joined."""
    rows = np.concatenate([rows for rows, _ in group])
    levels = [states for _, states in group]
    group.clear()
    if len(levels) == 1:
        return rows, levels[0]
    joined = [paddle.concat([states.pop() for states in levels]) for _ in range(len(levels[0]))]
    return rows, joined[::-1]


def _score_pairs(model: RetrievalModel, image: list[Tensor], texts: _Texts, pairs: np.ndarray, sizes: _Sizes
                 ) -> np.ndarray:
    """Scores (G, T) of the marked pairs of projected images (G, N, D) and texts, `NOT_SCORED` elsewhere."""
    base = model.bridgetower
    scores = np.full(pairs.shape, NOT_SCORED, np.float32)
    needed = np.flatnonzero(pairs.any(axis=0))
    # Texts of a pass should be of similar length: what is padded is computed for nothing.
    needed = needed[np.argsort(_lengths(texts.attention_mask[needed]), kind="stable")]
    for start in range(0, len(needed), sizes.texts):
        chosen = needed[start:start + sizes.texts]
        mask = texts.attention_mask[chosen]
        lengths = _lengths(mask)
        ids = paddle.to_tensor(texts.input_ids[chosen, :lengths[-1]])
        text = base.project_text(base.encode_text(ids, paddle.to_tensor(mask[:, :lengths[-1]])))
        text_of, image_of = np.nonzero(pairs[:, chosen].T)  # text by text, so shortest first
        for first in range(0, len(text_of), sizes.pairs):
            some = slice(first, first + sizes.pairs)
            rows, low, high = text_of[some], text_of[some][0], text_of[some][-1]
            length = lengths[high]
            pooled = base.fuse(select_rows([state[low:high + 1, :length] for state in text],
                                           paddle.to_tensor(rows - low)),
                               select_rows(image, paddle.to_tensor(image_of[some])),
                               paddle.to_tensor(mask[rows, :length]), first_token_only=True).pooler_output
            scores[image_of[some], chosen[rows]] = model.match_scores(pooled).astype("float32").numpy()
    return scores


def _lengths(attention_mask: np.ndarray) -> np.ndarray:
    """Tokens of each text (T,) up to its last real one, at least one: (T, L) -> (T,)."""
    reversed_mask = attention_mask[:, ::-1] != 0
    behind = np.where(reversed_mask.any(axis=1), reversed_mask.argmax(axis=1), attention_mask.shape[1] - 1)
    return attention_mask.shape[1] - behind
