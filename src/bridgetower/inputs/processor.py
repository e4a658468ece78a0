"""Pictures and texts to model inputs, with the interface and the numbers of the Hugging Face port."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from bridgetower.files import write_json
from bridgetower.inputs.tokenizer import BridgeTowerTokenizer, Padding
from bridgetower.inputs.transforms import CLIP, ImageTransform, build_transform, look_up

__all__ = ["BridgeTowerImageProcessor", "BridgeTowerProcessor"]

logger = logging.getLogger(__name__)

ImageInput = Image.Image | np.ndarray
ReturnTensors = Literal["np", "pd"]
_CONFIG_FILE = "preprocessor_config.json"
# Written by Hugging Face's classes beside the settings; they do not change the result.
_METADATA = ("image_processor_type", "feature_extractor_type", "processor_class", "_processor_class")


@dataclass(frozen=True)
class BridgeTowerImageProcessor:
    """Resize, crop, normalise and batch pictures.

    Attributes:
        do_resize: scale the shorter side to `size`, the longer one in proportion but to at most 1333/800 of `size`;
            both are then rounded down to multiples of `size_divisor`.
        size: {"shortest_edge": pixels}, or the pixels alone.
        size_divisor: see `do_resize`.
        resample: PIL's number of the filter; 3 is bicubic.
        do_center_crop: cut out the central square of `crop_size`; what lies outside of the picture becomes black.
        crop_size: like `size`, or {"height": pixels, "width": pixels}; `size` when None.
        do_rescale, rescale_factor: multiply the 8-bit values by the factor.
        do_normalize, image_mean, image_std: (value - mean) / std for red, green and blue.
        do_pad: give pictures of different sizes the same one (zeros at the right and at the bottom), and return
            `pixel_mask`, 1 where there is a picture.
        transform: name of an image transform of `bridgetower.inputs.transforms`, as training writes it for its model.
            It and `size` then say all that is done to a picture; the other settings, except `do_pad`, only approximate
            it for programs that do not know the name.
    """

    do_resize: bool = True
    size: Any = 288
    size_divisor: int = 32
    resample: int = 3
    do_center_crop: bool = True
    crop_size: Any = None
    do_rescale: bool = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = True
    image_mean: Sequence[float] = CLIP.mean
    image_std: Sequence[float] = CLIP.std
    do_pad: bool = True
    transform: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", {"shortest_edge": _shortest_edge("size", self.size)})
        if self.crop_size is not None:
            object.__setattr__(self, "crop_size", {"shortest_edge": _shortest_edge("crop_size", self.crop_size)})
        if self.size_divisor < 1 or self.size["shortest_edge"] < self.size_divisor:
            raise ValueError(f"size={self.size} is smaller than size_divisor={self.size_divisor}")
        object.__setattr__(self, "image_mean", tuple(self.image_mean))  # JSON has lists
        object.__setattr__(self, "image_std", tuple(self.image_std))
        if len(self.image_mean) != 3 or len(self.image_std) != 3:
            raise ValueError(f"image_mean={self.image_mean} and image_std={self.image_std} need three values each")
        if self.transform is not None and self._named_transform().is_random:
            raise ValueError(f"transform={self.transform!r} is random; name one that always gives the same, as 'clip'")

    @classmethod
    def for_transform(cls, transform: str, image_size: int) -> BridgeTowerImageProcessor:
        """What evaluation with an image transform does to a picture.

        Args:
            transform: see the class.
            image_size: side of the square in pixels.

        Raises:
            KeyError: an unknown transform.
            ValueError: a random one.
        """
        normalization = build_transform(transform, image_size).normalization
        return cls(size=image_size, crop_size=image_size, size_divisor=1, image_mean=normalization.mean,
                   image_std=normalization.std, do_pad=False, transform=transform)

    def _named_transform(self) -> ImageTransform:
        return build_transform(str(self.transform), self.size["shortest_edge"])

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> BridgeTowerImageProcessor:
        """Read `preprocessor_config.json` of a folder.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not a JSON object, or a setting is wrong.
        """
        path = Path(folder).expanduser() / _CONFIG_FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; pass a folder that holds {_CONFIG_FILE}")
        try:
            config = dict(json.loads(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise ValueError(f"{path} is not a JSON object: {error}") from error
        if "pad_and_return_pixel_mask" in config:  # the name of the first release
            config.setdefault("do_pad", config.pop("pad_and_return_pixel_mask"))
        known = {field.name for field in fields(cls)}
        ignored = sorted(set(config) - known - set(_METADATA))
        if ignored:
            logger.warning("%s: ignoring %s", path, ", ".join(ignored))
        return cls(**{key: value for key, value in config.items() if key in known and value is not None})

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write `preprocessor_config.json`, which the Hugging Face port reads as well."""
        config = {"image_processor_type": type(self).__name__, **asdict(self)}
        if self.transform is None:
            del config["transform"]
        write_json(Path(folder).expanduser() / _CONFIG_FILE, config)

    def __call__(
        self, images: ImageInput | Sequence[ImageInput], return_tensors: ReturnTensors | None = None, **settings: Any
    ) -> dict[str, Any]:
        """Process one picture or several.

        Args:
            images: PIL pictures of any mode, or uint8 arrays (H, W, 3) or (3, H, W).
            return_tensors: "np" for arrays, "pd" for Paddle tensors, None for lists of arrays.
            settings: attributes of this class to change for this call.

        Returns:
            `pixel_values` (B, 3, H, W) float32 and, with `do_pad`, `pixel_mask` (B, H, W) int64.

        Raises:
            ValueError: an array of another type or shape, or pictures of different sizes with `do_pad=False`.
        """
        if settings:
            # As in the Hugging Face port, a size given here changes the resize alone.
            settings.setdefault("crop_size", self.crop_size or self.size)
            return replace(self, **settings)(images, return_tensors)
        pictures = [self._process(image) for image in _as_list(images)]
        data: dict[str, list[np.ndarray]] = {"pixel_values": pictures}
        if self.do_pad:
            height, width = (max((picture.shape[axis] for picture in pictures), default=0) for axis in (1, 2))
            data = {"pixel_values": [], "pixel_mask": []}
            for picture in pictures:
                right, bottom = width - picture.shape[2], height - picture.shape[1]
                data["pixel_values"].append(np.pad(picture, ((0, 0), (0, bottom), (0, right))))
                data["pixel_mask"].append(np.pad(np.ones(picture.shape[1:], np.int64), ((0, bottom), (0, right))))
        return _as_tensors(data, return_tensors)

    def _process(self, picture: ImageInput) -> np.ndarray:
        """One picture as (3, H, W): float32, or uint8 when neither rescaled nor normalised."""
        if self.transform is not None:  # it minds transparent pixels itself
            return self._named_transform()(_rgb(picture) if isinstance(picture, np.ndarray) else picture)
        image = _rgb(picture)
        if self.do_resize:
            image = image.resize(self._target_size(*image.size), self.resample)
        if self.do_center_crop:
            size = (self.crop_size or self.size)["shortest_edge"]
            left, top = (image.width - size) // 2, (image.height - size) // 2
            # Negative halves round down: a smaller picture gets the odd pixel of black at its left and top.
            image = image.crop((left, top, left + size, top + size))
        if not self.do_rescale and not self.do_normalize:
            return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
        # The Hugging Face port rescales in 64 bits and normalises in 32.
        values = np.arange(256) * (self.rescale_factor if self.do_rescale else 1.0)
        tables = [values.astype(np.float32)] * 3
        if self.do_normalize:
            constants = zip(tables, self.image_mean, self.image_std, strict=True)
            tables = [(table - np.float32(mean)) / np.float32(std) for table, mean, std in constants]
        return look_up(image, tables)

    def _target_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the resize."""
        shorter = self.size["shortest_edge"]
        longer = int(1333 / 800 * shorter)
        scale = shorter / min(width, height)
        new_height: float = shorter if height < width else scale * height
        new_width: float = scale * width if height < width else shorter
        if max(new_height, new_width) > longer:
            scale = longer / max(new_height, new_width)
            new_height, new_width = scale * new_height, scale * new_width
        divisor = self.size_divisor
        target = (int(new_width + 0.5) // divisor * divisor, int(new_height + 0.5) // divisor * divisor)
        if 0 in target:
            raise ValueError(f"a picture of {width}x{height} pixels is too long for shortest_edge={shorter}")
        return target


class BridgeTowerProcessor:
    """An image processor and a tokenizer behind one call.

    Attributes:
        image_processor: for pictures.
        tokenizer: for texts.
    """

    def __init__(self, image_processor: BridgeTowerImageProcessor, tokenizer: BridgeTowerTokenizer) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str]) -> BridgeTowerProcessor:
        """Read a folder that holds preprocessor_config.json and a tokenizer, such as a BridgeTower folder of the hub.

        Raises:
            FileNotFoundError: a file is missing.
        """
        return cls(BridgeTowerImageProcessor.from_pretrained(folder), BridgeTowerTokenizer.from_pretrained(folder))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write what `from_pretrained` reads."""
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput] | None = None,
        text: str | Sequence[str] | None = None,
        return_tensors: ReturnTensors | None = None,
        padding: bool | Padding = False,
        truncation: bool = False,
        max_length: int | None = None,
        **image_settings: Any,
    ) -> dict[str, Any]:
        """Process pictures and texts.

        Args:
            images, text: at least one of them; one or several.
            return_tensors: "np" for arrays, "pd" for Paddle tensors, None for lists of arrays.
            padding, truncation, max_length: of the texts, see `BridgeTowerTokenizer.__call__`.
            image_settings: attributes of the image processor to change for this call.

        Returns:
            `input_ids` and `attention_mask` (B, L) int64, `pixel_values` and `pixel_mask`.
        """
        if images is None and text is None:
            raise ValueError("neither images nor text was given; pass at least one of them")
        encoding: dict[str, Any] = {}
        if text is not None:
            encoded = self.tokenizer(text, padding=padding, truncation=truncation, max_length=max_length)
            encoding |= _as_tensors({name: list(rows) for name, rows in encoded.items()}, return_tensors)
        if images is not None:
            encoding |= self.image_processor(images, return_tensors, **image_settings)
        return encoding

    def decode(self, ids: Sequence[int] | np.ndarray, skip_special_tokens: bool = False) -> str:
        """The text of one row of ids."""
        return self.tokenizer.decode(ids, skip_special_tokens)

    def batch_decode(
        self, rows: Sequence[Sequence[int]] | np.ndarray, skip_special_tokens: bool = False
    ) -> list[str]:
        """The texts of several rows of ids."""
        return self.tokenizer.batch_decode(rows, skip_special_tokens)


