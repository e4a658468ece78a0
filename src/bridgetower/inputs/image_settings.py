"""The settings of an image processor as files and callers of the Hugging Face port write them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..known import nearest
from ..setting_rules.json_files import read_json_object
from .hub_files import FileSource

__all__ = ["CONFIG_FILE", "METADATA", "OLD_PAD", "PORT_CALL_ORDER", "PORT_ORDER", "by_name", "find_settings",
           "take_unknown", "under_todays_names"]

CONFIG_FILE = "preprocessor_config.json"
_NESTED_CONFIG_FILE = "processor_config.json"  # of transformers 5, under the key `image_processor`
OLD_PAD = "pad_and_return_pixel_mask"  # `do_pad` in the first release
# Written by Hugging Face's classes beside the settings; they do not change the result.
METADATA = ("image_processor_type", "feature_extractor_type", "processor_class", "_processor_class", "auto_map",
            "do_convert_rgb", "data_format", "input_data_format", "default_to_square", "device", "disable_grouping",
            "return_tensors", "pad_size", "image_seq_length", "_valid_processor_keys", "model_input_names")

#: The settings in the order in which the port's constructor and its `preprocess` take them.
PORT_ORDER = ("do_resize", "size", "size_divisor", "resample", "do_rescale", "rescale_factor", "do_normalize",
              "image_mean", "image_std", "do_center_crop", "crop_size", "do_pad")
PORT_CALL_ORDER = (*PORT_ORDER[:9], "do_pad", "do_center_crop", "crop_size", "return_tensors", "data_format",
                   "input_data_format")


def find_settings(name: str | os.PathLike[str], hub: Mapping[str, Any]) -> tuple[Path, Mapping[str, Any]]:
    """The file that holds the settings of an image processor, and what it holds.

    Args:
        name: see `BridgeTowerImageProcessor.from_pretrained`.
        hub: options of the download.

    Raises:
        FileNotFoundError: there is no such file, folder or repository.
        ConnectionError: the download failed.
        ValueError: the file is not a JSON object.
    """
    given = Path(name).expanduser()
    if given.is_file():
        config = read_json_object(given)
        return given, config.get("image_processor", config)
    source = FileSource(name, CONFIG_FILE, options=hub)
    path, settings = source.find(CONFIG_FILE), None
    if path is not None:
        settings = read_json_object(path)
    elif (path := source.find(_NESTED_CONFIG_FILE)) is not None:
        settings = read_json_object(path).get("image_processor")
    if path is None or not isinstance(settings, Mapping):
        raise FileNotFoundError(f"{source}/{CONFIG_FILE} does not exist; pass a folder that holds {CONFIG_FILE}, "
                                f"or {_NESTED_CONFIG_FILE} with image_processor settings")
    return path, settings


def by_name(order: Sequence[str], values: Sequence[Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that were given by position and by name, all by name.

    Args:
        order: the names of those by position.
        values: by position.
        settings: by name.

    Raises:
        ValueError: too many by position, or a setting twice.
    """
    if len(values) > len(order):
        raise ValueError(f"{len(values)} settings were given by position, of {len(order)}; name them")
    twice = [name for name in order[: len(values)] if name in settings]
    if twice:
        raise ValueError(f"{twice[0]} was given twice, by position and by name")
    return {**dict(zip(order, values, strict=False)), **settings}


def take_unknown(settings: dict[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Remove from keyword arguments what is no setting of an image processor, and return it."""
    return {name: settings.pop(name) for name in sorted(set(settings) - {*known, OLD_PAD})}


def under_todays_names(settings: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Settings under today's names.

    Raises:
        ValueError: one of them is unknown.
    """
    for name in settings:
        if name not in known and name != OLD_PAD:
            raise ValueError(f"{name!r} is not a setting of the image processor{nearest(name, known)}")
    return {"do_pad" if name == OLD_PAD else name: value for name, value in settings.items()}
