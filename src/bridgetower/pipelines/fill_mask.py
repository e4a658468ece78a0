"""Fill in masked words of texts about pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .base_pipeline import Pipeline, softmax
from .batches import Batch, Item

__all__ = ["FillMaskPipeline"]

#: Both spellings stand for the mask, whichever tokenizer the model has.
_MASKS = ("<mask>", "[MASK]")
#: What may stand for one mask, best first.
Words = list[dict[str, Any]]


class FillMaskPipeline(Pipeline):
    """Fills in `<mask>` (or `[MASK]`)."""

    task = "fill-mask"

    def __call__(self, image: Any, text: Any = None, top_k: int = 5) -> Any:
        """Fill in one text or several.

        Args:
            image: a picture (file name, PIL image or array of shape (H, W, 3)), a dictionary with `image` and `text`,
                or several of them.
            text: with one mask or more; one for all pictures, or a list, one per picture or all about a single one.
            top_k: words to return, best first.

        Returns:
            For each text a list of `{"score", "token", "token_str", "sequence"}`: probability and id of the token, the
            token as text, and the text with it. With several masks, one such list per mask.

        Raises:
            ValueError: a text without a mask, or one whose mask is cut off because the text is too long.
        """
        return self._run(image, text, top_k=top_k)

    def _item(self, value: Any, text: Any) -> Item:
        item = super()._item(value, text)
        text = item.texts[0].replace(_MASKS[0], _MASKS[1]) if self.engine.tokenizer.kind == "bert" \
            else item.texts[0].replace(_MASKS[1], _MASKS[0])
        wanted, found = text.count(self._mask), int((self._ids([text]) == self.engine.tokenizer.mask_token_id).sum())
        if not found:
            raise ValueError(f"{item.texts[0]!r} has no {self._mask}" + (
                "" if not wanted else " among the tokens that the model reads; shorten it"))
        return Item(item.picture, (text,))

    @property
    def _mask(self) -> str:
        return _MASKS[self.engine.tokenizer.kind == "bert"]

    def _ids(self, texts: Sequence[str]) -> np.ndarray:
        return self.engine.tokenize(texts)["input_ids"]

    def _results(self, batch: Batch, **options: Any) -> Iterable[Any]:
        for (words,) in self._fused(batch, partial(self._best_words, top_k=options["top_k"])):
            yield words[0] if len(words) == 1 else words

    def _best_words(self, texts: Any, images: Any, words: Sequence[str], top_k: int) -> list[list[Words]]:
        """The best words for each mask of P texts."""
        ids = self._ids(words)
        rows, positions = np.nonzero(ids == self.engine.tokenizer.mask_token_id)
        filled: list[list[Words]] = [[] for _ in words]
        for row, position, logits in zip(rows, positions, self.engine.words(texts, images, rows, positions),
                                         strict=True):
            scores = softmax(logits)
            filled[row].append([self._filled(ids[row], position, token, scores[token])
                                for token in np.argsort(-scores, kind="stable")[:top_k].tolist()])
        return filled

    def _filled(self, ids: np.ndarray, position: int, token: int, score: float) -> dict[str, Any]:
        tokenizer, ids = self.engine.tokenizer, ids.copy()
        ids[position] = token
        return {"score": float(score), "token": token, "token_str": tokenizer.decode([token]).strip(),
                "sequence": tokenizer.decode(ids, skip_special_tokens=True).strip()}
