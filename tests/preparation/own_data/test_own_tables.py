"""The command `table`, from the files of a user to tables and back through the dataset."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridgetower.datasets import DatasetOptions, build_dataset
from bridgetower.preparation import ImageReader, Row
from bridgetower.preparation.__main__ import main
from tests.preparation.own_data.pictures import make, picture, table_rows, write_csv, write_pictures
from tests.preparation.raw_data import run

ALL_TRAIN = ("--val_share", 0, "--test_share", 0)
ROOT = Path(__file__).resolve().parents[3]
COLORS = ("red", "green", "blue")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def described(out: Path) -> dict[str, Any]:
    return json.loads((out / "mine.json").read_text())


def pictures_csv(folder: Path, header: list[str], lines: list[list[Any]], count: int = 40) -> Path:
    """A CSV file beside its pictures."""
    write_pictures(folder, count)
    return write_csv(folder / "x.csv", header, lines)


def dataset(out: Path, split: Any, **options: Any) -> Any:
    return build_dataset(["mine"], split, out, DatasetOptions(image_size=32, transform="clip", **options))


def test_captions_of_a_csv_file(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [[f"{n}.png", f"text {n}.{k}"] for n in range(40) for k in range(2)]
    assert make(pictures_csv(tmp_path / "in", ["file_name", "caption"], lines), "caption", out) == 0
    rows = {row["image_id"]: row for row in table_rows(out)}
    assert len(rows) == 40
    for n in range(40):
        row = rows[f"{n}.png"]
        assert row["image"] == picture(n) and row["caption"] == [f"text {n}.0", f"text {n}.1"]
    counts = {split: count["rows"] for split, count in described(out)["counts"].items()}
    assert sum(counts.values()) == 40 and counts["train"] > 20 and {*counts} == {"train", "val", "test"}
    assert {row["split"] for row in table_rows(out, "val")} == {"val"}
    assert run("check", "--source", out) == 0
    captured = capsys.readouterr().out
    assert "none" in captured
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == [".checked.json"]
    command = next(line for line in captured.splitlines() if line.startswith("next: "))
    words = shlex.split(command)
    assert f"DATA_ROOT={out}" in words and words[-2:] == ["scripts/finetune.sh", "mine"]
    assert (ROOT / words[-2]).is_file()
    samples = dataset(out, "train")
    assert len(samples) == 2 * counts["train"] and samples.table_names == ["mine_train"]
    assert samples[0].text == samples.record(0).text and samples.record(0).identifier in rows


@pytest.mark.parametrize("source", ["parquet", "arrow", "jsonl", "json", "tsv"])
def test_every_source_gives_the_same_tables(tmp_path: Path, out: Path, source: str) -> None:
    folder = tmp_path / "in"
    write_pictures(folder, 6)
    rows: list[dict[str, Any]] = [{"image": f"{n}.png", "text": f"text {n}"} for n in range(6)]
    if source in ("parquet", "arrow"):
        rows = [{"image": {"bytes": picture(n), "path": f"{n}.png"}, "text": f"text {n}"} for n in range(6)]
    path = folder / f"x.{source}"
    if source == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif source == "arrow":
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif source == "tsv":
        write_csv(path, ["image", "text"], [list(row.values()) for row in rows], "\t")
    else:
        text = json.dumps(rows) if source == "json" else "".join(json.dumps(row) + "\n" for row in rows)
        path.write_text(text)
    assert make(path, "caption", out, *ALL_TRAIN) == 0
    assert [(row["image"], row["caption"], row["image_id"]) for row in table_rows(out, "train")] == [
        (picture(n), [f"text {n}"], f"{n}.png") for n in range(6)]


def test_classes_with_texts(tmp_path: Path, out: Path) -> None:
    lines = [[f"{n}.png", f"text {n}", COLORS[n % 3], f"id{n}", ("train", "val", "test")[n // 15]] for n in range(40)]
    source = pictures_csv(tmp_path / "in", ["path", "sentence", "class", "id", "split"], lines)
    assert make(source, "classify", out) == 0
    description = described(out)
    assert description["classes"] == sorted(COLORS) and description["kind"] == "classify"
    assert description["counts"]["train"] == {"rows": 15, "texts": 15, "classes": dict.fromkeys(COLORS, 5)}
    assert run("check", "--source", out) == 0
    samples = dataset(out, "val")
    assert [samples.record(n).identifier for n in range(3)] == ["id15", "id16", "id17"]
    assert [samples[n].label for n in range(3)] == [sorted(COLORS).index(COLORS[(15 + n) % 3]) for n in range(3)]
    assert samples[0].text == "text 15" and samples.table_names == ["mine_val"]


@pytest.mark.parametrize(
    ("names", "options", "expected", "kind"),
    [
        (["10", "9", "2"], (), ["2", "9", "10"], "classify"),
        (["b", "a", "c"], ("--classes", "c", "b", "a"), ["c", "b", "a"], "classify"),
        (["neutral", "entailment", "contradiction"], (), ["contradiction", "neutral", "entailment"], "snli"),
    ],
)
def test_order_of_classes(
    tmp_path: Path, out: Path, names: list[str], options: tuple[str, ...], expected: list[str], kind: str
) -> None:
    source = pictures_csv(tmp_path / "in", ["image", "text", "label"], [[f"{n}.png", "x", names[n]] for n in range(3)])
    assert make(source, "classify", out, *ALL_TRAIN, *options) == 0
    assert described(out)["classes"] == expected and described(out)["kind"] == kind
    assert [row["labels"] for row in table_rows(out)] == [[expected.index(name)] for name in names]


def test_classes_of_an_image_folder(tmp_path: Path, out: Path) -> None:
    for split in ("train", "test"):
        for number, label in enumerate(COLORS):
            write_pictures(tmp_path / "in" / split / label, 0)
            for k in range(8):
                name = tmp_path / "in" / split / label / f"{k}.png"
                name.write_bytes(picture(number * 8 + k + 100 * (split == "test")))
    assert make(tmp_path / "in", "classify", out, "--val_share", 0.3) == 0
    description = described(out)
    assert description["modality"] == "image" and {*description["counts"]} == {"train", "val", "test"}
    assert run("check", "--source", out) == 0
    samples = dataset(out, "test", mode="image_only")
    assert [samples[n].label for n in range(24)] == [sorted(COLORS).index(label) for label in sorted(COLORS)
                                                     for _ in range(8)]
    assert samples[0].pixel_values.shape == (3, 32, 32) and samples[0].text is None
    with pytest.raises(ValueError, match="mine holds samples of image alone"):
        dataset(out, "test")


def test_classes_of_texts_alone(tmp_path: Path, out: Path) -> None:
    source = write_csv(tmp_path / "x.csv", ["text", "label"], [[f"text {n}", COLORS[n % 3]] for n in range(40)])
    assert make(source, "classify", out) == 0
    assert described(out)["modality"] == "text" and run("check", "--source", out) == 0
    samples = dataset(out, "train", mode="text_only")
    for n in range(len(samples)):
        number = int(samples[n].text.removeprefix("text "))
        assert samples[n].label == sorted(COLORS).index(COLORS[number % 3])
        assert samples.record(n).identifier == f"{source}, line {number + 2}"


@pytest.mark.parametrize(("names", "kind"), [(("same", "other"), "pair_classify"), (("True", "False"), "nlvr2")])
def test_pairs_of_pictures(tmp_path: Path, out: Path, names: tuple[str, str], kind: str) -> None:
    lines = [[f"{n}.png", f"{n + 1}.png", f"text {n}", names[n % 2]] for n in range(6)]
    source = pictures_csv(tmp_path / "in", ["left", "right", "text", "label"], lines)
    assert make(source, "pair_classify", out, *ALL_TRAIN) == 0
    assert described(out)["kind"] == kind and run("check", "--source", out) == 0
    samples = dataset(out, "train")
    assert [samples[n].label for n in range(6)] == [described(out)["classes"].index(names[n % 2]) for n in range(6)]
    assert [(row["image_0"], row["image_1"]) for row in table_rows(out)] == [(picture(n), picture(n + 1))
                                                                            for n in range(6)]
    assert samples.record(2).identifier == "2.png + 3.png"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("yes", {"yes": 1.0}),
        (7, {"7": 1.0}),
        (["a", "b", "a", "a"], {"a": 1.0, "b": 1 / 3}),
        ([{"answer": "a"}] * 2 + [{"answer": "b"}] * 8, {"a": 0.6, "b": 1.0}),
        ({"a": 0.3, "b": 1}, {"a": 0.3, "b": 1.0}),
        ('["a", "b"]', {"a": 1.0, "b": 1.0}),
    ],
)
def test_answers(tmp_path: Path, out: Path, answer: Any, expected: dict[str, float]) -> None:
    write_pictures(tmp_path, 1)
    (tmp_path / "x.jsonl").write_text(json.dumps({"image": "0.png", "question": "what?", "answers": answer}))
    assert make(tmp_path / "x.jsonl", "vqa", out, *ALL_TRAIN) == 0
    (row,) = table_rows(out)
    scores = dict(zip(row["answers"][0], row["answer_scores"][0], strict=True))
    assert scores == pytest.approx(expected)
    assert [described(out)["answers"][label] for label in row["answer_labels"][0]] == row["answers"][0]


def test_questions_of_a_picture_share_a_row(tmp_path: Path, out: Path) -> None:
    lines = [[f"{n}.png", f"question {k}?", "often" if k else f"rare {n}", 100 + 3 * n + k]
             for n in range(8) for k in range(3)]
    source = pictures_csv(tmp_path / "in", ["image", "question", "answer", "question_id"], lines)
    assert make(source, "vqa", out, *ALL_TRAIN, "--min_answer_count", 2) == 0
    description = described(out)
    assert description["answers"] == ["often"] and description["left_out"]["questions_without_kept_answer"] == 8
    rows = table_rows(out)
    assert [row["image_id"] for row in rows] == list(range(8))
    assert [row["question_id"] for row in rows] == [[101 + 3 * n, 102 + 3 * n] for n in range(8)]
    assert run("check", "--source", out) == 0
    assert dataset(out, "train").record(1).answers == ("often",)


def test_a_picture_is_never_in_two_splits(tmp_path: Path, out: Path) -> None:
    names = [f"{n}.png" for n in range(30)] * 2
    source = pictures_csv(tmp_path / "in", ["image", "text"], [[name, f"text {n}"] for n, name in enumerate(names)])
    for n in range(10):  # a copy of a picture under another name is the same picture
        (tmp_path / "in" / f"{30 + n}.png").write_bytes(picture(n))
    assert make(source, "caption", out, "--val_share", 0.3, "--test_share", 0.3) == 0
    parts = [{row["image"] for row in table_rows(out, split)} for split in ("train", "val", "test")]
    assert all(parts) and sum(map(len, parts)) == 30
    first = {split: table_rows(out, split) for split in ("train", "val", "test")}
    assert make(source, "caption", out, "--val_share", 0.3, "--test_share", 0.3, "--seed", 1, "--overwrite") == 0
    assert {split: table_rows(out, split) for split in first} != first


def test_validation_is_drawn_from_train_where_only_a_test_split_is_given(tmp_path: Path, out: Path) -> None:
    lines = [[f"{n}.png", "x", "test" if n < 10 else "train"] for n in range(40)]
    source = pictures_csv(tmp_path / "in", ["image", "text", "split"], lines)
    assert make(source, "caption", out, "--val_share", 0.3) == 0
    assert {row["image_id"] for row in table_rows(out, "test")} == {f"{n}.png" for n in range(10)}
    assert len(table_rows(out, "val")) > 0 and len(table_rows(out)) == 40


def test_columns_can_be_named(tmp_path: Path, out: Path) -> None:
    source = pictures_csv(tmp_path / "in", ["Bild", "x", "text"], [[f"{n}.png", f"text {n}", "no"] for n in range(3)])
    pictures = tmp_path / "in"
    moved = source.rename(tmp_path / "x.csv")
    assert make(moved, "caption", out, "--columns", "image=Bild", "text=x", "--images", pictures, *ALL_TRAIN) == 0
    assert [row["caption"] for row in table_rows(out)] == [[f"text {n}"] for n in range(3)]


GOOD = [[f"{n}.png", f"text {n}", "a" if n % 2 else "b", f"id{n}", "train" if n < 30 else "val"] for n in range(40)]
HEADER = ["image", "text", "label", "id", "split"]


def changed(row: int, column: str, value: str) -> list[list[Any]]:
    lines = [list(line) for line in GOOD]
    lines[row][HEADER.index(column)] = value
    return lines


@pytest.mark.parametrize(
    ("lines", "options", "messages", "skippable"),
    [
        (changed(3, "text", " "), (), ["line 5: column 'text' is empty"], True),
        (changed(3, "label", ""), (), ["line 5: column 'label' is empty"], True),
        (changed(3, "label", "c"), ("--classes", "a", "b"), ["line 5: label 'c' is unknown", "Known: a, b"], True),
        (changed(35, "label", "c"), (), ["line 37: label 'c' of the val split does not occur in the train"], False),
        (changed(3, "split", "trian"), (), ["line 5: split 'trian' is unknown"], True),
        (changed(3, "split", ""), (), ["line 5: column 'split' is empty"], True),
        (changed(3, "id", "id1"), (), ["line 5: identifier 'id1' occurs a second time"], True),
        (changed(35, "image", "3.png"), (), ["line 37:", "3.png is in the split val here and in train"], True),
        (changed(35, "image", "copy.png"), (), ["line 37: the same picture is in the split val here"], True),
        (changed(3, "image", "no.png"), (), ["1 pictures of 40 rows are missing: ", "no.png"], True),
        (changed(3, "image", "broken.png"), (), ["line 5: ", "broken.png: not a readable image"], True),
        (changed(3, "image", "a\0.png"), (), ["line 5: column 'image' holds no path and no picture"], True),
        (changed(3, "image", "http://x/y.png"), (), ["line 5: http://x/y.png is a link", "img2dataset"], True),
        (GOOD, ("--columns", "text=txet"), ["no column 'txet'; did you mean 'text'?", "image, text, label"], False),
        (GOOD, ("--columns", "txet=text"), ["has no field 'txet'; did you mean 'text'?"], False),
        (GOOD, ("--name", "coco"), ["--name 'coco'"], False),
        (GOOD, ("--name", "../x"), ["--name '../x'"], False),
        (GOOD, ("--val_share", "0.5", "--test_share", "0.5"), ["leave nothing for training"], False),
        (GOOD, ("--classes", "a", "a"), ["--classes names a class twice"], False),
        (GOOD, ("--min_answer_count", "2"), ["--min_answer_count is for the task vqa, not classify"], False),
        (GOOD, ("--columns", "label="), ["no column for 'label'"], False),
        ([[*line[:2], "a", *line[3:]] for line in GOOD], (), ["column 'label' has only the class 'a'"], False),
    ],
)
def test_bad_input(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], lines: list[list[Any]], options: tuple[str, ...],
    messages: list[str], skippable: bool,
) -> None:
    source = pictures_csv(tmp_path / "in", HEADER, lines)
    (tmp_path / "in/copy.png").write_bytes(picture(3))
    (tmp_path / "in/broken.png").write_bytes(picture(3)[:40])
    assert make(source, "classify", out, *options) == 2
    errors = capsys.readouterr().err
    assert all(message in errors for message in messages), errors
    assert "Traceback" not in errors and not [path for path in out.glob("*") if not path.name.startswith(".")]
    if skippable:
        assert make(source, "classify", out, *options, "--skip_bad") == 0
        assert len(table_rows(out)) == 39
        left_out = described(out)["left_out"]
        assert left_out["bad_rows"] + left_out["bad_pictures"] == 1


def test_missing_pictures_are_counted_and_ten_are_named(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pictures_csv(tmp_path / "in", ["image", "text"], [[f"{n}.png", "x"] for n in range(40)], count=15)
    assert make(source, "caption", out) == 2
    errors = capsys.readouterr().err
    assert "25 pictures of 40 rows are missing" in errors and errors.count(".png") == 10 and "24.png, ..." in errors


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (["file", "txt2"], "no column for 'text' (looked for caption, captions, text"),
        (["file", "texd"], "did you mean 'texd'? Its columns: file, texd; say which with --columns text=COLUMN"),
        (["url", "caption"], "holds links, not pictures; download them with img2dataset"),
        (["a dog", "http://x/1.jpg"], "line 1 is a row, not the names of columns, and holds a link (http://x/1.jpg)"),
    ],
)
def test_missing_columns(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], header: list[str], message: str
) -> None:
    assert make(write_csv(tmp_path / "x.csv", header, [["0.png", "x"]]), "caption", out) == 2
    assert message in capsys.readouterr().err


def test_a_column_can_be_left_out(tmp_path: Path, out: Path) -> None:
    source = pictures_csv(tmp_path / "in", HEADER, GOOD)
    assert make(source, "classify", out, "--columns", "text=", "split=") == 0
    assert described(out)["modality"] == "image" and "sentences" not in table_rows(out)[0]


def test_cells_of_pandas_without_a_value(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path, 3)
    table = pa.table({"image": ["0.png", "1.png", "2.png"], "text": ["a", "b", "c"], "label": [1.0, 2.0, float("nan")]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert make(tmp_path / "x.parquet", "classify", out, *ALL_TRAIN) == 2
    assert "x.parquet, row 2: column 'label' is empty" in capsys.readouterr().err
    assert make(tmp_path / "x.parquet", "classify", out, *ALL_TRAIN, "--skip_bad") == 0
    assert described(out)["classes"] == ["1", "2"]


def test_json_of_pandas_without_a_value(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path, 3)
    rows = [{"image": f"{n}.png", "text": float("nan") if n == 1 else "x"} for n in range(3)]
    (tmp_path / "x.json").write_text(json.dumps(rows))
    assert make(tmp_path / "x.json", "caption", out, *ALL_TRAIN) == 2
    assert "x.json, element 1: column 'text' is empty" in capsys.readouterr().err


def test_a_column_that_only_later_rows_have(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_pictures(tmp_path, 4)
    rows: list[dict[str, Any]] = [{"image": f"{n}.png", "text": "x"} for n in range(4)]
    rows[1] |= {"size": 3}
    rows[2] |= {"split": "test"}
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert make(tmp_path / "x.jsonl", "caption", out) == 2
    errors = capsys.readouterr().err
    assert "line 3: has the column 'split', which the first rows have not" in errors and "--columns split=" in errors
    assert make(tmp_path / "x.jsonl", "caption", out, "--columns", "split=", *ALL_TRAIN) == 0


def test_identifiers_that_are_the_same_number_stay_apart(tmp_path: Path, out: Path) -> None:
    lines = [["0.png", "what?", "a", "7"], ["1.png", "what?", "b", "07"]]
    source = pictures_csv(tmp_path / "in", ["image", "question", "answer", "id"], lines, count=2)
    assert make(source, "vqa", out, *ALL_TRAIN) == 0
    assert len({number for row in table_rows(out) for number in row["question_id"]}) == 2


def test_a_file_without_a_split_among_others_is_named(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path, 2)
    for number, name in enumerate(("train.csv", "more.csv")):
        write_csv(tmp_path / name, ["image", "text"], [[f"{number}.png", "x"]])
    assert make(tmp_path, "caption", out) == 2
    assert "more.csv, line 2: 1 rows from here on have no split, but others have" in capsys.readouterr().err


@pytest.mark.parametrize("cell", ['["a b", "c"]', "['a b', 'c']"])
def test_lists_of_captions_in_a_cell(tmp_path: Path, out: Path, cell: str) -> None:
    lines = [["0.png", cell], ["1.png", "[laughs]"], ["2.png", "[1]"]]
    source = pictures_csv(tmp_path / "in", ["image", "text"], lines)
    assert make(source, "caption", out, *ALL_TRAIN) == 0
    assert [row["caption"] for row in table_rows(out)] == [["a b", "c"], ["[laughs]"], ["[1]"]]


@pytest.mark.parametrize("cell", ["[a, b]", "{a: 1}", "['a', 'b]"])
def test_a_list_that_cannot_be_read_is_no_text(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], cell: str
) -> None:
    source = pictures_csv(tmp_path / "in", ["image", "question", "answers"], [["0.png", "what?", cell]], count=1)
    assert make(source, "vqa", out, *ALL_TRAIN) == 2
    assert "line 2: column 'answers' holds no list or object of JSON" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_dictionaries_of_answers_in_tables(tmp_path: Path, out: Path, suffix: str) -> None:
    answers: list[dict[str, float]] = [{"a": 1.0, "b": 0.3}, {"c": 1.0}]
    source = pictures_csv(
        tmp_path / "in", ["image", "question", "answers"],
        [[f"{n}.png", "what?", json.dumps(answers[n])] for n in range(2)], count=2,
    )  # fmt: skip
    if suffix == "parquet":
        rows = [{"image": f"{n}.png", "question": "what?", "answers": answers[n]} for n in range(2)]
        source = tmp_path / "in/x.parquet"
        pq.write_table(pa.Table.from_pylist(rows), source)
    assert make(source, "vqa", out, *ALL_TRAIN) == 0
    assert [dict(zip(row["answers"][0], row["answer_scores"][0], strict=True)) for row in table_rows(out)] == [
        {"a": pytest.approx(1), "b": pytest.approx(0.3)}, {"c": pytest.approx(1)}]


def test_a_broken_picture_of_a_folder_is_named_once(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("cat", "dog"):
        write_pictures(tmp_path / "in" / label, 2)
    (tmp_path / "in/cat/0.png").write_bytes(b"")
    assert make(tmp_path / "in", "classify", out) == 2
    assert capsys.readouterr().err.count("0.png") == 1


def test_the_output_is_not_a_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures_csv(tmp_path, HEADER, GOOD)
    assert make(tmp_path, "caption", tmp_path) == 2
    assert "is a --source too" in capsys.readouterr().err


def test_files_of_the_user_are_never_replaced(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(out, 3)
    rows = [{"image": f"{n}.png", "text": f"text {n}"} for n in range(3)]
    (out / "mine.json").write_text(json.dumps(rows))
    assert make(out / "mine.json", "caption", out, "--overwrite") == 2
    assert "mine.json: would be replaced by the tables" in capsys.readouterr().err
    (out / "x.json").write_text(json.dumps(rows))
    assert make(out / "x.json", "caption", out, "--overwrite") == 2
    assert "mine.json: exists and is something else" in capsys.readouterr().err
    assert json.loads((out / "mine.json").read_text()) == rows


def test_a_run_that_ended_while_it_moved_the_tables_goes_on(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pictures_csv(tmp_path / "in", HEADER, GOOD)
    rename, moved = Path.rename, 0

    def interrupted(path: Path, target: Path) -> Path:
        nonlocal moved
        moved += 1
        if moved == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    assert make(source, "caption", out, "--shard_size", 10) == 130
    monkeypatch.undo()
    assert [path.name for path in out.glob("*.arrow")] and not (out / "mine.json").exists()
    assert make(source, "caption", out, "--shard_size", 10) == 0
    assert len(table_rows(out)) == 40 and run("check", "--source", out) == 0


@pytest.mark.parametrize(("name", "place"), [("x.jsonl", "line 2"), ("x.json", "element 1")])
def test_half_surrogates_are_named_by_row(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], name: str, place: str
) -> None:
    write_pictures(tmp_path, 2)
    lines = [{"image": f"{n}.png", "text": "x \ud83d" if n else "x"} for n in range(2)]
    path = tmp_path / name
    path.write_text(json.dumps(lines) if place == "element 1" else "\n".join(map(json.dumps, lines)))
    assert make(path, "caption", out, *ALL_TRAIN) == 2
    assert f"{place}: column 'text' has half of a surrogate pair" in capsys.readouterr().err
    assert make(path, "caption", out, *ALL_TRAIN, "--skip_bad") == 0
    assert len(table_rows(out)) == 1


@pytest.mark.parametrize("column", ["image", "text", "label", "id"])
def test_every_cell_must_be_utf8(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str], column: str) -> None:
    write_pictures(tmp_path, 3)
    lines = [{"image": f"{n}.png", "text": "x", "label": f"class {n}", "id": n} for n in range(3)]
    lines[1][column] = "\udcff"
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert make(tmp_path / "x.jsonl", "classify", out, *ALL_TRAIN) == 2
    assert f"line 2: column {column!r} has half of a surrogate pair" in capsys.readouterr().err


@pytest.mark.parametrize("given", [False, True])
def test_an_interrupted_run_goes_on(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    header = HEADER if given else HEADER[:2]
    source = pictures_csv(tmp_path / "in", header, [line[: len(header)] for line in GOOD])
    arguments = ["table", "--source", str(source), "--task", "caption", "--name", "mine", "--workers", "1",
                 "--shard_size", "10"]
    read, seen = ImageReader.read, 0

    def counting(reader: ImageReader, rows: Iterable[Row]) -> Iterator[Any]:
        nonlocal seen
        for each in read(reader, rows):
            seen += 1
            yield each

    def interrupted(reader: ImageReader, rows: Iterable[Row]) -> Iterator[Any]:
        yield from islice(counting(reader, rows), 25 - seen)
        if seen == 25:
            raise KeyboardInterrupt

    monkeypatch.setattr(ImageReader, "read", interrupted)
    assert main([*arguments, "--output", str(out)]) == 130
    assert [path.name for path in out.iterdir()] == [".mine.partial"]
    monkeypatch.setattr(ImageReader, "read", counting)
    seen = 0
    assert main([*arguments, "--output", str(out)]) == 0
    assert seen == 20 and not (out / ".mine.partial").exists()
    assert main([*arguments, "--output", str(tmp_path / "whole")]) == 0
    for path in (tmp_path / "whole").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()
    seen = 0
    assert main([*arguments, "--output", str(out)]) == 0 and seen == 0  # complete: kept
    assert main([*arguments, "--output", str(out), "--seed", "1"]) == 2  # of another plan
    assert main([*arguments, "--output", str(out), "--seed", "1", "--overwrite"]) == 0


def test_several_processes_write_the_same_files(tmp_path: Path) -> None:
    source = pictures_csv(tmp_path / "in", HEADER, GOOD)
    for workers in ("1", "2"):
        arguments = ["table", "--source", str(source), "--task", "classify", "--name", "mine", "--workers", workers]
        assert main([*arguments, "--output", str(tmp_path / workers)]) == 0
    for path in (tmp_path / "1").iterdir():
        assert (tmp_path / "2" / path.name).read_bytes() == path.read_bytes()


def test_own_data_is_named_in_the_error_about_an_unknown_data_set(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"own data needs .*mine\.json"):
        dataset(tmp_path, "train")
    (tmp_path / "mine.json").write_text("{}")
    with pytest.raises(ValueError, match=r"mine\.json: does not describe tables"):
        dataset(tmp_path, "train")
