"""Text files in any encoding: read as UTF-8, or refused with the option that reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridgetower.preparation import PreparationError
from bridgetower.preparation.json_stream import Unique, read_json, read_json_lines, stream_array
from bridgetower.preparation.own_data.records import read_records
from bridgetower.preparation.text_files import encoded_as, open_text, read_lines
from bridgetower.preparation.web_captions import read_tsv_captions

TEXT = "ein schöner Garten mit Bäumen, süß und grün – und eine Straße"


def read_everything(folder: Path, encoding: str, mark: str = "") -> list[Any]:
    """TEXT as all readers of this package find it, in files of an encoding."""
    contents = {"a.json": json.dumps([{"text": TEXT}], ensure_ascii=False), "a.jsonl": json.dumps({"text": TEXT}),
                "b.jsonl": json.dumps({"text": TEXT}, ensure_ascii=False), "a.txt": TEXT + "\r\n",
                "a.tsv": f"text\tfile\n{TEXT}\tx.jpg\n", "a.csv": f'text,file\n"{TEXT}",x.jpg\n'}
    for name, content in contents.items():
        (folder / name).write_bytes((mark + content).encode(encoding))
    found: list[Any] = [read_json(folder / "a.json")[0]["text"], next(stream_array(folder / "a.json"))["text"],
                        next(read_lines(folder / "a.txt"))[1], read_tsv_captions(folder / "a.tsv", raw=True)[1],
                        read_tsv_captions(folder / "a.tsv")[1]]
    found += [entry["text"] for name in ("a", "b")
              for _, entry in read_json_lines(folder / f"{name}.jsonl", {"text": str})]
    return found + [next(read_records(folder / f"a.{kind}")).values["text"] for kind in ("csv", "tsv", "json", "jsonl")]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "marked"])
def test_utf8(tmp_path: Path, mark: str) -> None:
    assert set(read_everything(tmp_path, "utf-8", mark)) == {TEXT}


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-32", "utf-16-le"])
def test_another_encoding_with_its_option(tmp_path: Path, encoding: str) -> None:
    with encoded_as(encoding):
        assert set(read_everything(tmp_path, encoding)) == {TEXT}


@pytest.mark.parametrize(("encoding", "option"), [
    ("cp1252", r"it looks like (.*): give --encoding \1"), ("utf-16", "--encoding utf-16"),
    ("utf-32", "--encoding utf-32"),
])
def test_another_encoding_is_refused_with_its_option(tmp_path: Path, encoding: str, option: str) -> None:
    for name, read in {"x.json": read_json, "x.csv": lambda path: list(read_records(path)),
                       "x.jsonl": lambda path: list(read_json_lines(path))}.items():
        path = tmp_path / name
        path.write_bytes(f"[\n{json.dumps(10 * TEXT, ensure_ascii=False)}]\n".encode(encoding))
        line = 2 if encoding == "cp1252" else 1
        with pytest.raises(PreparationError, match=rf"{name}, line {line}: not UTF-8; .*{option}"):
            read(path)


def test_unusable_names_of_encodings(tmp_path: Path) -> None:
    for name in ("base64", "utf8000", "a\0b"):
        with pytest.raises(PreparationError, match="unknown; use the name that Python has"), encoded_as(name):
            pass
    (tmp_path / "x.txt").write_bytes(b"\xff")
    with encoded_as("ascii"), pytest.raises(PreparationError, match="line 1: not ascii, as --encoding says"):
        list(read_lines(tmp_path / "x.txt"))


@pytest.mark.parametrize(("text", "message"), [
    (r'{"a": "x\ud83d"}', r"line 1: \\ud83d is half of a surrogate pair"),
    ('{"a": NaN}', r"line 1: not valid JSON \(NaN is no number of JSON\)"),
    ('{"a": null}', r"line 1: 'a' is null; repair it"),
    ("[" * 100_000, "line 1: not valid JSON"),
    ('{"a": 1, "b": {"c": 1}}', ""),
])
def test_json_lines_hold_nothing_odd(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    if not message:
        assert len(list(read_json_lines(tmp_path / "x.jsonl", {"a": object}))) == 1
        return
    with pytest.raises(PreparationError, match=rf"x\.jsonl, {message}"):
        list(read_json_lines(tmp_path / "x.jsonl", {"a": object}))


def test_null_only_where_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"a": 1, "b": null}, {"a": null, "b": 1}]')
    assert next(stream_array(tmp_path / "x.json", None, {"a": object, "b": object | None})) == {"a": 1, "b": None}
    with pytest.raises(PreparationError, match=r"x\.json: element 1 of the array: 'a' is null"):
        list(stream_array(tmp_path / "x.json", None, {"a": object, "b": object | None}))


def test_what_occurs_twice_is_named(tmp_path: Path) -> None:
    unique = Unique(tmp_path / "x.json", "question_id")
    assert [unique.take(value) for value in (1, "1", 2)] == [1, "1", 2]
    with pytest.raises(PreparationError, match=r"x\.json: element 3: question_id 2 occurs a second time"):
        unique.take(2)
    with pytest.raises(PreparationError, match=r"question_id \[1\] is no number or text"):
        unique.take([1])


def test_large_files_are_read_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("ä" * 100_001 + "\n" + "b" * 7)
    with open_text(tmp_path / "x.txt") as file:
        assert file.readline().decode() == "ä" * 100_001 + "\n" and file.read(3) == b"bbb" and file.read() == b"bbbb"
