"""Miniatures of the raw releases, and short-cuts, shared by the tests of the preparation and of whole runs."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from bridgetower.datasets.soundness import CHECKSUMS
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


def tables(folder: Path) -> list[Path]:
    """All that is in a folder but the list of hashes, which must be there."""
    assert (folder / CHECKSUMS).is_file()
    return sorted(path for path in folder.iterdir() if path.name != CHECKSUMS)


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


#: Folder of the images that COCO, Flickr30k, VQAv2 and SNLI-VE share.
SHARED = "mscoco_flickr30k_vqav2_snli_ve"
CC_TSV = {"train": "Train_GCC-training.tsv", "val": "Validation_GCC-1.1.0-Validation.tsv"}
_COCO_SPLITS = ("train", "train", "restval", "val", "test", "restval", "train", "val")


def coco_release(root: Path, copies: int = 1) -> None:
    """Eight annotated images over both folders and four splits, one that is not annotated, one that is no JPEG."""
    entries = []
    for number in range(8 * copies):
        folder = "train2014" if number % 8 < 4 else "val2014"
        name = f"COCO_{folder}_{number:012}.jpg"
        make_image(root / folder / name)
        sentences = [{"raw": f" Caption {k} of {number}. ", "tokens": ["x"]} for k in range(number % 3 + 5)]
        split = _COCO_SPLITS[number % 8]
        entries.append({"filename": name, "split": split, "sentences": sentences, "imgid": number})
    write_json(root / "karpathy/dataset_coco.json", {"images": entries, "dataset": "coco"})
    make_image(root / "train2014/COCO_train2014_000000000099.jpg")
    make_image(root / "train2014/readme.png")


def flickr_release(root: Path, splits: tuple[str, ...] = ("train", "val", "test", "train")) -> None:
    """One image of each of the splits, with five captions."""
    entries = []
    for number, split in enumerate(splits):
        make_image(root / "flickr30k-images" / f"{number}.jpg")
        sentences = [{"raw": f"{number} said {k}"} for k in range(5)]
        entries.append({"filename": f"{number}.jpg", "split": split, "sentences": sentences})
    write_json(root / "karpathy/dataset_flickr30k.json", {"images": entries})


def cc_release(root: Path) -> None:
    """Ten rows per split; the images of the even ones are available, and one that belongs to no row."""
    for split, tsv in CC_TSV.items():
        (root / "utils").mkdir(parents=True, exist_ok=True)
        (root / "utils" / tsv).write_text("".join(f"{split} caption {n}\thttp://x/{n}\n" for n in range(10)))
        names = [f"{n}.jpg" for n in range(0, 10, 2)]
        for name in (*names, "3.jpg"):
            make_image(root / f"{split}_image" / name)
        (root / f"{split}_image_exist.txt").write_text("".join(f"some/where/{name}\n" for name in names))


def sbu_release(root: Path) -> dict[str, Any]:
    """Five captions of four urls; the third image could not be downloaded, the ninth is unknown."""
    urls = [f"http://x/{n % 4}/{n % 4}.jpg" for n in range(5)]  # the last repeats the first
    value = {"captions": [f"caption {n}" for n in range(5)], "user_ids": [], "image_urls": urls}
    write_json(root / "sbu-captions-all.json", value)
    for n in (0, 1, 2, 9):
        make_image(root / "SBU" / f"{n}.jpg")
    return value


def genome_release(root: Path) -> None:
    """Images 1-12, of which 1-6 come from COCO: 1-3 of Karpathy's train, 4 val, 5 test, 6 of none."""
    for number in range(1, 13):
        make_image(root / "images" / ("VG_100K" if number % 2 else "VG_100K_2") / f"{number}.jpg")
    karpathy = {"train": [11, 12, 13], "val": [14], "test": [15]}
    for split, ids in karpathy.items():
        path = root / "coco_splits" / f"karpathy_{split}_images.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"val2014/COCO_val2014_{coco:012}.jpg {coco}\n" for coco in ids))
    meta = [{"image_id": n, "coco_id": 10 + n if n <= 6 else None, "url": f"x/VG_100K/{n}.jpg"} for n in range(1, 13)]
    write_json(root / "image_data.json", meta)


