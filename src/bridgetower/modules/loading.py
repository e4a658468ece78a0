"""Loading weights: which differences between a file and a model are allowed, and an error on any other."""

from __future__ import annotations

import fnmatch
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import paddle
from paddle import Tensor, nn

from ..config import BridgeTowerConfig
from ..model_parts import BASE_PREFIX, patterns
from ..one_channel import CLIP_MEAN, CLIP_STD, PATCH_KERNELS, MeanAndStd, fold_channels
from ..position import resize_position_table
from ..setting_rules.config_limits import parameter_count
from ..sources import HUB_OPTIONS, READER_OPTIONS, read_normalization, read_weights, write_port_folder

__all__ = ["LoadReport", "LoadingMixin", "build_undrawn", "check_size", "load_into"]

logger = logging.getLogger(__name__)

#: What a task may leave out or start anew; anything else must be in the file and in the model.
HEADS = patterns("head")
_DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class LoadReport:
    """What `load_into` did.

    Attributes:
        loaded: number of tensors that were loaded.
        new: parameters that keep their initial values.
        unused: tensors that were not read.
        mismatched: of the new ones, those whose shape is another one in the file.
    """

    loaded: int
    new: tuple[str, ...]
    unused: tuple[str, ...]
    mismatched: tuple[str, ...] = ()