def _shortest_edge(name: str, value: int | Mapping[str, int]) -> int:
    """The one number of pixels in a size setting."""
    edges = {value} if isinstance(value, int) else set(value.values()) if isinstance(value, Mapping) else set()
    if len(edges) != 1 or min(edges) < 1:
        raise ValueError(f'{name}={value!r} is not a size; use {{"shortest_edge": 288}}')
    return edges.pop()


def _as_list(images: ImageInput | Sequence[ImageInput]) -> list[ImageInput]:
    if isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim == 3):
        return [images]
    return list(images)


def _rgb(image: ImageInput) -> Image.Image:
    """A picture or an array as an RGB picture."""
    if not isinstance(image, np.ndarray):
        return image if image.mode == "RGB" else image.convert("RGB")
    if image.dtype != np.uint8 or image.ndim != 3 or 3 not in (image.shape[0], image.shape[-1]):
        raise ValueError(
            f"an image array must be uint8 (H, W, 3) or (3, H, W), got {image.dtype} {image.shape}; "
            "convert values in [0, 1] with (255 * image).astype('uint8')"
        )
    return Image.fromarray(np.ascontiguousarray(image if image.shape[-1] == 3 else image.transpose(1, 2, 0)))


def _as_tensors(data: Mapping[str, list[np.ndarray]], return_tensors: ReturnTensors | None) -> dict[str, Any]:
    if return_tensors is None:
        return dict(data)
    if return_tensors not in ("np", "pd"):
        raise ValueError(f"return_tensors={return_tensors!r} is unknown; use 'np', 'pd' or None")
    for name, rows in data.items():
        if len({row.shape for row in rows}) > 1:
            raise ValueError(f"{name} of different shapes do not form one array; use padding")
    arrays = {name: np.stack(rows) for name, rows in data.items()}
    if return_tensors == "np":
        return arrays
    import paddle  # slow to start, and only needed here

    return {name: paddle.to_tensor(array) for name, array in arrays.items()}
