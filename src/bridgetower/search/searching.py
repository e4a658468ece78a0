"""Find pictures by words, by a picture, or by both; rerank the best by image-text matching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .identity import Embedder
from .picture_index import Near, PictureIndex

__all__ = ["Found", "Matcher", "Query", "search", "search_many"]

#: Scores of pairs of pictures and one text, None for a picture that cannot be read.
Matcher = Callable[[Sequence[str], str], Sequence[float | None]]
_RERANK = "rerank orders pictures by how well they match words"


@dataclass(frozen=True)
class Query:
    """What to search for.

    Attributes:
        text: words, which count as much as `image`; None or blank: none.
        image: a picture.
        top: pictures to return.
        rerank: so many of the nearest pictures are ordered anew by how well they match the text.

    Raises:
        ValueError: neither text nor image, or reranking without a text.
    """

    text: str | None = None
    image: Any = None
    top: int = 10
    rerank: int = 0

    def __post_init__(self) -> None:
        if not self.words and self.image is None:
            raise ValueError("there is nothing to search for; give words, a picture, or both")
        if self.rerank and not self.words:
            raise ValueError(f"{_RERANK}; give words too, or drop it")

    @property
    def words(self) -> str:
        """The text, empty where there is none."""
        return (self.text or "").strip()


@dataclass(frozen=True)
class Found:
    """A picture that was found.

    Attributes:
        image: its path.
        similarity: cosine of its vector and that of the query.
        sha256: of its content.
        score: of the matching head, when the result was reranked.
    """

    image: str
    similarity: float
    sha256: str
    score: float | None = None


def search(index: PictureIndex, embed: Embedder, text: str | None = None, image: Any = None, top: int = 10,
           rerank: int = 0, match: Matcher | None = None) -> list[Found]:
    """The best pictures of an index for one query, best first; see `Query` and `search_many`."""
    return search_many(index, embed, [Query(text, image, top, rerank)], match)[0]


def search_many(index: PictureIndex, embed: Embedder, queries: Sequence[Query], match: Matcher | None = None
                ) -> list[list[Found]]:
    """The best pictures of an index for each query, best first.

    Args:
        index: what to search.
        embed: makes vectors of the queries, by the model of the index.
        queries: what to search for; many at once take less time than one by one.
        match: scores the pictures to rerank.

    Raises:
        ValueError: reranking by a model without a matching head.
    """
    if match is None and any(query.rerank for query in queries):
        raise ValueError(f"{_RERANK}; the model has no matching head, so drop it")
    if not queries:
        return []
    nearest = index.nearest(_vectors(embed, queries), max(max(query.top, query.rerank) for query in queries))
    return [_ranked(query, some, match) for query, some in zip(queries, nearest, strict=True)]


def _vectors(embed: Embedder, queries: Sequence[Query]) -> np.ndarray:
    """Q unit vectors (Q, C); that of words and a picture is the middle of both."""
    words = [query.words for query in queries if query.words]
    images = [query.image for query in queries if query.image is not None]
    of_words, of_images = iter(embed(text=words) if words else ()), iter(embed(images) if images else ())
    vectors = np.stack([(next(of_words) if query.words else 0) + (0 if query.image is None else next(of_images))
                        for query in queries])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _ranked(query: Query, nearest: Sequence[Near], match: Matcher | None) -> list[Found]:
    found = [Found(*one) for one in nearest[:max(query.top, query.rerank)]]
    if not query.rerank or match is None:
        return found[:query.top]
    candidates = found[:query.rerank]
    scores = match([one.image for one in candidates], query.words)
    scored = [replace(one, score=score) for one, score in zip(candidates, scores, strict=True) if score is not None]
    return [*sorted(scored, key=lambda one: -(one.score or 0.0)), *found[query.rerank:]][:query.top]
