"""Pictures to `pixel_values`, with the interface and the numbers of the Hugging Face port."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints, overload

import numpy as np
from PIL import Image

from ..files import write_json
from ..picture_files.picture_reading import PictureReading, check_scale_rule
from ..setting_rules.json_files import read_json_object
from ..setting_rules.ranges import ImageSide, Range, checked, shown
from . import image_settings
from .encoding import Encoding, plain
from .hub_files import take_hub_options
from .image_settings import CONFIG_FILE
from .picture_arrays import (
    Picture,
    as_eight_bits,
    as_three_channels,
    central_square,
    flat_list,
    grey_values,
    is_scaled,
    pad_to_largest,
    without_high_bits,
)
from .picture_steps import PictureSteps, check_layout, normalized, rescaled, scaled_back, shortest_edge, target_size
from .transforms import CLIP, GREY, ImageTransform, build_transform, look_up

__all__ = ["CONFIG_FILE", "BridgeTowerImageProcessor", "BridgeTowerImageProcessorFast"]

logger = logging.getLogger(__name__)

@dataclass(init=False)
class BridgeTowerImageProcessor(PictureSteps):
    """Resize, crop, normalise and batch pictures.

    Attributes:
        do_resize: scale the shorter side to `size`, the longer one in proportion but to at most 1333/800 of `size`;
            both are then rounded down to multiples of `size_divisor`.
        size: {"shortest_edge": pixels}, or the pixels alone.
        size_divisor: see `do_resize`.
        resample: PIL's number of the filter; 3 is bicubic.
        do_center_crop: cut out the central square of `crop_size`; what lies outside the picture becomes black.
        crop_size: like `size`, or {"height": pixels, "width": pixels}; `size` when None.
        do_rescale, rescale_factor: multiply the values by the factor.
        do_normalize, image_mean, image_std: (value - mean) / std for red, green and blue; one number stands for three.
            With one channel they hold one number; three are replaced by 0 and 1, as the weights contain them.
        do_pad: give pictures of different sizes the same one (zeros at the right and at the bottom), and return
            `pixel_mask`, 1 where there is a picture.
        transform: name of an image transform of `bridgetower.inputs.transforms`, as training writes it for its model.
            It and `size` then define everything that is done to a picture; the other settings, except `do_pad`, only
            approximate it for programs that do not know the name.
        scale_16bit: how grey pictures of more than 8 bits, and arrays of uint16 that exceed 255, are scaled: `full`,
            `minmax` or `percentile`, see `bridgetower.picture_files.picture_reading.to_eight_bits`.
        apply_exif: turn pictures as their EXIF orientation says.
        num_channels: 3, or 1 for the luminance alone, which models with `vision_config.num_channels=1` read.
    """

    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    do_resize: bool | None = True
    size: Any = 288
    size_divisor: ImageSide = 32
    resample: Annotated[int, Range(0, 5)] = 3
    do_center_crop: bool | None = True
    crop_size: Any = None
    do_rescale: bool | None = True
    rescale_factor: Annotated[float, Range(1e-9, 1e9)] = 1 / 255
    do_normalize: bool | None = True
    image_mean: Any = CLIP.mean
    image_std: Any = CLIP.std
    do_pad: bool | None = True
    transform: str | None = None
    scale_16bit: str = "full"
    apply_exif: bool = False
    num_channels: int = 3

    def __init__(self, *values: Any, **settings: Any) -> None:
        """Set the attributes of the class.

        Args:
            values, settings: attributes of the class; those without a name stand in the order of the port.

        Raises:
            ValueError: an unknown setting, or a value that cannot be used.
        """
        defaults = {field.name: field.default for field in fields(self)}
        named = image_settings.by_name(image_settings.PORT_ORDER, values, settings)
        chosen = {**defaults, **_known_settings(named)}
        self.num_channels = chosen.pop("num_channels")  # first: it decides how many means there are
        for name, value in chosen.items():
            setattr(self, name, value)
        if self.size_divisor < 1 or self.size["shortest_edge"] < self.size_divisor:
            raise ValueError(f"size={self.size} is smaller than size_divisor={self.size_divisor}")
        if self.transform is not None and self._named_transform().is_random:
            raise ValueError(f"transform={self.transform!r} is random; name one that always gives the same, as 'clip'")

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "size" or (name == "crop_size" and value is not None):
            value = {"shortest_edge": shortest_edge(name, value)}
        elif name in ("image_mean", "image_std"):
            value = self._per_channel(name, value)
        elif name == "num_channels" and value not in (1, 3):
            raise ValueError(f"num_channels={shown(value)} is not possible; a picture has 3 channels, or 1 if it is "
                             "grey")
        elif name == "scale_16bit":
            check_scale_rule(value)
        super().__setattr__(name, checked(plain(value), _hints().get(name, Any), name))

    def _per_channel(self, name: str, value: Any) -> list[float]:
        values = [value] * self.num_channels if isinstance(value, int | float) else list(value)
        if self.num_channels == 1 and len(values) == 3:
            return list(GREY.mean if name == "image_mean" else GREY.std)
        if len(values) != self.num_channels:
            raise ValueError(f"{name}={shown(value)} needs one value" + ", or three" * (self.num_channels == 3))
        allowed = Range(0, 1e9, above=True) if name == "image_std" else Range(-1e9, 1e9)
        checked(values, list[Annotated[float, allowed]], name)
        return values

    @classmethod
    def for_transform(cls, transform: str, image_size: int, **settings: Any) -> BridgeTowerImageProcessor:
        """The processor that does what evaluation with an image transform does.

        Args:
            transform: see the class.
            image_size: side of the square in pixels.
            settings: of those of the class, `scale_16bit`, `apply_exif` and `num_channels`.

        Raises:
            KeyError: an unknown transform.
            ValueError: a random one.
        """
        normalization = build_transform(transform, image_size, settings.get("num_channels", 3)).normalization
        return cls(size=image_size, crop_size=image_size, size_divisor=1, image_mean=normalization.mean,
                   image_std=normalization.std, do_pad=False, transform=transform, **settings)

    def _named_transform(self) -> ImageTransform:
        return build_transform(str(self.transform), self.size["shortest_edge"], self.num_channels)

    @overload
    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], *,
                        return_unused_kwargs: Literal[False] = False, **settings: Any) -> BridgeTowerImageProcessor: ...

    @overload
    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], *,
                        return_unused_kwargs: Literal[True], **settings: Any
                        ) -> tuple[BridgeTowerImageProcessor, dict[str, Any]]: ...

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], *,
                        return_unused_kwargs: bool = False, **settings: Any) -> Any:
        """Read `preprocessor_config.json`, or the settings in `processor_config.json`, of a folder or a hub repository.

        Args:
            pretrained_model_name_or_path: a folder, a file of settings, or `owner/name` on the Hugging Face hub.
            settings: attributes of this class that replace those of the file, and options of the download
                (`revision`, `cache_dir`, `token`, `local_files_only`, `force_download`, `subfolder`).
            return_unused_kwargs: return the image processor and the settings that are none of its own, which are an
                error otherwise.

        Raises:
            FileNotFoundError: there is no such file, folder or repository.
            ConnectionError: the download failed.
            ValueError: the file is not a JSON object, or a setting is wrong.
        """
        hub = take_hub_options(settings)
        unused = image_settings.take_unknown(settings, _names()) if return_unused_kwargs else {}
        path, config = image_settings.find_settings(pretrained_model_name_or_path, hub)
        try:
            processor = cls._from_config(config, settings, str(path))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: {error.args[0] if error.args else error}") from error
        return (processor, unused) if return_unused_kwargs else processor

    @classmethod
    def get_image_processor_dict(cls, pretrained_model_name_or_path: str | os.PathLike[str], **settings: Any
                                 ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The stored settings of an image processor for `from_dict`, and those of `settings` that are for no download.

        The errors are those of `from_pretrained`.
        """
        hub = take_hub_options(settings)
        return dict(image_settings.find_settings(pretrained_model_name_or_path, hub)[1]), settings

    @classmethod
    def from_dict(cls, image_processor_dict: Mapping[str, Any], return_unused_kwargs: bool = False, **settings: Any
                  ) -> Any:
        """The processor that `to_dict` of ours or of the port describes, see `from_pretrained` for the rest."""
        unused = image_settings.take_unknown(settings, _names()) if return_unused_kwargs else {}
        processor = cls._from_config(image_processor_dict, settings, "the given settings")
        return (processor, unused) if return_unused_kwargs else processor

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> BridgeTowerImageProcessor:
        """The processor that a file of settings describes."""
        return cls._from_config(read_json_object(Path(json_file)), {}, str(json_file))

    @classmethod
    def _from_config(cls, config: Mapping[str, Any], settings: Mapping[str, Any], where: str
                     ) -> BridgeTowerImageProcessor:
        known = {*_names(), image_settings.OLD_PAD}
        ignored = sorted(set(config) - known - set(image_settings.METADATA))
        if ignored:
            logger.warning("%s: ignoring %s", where, ", ".join(ignored))
        read = {name: value for name, value in config.items() if name in known and value is not None}
        return cls(**{**_known_settings(read), **_known_settings(settings)})

    def to_dict(self) -> dict[str, Any]:
        """All settings, with the keys of the port."""
        config = {field.name: deepcopy(getattr(self, field.name)) for field in fields(self)}
        for name in ("transform", "scale_16bit", "apply_exif", "num_channels"):  # unknown to the port
            if config[name] == getattr(type(self), name):
                del config[name]
        return {**config, "image_processor_type": type(self).__name__}

    def to_json_string(self) -> str:
        """All settings as JSON."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str]) -> None:
        """Write all settings to a JSON file."""
        write_json(json_file_path, self.to_dict())

    def stored_settings(self) -> dict[str, Any]:
        """`to_dict` with the crop size written out: transformers 5 refuses a file without one."""
        return {**self.to_dict(), "crop_size": deepcopy(self.crop_size or self.size)}

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> list[str]:
        """Write `preprocessor_config.json`, which the Hugging Face port reads as well; the path of the file."""
        path = Path(save_directory).expanduser() / CONFIG_FILE
        write_json(path, self.stored_settings())
        return [str(path)]

    def __call__(
        self,
        images: Any,
        return_tensors: str | None = None,
        *,
        data_format: str | None = "channels_first",
        input_data_format: str | None = None,
        **settings: Any,
    ) -> Encoding:
        """Process one picture or several.

        Args:
            images: PIL pictures of any mode, arrays, tensors or nested lists of numbers, paths, or bytes of files; one,
                several, or nested lists of them. Numbers are 8-bit values, or lie between 0 and 1.
            return_tensors: "np" for arrays, "pd" for Paddle tensors, "pt" for PyTorch's, None for lists of arrays.
            data_format: "channels_first" or "channels_last", of the result.
            input_data_format: the same of arrays, or "none" for (H, W); None infers it.
            settings: attributes of this class to change for this call.

        Returns:
            `pixel_values` (B, 3, H, W), or (B, 1, H, W), float32 and, with `do_pad`, `pixel_mask` (B, H, W) int64.

        Raises:
            ValueError: something that is no picture, an unknown setting, or different sizes with `do_pad=False`.
        """
        layout, last = plain(input_data_format), plain(data_format) == "channels_last"
        check_layout(data_format)
        worker = self._changed(settings)
        given = flat_list(images)
        if worker.do_rescale and isinstance(given[0], np.ndarray) and is_scaled(given[0]):
            logger.warning("the picture values lie between 0 and 1 already; pass do_rescale=False to keep them")
        pictures = [worker._process(image, layout) for image in given]
        data: dict[str, Any] = {"pixel_values": pictures}
        if worker.do_pad:
            data = pad_to_largest(pictures)
        if last:
            data["pixel_values"] = [picture.transpose(1, 2, 0) for picture in data["pixel_values"]]
        return Encoding(data, tensor_type=return_tensors)

    def preprocess(self, images: Any, *values: Any, **options: Any) -> Encoding:
        """What calling the processor does; options without a name stand in the order of the port."""
        return self(images, **image_settings.by_name(image_settings.PORT_CALL_ORDER, values, options))

    def _changed(self, settings: Mapping[str, Any]) -> BridgeTowerImageProcessor:
        """This processor with other settings for one call; None leaves a setting as it is."""
        known = {name: value for name, value in _known_settings(settings).items() if value is not None}
        if not known:
            return self
        # As in the Hugging Face port, a size given here changes the resize alone.
        known.setdefault("crop_size", self.crop_size or self.size)
        current = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self)(**{**current, **known})

    def _process(self, picture: Picture, layout: str | None) -> np.ndarray:
        """One picture as (C, H, W): float32, or as it came when neither rescaled nor normalised."""
        if isinstance(picture, Image.Image):
            picture = PictureReading(self.scale_16bit, self.apply_exif)(picture)
        else:
            picture = without_high_bits(picture, self.scale_16bit)
        if self.transform is not None:  # handles transparent pixels itself
            if isinstance(picture, np.ndarray):
                picture = Image.fromarray(np.ascontiguousarray(as_eight_bits(as_three_channels(picture, layout))[0]))
            return self._named_transform()(picture)
        if isinstance(picture, Image.Image):
            return self._process_eight_bits(picture if picture.mode == "RGB" else picture.convert("RGB"))
        values = as_three_channels(picture, layout)
        values, was_scaled = as_eight_bits(values) if self.do_resize else (values, False)
        if values.dtype == np.uint8 and not was_scaled:
            return self._process_eight_bits(Image.fromarray(np.ascontiguousarray(values)))
        if was_scaled:
            resized = np.asarray(self._resize(Image.fromarray(np.ascontiguousarray(values))))
            values = scaled_back(resized)
        return self._process_values(values)

    def _process_eight_bits(self, image: Image.Image) -> np.ndarray:
        """An RGB picture as (C, H, W)."""
        if self.do_resize:
            image = self._resize(image)
        if self.do_center_crop:
            size = self._crop_side()
            left, top = (image.width - size) // 2, (image.height - size) // 2
            # Negative halves round down: a smaller picture gets the odd pixel of black at its left and top.
            image = image.crop((left, top, left + size, top + size))
        if self.num_channels == 1:
            image = image.convert("L")
        if not self.do_rescale and not self.do_normalize:
            return np.ascontiguousarray(np.atleast_3d(np.asarray(image)).transpose(2, 0, 1))
        # The Hugging Face port rescales in 64 bits and normalises in 32.
        values = np.arange(256) * (self.rescale_factor if self.do_rescale else 1.0)
        tables = [values.astype(np.float32)] * self.num_channels
        if self.do_normalize:
            constants = zip(tables, self.image_mean, self.image_std, strict=True)
            tables = [(table - np.float32(mean)) / np.float32(std) for table, mean, std in constants]
        return look_up(image, tables)

    def _process_values(self, values: np.ndarray) -> np.ndarray:
        """Values (H, W, 3) of any type, already resized, as (C, H, W)."""
        if self.do_center_crop:
            values = central_square(values, self._crop_side())
        if self.num_channels == 1:
            values = grey_values(values)
        if self.do_rescale:
            values = rescaled(values, self.rescale_factor)
        if self.do_normalize:
            values = normalized(values, self.image_mean, self.image_std)
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def _crop_side(self) -> int:
        return (self.crop_size or self.size)["shortest_edge"]

    def _resize(self, image: Image.Image) -> Image.Image:
        target = target_size(*image.size, self.size["shortest_edge"], self.size_divisor)
        return image.resize(target, self.resample)


#: A name of transformers 4 for a processor with the same settings.
BridgeTowerImageProcessorFast = BridgeTowerImageProcessor


@cache
def _hints() -> dict[str, Any]:
    """What each setting may be."""
    return get_type_hints(BridgeTowerImageProcessor, include_extras=True)


def _names() -> list[str]:
    return [field.name for field in fields(BridgeTowerImageProcessor)]


def _known_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    return image_settings.under_todays_names(settings, _names())
