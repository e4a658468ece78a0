"""Reading arrow files: chunks, types, aliases, shards and what is said about missing ones."""

from __future__ import annotations

import logging
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgetower.datasets.arrow import PREPARED_BY, ArrowTable, find_shards, find_table
from bridgetower.preparation.published import DATA_SETS


def test_cells_of_every_chunk(captions, picture) -> None:  # type: ignore[no-untyped-def]
    table = ArrowTable(captions("t", [["a"], ["b", "c"], ["d"], [], ["e"]]))
    assert table.num_rows == 5 and table.name == "t"
    assert [table.value("caption", row) for row in range(5)] == [["a"], ["b", "c"], ["d"], [], ["e"]]
    assert [bytes(table.image_bytes("image", row)) for row in range(5)] == [picture(row) for row in range(5)]
    assert table.item("caption", 1, 1) == "c" and table.item("caption", 3, 0) is None
    with pytest.raises(IndexError, match="has no row 5; it has 5"):
        table.value("caption", 5)


def test_images_are_not_copied(write) -> None:  # type: ignore[no-untyped-def]
    path = write("t", {"image": [bytes(1_000_000)] * 4})
    before = pa.total_allocated_bytes()
    table = ArrowTable(path)
    assert len(table.image_bytes("image", 3)) == 1_000_000
    assert pa.total_allocated_bytes() - before < 100_000


@pytest.mark.parametrize("string, binary, many", [
    (pa.string(), pa.binary(), pa.list_), (pa.large_string(), pa.large_binary(), pa.large_list)])
def test_small_and_large_types(string, binary, many, write) -> None:  # type: ignore[no-untyped-def]
    table = ArrowTable(write("t", {"image": pa.array([b"x", b"yz", None], binary),
                                   "caption": pa.array([["a", "b", "a"], None, ["c"]], many(string))}))
    rows, positions = table.text_index("caption", unique=True)
    assert list(zip(rows, positions, strict=True)) == [(0, 0), (0, 1), (2, 0)]
    assert bytes(table.image_bytes("image", 1)) == b"yz" and table.image_bytes("image", 2) is None
    assert table.item("caption", 2, 0) == "c" and table.item("caption", 1, 0) is None
    assert table.flat_values("caption").tolist() == ["a", "b", "a", "c"]


@settings(max_examples=60)
@given(lists=st.lists(st.none() | st.lists(st.sampled_from("abc"), max_size=5), max_size=8), chunk=st.integers(1, 4),
       unique=st.booleans())
def test_text_index_equals_a_loop(lists: list[list[str] | None], chunk: int, unique: bool) -> None:
    expected = [(row, k) for row, texts in enumerate(lists) for k, text in enumerate(texts or [])
                if not unique or text not in (texts or [])[:k]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.arrow"
        table = pa.table({"caption": pa.array(lists, pa.list_(pa.string()))})
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=chunk)
        rows, positions = ArrowTable(path).text_index("caption", unique)
        assert list(zip(rows.tolist(), positions.tolist(), strict=True)) == expected


def test_shard_without_rows_and_types(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("sbu_0", {name: pa.array([], pa.null()) for name in ("image", "caption", "image_id", "split")})
    table = find_table(tmp_path, "sbu_0")
    table.require_columns("image", "caption")
    assert table.num_rows == 0 and not table.has_column("caption")


def test_missing_column_names_what_is_there(write) -> None:  # type: ignore[no-untyped-def]
    table = ArrowTable(write("t", {"image": [b"x"], "captions": [["a"]]}))
    with pytest.raises(KeyError, match="t.arrow has no column caption; it has image, captions"):
        table.require_columns("image", "caption")


def test_column_of_another_type(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="column caption is string, expected a list"):
        ArrowTable(write("t", {"caption": ["a"]})).text_index("caption", True)


@pytest.mark.parametrize("content", [b"", b"not an arrow file at all, but long enough for a footer"])
def test_not_an_arrow_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.arrow").write_bytes(content)
    with pytest.raises(ValueError, match="t.arrow: not a complete arrow file"):
        ArrowTable(tmp_path / "t.arrow")


def test_survives_pickling(captions) -> None:  # type: ignore[no-untyped-def]
    table = ArrowTable(captions("t", [["a"], ["b"]]), "other")
    again = pickle.loads(pickle.dumps(table))
    assert (again.name, again.value("caption", 1)) == ("other", ["b"])


@pytest.mark.parametrize("name, file", [
    ("snli_train", "snli_ve_train"), ("snli_dev", "snli_ve_dev"), ("snli_test", "snli_ve_test"),
    ("conceptual_caption_train_12", "cc_12"), ("vqav2_test", "vqav2_test_fix"), ("vqav2_test_fix", "vqav2_test"),
])
def test_aliases(name: str, file: str, captions, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    captions(file, [["alias"]])
    table = find_table(tmp_path, name)
    assert (table.name, table.path.name) == (name, f"{file}.arrow")
    captions(name, [["own name"]])
    assert find_table(tmp_path, name).value("caption", 0) == ["own name"]


def test_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        find_table(tmp_path, "snli_dev")
    assert str(tmp_path / "snli_dev.arrow") in str(error.value)
    assert "nor snli_ve_dev.arrow" in str(error.value)
    assert f"python -m bridgetower.preparation snli --source DIR --output {tmp_path}" in str(error.value)


def test_commands_exist() -> None:
    assert set(PREPARED_BY.values()) <= set(DATA_SETS)


@pytest.mark.parametrize("name, ending", [
    ("easy_vqa_train", "make it with: python -m bridgetower.preparation easy_vqa --output {}"),
    ("vgqa_coco_val", "make it with: python -m bridgetower.preparation vgqa_coco --source DIR --output {}"),
    ("vg", "make it with: python -m bridgetower.preparation vg --source DIR --output {}"),
    ("my_table", "check the name"),
])
def test_command_of_a_missing_table(name: str, ending: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        find_table(tmp_path, name)
    assert str(error.value) == f"{tmp_path / name}.arrow does not exist; {ending.format(tmp_path)}"


@pytest.mark.parametrize("stem", ["conceptual_caption_train", "cc"])
def test_shards_by_number_with_gaps(  # type: ignore[no-untyped-def]
    stem: str, captions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (0, 2, 10):
        captions(f"{stem}_{number}", [[f"text {number}"]])
    captions("cc_val", [["not a shard"]])
    with caplog.at_level(logging.WARNING):
        tables = find_shards(tmp_path, "conceptual_caption_train")
    assert [table.value("caption", 0) for table in tables] == [["text 0"], ["text 2"], ["text 10"]]
    assert [table.name for table in tables] == [f"conceptual_caption_train_{number}" for number in (0, 2, 10)]
    assert len(caplog.records) == 8 and "conceptual_caption_train_1.arrow does not exist" in caplog.text


def test_no_shard_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sbu_0.arrow does not exist; make it with: .*preparation sbu"):
        find_shards(tmp_path, "sbu")


def test_flat_values_of_numbers(questions) -> None:  # type: ignore[no-untyped-def]
    table = ArrowTable(questions("vqa", per_image=2, images=2))
    assert table.flat_values("answer_labels").tolist() == [0, 0, 1, 0, 2, 0]
    assert table.flat_values("question_id").dtype == np.int64
