"""Makes tables of a source: checks what is asked for, surveys the source, and lets the tables be written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...datasets.description import description_path, read_description
from ...datasets.specs import DATASETS
from ..images import ImageReader
from ..tables import PreparationError
from .locations import SourceFile, find_sources
from .part_writer import PartWriter, Request, table_paths, work_folder
from .plan import Plan, make_plan
from .survey import Survey, require_usable, take_survey

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def build_tables(request: Request, reader: ImageReader, progress: bool = False) -> dict[str, Any]:
    """Make `NAME_{train,val,test}_N.arrow` and `NAME.json`, all of them or none; returns what `NAME.json` says.

    Complete parts wait in a hidden folder, so an interrupted run goes on after the last of them.

    Raises:
        PreparationError: see the message.
    """
    _check_request(request)
    files = find_sources(request.source)
    survey, interpreters = take_survey(
        files, request.task, dict(request.columns), request.images, request.classes, progress
    )
    require_usable(survey, request.skip_bad)
    _check_splits(survey)
    source = files[0].path
    plan = make_plan(request.task, survey, request.classes, request.min_answer_count)
    if request.task == "vqa" and not plan.answers:
        raise PreparationError(f"{source}: no answer occurs {request.min_answer_count} times; lower --min_answer_count")
    if "label" in plan.columns and len(plan.classes) < 2:
        raise PreparationError(
            f"{source}: column {plan.columns['label']!r} has only the class {plan.classes[0]!r}; give two or more"
        )
    digest = _digest(request, files, plan)
    if _is_complete(request, files, digest):
        return read_description(request.output, request.name)
    run = PartWriter(request, plan, survey, digest)
    run.write(files, interpreters, reader, progress)
    return run.finish()


def _check_request(request: Request) -> None:
    if not _NAME.fullmatch(request.name) or request.name in DATASETS:
        raise PreparationError(
            f"--name {request.name!r}: use letters, digits, '_', '-' and '.', and not the name of a "
            f"published data set ({', '.join(DATASETS)})"
        )
    if request.val_share + request.test_share >= 1:
        raise PreparationError(
            f"--val_share {request.val_share} and --test_share {request.test_share} leave nothing for training"
        )
    if request.classes is not None and "classify" not in request.task:
        raise PreparationError(f"--classes is for the tasks classify and pair_classify, not {request.task}")
    if request.classes is not None and len({*request.classes}) < len(request.classes):
        raise PreparationError(f"--classes names a class twice: {', '.join(request.classes)}")
    if request.min_answer_count != 1 and request.task != "vqa":
        raise PreparationError(f"--min_answer_count is for the task vqa, not {request.task}")
    if request.output.resolve() in {Path(source).expanduser().resolve() for source in request.source}:
        raise PreparationError(f"{request.output}: is a --source too; choose another --output")


def _check_splits(survey: Survey) -> None:
    """Refuse rows without a split among others with one, and classes that training lacks."""
    if None in survey.splits and len(survey.splits) > 1:
        raise PreparationError(
            f"{survey.first_of_split[None]}: {survey.splits[None]} rows from here on have no split, but others have; "
            "name the split of every row"
        )
    for label, splits in survey.labels.items():
        if "train" in survey.splits and not splits["train"]:
            split = next(iter(splits))
            raise PreparationError(
                f"{survey.first_rows[label, split]}: label {label!r} of the {split} split does not occur in the train "
                "split; correct it, or give rows of it to train"
            )


def _digest(request: Request, files: Sequence[SourceFile], plan: Plan) -> str:
    """Stands for all that decides the tables and their description."""
    sizes = [(file.path.name, file.path.stat().st_size, file.path.stat().st_mtime_ns, file.split) for file in files]
    decided = [
        request.name,
        request.task,
        str(request.images),
        request.min_answer_count,
        request.val_share,
        request.test_share,
        request.seed,
        request.shard_size,
        plan.schema.names,
        dict(plan.columns),
        plan.classes,
        plan.answers,
        sizes,
    ]
    if (request.scale_16bit, request.apply_exif) != ("full", False):
        decided += [request.scale_16bit, request.apply_exif]
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()


def _is_complete(request: Request, files: Sequence[SourceFile], digest: str) -> bool:
    """Whether the tables are there already.

    Raises:
        PreparationError: what is there must not be replaced.
    """
    path, tables = description_path(request.output, request.name), table_paths(request)
    own = {each.resolve() for each in (path, *tables)}
    source = next((file.path for file in files if file.path.resolve() in own), None)
    if source is not None:
        raise PreparationError(f"{source}: would be replaced by the tables; choose another --output or --name")
    if path.is_file():
        try:
            plan = read_description(request.output, request.name).get("plan")
        except ValueError as error:
            raise PreparationError(
                f"{path}: exists and is something else; choose another --output or --name"
            ) from error
        if plan == digest and not request.overwrite:
            return True
    # Tables without a description, beside the hidden folder, are those of a run that ended while it moved them.
    if request.overwrite or not (path.is_file() or (tables and not work_folder(request).is_dir())):
        return False
    raise PreparationError(
        f"{path if path.is_file() else tables[0]}: exists and was made from other data or with other options; "
        "remove it, choose another --name or give --overwrite"
    )
