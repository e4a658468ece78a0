"""The image-text dataset: one data set, or several one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from ..inputs.transforms import build_transform
from .samples import Sample, draw_stream
from .source import Mode, Source
from .unreadable import UnreadableImageError, UnreadableImages

__all__ = ["DatasetOptions", "ImageTextDataset", "SampleRecord"]

_MAX_REDRAWS = 100  # in a row, for one sample
_CACHED_IMAGES = 4  # per process, in evaluation
_T = TypeVar("_T")


@dataclass(frozen=True)
class DatasetOptions:
    """How samples are made.

    Attributes:
        image_size: S in pixels.
        transform: name of an image transform.
        training: whether an unreadable image is replaced (else it is an error) and the epoch changes the draws.
        mode: a sample is a text with its image ("pairs"), an image ("image_only") or a text ("text_only").
        draw_false_image: 1 to draw a non-matching image for each caption, else 0.
        draw_false_text: number of non-matching texts to draw for each caption.
        seed: of every random draw.
        debug_limit: keep only the first samples of each data set; 0 keeps all.
        clean_splits: keep validation apart from training and test; the published numbers do not.
        vqa_extra_train_tables: names of further tables for VQA training, such as vgqa_train and vgqa_val.
        max_unreadable_images: how many unreadable images training may skip.
        scale_16bit, apply_exif: how pictures are read, see `PictureReading`; None leaves it to the description of the
            tables.
        num_channels: 3, or 1 for grey, see `build_transform`.
    """

    image_size: int
    transform: str
    training: bool = False
    mode: Mode = "pairs"
    draw_false_image: int = 0
    draw_false_text: int = 0
    seed: int = 0
    debug_limit: int = 0
    clean_splits: bool = False
    vqa_extra_train_tables: tuple[str, ...] = ()
    max_unreadable_images: int = 100
    scale_16bit: str | None = None
    apply_exif: bool | None = None
    num_channels: int = 3

    def __post_init__(self) -> None:
        if self.mode not in ("pairs", "image_only", "text_only"):
            raise ValueError(f"mode={self.mode!r} is unknown; use 'pairs', 'image_only' or 'text_only'")
        if self.draw_false_image not in (0, 1):
            raise ValueError(f"draw_false_image={self.draw_false_image}: no task reads more than one; use 0 or 1")
        for name in ("draw_false_text", "debug_limit", "max_unreadable_images", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")


@dataclass(frozen=True)
class SampleRecord:
    """Where a sample comes from, for prediction files and pictures.

    Attributes:
        table_name, row: the arrow table and the row in it.
        text: None in image_only mode.
        identifier: the sample's own one in `identifiers`, else the row's `identifier` or `image_id`, as a string; None
            where the table has none of them.
        question_id: of a VQA question.
        answers: stored answer strings of this text; empty where there are none.
    """

    table_name: str
    row: int
    text: str | None
    identifier: str | None
    question_id: int | None
    answers: tuple[str, ...]


class _Place(NamedTuple):
    """Where a sample lies: its source, the source's number and first sample, and the image's row in the source."""

    source: Source
    number: int
    start: int
    row: int


class ImageTextDataset:
    """Samples of one data set, or of several one after the other.

    Attributes:
        options: how samples are made.
        sources: the data sets.
        table_names: of all sources; a sample's `table_index` points into it.
        num_images: rows of all sources.
        image_rows: (number of samples,) int64, the `image_index` of each sample; samples of one image are neighbours.
        epoch: 0 in evaluation.
    """

    def __init__(self, sources: Sequence[Source], options: DatasetOptions) -> None:
        """Join sources. Use `build_dataset` to open them by name."""
        self.options = options
        self.sources = list(sources)
        self.table_names = [table.name for source in self.sources for table in source.tables]
        self._sample_starts = list(accumulate((len(source) for source in self.sources), initial=0))
        self._table_starts = list(accumulate((len(source.tables) for source in self.sources), initial=0))
        image_starts = list(accumulate((source.num_rows for source in self.sources), initial=0))
        self.num_images = image_starts[-1]
        self.image_rows = np.concatenate(
            [np.zeros(0, dtype=np.int64)]
            + [source.sample_rows + start for source, start in zip(self.sources, image_starts, strict=False)]
        )
        self.epoch = 0
        self._transform = build_transform(options.transform, options.image_size, options.num_channels)
        given: dict[str, Any] = {"scale_16bit": options.scale_16bit, "apply_exif": options.apply_exif}
        changes = {name: value for name, value in given.items() if value is not None}
        self._readings = [replace(source.spec.reading, **changes) for source in self.sources]
        self._unreadable = UnreadableImages(self.num_images if options.training else 0, options.max_unreadable_images)
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return self._sample_starts[-1]

    def set_epoch(self, epoch: int) -> None:
        """Change the random draws of training; evaluation always draws as in epoch 0."""
        if self.options.training:
            self.epoch = epoch

    @property
    def shards(self) -> list[tuple[int, int]]:
        """First and past-the-last sample of each tar shard; see `Source.shards`."""
        return [(start + first, start + stop) for source, start in zip(self.sources, self._sample_starts, strict=False)
                for first, stop in source.shards]

    @property
    def num_unreadable(self) -> int:
        """Distinct unreadable images that training has skipped so far, over all loader workers."""
        return self._unreadable.count

    def __getitem__(self, index: int) -> Sample:
        """Make a sample.

        Raises:
            UnreadableImageError: in evaluation, or past the limit in training.
        """
        return self._redraw(self._sample, index) if self.options.training else self._sample(index)

    def record(self, index: int) -> SampleRecord:
        """Where a sample comes from, and its text and answers, without decoding its image."""
        source, _, start, row = self._place(index)
        position = int(source.sample_texts[index - start])
        _, table, local = source.locate(row)
        own = source.cell("identifiers", row)
        # Pictures without texts have one identifier; where there are several, they belong to the texts.
        names = (own[position] if own and (position >= 0 or len(own) == 1) else None, source.cell("identifier", row),
                 source.cell("image_id", row))
        identifier = next((str(name) for name in names if name is not None), None)
        question_ids, answers = source.cell("question_id", row), source.cell("answers", row)
        answer = answers[position] if answers and position >= 0 else ()
        return SampleRecord(
            table.name,
            local,
            None if position < 0 else source.text(index - start),
            identifier,
            int(question_ids[position]) if question_ids and position >= 0 else None,
            (answer,) if isinstance(answer, str) else tuple(answer),
        )

    def image(self, index: int, view: int = 0) -> Image.Image:
        """The decoded picture of a sample, not transformed; `view` 1 is the second one of NLVR2."""
        place = self._place(index)
        return self._picture(place, place.source.spec.image_columns[view])

    def _picture(self, place: _Place, column: str) -> Image.Image:
        return place.source.image(column, place.row, self._readings[place.number])

    def _place(self, index: int) -> _Place:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} does not exist; the dataset has {len(self)}")
        number = bisect_right(self._sample_starts, index) - 1
        source, start = self.sources[number], self._sample_starts[number]
        return _Place(source, number, start, int(source.sample_rows[index - start]))

    def _sample(self, index: int) -> Sample:
        source, number, start, row = self._place(index)
        mode = self.options.mode
        false_image, false_texts = self._negatives(index)
        has_text = mode != "image_only"
        return Sample(
            seed=self.options.seed,
            epoch=self.epoch,
            sample_index=index,
            image_index=int(self.image_rows[index]),
            table_index=self._table_starts[number] + source.locate(row)[0],
            pixel_values=None if mode == "text_only" else self._pixels(index),
            text=source.text(index - start) if has_text else None,
            false_image=false_image,
            false_texts=false_texts,
            vqa=source.vqa_target(index - start) if has_text else None,
            label=source.label(index - start) if has_text or source.spec.kind == "classify" else None,
        )

    def _negatives(self, index: int) -> tuple[Callable[[], np.ndarray] | None, tuple[str, ...]]:
        """Draw a non-matching image and texts from the samples of the source: they may match by chance."""
        options, place = self.options, self._place(index)
        source = place.source
        if source.spec.kind != "caption" or options.mode == "image_only":
            return None, ()
        false_image = None
        if options.draw_false_image and options.mode == "pairs":
            false_image = partial(self._false_pixels, index)
        if not options.draw_false_text:
            return false_image, ()
        rng = draw_stream("false_text", options.seed, self.epoch, index)
        drawn = rng.integers(*source.drawn_from(index - place.start), size=options.draw_false_text)
        return false_image, tuple(source.text(int(position)) for position in drawn)

    def _false_pixels(self, index: int) -> np.ndarray:
        """The image of another sample of the same source, drawn for sample `index`."""
        place = self._place(index)
        rng = draw_stream("false_image", self.options.seed, self.epoch, index)
        drawn = place.start + int(rng.integers(*place.source.drawn_from(index - place.start)))
        if not self.options.training:
            return self._pixels(drawn, rng)
        return self._redraw(lambda other: self._pixels(other, rng), drawn)

    def _redraw(self, make: Callable[[int], _T], index: int) -> _T:
        """Make something from a sample, and from another one of its source while the image is unreadable."""
        place, rng = self._place(index), None
        for _ in range(_MAX_REDRAWS):
            try:
                return make(index)
            except UnreadableImageError as error:
                self._unreadable.skip(int(self.image_rows[index]), error)
            rng = rng or draw_stream("replacement", self.options.seed, self.epoch, index)
            index = place.start + int(rng.integers(len(place.source)))
        raise UnreadableImageError(
            f"{place.source.where(place.row)} and {_MAX_REDRAWS - 1} images drawn in its place are unreadable; "
            "repair the files"
        )

    def _pixels(self, index: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """The transformed image of a sample, (3, S, S), for NLVR2 (2, 3, S, S), its two views augmented apart."""
        place = self._place(index)
        image_index = int(self.image_rows[index])
        cached = not self.options.training and not self._transform.is_random
        if cached and image_index in self._cache:
            self._cache.move_to_end(image_index)
            return self._cache[image_index]
        if rng is None and self._transform.is_random:
            rng = draw_stream("image", self.options.seed, self.epoch, index)
        views = [self._transform(self._picture(place, column), rng) for column in place.source.spec.image_columns]
        pixels = views[0] if len(views) == 1 else np.stack(views)
        if cached:  # consecutive questions about one image decode it once
            self._cache[image_index] = pixels
            if len(self._cache) > _CACHED_IMAGES:
                self._cache.popitem(last=False)
        return pixels
