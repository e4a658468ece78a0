"""Short-cuts shared by the tests of the preparation."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from bridgetower.preparation.__main__ import main


def encoded_image(shade: int, kind: str = "PNG", size: tuple[int, int] = (6, 4)) -> bytes:
    """A small image of one colour that depends on `shade`."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade % 256, shade * 7 % 256, 9)).save(buffer, kind)
    return buffer.getvalue()


def make_image(path: Path) -> bytes:
    """Write an image file, a different one for each name, and return its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = encoded_image(sum(path.name.encode()), "PNG" if path.suffix == ".png" else "JPEG")
    path.write_bytes(data)
    return data


def read_arrow(path: Path) -> pa.Table:
    """The whole table of an arrow file in the IPC file format."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def write_arrow(path: Path, schema: pa.Schema, **columns: list[Any]) -> Path:
    """An arrow file with some columns filled and the others null."""
    length = len(next(iter(columns.values())))
    table = pa.table({name: columns.get(name, [None] * length) for name in schema.names}, schema=schema)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(table)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of an arrow file."""
    return read_arrow(path).to_pylist()


def run(name: str, *arguments: object) -> int:
    """Exit status of the command line, which reads images in its own process."""
    return main([name, *map(str, arguments), *(() if name in ("tokenizer", "vgqa_split") else ("--workers", "1"))])


def write_json(path: Path, value: Any) -> None:
    """A JSON file whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_json_lines(path: Path, values: list[dict[str, Any]]) -> None:
    """A file with one JSON object per line, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values))


def has_schema(path: Path, schema: pa.Schema) -> bool:
    """Whether an arrow file has exactly these columns and types."""
    return read_arrow(path).schema.equals(schema, check_metadata=False)


def row_order(names: list[str], seed: int = 0) -> list[str]:
    """The documented row order: sorted, then shuffled by Python's generator of this seed."""
    names = sorted(names)
    random.Random(seed).shuffle(names)
    return names


def vqa_release(root: Path) -> dict[int, bytes]:
    """A miniature of the files of VQAv2 below `root`; returns the images by number.

    Nine training questions answered "yes" and nine validation questions answered "Two" make the vocabulary {yes, 2}.
    """
    images = {}

    def questions(split: str, spoken: dict[int, list[str | None]]) -> None:
        folder = split.replace("test-dev2015", "test2015")
        entries, annotations = [], []
        for image_id, answers in spoken.items():
            images[image_id] = make_image(root / folder / f"COCO_{folder}_{image_id:012}.jpg")
            for number, answer in enumerate(answers):
                ids = {"image_id": image_id, "question_id": image_id * 1000 + number}
                entries.append({**ids, "question": f"question {number} of {image_id}?"})
                said = [{"answer": text} for text in (answer or "").split("|")]
                annotations.append({**ids, "multiple_choice_answer": said[0]["answer"], "answers": said})
        write_json(root / f"vqav2/v2_OpenEnded_mscoco_{split}_questions.json", {"info": {}, "questions": entries})
        if not split.startswith("test"):
            write_json(root / f"vqav2/v2_mscoco_{split}_annotations.json", {"annotations": annotations})

    sure = "|".join(["yes"] * 6 + ["two", "two", "2", "Yes."])
    questions("train2014", {1: [sure] * 9, 2: ["maybe"], 3: ["maybe", "no|yes"]})
    questions("val2014", {10 + number: ["Two"] if number else ["Two", "Two"] for number in range(8)})
    questions("test2015", {100: [None, None], 101: [None]})
    questions("test-dev2015", {101: [None]})
    return images
