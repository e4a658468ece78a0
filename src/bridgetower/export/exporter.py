"""From a checkpoint to a folder that `BridgeTowerPredictor` opens."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle

from ..config import BridgeTowerConfig
from ..conversion import load_weights, local_path
from ..experiment import DataSettings
from ..files import folder_beside, write_json
from ..inputs.processor import BridgeTowerProcessor
from ..known import nearest
from ..modules.loading import build_undrawn, load_into
from . import onnx_files
from .companions import find_labels, find_processor, find_tokenizer, trained_text_len
from .manifest import FORMATS, LABELS_FILE, MANIFEST_FILE, Manifest, program_files
from .parts import Target, choose_target, make_parts, num_states

__all__ = ["ExportOptions", "export_checkpoint"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportOptions:
    """How to export; None leaves a setting to the checkpoint and what stands beside it.

    Attributes:
        task: one of `bridgetower.export.parts.TASKS`.
        image_size: side of the images in pixels; the position table is resized to it.
        max_text_len: tokens that texts given as strings are cut to.
        tokenizer: a folder with tokenizer files, or a known name.
        image_transform: how pictures are prepared, a name of `bridgetower.inputs.transforms`.
        labels: files with the names of the classes, see `find_labels`.
        formats: what to write, some of `bridgetower.export.manifest.FORMATS`.
        overwrite: replace an earlier export.
    """

    task: str | None = None
    image_size: int | None = None
    max_text_len: int | None = None
    tokenizer: str | None = None
    image_transform: str | None = None
    labels: tuple[Path, ...] = ()
    formats: tuple[str, ...] = ("paddle",)
    overwrite: bool = False


@dataclass(frozen=True)
class _Companions:
    processor: BridgeTowerProcessor
    labels: list[str] | None

    def write(self, folder: Path) -> None:
        self.processor.save_pretrained(folder)
        if self.labels is not None:
            write_json(folder / LABELS_FILE, self.labels, indent=1)


def export_checkpoint(source: str | Path, output: str | Path, options: ExportOptions | None = None) -> Manifest:
    """Write the static programs of a checkpoint, and all that is needed to use them.

    All checks come first, and the folder appears complete or not at all.

    Args:
        source: what `load_weights` reads, for instance the folder of a training or of a conversion.
        output: the folder to make.
        options: see `ExportOptions`.

    Returns:
        What `export.json` of the folder holds.

    Raises:
        FileNotFoundError: there is no checkpoint, tokenizer or labels file.
        FileExistsError: the output exists and may not be replaced.
        ValueError, KeyError: the checkpoint, or an option, does not fit; the message says which.
    """
    options, output = options or ExportOptions(), Path(output)
    _check_output(output, options.overwrite)
    _check_formats(options.formats)
    path = local_path(source)
    tensors, stored = load_weights(path)
    if stored is None:
        raise ValueError(f"{source} holds weights but no configuration; convert it with torch2paddle.py first")
    config = BridgeTowerConfig(**stored)
    try:
        task, target = choose_target(options.task, [name.removeprefix("bridgetower.") for name in tensors],
                                     config.architectures or ())
        config = _resized(config, options.image_size)
        _check_one_image(task, config)
        manifest, companions = _describe(path, task, target, config, options)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if str(path) in text or text.startswith("--") else f"{path}: {text}") from None
    model: Any = build_undrawn(target.model_class, config)
    load_into(model, tensors, path, may_miss=())
    del tensors  # the model has its own copy
    model.eval()
    with folder_beside(output) as folder:
        _write_programs(model, target, folder, manifest)
        model.config.architectures = [manifest.model_class]
        model.config.to_json_file(str(folder / "config.json"))
        companions.write(folder)
        manifest.write(folder)
    return manifest


def _resized(config: BridgeTowerConfig, image_size: int | None) -> BridgeTowerConfig:
    if image_size is None:
        return config
    patch = config.vision_config.patch_size
    if image_size < patch or image_size % patch:
        raise ValueError(f"--image_size {image_size} is not a multiple of patch_size={patch}; try "
                         f"{max(1, image_size // patch) * patch}")
    return config.replace(vision_config={"image_size": image_size})


def _check_one_image(task: str, config: BridgeTowerConfig) -> None:
    if task in ("vqa", "snli") and config.token_type_vocab_size > 2:
        raise ValueError("its classifier reads two images per text (NLVR2); only heads of one image can be exported")
    if task == "snli" and config.num_labels != 3:
        raise ValueError(f"task 'snli' has 3 classes, the checkpoint {config.num_labels}; use --task vqa")


def _describe(source: Path, task: str, target: Target, config: BridgeTowerConfig, options: ExportOptions
              ) -> tuple[Manifest, _Companions]:
    """What will stand in the manifest and beside the programs."""
    text, image_size, channels = config.text_config, config.vision_config.image_size, config.vision_config.num_channels
    positions = text.max_position_embeddings - (text.pad_token_id + 1 if text.kind == "roberta" else 0)
    default = min(trained_text_len(source) or DataSettings.max_text_len, positions)
    limit = default if options.max_text_len is None else options.max_text_len
    if not 3 <= limit <= positions:
        raise ValueError(f"--max_text_len {limit} is not between 3 and {positions}, the tokens that the position "
                         f"table of {source} holds")
    processor = BridgeTowerProcessor(find_processor(source, options.image_transform, image_size, channels),
                                     find_tokenizer(source, options.tokenizer, config))
    is_classifier = task in ("vqa", "snli")
    if options.labels and not is_classifier:
        raise ValueError(f"--labels is for classifiers; the task {task!r} of {source} has none")
    known = dict(enumerate(target.labels)) or (config.label_names if is_classifier else {})
    labels = find_labels(options.labels, known, config.num_labels)
    if labels is None and is_classifier:
        logger.warning("%s does not name its %d answers: predictions will be numbers; --labels gives them names",
                       source, config.num_labels)
    manifest = Manifest(task, target.model_class.__name__, target.output, target.has_vectors, num_states(config),
                        image_size, limit, positions, text.pad_token_id,
                        tuple(name for name in FORMATS if name in options.formats), channels)
    return manifest, _Companions(processor, labels)


@contextmanager
def _without_call_stacks() -> Iterator[None]:
    """Let Paddle note one line of code for each operation that it traces, not the whole stack: 40% less time."""
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = 1
    try:
        yield
    finally:
        if before is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = before


def _write_programs(model: Any, target: Target, folder: Path, manifest: Manifest) -> None:
    """Trace and save the parts one by one. ONNX files are made from Paddle's, which stay only if asked for."""
    for name, part in make_parts(model, target, manifest.max_text_len).items():
        part.layer.eval()
        with _without_call_stacks():
            program = paddle.jit.to_static(part.layer, input_spec=part.inputs, full_graph=True)
            paddle.jit.save(program, str(folder / name))
        _write_formats(folder, name, part.outputs, manifest.formats)


