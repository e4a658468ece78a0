"""Damaged annotations of every data set: one line that names the file, or correct tables; no traceback and no hang.

`BRIDGETOWER_DAMAGED_ANNOTATIONS=5000` draws that many files instead of the hundreds of the suite.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridgetower.preparation.check import check_file
from bridgetower.preparation.images import ImageReader
from tests.hostile_values import damaged_annotations
from tests.preparation import raw_data
from tests.preparation.own_data.pictures import picture, write_csv, write_pictures, write_tar

DRAWS = int(os.environ.get("BRIDGETOWER_DAMAGED_ANNOTATIONS", "500"))
LONGEST = 20.0  # seconds; the usual file takes a hundredth of one
QUESTIONS = [["what is the blue shape?", "rectangle", 0], ["is no circle present?", "yes", 1],
             ["does the image contain a triangle?", "no", 1]]


def genome(root: Path) -> None:
    raw_data.genome_release(root)
    raw_data.genome_regions(root)
    raw_data.genome_questions(root)
    raw_data.vqa_release(root)
    assert raw_data.run("vgqa_split", "--source", root, "--output", root / "vgqa", "--held_out", 3) == 0


def gcc_pairs(root: Path) -> None:
    for split in ("train", "val"):
        raw_data.write_json(root / f"{split}_annot.json", [[f"a/{n}.jpg", f"caption {n}"] for n in range(4)])
        for n in range(4):
            raw_data.make_image(root / f"images_{split}" / "a" / f"{n}.jpg")


def easy_vqa(root: Path) -> None:
    for split in ("train", "test"):
        for number in range(2):
            raw_data.make_image(root / "data" / split / "images" / f"{number}.png")
        raw_data.write_json(root / "data" / split / "questions.json", QUESTIONS)
    (root / "data" / "answers.txt").write_text("circle\nyes\nrectangle\nno\n")


def own(suffix: str, task: str) -> Callable[[Path], None]:
    """Writes twelve rows of a user's own data."""

    def write(root: Path) -> None:
        names = write_pictures(root, 12)
        rows: list[dict[str, Any]] = [
            {"image": name, **({"caption": [f"one {n}", "two"]} if task == "caption" else
                               {"label": "ab"[n % 2]} if task == "classify" else
                               {"question": "what?", "answers": ["a", "b"], "scores": [1.0, 0.3]}),
             "split": ("train", "val", "test")[n % 3], "id": str(n)} for n, name in enumerate(names)]
        path = root / f"mine{suffix}"
        if suffix in (".csv", ".tsv"):
            cells = [[cell if isinstance(cell, str) else json.dumps(cell) for cell in row.values()] for row in rows]
            write_csv(path, list(rows[0]), cells, "\t" if suffix == ".tsv" else ",")
        elif suffix == ".json":
            raw_data.write_json(path, rows)
        elif suffix == ".jsonl":
            raw_data.write_json_lines(path, rows)
        elif suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            write_tar(path, [member for n, row in enumerate(rows) for member in (
                (f"{n}.png", picture(n)), (f"{n}.json", json.dumps(row | {"image": None}).encode()))])

    return write


RELEASES: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "coco": (raw_data.coco_release, ("coco",)), "f30k": (raw_data.flickr_release, ("f30k",)),
    "gcc": (raw_data.cc_release, ("gcc",)), "gcc_raw": (raw_data.cc_release, ("gcc", "--raw_tsv")),
    "gcc_pairs": (gcc_pairs, ("gcc",)), "sbu": (raw_data.sbu_release, ("sbu",)), "vg": (genome, ("vg",)),
    "vqa": (raw_data.vqa_release, ("vqa", "--held_out", "3")), "vgqa": (genome, ("vgqa",)),
    "vgqa_split": (genome, ("vgqa_split", "--held_out", "3")), "snli": (raw_data.entailment_release, ("snli",)),
    "nlvr2": (raw_data.nlvr2_release, ("nlvr2",)), "easy_vqa": (easy_vqa, ("easy_vqa",)),
    **{f"{task}{suffix}": (own(suffix, task), ("table", "--task", task, "--name", "mine", "--source"))
       for suffix in (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".tar")
       for task in ("caption", "classify", "vqa")},
}  # fmt: skip
_ANNOTATIONS = (".json", ".jsonl", ".tsv", ".csv", ".txt", ".parquet", ".tar")


@pytest.mark.parametrize("name", RELEASES)
def test_one_line_or_correct_tables(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release, command = RELEASES[name]
    root, output, draw = tmp_path / "raw", tmp_path / "output", random.Random(name)
    release(root)
    source = [root / f"mine.{name.rpartition('.')[2]}"] if command[-1] == "--source" else ["--source", root]
    files = sorted(path for path in root.rglob("*") if path.suffix in _ANNOTATIONS)
    problems = []
    for _ in range(max(1, DRAWS // len(RELEASES))):
        path = draw.choice(files)
        whole = path.read_bytes()
        path.write_bytes(damaged_annotations(whole, path.suffix, draw))
        start = time.monotonic()
        status = raw_data.run(*command, *source, "--output", output)
        said = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
        if time.monotonic() - start > LONGEST:
            problems.append(f"{time.monotonic() - start} seconds")
        problems += [*_of_messages(status, said, root), *_of_tables(output)]
        if problems:
            pytest.fail(f"{problems}, status {status}, {said}, {path.name}: {path.read_bytes()[:3000]!r}")
        shutil.rmtree(output, ignore_errors=True)
        path.write_bytes(whole)


def _of_messages(status: int, said: list[str], root: Path) -> list[str]:
    """What is wrong with the way in which a run ended."""
    if status == 0 and not said:
        return []
    is_plain = status == 2 and said and all(line.startswith("error: ") and len(line) < 2500 for line in said)
    return [] if is_plain and str(root) in said[0] else ["another end than one line that names the file"]


def _of_tables(output: Path) -> list[str]:
    """What is wrong with the tables that a run has left."""
    if not output.exists():
        return []
    hidden = [str(path) for path in output.rglob(".*") if path.is_file() and path.name != ".checked.json"]
    with ImageReader() as reader:
        reports = [check_file(table, reader) for table in output.glob("*.arrow")]
    return [*hidden, *(line for report in reports for line in report.lines())]