def _dtype_name(dtype: Any) -> str:
    """The name of a type of Paddle, NumPy or PyTorch."""
    name = str(dtype).rpartition(".")[2].rstrip("'>")
    if name not in (*_DTYPES, "auto"):
        raise ValueError(f"dtype={dtype!r} is none of {', '.join(_DTYPES)}")
    return name


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _some(names: list[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def build_undrawn(model_class: Callable[..., nn.Layer], config: Any) -> Any:
    """Build a model whose parameters have no values before `load_into` fills it.

    Random weights that a file replaces at once would take nine tenths of the time of loading. Classes from outside
    this package are built as usual, as their constructors may compute with their parameters. Paddle's `LazyGuard` holds
    for the whole process, so no other thread should build layers meanwhile.

    Args:
        model_class: of the model.
        config: of the model.
    """
    if model_class.__module__.partition(".")[0] != __name__.partition(".")[0]:
        return model_class(config)
    with paddle.LazyGuard():
        return model_class(config)


def load_into(model: nn.Layer, tensors: Mapping[str, np.ndarray], source: str | os.PathLike = "the file",
              may_miss: Iterable[str] = HEADS, may_ignore: Iterable[str] = HEADS,
              normalization: MeanAndStd = (CLIP_MEAN, CLIP_STD), skip_misfits: bool = False) -> LoadReport:
    """Copy weights into a model and check that they fit.

    The position table of the image tower is resized when the file was made for another image size, and a token-type
    table grows from two rows to three by repeating the row of the image (NLVR2). A model with one channel gets the
    kernels of a file with three added up, see `fold_channels`.

    Args:
        model: the model to fill.
        tensors: weights by our names, with or without the `bridgetower.` prefix of models with a head.
        source: what to call the file in messages.
        may_miss: patterns of parameters that may be absent from the file and keep their initial values.
        may_ignore: patterns of tensors that the model need not have.
        normalization: mean and standard deviation of the pictures' channels that the weights expect, which a model
            with one channel gets into its weights.
        skip_misfits: leave tensors whose shapes do not fit unread, and those parameters as they start.

    Raises:
        ValueError: on any other missing or unexpected key, or a shape that does not fit.
    """
    if isinstance(model, LoadingMixin):
        tensors = model.adapt_weights(tensors)
        may_ignore = (*may_ignore, *model.unused_parts)
    parameters = dict(model.named_parameters())
    if any(name.endswith(PATCH_KERNELS) and value.shape[1] == 1 for name, value in parameters.items()):
        tensors = fold_channels(tensors, normalization)
    given = _named_alike(tensors, parameters)
    model_name = type(model).__name__
    _check_names(given, parameters, may_miss, may_ignore, f"{source} does not fit the model {model_name}")
    given, misfits = _fitted(given, parameters)
    if misfits and not skip_misfits:
        shapes = list(misfits.values())
        hint = " (the vocabulary of the tokenizer and of the weights differ)" if "word_embed" in shapes[0] else ""
        raise ValueError(f"{source} does not fit the model {model_name}: {_some(shapes)}{hint}")
    for name, parameter in parameters.items():
        if name in given:
            parameter.set_value(given[name].astype(np.float32) if given[name].dtype == np.float16 else given[name])
        elif not parameter._is_initialized():  # the model is from `build_undrawn`
            parameter.initialize()
    report = LoadReport(sum(name in given for name in parameters),
                        tuple(name for name in parameters if name not in given),
                        tuple(name for name in given if name not in parameters), tuple(misfits))
    logger.info("%s: %d tensors loaded, %d parameters new, %d tensors not used", source, report.loaded,
                len(report.new), len(report.unused))
    return report


def _named_alike(tensors: Mapping[str, np.ndarray], parameters: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The tensors under the names of the parameters: with the prefix of models with a head, or without it."""
    given = {}
    for name, value in tensors.items():
        bare = name.removeprefix(BASE_PREFIX)
        given[BASE_PREFIX + bare if BASE_PREFIX + bare in parameters else bare] = value
    return given


def _check_names(given: Mapping[str, Any], parameters: Mapping[str, Any], may_miss: Iterable[str],
                 may_ignore: Iterable[str], problem: str) -> None:
    missing = [name for name in parameters if name not in given and not _matches(name, may_miss)]
    unexpected = [name for name in given if name not in parameters and not _matches(name, may_ignore)]
    reasons = [f"{what}: {_some(names)}" for what, names in
               (("missing in the file", missing), ("not in the model", unexpected)) if names]
    if reasons:
        raise ValueError("; ".join([problem, *reasons]) + ". Check the depths and widths in the configuration")


def _fitted(given: Mapping[str, np.ndarray], parameters: Mapping[str, Tensor]
            ) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors in the shapes of the parameters, without those that cannot be, and for each of these the reason."""
    fitted, misfits = dict(given), {}
    for name, parameter in parameters.items():
        if name not in given:
            continue
        value, shape = np.asarray(given[name]), tuple(parameter.shape)
        if name.endswith("image_tower.position_embedding") and value.shape != shape and value.ndim == 2:
            value = resize_position_table(value, shape[0])
        elif name.endswith("token_type_embeddings.weight") and "text_tower" not in name \
                and value.shape[0] == 2 and shape[0] == 3:
            value = np.concatenate([value, value[1:]])
        if value.shape == shape:
            fitted[name] = value
        else:
            misfits[name] = f"{name} is {value.shape} in the file and {shape} in the model"
            del fitted[name]
    return fitted, misfits


#: Heads and tables that a model may have beyond its checkpoint, in parameters.
_NEW = 200_000_000


def check_size(config: BridgeTowerConfig, given: int, source: str | os.PathLike) -> None:
    """Refuse settings of a model far larger than the weights beside them, before memory is taken for it.

    Args:
        config: of the model.
        given: number of values in the weights.
        source: what to call the weights in messages.

    Raises:
        ValueError: the settings and the weights cannot belong together.
    """
    count = parameter_count(config)
    if count > 2 * given + _NEW:
        raise ValueError(f"the configuration describes a model of {count:,} parameters, but {source} holds {given:,}; "
                         "they do not belong together")


def _configuration(given: BridgeTowerConfig | str | os.PathLike | None, stored: Any, source: str | os.PathLike,
                   options: Mapping[str, Any]) -> BridgeTowerConfig:
    """The configuration to build with: given, named, or else stored beside the weights."""
    if isinstance(given, BridgeTowerConfig):
        return given
    if given is not None:
        return BridgeTowerConfig.from_pretrained(given, **options)
    if stored is None:
        raise ValueError(f"{source} holds weights but no configuration; pass config=")
    return stored if isinstance(stored, BridgeTowerConfig) else BridgeTowerConfig(**stored)


class LoadingMixin:
    """`from_pretrained` for our own folders, Hugging Face folders and original checkpoints alike."""

    #: Patterns of weights that the class does not have, besides heads.
    unused_parts: ClassVar[tuple[str, ...]] = ()

    def adapt_weights(self, tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Turn weights of another task, by our names, into those that this class starts with; by default they stay."""
        return tensors

    def save_pretrained(self, save_dir: str | os.PathLike, *values: Any, save_to_hf: bool = False, **options: Any
                        ) -> None:
        """Write the weights and the configuration.

        Args:
            save_dir: the folder.
            values, options: see PaddleNLP's `PretrainedModel.save_pretrained`.
            save_to_hf: write a folder that transformers' BridgeTower reads, as `torch2paddle.py --reverse` does;
                `from_pretrained` reads it as well.

        Raises:
            ValueError: transformers has no such model; the message names the setting.
        """
        if not save_to_hf:
            super().save_pretrained(save_dir, *values, **options)  # type: ignore[misc]
            return
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "paddle"
            super().save_pretrained(folder, *values, **options)  # type: ignore[misc]
            write_port_folder(folder, save_dir)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, *,
                        config: BridgeTowerConfig | str | os.PathLike | None = None, dtype: Any = "float32",
                        torch_dtype: Any = None, output_loading_info: bool = False, allow_nonfinite: bool = False,
                        ignore_mismatched_sizes: bool = False, **changes: Any) -> Any:
        """Build a model from a folder or file and fill it with its weights.

        With `vision_config={"num_channels": 1}`, weights for three channels become those of a model that reads one
        channel of values from 0 to 1. The normalisation of `preprocessor_config.json` beside the weights, or else that
        of CLIP, is folded into them: on grey pictures both models agree.

        Args:
            pretrained_model_name_or_path: a folder with config.json and model_state.pdparams or model.safetensors, a
                Hugging Face PyTorch folder, an original `.ckpt`, or a name on the Hugging Face hub.
            config: the configuration to build with, instead of the stored one; or where that is stored.
            dtype: of the parameters, whatever is stored: float32, float16 or bfloat16, as a name or as a type of
                Paddle, NumPy or PyTorch; `auto` takes that of the configuration. Paddle computes in half precision on
                GPUs only.
            torch_dtype: another name of `dtype`.
            output_loading_info: whether to return what was loaded, too.
            allow_nonfinite: accept NaN and infinite weights.
            ignore_mismatched_sizes: start parameters anew whose shapes are others in the file.
            changes: settings to change in the stored configuration, for instance `num_labels=13`; options of the
                download (`revision`, `cache_dir`, `token`, `local_files_only`, `force_download`, `subfolder`). How
                PaddleNLP or transformers are to read a file (`from_hf_hub`, `low_cpu_mem_usage`, `use_safetensors`,
                ...) has no effect: every kind of file is read.

        Returns:
            The model, in evaluation mode; with `output_loading_info` also a dictionary of `missing_keys`,
            `unexpected_keys`, `mismatched_keys` and `error_msgs`, of which the last one is always empty.

        Raises:
            FileNotFoundError: when there is nothing to load.
            ValueError: when the weights do not fit or are not finite, or there is no such dtype.
        """
        wanted = _dtype_name(dtype if torch_dtype is None else torch_dtype)
        hub = {name: changes.pop(name) for name in HUB_OPTIONS if name in changes}
        changes = {name: value for name, value in changes.items() if name not in READER_OPTIONS}
        tensors, stored = read_weights(Path(pretrained_model_name_or_path), allow_nonfinite, hub)
        settings = _configuration(config, stored, pretrained_model_name_or_path, hub)
        if changes:
            settings = settings.replace(**changes)
        check_size(settings, sum(value.size for value in tensors.values()), Path(pretrained_model_name_or_path))
        model = build_undrawn(cls, settings)
        reads_grey = settings.vision_config.num_channels == 1
        normalization = (read_normalization(pretrained_model_name_or_path, hub) if reads_grey
                         else (CLIP_MEAN, CLIP_STD))
        report = load_into(model, tensors, Path(pretrained_model_name_or_path), normalization=normalization,
                           skip_misfits=ignore_mismatched_sizes)
        if wanted == "auto":
            wanted = _dtype_name(settings.dtype or "float32")
        if wanted != "float32":
            model.to(dtype=wanted)
        model.config.dtype = wanted
        model.eval()
        missing = [name for name in report.new if name not in report.mismatched]
        info = {"missing_keys": missing, "unexpected_keys": list(report.unused),
                "mismatched_keys": list(report.mismatched), "error_msgs": []}
        return (model, info) if output_loading_info else model
