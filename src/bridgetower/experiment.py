"""Experiment files: a JSON file that describes a run, checked once and typed from then on."""

from __future__ import annotations

import json
import os
import sys
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

from .known import closest, nearest
from .setting_rules.json_files import read_json_object
from .setting_rules.ranges import Count, ImageSide, Range, checked, shown

__all__ = ["DataSettings", "Experiment", "OptimizationSettings", "SettingsError", "TaskSettings", "TextLength",
           "load_experiment"]

_T = TypeVar("_T")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names the file, the key, the value and what to do."""


#: Tokens that a text is cut to, the two around it included.
TextLength = Annotated[int, Range(3, 65_536)]
#: A number of samples, texts or pictures, of which 0 may be said too.
_Amount = Annotated[int, Range(0, 10**12)]
#: A factor on the learning rate, or the rate itself.
_Rate = Annotated[float, Range(0, 1000)]


@dataclass(frozen=True)
class DataSettings:
    """What is read and how.

    Attributes:
        datasets: keys of the data sets, in order, see `bridgetower.datasets`; for training on captions also tar shards,
            such as `shards/{000..331}.tar`, relative to the data root.
        tokenizer: a folder with tokenizer files, or a name on the Hugging Face hub; not read by tasks without texts.
        image_size: side of the square image in pixels.
        max_text_len: tokens that a text is cut to.
        train_transform: image transform of training, for instance `clip` or `blip_randaug_wc`.
        eval_transform: image transform of evaluation and prediction.
        mlm_probability: share of the words that MLM masks.
        whole_word_masking: whether MLM masks whole words (BERT tokenizers).
        padding: `longest` pads to the longest text of a batch, `max_length` always to `max_text_len`.
        debug_limit: keep only the first samples of each data set; 0 keeps all.
        texts_per_image: how many texts of one image training keeps in one batch; above 1, each image of a batch passes
            its tower once, with one view (VQA, visual entailment and NLVR2).
        clean_splits: keep validation apart from training and test; the published numbers do not.
        vqa_extra_train_tables: more tables for VQA training, such as vgqa_train and vgqa_val.
        max_unreadable_images: how many unreadable images training may skip.
        shuffle_buffer: samples among which those of tar shards are shuffled, beside the order of the shards; more mixes
            them better, fewer reads the files more in order. It takes no memory.
        scale_16bit: how grey pictures of more than 8 bits are scaled: `full`, `minmax` or `percentile`, see
            `picture_files.picture_reading`; null: as the descriptions of own tables say, else as the checkpoint was
            trained, else `full`.
        apply_exif: whether pictures are turned as their EXIF orientation says; null likewise, else false.
    """

    datasets: tuple[str, ...] = ()
    tokenizer: str = "roberta-base"
    image_size: ImageSide = 288
    max_text_len: TextLength = 50
    train_transform: str = "clip"
    eval_transform: str = "clip"
    mlm_probability: Annotated[float, Range(0, 1)] = 0.15
    whole_word_masking: bool = False
    padding: str = "longest"
    debug_limit: _Amount = 0
    texts_per_image: Annotated[int, Range(1, 10_000)] = 1
    clean_splits: bool = False
    vqa_extra_train_tables: tuple[str, ...] = ()
    max_unreadable_images: _Amount = 100
    shuffle_buffer: Annotated[int, Range(1, 10_000_000)] = 20_000
    scale_16bit: str | None = None
    apply_exif: bool | None = None


@dataclass(frozen=True)
class TaskSettings:
    """What is learned.

    Attributes:
        name: one of the tasks in `bridgetower.tasks.TASKS`.
        objectives: of pre-training: any of mlm, itm, itc, itm_itc.
        num_labels: answers of VQA; None: as many as the training data has.
        head_hidden_scale: hidden width of the classifier, as a multiple of one pooled pair.
        num_false_texts: false captions that irtr ranks against the true one.
        k_test: candidates that ITC picks for ITM to rerank in the retrieval of irtr_itm_itc; 0: ITC alone, null: all.
        recall: whether validation measures retrieval; without it irtr is measured by its ranking loss.
        pairs_per_pass: pairs of image and text that retrieval fuses together.
        train_classifier: whether the classifier of cifar is trained; the original leaves it at its random start.
    """

    name: str = ""
    objectives: tuple[str, ...] = ("mlm", "itm")
    num_labels: Count | None = None
    head_hidden_scale: Annotated[float, Range(0, 64, above=True)] = 1.0
    num_false_texts: Annotated[int, Range(1, 1000)] = 15
    k_test: Annotated[int, Range(0, 1_000_000)] | None = 128
    recall: bool = True
    pairs_per_pass: Annotated[int, Range(1, 65_536)] = 128
    train_classifier: bool = True


@dataclass(frozen=True)
class OptimizationSettings:
    """The three rates: towers, heads and cross-modal layers. The flag `--learning_rate` multiplies all of them.

    Attributes:
        learning_rate: of the towers.
        lr_mult_head: factor of the heads' rate on it.
        lr_mult_cross_modal: factor of the cross-modal rate on it.
    """

    learning_rate: _Rate = 1e-5
    lr_mult_head: _Rate = 5
    lr_mult_cross_modal: _Rate = 5


@dataclass(frozen=True)
class Experiment:
    """One experiment file.

    Attributes:
        source: the file, for messages.
        model: settings of `BridgeTowerConfig` (its towers as `text_config` and `vision_config`, or known ones by name
            as `text_tower` and `image_tower`); those that are left out come from the checkpoint that a run starts from.
        new_model: the same for a run without a checkpoint, which `model` wins over; with a checkpoint it is ignored.
        data, task, optimization: as typed above.
        training: defaults of command-line flags, by the names of PaddleNLP's TrainingArguments.
        given: the settings of `data` that the file or the command line names; the others are defaults, which give way
            to those of own tables and of a checkpoint.
        num_channels: of the pictures that the model reads, which its `vision_config` decides: 3, or 1 for grey.
    """

    source: str = "the settings"
    model: Mapping[str, Any] = field(default_factory=dict)
    new_model: Mapping[str, Any] = field(default_factory=dict)
    data: DataSettings = field(default_factory=DataSettings)
    task: TaskSettings = field(default_factory=TaskSettings)
    optimization: OptimizationSettings = field(default_factory=OptimizationSettings)
    training: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] = ()
    num_channels: int = 3

    def to_dict(self) -> dict[str, Any]:
        """The sections of an experiment file that says the same."""
        return {name: value for name, value in asdict(self).items() if name in _NAMES}


#: Sections whose keys others know: `BridgeTowerConfig`, and the parser of the command line.
_OPEN_SECTIONS = ("model", "new_model", "training")
_SECTIONS = {"data": DataSettings, "task": TaskSettings, "optimization": OptimizationSettings}
_NAMES = [f.name for f in fields(Experiment) if f.name in _OPEN_SECTIONS or f.name in _SECTIONS]
#: Where `configs` is: in a checkout, beside a package that pip installed with --target, in a virtual environment.
_HOMES = (Path(__file__).parents[2], Path(__file__).parents[1] / "share/bridgetower",
          Path(sys.prefix) / "share/bridgetower")


def _section(kind: type[_T], values: Any, where: str) -> _T:
    if not isinstance(values, Mapping):
        raise SettingsError(f"{where} is {type(values).__name__}, expected an object with settings")
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in values:
        if name not in hints:
            raise SettingsError(f"{where} has no setting {name!r}{nearest(name, hints)}")
    return kind(**{name: checked(value, hints[name], f"{where}.{name}") for name, value in values.items()})


def parse_experiment(values: Mapping[str, Any], source: str = "the settings") -> Experiment:
    """Type and check the content of an experiment file.

    Raises:
        SettingsError: unknown sections or keys (with the nearest valid name) and values of a wrong type.
    """
    if values.get("model_type") == "bridgetower":
        # The config.json of a converted or trained model: its settings are the model section.
        values = {"model": values}
    for name in values:
        if name not in _NAMES:
            raise SettingsError(f"{source}: no section {name!r}{nearest(name, _NAMES)} Sections are "
                                f"{', '.join(_NAMES)}")
    for name in _OPEN_SECTIONS:
        if not isinstance(values.get(name, {}), Mapping):
            raise SettingsError(f"{source}: {name} is {type(values[name]).__name__}, expected an object with settings")
    try:
        typed: dict[str, Any] = {name: _section(kind, values.get(name, {}), name) for name, kind in _SECTIONS.items()}
    except ValueError as error:
        raise SettingsError(f"{source}: {error}") from None
    typed |= {name: dict(values.get(name, {})) for name in _OPEN_SECTIONS}
    return Experiment(source, **typed, given=tuple(values.get("data", {})))


def _assign(values: dict[str, Any], assignment: str) -> None:
    """Apply one `section.key=value` of the command line; the value is JSON, or else a plain string."""
    path, separator, text = assignment.partition("=")
    keys = path.split(".")
    if not separator or len(keys) < 2:
        raise SettingsError(f"--set {shown(assignment)}: write section.key=value, for instance data.image_size=384")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, lists in lists
        value = text
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise SettingsError(f"--set {shown(assignment)}: {key} is a value, not a section")
    values[keys[-1]] = value


def load_experiment(path: str | os.PathLike[str], assignments: Iterable[str] = ()) -> Experiment:
    """Read an experiment file.

    Args:
        path: the JSON file, or the config.json of a model. The files of this project are also found from elsewhere, by
            their path in it: `configs/quickstart_vqa.json`.
        assignments: changes as `section.key=value`.

    Raises:
        FileNotFoundError: when there is no such file.
        SettingsError: when it is not JSON, or holds what no experiment can have.
    """
    file = Path(path).expanduser()
    if not file.exists() and not file.is_absolute():
        file = next((home / file for home in _HOMES if (home / file).is_file()), file)
    if not file.is_file():
        match = closest(file.name, [other.name for other in file.parent.glob("*.json")])
        hint = f"; did you mean {file.parent / match}?" if match else ""
        raise FileNotFoundError(f"the experiment file {file} does not exist{hint}")
    try:
        values = read_json_object(file)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if values.get("model_type") == "bridgetower":
        values = {"model": values}
    for assignment in assignments:
        _assign(values, assignment)
    return parse_experiment(values, str(file))
