"""A model with everything it can serve, as functions that answer batches of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from ..explain import explain
from ..explain.explained_model import find_head
from ..explain.explanation_figure import explanation_png
from ..known import Device, EngineName, Precision
from ..pipelines.base_pipeline import Pipeline
from ..pipelines.engine import open_engines
from ..pipelines.explaining import explained_engine
from ..pipelines.factory import PIPELINES
from ..pipelines.image_text_matching import matcher
from ..search.identity import probe
from ..search.picture_index import PictureIndex
from ..search.searching import Found, Matcher, Query, search_many
from ..search.vector_files import Made

__all__ = ["ServedModel"]


class ServedModel:
    """Pipelines of one model, and perhaps an index to search.

    Args:
        source: what `open_engines` reads.
        index: folder of an index that the model made; None: searching is not served.
        device: see `open_engines`.
        batch_size: see `Pipeline`.
        engine, precision: see `open_engines`.

    Attributes:
        name: of the model.
        index: the index, or None.
        pipelines: by task.

    Raises:
        FileNotFoundError, ValueError: the model or the index cannot be used.
    """

    def __init__(self, source: str | Path, index: str | Path | None = None, device: Device = "auto",
                 batch_size: int = 16, engine: EngineName = "auto", precision: Precision = "float32") -> None:
        self.name = Path(source).name
        self.index = None if index is None else PictureIndex.existing(index)
        engines = open_engines(source, device, engine, precision)
        self.pipelines: Mapping[str, Pipeline] = {
            task: PIPELINES[task](one, batch_size, progress=False) for task, one in engines.items()
            if one.images_per_text == 1}
        self._match: Matcher | None = None
        if self.index is not None:
            self._prepare_search(source, batch_size)

    def _prepare_search(self, source: str | Path, batch_size: int) -> None:
        embed: Any = self.pipelines.get("feature-extraction")
        if embed is None or not embed.engine.has_vectors or self.index is None:
            raise ValueError(f"{source} has no contrastive heads to search an index with; drop --index, or serve the "
                             "model that made it")
        values = probe(embed)
        self.index.check_model(Made(embed.engine.model_class, values, len(values) // 2), str(source))
        self._match = matcher(embed.engine, batch_size)

    @property
    def tasks(self) -> list[str]:
        """What is served, as paths of the API."""
        paths = {"ask": "visual-question-answering", "match": "image-text-matching", "fill": "fill-mask"}
        served = [path for path, task in paths.items() if task in self.pipelines]
        served += ["classify"] * (self.classify_by is not None)
        return served + ["search"] * (self.index is not None) + ["explain"] * self.explains

    @property
    def classify_by(self) -> str | None:
        """What a picture is classified by: `labels` given as words, a `text`, or the `image` alone."""
        ways = {"labels": "zero-shot-image-classification", "text": "image-text-classification",
                "image": "image-classification"}
        return next((way for way, task in ways.items() if task in self.pipelines), None)

    @cached_property
    def explains(self) -> bool:
        """Whether what it says of a picture and a text can be explained."""
        try:
            find_head(self._explained_engine(""))
        except ValueError:
            return False
        return True

    def _explained_engine(self, text: str) -> Any:
        return explained_engine({task: pipe.engine for task, pipe in self.pipelines.items()}, text, self.name)

    def explain(self, requests: Sequence[tuple[Image.Image, str, str | None]]) -> list[bytes]:
        """Pictures that explain answers, as PNGs.

        Args:
            requests: for each its picture, its text, and the answer to explain or None.

        Raises:
            ValueError: a text or an answer that cannot be explained.
        """
        return [explanation_png(explain(self._explained_engine(text), picture, text, answer))
                for picture, text, answer in requests]

    @property
    def can_rerank(self) -> bool:
        """Whether what was found can be ordered by how well it matches the words."""
        return self._match is not None

    def runner(self, task: str, **options: Any) -> Callable[[Sequence[list[tuple[Image.Image, str]]]], list[Any]]:
        """A function from batches of requests, each of them pairs of a picture and a text, to their results."""
        pipe: Any = self.pipelines[task]

        def run(requests: Sequence[list[tuple[Image.Image, str]]]) -> list[Any]:
            pairs = [pair for request in requests for pair in request]
            if task in ("zero-shot-image-classification", "image-classification"):
                inputs: list[Any] = [image for image, _ in pairs]
            else:
                inputs = [{"image": image, pipe.text_key: text} for image, text in pairs]
            results = iter(pipe(inputs, **options))
            return [[next(results) for _ in request] for request in requests]

        return run

    def check(self, task: str, image: Image.Image, texts: Sequence[str]) -> None:
        """Refuse texts that the pipeline would refuse, before they wait together with others.

        Raises:
            ValueError: a text is empty, or has no mask.
        """
        for text in texts:
            self.pipelines[task].check(image, text)

    def search(self, queries: Sequence[Query]) -> list[list[Found]]:
        """What the index has for each query; see `bridgetower.search.searching.search_many`."""
        embed: Any = self.pipelines["feature-extraction"]
        assert self.index is not None
        return search_many(self.index, embed, queries, self._match)
