"""Arrow files: schemas, batches, completeness and resuming."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from bridgetower.datasets.soundness import forget_checksums
from bridgetower.files import locked_folder
from bridgetower.preparation import ImageReader, PreparationError, Row, Table, writer
from bridgetower.preparation.schemas import CAPTIONS
from bridgetower.preparation.tables import shuffled
from bridgetower.preparation.writer import write_table
from tests.preparation.raw_data import encoded_image, read_arrow, rows


def make_table(folder: Path, count: int, **changes: object) -> Table:
    """A caption table over `count` images in `folder`, made where they do not exist."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03}.png" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            path.write_bytes(encoded_image(number))

    def row(item: str) -> Row:
        path = Path(item)
        return Row((path,), {"caption": [f"about {path.stem}"], "image_id": path.name, "split": "train"})

    return Table(**{"name": "t", "schema": CAPTIONS, "items": list(map(str, paths)), "row": row, **changes})


def write(table: Table, output: Path, **options: bool) -> list[writer.Written]:
    with ImageReader() as reader:
        return list(write_table(table, output, reader, **options))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"SHA256SUMS"}


def test_round_trip_keeps_types_order_and_the_untouched_bytes(tmp_path: Path) -> None:
    table = make_table(tmp_path / "images", 5)
    assert write(table, tmp_path / "out") == [writer.Written(tmp_path / "out" / "t.arrow", 5)]
    read = read_arrow(tmp_path / "out" / "t.arrow")
    assert read.schema.equals(CAPTIONS, check_metadata=False)
    assert read["image"].to_pylist() == [encoded_image(number) for number in range(5)]
    assert read["caption"].to_pylist() == [[f"about {number:03}"] for number in range(5)]
    assert names(tmp_path / "out") == {"t.arrow"}


@pytest.mark.parametrize(
    ("max_rows", "max_bytes", "sizes"), [(4, 1 << 20, [4, 4, 2]), (1000, 1 << 20, [10]), (1000, 150, [2, 2, 2, 2, 2])]
)
def test_batches_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_rows: int, max_bytes: int, sizes: list[int]
) -> None:
    assert 75 <= len(encoded_image(0)) < 150
    monkeypatch.setattr(writer, "MAX_BATCH_ROWS", max_rows)
    monkeypatch.setattr(writer, "MAX_BATCH_BYTES", max_bytes)
    write(make_table(tmp_path / "images", 10), tmp_path)
    with pa.memory_map(str(tmp_path / "t.arrow")) as source:
        file = pa.ipc.open_file(source)
        assert [file.get_batch(index).num_rows for index in range(file.num_record_batches)] == sizes


def test_rows_are_made_only_as_batches_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MAX_BATCH_ROWS", 4)
    table = make_table(tmp_path / "images", 40)
    made, lead = 0, []

    def row(item: str) -> Row:
        nonlocal made
        made += 1
        return table.row(item)

    flush = writer.Batches.flush

    def counting_flush(batches: writer.Batches) -> None:
        lead.append(made - batches.rows)
        flush(batches)

    monkeypatch.setattr(writer.Batches, "flush", counting_flush)
    write(make_table(tmp_path / "images", 40, row=row), tmp_path)
    assert len(lead) == 11 and max(lead) == 0


@pytest.mark.parametrize(("count", "files"), [(6, [3, 3]), (7, [3, 3, 1]), (2, [2]), (0, [])])
def test_shards_have_no_empty_last_one(tmp_path: Path, count: int, files: list[int]) -> None:
    written = write(make_table(tmp_path / "images", count, shard_size=3), tmp_path / "out")
    assert [(file.path.name, file.rows) for file in written] == [(f"t_{n}.arrow", rows) for n, rows in enumerate(files)]
    together = [row["image_id"] for file in written for row in rows(file.path)]
    assert together == [f"{number:03}.png" for number in range(count)]


