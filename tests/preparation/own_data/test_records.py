"""Reading of source files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bridgetower.preparation import PreparationError
from bridgetower.preparation.own_data.records import EMBEDDED, class_names, read_columns, read_records
from tests.preparation.own_data.pictures import picture, values, write_csv

ROWS = [{"file_name": "a.png", "text": "one, two"}, {"file_name": "b.png", "text": "drei \u00e4 \"quoted\""}]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in the format that the suffix names."""
    lines = [list(row.values()) for row in rows]
    if path.suffix.lower() in (".csv", ".tsv"):
        return write_csv(path, list(rows[0]), lines, "\t" if path.suffix == ".tsv" else ",")
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1)
    else:
        table = pa.Table.from_pylist(rows)
        kind = pa.ipc.new_stream if path.name.startswith("stream") else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as sink, kind(sink, table.schema) as writer:
            writer.write_table(table)
    return path


FORMATS = ["x.csv", "X.CSV", "x.tsv", "x.json", "x.jsonl", "x.ndjson", "x.parquet", "file.arrow", "stream.arrow"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS)
    assert values(read_records(path)) == ROWS and read_columns(path) == ["file_name", "text"]
    assert all(record.where.startswith(f"{path}, ") for record in read_records(path))


@pytest.mark.parametrize("name", ["x.parquet", "file.arrow", "stream.arrow"])
def test_embedded_pictures_can_be_passed_over(tmp_path: Path, name: str) -> None:
    rows = [{"image": {"bytes": picture(n), "path": f"{n}.png"}, "raw": picture(n), "label": n} for n in range(3)]
    path = write(tmp_path / name, rows)
    assert values(read_records(path)) == rows
    passed = [{"image": {"bytes": EMBEDDED, "path": f"{n}.png"}, "raw": {"bytes": EMBEDDED, "path": None}, "label": n}
              for n in range(3)]
    assert values(read_records(path, without_bytes=True)) == passed


def test_the_first_array_of_a_json_object_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"info": {"years": [1]}, "annotations": ROWS, "other": [1]}))
    assert values(read_records(path)) == ROWS


@pytest.mark.parametrize("text", ["a;b\n1;2\n", "\ufeffa,b\n1,2\n", "a,b\r\n\r\n1,2\r\n"])
def test_what_spreadsheets_write(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert values(read_records(path)) == [{"a": "1", "b": "2"}]


def test_names_of_numbered_classes(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "x": [{"a": 1}]}}}
    schema = pa.schema([("label", pa.int64())], metadata={"huggingface": json.dumps(features)})
    pq.write_table(pa.table({"label": [0]}, schema=schema), tmp_path / "x.parquet")
    assert class_names(tmp_path / "x.parquet", "label") == ["cat", "dog"]
    assert class_names(tmp_path / "x.parquet", "x") is None and class_names(tmp_path / "x.csv", "label") is None


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.csv", b"a,b\n1,2\n1,2,3\n", "line 3: 3 fields, but the header has 2"),
        ("x.csv", b"a,a\n1,2\n", "column 'a' occurs twice"),
        ("x.csv", b'a,b\n1,"2\n', "line 2: not valid CSV"),
        ("x.csv", b"a,b\n1,\xff\n", "line 2: not UTF-8"),
        ("x.csv", b"", "no rows"),
        ("x.csv", b"a,b\n", "no rows"),
        ("x.json", b"[1]", "element 0: not a JSON object"),
        ("x.json", b"{}", "no array"),
        ("x.json", b'[{"a": 1}', "not valid JSON"),
        ("x.json", b'[{"a": 1}, {"a": ', "not valid JSON or cut off after 1 elements (Expecting value)"),
        ("x.json", b'[{"a": 1}, {"a" 1}]', "not valid JSON or cut off after 1 elements (Expecting ':' delimiter)"),
        ("x.json", b'[{"a": 1} {"a": 1}]', "after 1 elements ('{' where ',' should be)"),
        ("x.json", b'[{"a": 1}] 7', "after 1 elements (more text after its end)"),
        ("x.json", b'{"b": [{"a": 1}], "c": ', "after 1 elements (Expecting value)"),
        ("x.json", b'{"b": 3, "c": ', "not valid JSON or cut off (Expecting value)"),
        ("x.json", b"[" * 100_000, "not valid JSON or cut off after 0 elements (maximum recursion depth"),
        ("x.json", b'{"a": 1}\n{"a"\n', "line 2: not valid JSON"),
        ("x.jsonl", b"{\n", "line 1: not valid JSON"),
        ("x.jsonl", b"\xff\n", "not UTF-8"),
        ("x.jsonl", b"7\n", "line 1: not a JSON object"),
        ("x.parquet", b"PAR1", "cannot be read"),
        ("x.arrow", b"ARROW1", "cannot be read"),
    ],
)
def test_damaged_files(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(PreparationError, match=name) as error:
        read_columns(path), list(read_records(path))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_cut_off_arrow_file(tmp_path: Path) -> None:
    for name in ("file.arrow", "stream.arrow", "x.parquet"):
        path = write(tmp_path / name, ROWS * 50)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(PreparationError, match=r"cannot be read"):
            list(read_records(path))


@pytest.mark.parametrize(("stored", "message"), [
    ("[", "metadata 'huggingface' are not valid JSON"), ("[" * 100_000, "metadata 'huggingface' are not valid JSON"),
    ("[]", ""), ('{"info": {"features": [1]}}', ""), ('{"info": null}', ""),
    ('{"info": {"features": {"label": {"names": 3}}}}', "class names of 'label' is no list"),
    ('{"info": {"features": {"label": {"names": [3]}}}}', r"class names of 'label'\[0\] is 3, not a text"),
])
def test_odd_metadata_of_classes(tmp_path: Path, stored: str, message: str) -> None:
    schema = pa.schema([("label", pa.int64())], metadata={"huggingface": stored})
    pq.write_table(pa.table({"label": [0]}, schema=schema), tmp_path / "x.parquet")
    if not message:
        assert class_names(tmp_path / "x.parquet", "label") is None
        return
    with pytest.raises(PreparationError, match=rf"x\.parquet: .*{message}"):
        class_names(tmp_path / "x.parquet", "label")


def test_texts_that_are_not_utf_8_are_named_by_file_and_row(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", [{"text": "caption"}])
    path.write_bytes(path.read_bytes().replace(b"caption", b"capt\xff\xffn"))
    with pytest.raises(PreparationError, match=r"x\.parquet: cannot be read after row 0 \(.*utf-8"):
        list(read_records(path))