def _write_formats(folder: Path, part: str, outputs: tuple[str, ...], formats: tuple[str, ...]) -> None:
    """From the Paddle program of a part to the formats that are asked for; the others are removed."""
    files = {each: [folder / file for file in program_files(each, part)] for each in FORMATS}
    if "onnx" in formats or "int8" in formats:
        onnx_files.convert(*files["paddle"], *files["onnx"], outputs=outputs)
    if "int8" in formats:
        onnx_files.quantize(*files["onnx"], *files["int8"])
    for each, written in files.items():
        if each in formats:
            logger.info("%s, %s: %.1f MB", part, each, sum(file.stat().st_size for file in written) / 1e6)
        else:
            for file in written:
                file.unlink(missing_ok=True)


def _check_formats(formats: tuple[str, ...]) -> None:
    if not formats:
        raise ValueError(f"formats is empty; name some of {', '.join(FORMATS)}")
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"formats={name!r} is none of {', '.join(FORMATS)}{nearest(name, FORMATS)}")
        onnx_files.check_packages(name)


def _check_output(output: Path, overwrite: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not output.is_dir():
        raise FileExistsError(f"--output {output} is a file; name a folder")
    if not (output / MANIFEST_FILE).is_file():
        raise FileExistsError(f"--output {output} holds other files and no {MANIFEST_FILE}; name another folder")
    if not overwrite:
        raise FileExistsError(f"--output {output} holds an export already; add --overwrite, or name another folder")