def test_a_bad_image_stops_without_half_a_file_and_the_next_run_resumes(tmp_path: Path) -> None:
    table = make_table(tmp_path / "images", 7, shard_size=3)
    good = Path(table.items[4]).read_bytes()
    Path(table.items[4]).write_bytes(b"broken")
    with pytest.raises(PreparationError, match=r"004\.png: not a readable image.*--skip_bad"):
        write(table, tmp_path / "out")
    assert names(tmp_path / "out") == {"t_0.arrow"}
    first = (tmp_path / "out" / "t_0.arrow").stat()
    Path(table.items[4]).write_bytes(good)
    written = write(table, tmp_path / "out")
    assert [(file.rows, file.kept) for file in written] == [(3, True), (3, False), (1, False)]
    after = (tmp_path / "out" / "t_0.arrow").stat()
    assert (after.st_ino, after.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    table = make_table(tmp_path / "images", 5)

    def row(item: str) -> Row:
        if item.endswith("003.png"):
            raise KeyboardInterrupt
        return table.row(item)

    with pytest.raises(KeyboardInterrupt):
        write(make_table(tmp_path / "images", 5, row=row), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_leftover_of_a_killed_run_does_not_hurt(tmp_path: Path) -> None:
    (tmp_path / ".t.arrow.4194305.partial").write_bytes(b"half")
    with locked_folder(tmp_path):
        write(make_table(tmp_path / "images", 2), tmp_path)
    assert len(rows(tmp_path / "t.arrow")) == 2
    assert not (tmp_path / ".t.arrow.4194305.partial").exists()


def test_skip_bad_counts_and_names_what_it_leaves_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = make_table(tmp_path / "images", 4, missing=["nowhere/x.png"], shard_size=3)
    Path(table.items[1]).write_bytes(b"broken")
    Path(table.items[3]).unlink()
    with pytest.raises(PreparationError, match=r"t_1\.arrow: all of its 1 rows"):
        write(table, tmp_path / "out", skip_bad=True)
    assert [row["image_id"] for row in rows(tmp_path / "out" / "t_0.arrow")] == ["000.png", "002.png"]
    for name in ("001.png", "003.png", "nowhere/x.png"):
        assert name in caplog.text
    whole = make_table(tmp_path / "images", 4, missing=["nowhere/x.png"])
    for _ in range(2):  # a kept file reports the same numbers
        (written,) = write(whole, tmp_path / "out", skip_bad=True)
        assert (written.rows, written.skipped) == (3, 2)


def test_missing_images_are_an_error_by_default(tmp_path: Path) -> None:
    table = make_table(tmp_path / "images", 1, missing=["nowhere/x.png", "nowhere/y.png"])
    with pytest.raises(PreparationError, match=r"2 annotated images are not on disk.*nowhere/x\.png.*--skip_bad"):
        write(table, tmp_path / "out")


@pytest.mark.parametrize("change", ["order", "images", "variant", "other program"])
def test_a_file_of_another_plan_is_not_taken_for_done(tmp_path: Path, change: str) -> None:
    write(make_table(tmp_path / "images", 4), tmp_path)
    table = make_table(tmp_path / "images", 4)
    changed = {
        "order": make_table(tmp_path / "images", 4, items=shuffled(table.items, 1)),
        "images": make_table(tmp_path / "images", 5),
        "variant": make_table(tmp_path / "images", 4, variant="raw"),
        "other program": table,
    }[change]
    if change == "other program":
        with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_file(sink, CAPTIONS):
            pass
        with pytest.raises(PreparationError, match=r"t\.arrow: is damaged, as its SHA-256 is not that in SHA256SUMS"):
            write(changed, tmp_path)
        forget_checksums(tmp_path, "t.arrow")
    with pytest.raises(PreparationError, match=r"t\.arrow: exists and was made from .*--overwrite"):
        write(changed, tmp_path)
    (written,) = write(changed, tmp_path, overwrite=True)
    assert not written.kept and written.rows == len(changed.items)


def test_moved_raw_data_keeps_the_plan(tmp_path: Path) -> None:
    write(make_table(tmp_path / "images", 3), tmp_path)
    (tmp_path / "images").rename(tmp_path / "moved")
    (written,) = write(make_table(tmp_path / "moved", 3), tmp_path)
    assert written.kept


def test_a_file_that_is_no_arrow_file_is_not_taken_for_done(tmp_path: Path) -> None:
    (tmp_path / "t.arrow").write_bytes(b"cut off")
    with pytest.raises(PreparationError, match=r"t\.arrow: not a complete arrow file"):
        write(make_table(tmp_path / "images", 3), tmp_path)


def test_a_value_of_the_wrong_type_names_the_column(tmp_path: Path) -> None:
    table = make_table(tmp_path / "images", 1)
    bad = Row((Path(table.items[0]),), {"caption": [17], "image_id": "x", "split": "train"})
    with pytest.raises(PreparationError, match="column caption does not hold list"):
        write(make_table(tmp_path / "images", 1, row=lambda _: bad), tmp_path / "out")
    assert not (tmp_path / "out").exists()
