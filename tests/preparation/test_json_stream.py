"""Reading of JSON files that are too large to parse at once."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgetower.preparation import PreparationError, json_stream
from bridgetower.preparation.json_stream import read_json, read_json_lines, stream_array

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    before=st.dictionaries(st.text(max_size=3), VALUES, max_size=3),
    elements=st.lists(VALUES, max_size=6),
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 2]),
    ascii_only=st.booleans(),
)
def test_streaming_equals_parsing(
    before: dict[str, Any], elements: list[Any], chunk: int, indent: int | None, ascii_only: bool
) -> None:
    before.pop("wanted", None)
    document = {**before, "wanted": elements, "after": [1]}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "CHUNK", chunk)
        path = Path(folder, "x.json")
        path.write_text(json.dumps(document, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
        assert list(stream_array(path, "wanted")) == elements
        assert list(stream_array(path, "after")) == [1]
        assert read_json(path) == document
        path.write_text(json.dumps(elements, indent=indent), encoding="utf-8")
        assert list(stream_array(path)) == elements


def test_only_a_part_of_the_file_is_held(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"skipped": list(range(50_000)), "wanted": [{"text": "x" * 500}] * 5000}))
    tracemalloc.start()
    try:
        assert sum(1 for _ in stream_array(path, "wanted")) == 5000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 4
    finally:
        tracemalloc.stop()


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1, 2]", encoding="utf-8-sig")
    assert list(stream_array(path)) == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"other": 1}', "no key 'wanted'"),
        ("{}", "no key 'wanted'"),
        ('{"wanted": {}}', "no key 'wanted' with an array"),
        ('{"wanted": [{"a": 1}, {"a"', "cut off"),
        ('{"wanted": [{"a": 1} {"a": 2}]}', "not valid JSON"),
        ("", "not valid JSON or cut off (parse error: premature EOF)"),
        ('{"wanted": [{"a": 1}, {"b": 1}]}', "element 1 of wanted is not an object with 'a'"),
        ('{"wanted": [{"a": "' + "x" * 100_000 + r'\ud83d "}]}', r"\ud83d is half of a surrogate pair"),
        (r'{"wanted": [{"a": "\\\ude00"}]}', r"\ude00 is half of a surrogate pair"),
        ('{"wanted": [{"a": "\udcff"}]}', "line 1: not UTF-8; give its --encoding, such as cp1252, or convert"),
        ('{"wanted": ' + "[" * 100_000, "nested more than 500 levels deep"),
        ('{"wanted": ' * 100_000, "nested more than 500 levels deep"),
        ('{"wanted": [{"a": "]]}" , "b": ' * 600, "nested more than 500 levels deep"),
        ('{"other": ' + "9" * 10_000 + "}", "integer overflow"),
        ('{"wanted": [7]}', "element 0 of wanted is not an object with 'a'"),
    ],
)
def test_errors_name_the_file_and_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(PreparationError, match=r"x\.json") as error:
        list(stream_array(path, "wanted", {"a": object}))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_fields_of_nested_lists_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"a": [{"b": 1}, {"c": 1}]}]')
    assert len(list(stream_array(path, None, {"a": object}))) == 1
    with pytest.raises(PreparationError, match=r"element 0 of the array, a\[1\] is not an object with 'b'"):
        list(stream_array(path, None, {"a": [{"b": object}]}))


@pytest.mark.parametrize("chunk", [7, 1 << 16])
def test_brackets_in_texts_are_no_nesting(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
    elements = [{"a": '[[ { \\" [, \\\\'}, {"a": [[], {}, [{}]]}] * 600
    (tmp_path / "x.json").write_text(json.dumps(elements))
    assert list(stream_array(tmp_path / "x.json")) == elements


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert [(where.rpartition(", ")[2], entry["a"]) for where, entry in read_json_lines(path, {"a": object})] == [
        ("line 1", 1),
        ("line 3", 2),
    ]
    for text, message in [("{", "line 1: not valid JSON"), ('{"b": 1}', "line 1 is not an object with 'a'")]:
        path.write_text(text)
        with pytest.raises(PreparationError, match=message):
            list(read_json_lines(path, {"a": object}))
    for read in (lambda: list(read_json_lines(tmp_path / "no")), lambda: read_json(tmp_path / "no")):
        with pytest.raises(PreparationError, match="No such file|no such file"):
            read()
