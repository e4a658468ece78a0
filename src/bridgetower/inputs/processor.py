"""Pictures and texts to model inputs in one call, with the interface of the Hugging Face port."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..files import write_json
from ..known import nearest
from .encoding import Encoding
from .hub_files import HUB_OPTIONS
from .image_processor import CONFIG_FILE, BridgeTowerImageProcessor
from .text_options import TextOptions
from .tokenizer import BridgeTowerTokenizer

__all__ = ["BridgeTowerProcessor"]

_TEXT_NAMES = ("text_pair", *TextOptions.names())
_IMAGE_NAMES = (*(field.name for field in fields(BridgeTowerImageProcessor)), "pad_and_return_pixel_mask",
                "data_format", "input_data_format")
_GROUPS = ("text_kwargs", "images_kwargs", "common_kwargs")


class BridgeTowerProcessor:
    """An image processor and a tokenizer behind one call.

    Attributes:
        image_processor: for pictures.
        tokenizer: for texts.
    """

    attributes = ("image_processor", "tokenizer")

    def __init__(self, image_processor: BridgeTowerImageProcessor, tokenizer: BridgeTowerTokenizer) -> None:
        self.image_processor = image_processor
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike[str], **settings: Any
                        ) -> BridgeTowerProcessor:
        """Read the image settings and the tokenizer of a folder or a hub repository.

        Args:
            pretrained_model_name_or_path: a folder, or `owner/name` on the Hugging Face hub, such as
                BridgeTower/bridgetower-base.
            settings: those of the image processor's and the tokenizer's `from_pretrained`.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a damaged file, or an unknown setting.
            ConnectionError: the download failed.
        """
        hub = {name: value for name, value in settings.items() if name in HUB_OPTIONS}
        of_images = {name: value for name, value in settings.items() if name in _IMAGE_NAMES}
        of_texts = {name: value for name, value in settings.items() if name not in (*HUB_OPTIONS, *_IMAGE_NAMES)}
        return cls(BridgeTowerImageProcessor.from_pretrained(pretrained_model_name_or_path, **of_images, **hub),
                   BridgeTowerTokenizer.from_pretrained(pretrained_model_name_or_path, **of_texts, **hub))

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> list[str]:
        """Write what `from_pretrained` reads; the paths of the files."""
        path = Path(save_directory).expanduser() / CONFIG_FILE
        # The name of the class is what the port's AutoProcessor looks for.
        write_json(path, {**self.image_processor.stored_settings(), **self.to_dict()})
        return [str(path), *self.tokenizer.save_pretrained(save_directory)]

    @property
    def model_input_names(self) -> list[str]:
        """The names of all inputs that a call may return."""
        return list(dict.fromkeys([*self.tokenizer.model_input_names, *self.image_processor.model_input_names]))

    def to_dict(self) -> dict[str, Any]:
        """The class alone: the settings belong to `image_processor` and `tokenizer`."""
        return {"processor_class": type(self).__name__}

    def to_json_string(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike[str]) -> None:
        """Write `to_dict` to a JSON file."""
        write_json(Path(json_file_path), self.to_dict())

    def __call__(self, images: Any = None, text: Any = None, return_tensors: str | None = None, **options: Any
                 ) -> Encoding:
        """Process pictures and texts.

        Args:
            images, text: at least one of them; one or several.
            return_tensors: "np" for arrays, "pd" for Paddle tensors, "pt" for PyTorch's, None for lists.
            options: those of the tokenizer (`TextOptions`, `text_pair`) and of the image processor, by name, or in
                `text_kwargs`, `images_kwargs` and `common_kwargs`.

        Returns:
            `input_ids` and `attention_mask` (B, L) int64, `pixel_values` (B, 3, H, W), or (B, 1, H, W) of
            one channel, and `pixel_mask` (B, H, W).

        Raises:
            ValueError: neither pictures nor texts, an unknown option, or one that is given twice.
        """
        if images is None and text is None:
            raise ValueError("neither images nor text was given; pass at least one of them")
        of_texts, of_images = _split(options, return_tensors)
        encoding = Encoding() if text is None else self.tokenizer(text, **of_texts)
        if images is not None:
            encoding.update(self.image_processor(images, **of_images))
        return encoding

    def decode(self, token_ids: Any, skip_special_tokens: bool = False,
               clean_up_tokenization_spaces: bool | None = None, **no_effect: Any) -> str:
        """The text of one row of ids, see `BridgeTowerTokenizer.decode`."""
        return self.tokenizer.decode(token_ids, skip_special_tokens, clean_up_tokenization_spaces, **no_effect)

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False,
                     clean_up_tokenization_spaces: bool | None = None, **no_effect: Any) -> list[str]:
        """The texts of several rows of ids."""
        return self.tokenizer.batch_decode(sequences, skip_special_tokens, clean_up_tokenization_spaces, **no_effect)


def _split(options: Mapping[str, Any], return_tensors: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of the tokenizer and of the image processor."""
    groups = {name: dict(options.get(name) or {}) for name in _GROUPS}
    for name, value in options.items():
        if name in _GROUPS:
            continue
        if name not in _TEXT_NAMES and name not in _IMAGE_NAMES:
            raise ValueError(f"{name!r} is not an option of the processor"
                             + nearest(name, [*_TEXT_NAMES, *_IMAGE_NAMES, *_GROUPS]))
        group = "text_kwargs" if name in _TEXT_NAMES else "images_kwargs"
        if name in groups[group]:
            raise ValueError(f"{name} was given twice, by itself and in {group}")
        groups[group][name] = value
    common = {"return_tensors": return_tensors, **groups["common_kwargs"]}
    return {**common, **groups["text_kwargs"]}, {**common, **groups["images_kwargs"]}
