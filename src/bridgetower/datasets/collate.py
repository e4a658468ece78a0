"""From samples to the batch of arrays that the models read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..inputs.tokenizer import BridgeTowerTokenizer, Padding
from .masking import draw_masking, mask_tokens, select_tokens, select_words
from .samples import Sample, draw_stream

__all__ = ["SKIPPED", "Batch", "Collator"]

#: The only key of the placeholder for a skipped batch. Paddle's DataLoader takes an empty dict for the end of the data.
SKIPPED = "skipped"

Batch = dict[str, np.ndarray]


@dataclass(frozen=True)
class Collator:
    """Makes batches; a callable for `paddle.io.DataLoader(collate_fn=...)`.

    B rows, L tokens, S pixels, C answers, F false texts, M distinct images. Always `sample_index` and `image_index`
    (B,), `table_index` (B,) int64; with texts `input_ids` and `attention_mask` (B, L) int64, with false texts
    (B, 1 + F, L), the true one first; with images `pixel_values` (B, 3, S, S) float32, (B, 2, 3, S, S) for NLVR2.
    VQA adds `question_ids` (B,) int64 and, where the split has answers, `labels` (B, C) float32; labelled samples add
    `labels` (B,) int64, or float32 for numbers. An empty batch, which a resumed run skips, becomes {SKIPPED: [1]}.

    Attributes:
        tokenizer: for the texts; None for samples without.
        max_text_len: L at most, first and last token included.
        padding: "longest" pads to the longest text of the batch, "max_length" to `max_text_len`.
        mlm: add `mlm_input_ids` and `mlm_labels` (B, L) int64, -100 where nothing is to be predicted.
        whole_word_masking: hide whole words instead of single tokens.
        mlm_probability: share of tokens to hide.
        itm: add `itm_labels` (B,) int64, B // 2 ones at random rows, and `false_pixel_values`, the drawn image of each
            row with label 0 in row order.
        share_images: `pixel_values` (M, 3, S, S) holds each image once and `image_rows` (B,) int64 says which one a
            row uses. For transforms that are not random.
        num_answers: C, answers or classes; needed for VQA with answers.
    """

    tokenizer: BridgeTowerTokenizer | None
    max_text_len: int
    padding: Padding = "longest"
    mlm: bool = False
    whole_word_masking: bool = False
    mlm_probability: float = 0.15
    itm: bool = False
    share_images: bool = False
    num_answers: int | None = None

    def __post_init__(self) -> None:
        if self.padding not in ("longest", "max_length"):
            raise ValueError(f"padding={self.padding!r} is unknown; use 'longest' or 'max_length'")
        if not 0 <= self.mlm_probability <= 1:
            raise ValueError(f"mlm_probability={self.mlm_probability} must lie between 0 and 1")
        if self.max_text_len < 3:
            raise ValueError(f"max_text_len={self.max_text_len} leaves no room for a word; use 3 or more")

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Join samples into arrays, whose shapes the class gives.

        Raises:
            ValueError: an answer id outside of `num_answers` (with file and row), or matching without drawn images.
        """
        if not samples:
            return {SKIPPED: np.ones(1, dtype=np.int64)}
        batch: Batch = {
            name: np.array([getattr(sample, name) for sample in samples], dtype=np.int64)
            for name in ("sample_index", "image_index", "table_index")
        }
        if samples[0].text is not None:
            batch |= self._texts(samples)
        if samples[0].pixel_values is not None:
            batch |= self._images(samples, batch["image_index"])
        if self.itm:
            batch |= _matching(samples)
        if samples[0].vqa is not None:
            batch |= self._answers(samples)
        if samples[0].label is not None:
            dtype = np.float32 if isinstance(samples[0].label, float) else np.int64
            batch["labels"] = np.array([sample.label for sample in samples], dtype=dtype)
        return batch

    @property
    def _words(self) -> BridgeTowerTokenizer:
        if self.tokenizer is None:
            raise ValueError("the samples have texts, but the collator was given no tokenizer")
        return self.tokenizer

    def _texts(self, samples: Sequence[Sample]) -> Batch:
        """Token ids, and the masked ones when asked for."""
        false_texts = len(samples[0].false_texts)
        texts = [text for sample in samples for text in (sample.text, *sample.false_texts)]
        encoded = self._words.encode_texts(texts, self.max_text_len)  # type: ignore[arg-type]
        width = self.max_text_len if self.padding == "max_length" else max(map(len, encoded.ids))
        batch = self._words.pad_ids(encoded.ids, width)
        if self.mlm:
            rows = slice(None, None, 1 + false_texts)
            batch |= self._masked(samples, encoded.ids[rows], encoded.special_tokens_mask[rows], width)
        if false_texts:
            shape = (len(samples), 1 + false_texts, width)
            batch |= {name: batch[name].reshape(shape) for name in ("input_ids", "attention_mask")}
        return batch

    def _masked(
        self, samples: Sequence[Sample], ids: list[list[int]], special_mask: list[list[int]], width: int
    ) -> Batch:
        # Always on max_text_len positions: the draws, and the budget of whole words, must not depend on the batch.
        padded = self._words.pad_ids(ids, self.max_text_len)
        padding = padded["attention_mask"] == 0
        special = (self._words.pad_ids(special_mask, self.max_text_len)["input_ids"] == 1) | padding
        draws = draw_masking([draw_stream("mlm", s.seed, s.epoch, s.sample_index) for s in samples], self.max_text_len)
        if self.whole_word_masking:
            continuation = self._words.is_continuation(padded["input_ids"])
            selected = select_words(special, padding, continuation, draws.select, self.mlm_probability)
        else:
            selected = select_tokens(special, draws.select, self.mlm_probability)
        masked, labels = mask_tokens(
            padded["input_ids"], selected, draws, self._words.mask_token_id, len(self._words)
        )
        return {"mlm_input_ids": masked[:, :width], "mlm_labels": labels[:, :width]}

    def _images(self, samples: Sequence[Sample], image_index: np.ndarray) -> Batch:
        pixels = [sample.pixel_values for sample in samples]
        if not self.share_images:
            return {"pixel_values": _stack(pixels)}  # type: ignore[arg-type]
        _, first, rows = np.unique(image_index, return_index=True, return_inverse=True)
        return {
            "pixel_values": _stack([pixels[row] for row in first]),
            "image_rows": rows.reshape(-1).astype(np.int64),
        }

    def _answers(self, samples: Sequence[Sample]) -> Batch:
        """Question ids, and dense soft targets unless the split has no answers."""
        targets = [sample.vqa for sample in samples if sample.vqa is not None]
        batch: Batch = {"question_ids": np.array([target.question_id for target in targets], dtype=np.int64)}
        if all(target.labels is None for target in targets):
            return batch
        if self.num_answers is None:
            raise ValueError("the questions have answers, but the collator was given no num_answers")
        labels = np.zeros((len(targets), self.num_answers), dtype=np.float32)
        for row, target in zip(labels, targets, strict=True):
            for label, score in zip(target.labels or (), target.scores or (), strict=True):
                if not 0 <= label < self.num_answers:
                    raise ValueError(
                        f"{target.where}: answer label {label} of question {target.question_id} is outside of the "
                        f"{self.num_answers} answers of the model; set the number of answers to that of the data"
                    )
                row[label] = score
        return batch | {"labels": labels}


def _matching(samples: Sequence[Sample]) -> Batch:
    """Labels of image-text matching, and the images of the rows that do not match."""
    first, count = samples[0], len(samples)
    rng = draw_stream("itm", first.seed, first.epoch, *(sample.sample_index for sample in samples))
    labels = np.zeros(count, dtype=np.int64)
    labels[rng.permutation(count)[: count // 2]] = 1
    false = [sample.false_image for sample, label in zip(samples, labels, strict=True) if label == 0]
    if None in false:
        raise ValueError("image-text matching needs drawn images; set draw_false_image=1 on a caption data set")
    return {"itm_labels": labels, "false_pixel_values": _stack([make() for make in false])}  # type: ignore[misc]


def _stack(images: Sequence[np.ndarray]) -> np.ndarray:
    """Stack images (..., H, W); smaller ones lie in the upper left corner of zeros, the mean colour."""
    if len({image.shape for image in images}) == 1:
        return np.stack(images)
    height, width = (max(image.shape[axis] for image in images) for axis in (-2, -1))
    out = np.zeros((len(images), *images[0].shape[:-2], height, width), dtype=np.float32)
    for target, image in zip(out, images, strict=True):
        target[..., : image.shape[-2], : image.shape[-1]] = image
    return out