def genome_regions(root: Path) -> None:
    """Two regions of each image but the last."""

    def region(image_id: int, phrase: str) -> dict[str, Any]:
        box = {"width": 5, "height": 6, "x": len(phrase), "y": 8}
        return {"image_id": image_id, "phrase": phrase, **box, "region_id": 1}

    regions = [[region(n, f"{n} a"), region(n, f"the {n} b")] for n in range(1, 12)]
    write_json(root / "annotations/region_descriptions.json", [{"id": 1, "regions": r} for r in (*regions, [])])


def genome_questions(root: Path) -> None:
    """Questions whose answers are in the vocabulary of `vqa_release`, and others."""

    def qa(image_id: int, number: int, question: str, answer: str) -> dict[str, Any]:
        return {"image_id": image_id, "qa_id": image_id * 100 + number, "question": question, "answer": answer}

    entries = [
        [
            qa(1, 0, "is it?", "No idea."),  # not in the vocabulary, so the next one gives the number
            qa(1, 1, "is it?", "Yes."),
            qa(1, 2, "is it?", "yes"),
            qa(1, 3, "how many?", "two"),
            qa(1, 4, "how many?", "yes"),  # two answers: the question goes
            qa(1, 5, "How many?", "2"),  # other letters: another question
        ],
        [],
        [qa(2, 0, "what?", "a mouse")],
        [qa(4, 0, "is it?", "yes")],
        [qa(5, 0, "is it?", "two")],
        [qa(6, 0, "is it?", "yes")],
    ]
    write_json(root / "annotations/question_answers.json", [{"id": 1, "qas": qas} for qas in entries])


def entailment_line(image: int, hypothesis: str, label: str) -> dict[str, Any]:
    """A line of SNLI-VE."""
    return {
        "Flickr30K_ID": str(image), "sentence1": f"premise {image}", "sentence2": hypothesis, "gold_label": label
    }  # fmt: skip


def entailment_release(root: Path) -> None:
    """Three lines about two images in each split."""
    lines = [
        entailment_line(3, "a ", "entailment"),
        entailment_line(1, "b", "neutral"),
        entailment_line(3, "c", "contradiction"),
    ]
    for split in ("train", "dev", "test"):
        write_json_lines(root / f"snli_ve/snli_ve_{split}.jsonl", lines)
    for image in (1, 3):
        make_image(root / f"flickr30k-images/{image}.jpg")


def nlvr2_line(identifier: str, label: str = "True", **more: str) -> dict[str, str]:
    """A line of NLVR2."""
    return {"identifier": identifier, "sentence": f"about {identifier}", "label": label, **more}


def nlvr2_release(root: Path) -> None:
    """Two image pairs for training, one of them with two sentences, and one pair in each other split."""
    folders = {"train-5-0": "images/train/17", "train-6-1": "images/train/2", "dev-7-0": "dev", "test1-8-1": "test1"}
    for key, folder in folders.items():
        for number in (0, 1):
            make_image(root / folder / f"{key}-img{number}.png")
    train = [
        nlvr2_line("train-6-1-0", directory="2"),
        nlvr2_line("train-5-0-0", "False", directory="17"),
        nlvr2_line("train-6-1-1", "False", directory="99"),  # the directory of the first line counts
    ]
    write_json_lines(root / "nlvr2/data/train.json", train)
    for split, line in (("dev", nlvr2_line("dev-7-0-1")), ("test1", nlvr2_line("test1-8-1-0", "False"))):
        for name in (split, f"balanced/balanced_{split}", f"unbalanced/unbalanced_{split}"):
            write_json_lines(root / f"nlvr2/data/{name}.json", [line])


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
