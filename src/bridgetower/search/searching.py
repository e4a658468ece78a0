"""Find pictures by words, by a picture, or by both; rerank the best by image-text matching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .identity import Embedder
from .picture_index import PictureIndex

__all__ = ["Found", "Matcher", "search"]

#: Scores of pairs of pictures and one text, None for a picture that cannot be read.
Matcher = Callable[[Sequence[str], str], Sequence[float | None]]


@dataclass(frozen=True)
class Found:
    """A picture that was found.

    Attributes:
        image: its path.
        similarity: cosine of its vector and that of the query.
        score: of the matching head, when the result was reranked.
    """

    image: str
    similarity: float
    score: float | None = None


def search(index: PictureIndex, embed: Embedder, text: str | None = None, image: Any = None, top: int = 10,
           rerank: int = 0, match: Matcher | None = None) -> list[Found]:
    """The best pictures of an index, best first.

    Args:
        index: what to search.
        embed: makes vectors of the query, by the model of the index.
        text: words, which count as much as `image`; None or empty: none.
        image: a picture.
        top: pictures to return.
        rerank: so many of the nearest pictures are ordered anew by how well they match the text.
        match: scores them.

    Raises:
        ValueError: neither text nor image, or reranking without a text or by a model without a matching head.
    """
    text = text if (text or "").strip() else None
    if text is None and image is None:
        raise ValueError("there is nothing to search for; give words, a picture, or both")
    if rerank and (text is None or match is None):
        raise ValueError("--rerank orders pictures by how well they match words; " + (
            "give words too, or drop it" if text is None else "the model has no matching head, so drop it"))
    vectors = ([] if text is None else [embed(text=text)]) + ([] if image is None else [embed(image)])
    query = np.sum(vectors, axis=0)
    nearest = [Found(*one) for one in index.nearest(query / np.linalg.norm(query), max(top, rerank))]
    if not rerank or text is None or match is None:
        return nearest[:top]
    candidates, rest = nearest[:rerank], nearest[rerank:]
    scores = match([found.image for found in candidates], text)
    scored = [Found(found.image, found.similarity, score) for found, score in zip(candidates, scores, strict=True)
              if score is not None]
    return [*sorted(scored, key=lambda found: -(found.score or 0.0)), *rest][:top]
