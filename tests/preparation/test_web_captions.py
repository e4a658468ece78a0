"""Conceptual Captions and SBU."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bridgetower.preparation import PreparationError, web_captions
from bridgetower.preparation.schemas import CAPTIONS
from bridgetower.preparation.web_captions import PackedTexts, read_tsv_captions
from tests.preparation.own_data.pictures import picture, write_tar
from tests.preparation.raw_data import (
    CC_TSV,
    cc_release,
    has_schema,
    make_image,
    row_order,
    rows,
    run,
    sbu_release,
    tables,
    write_json,
)


def captions(path: Path, raw: bool = False) -> list[str]:
    packed = read_tsv_captions(path, raw)
    return [packed[index] for index in range(len(packed))]


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7])
def test_packed_texts_are_a_list(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_captions, "_TEXTS_PER_ARRAY", 3)
    packed = PackedTexts(f"{n} ü" for n in range(count))
    assert [packed[n] for n in range(len(packed))] == [f"{n} ü" for n in range(count)]


def test_captions_that_look_like_missing_values_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text("None\tu\nNA\tu\nnan\tu\n1.0\tu\n")
    assert captions(path) == captions(path, raw=True) == ["None", "NA", "nan", "1.0"]


def test_quotes_join_lines_unless_raw(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.tsv"
    path.write_text('one\tu\n"two\tu\nthree" end\tu\nfo"ur\tu\n"fi""ve"\tu\n\nsix\tu\n')
    assert captions(path) == ["one", "two\tu\nthree end", 'fo"ur', 'fi"ve', "six"]
    assert "5 rows of 7 lines" in caplog.text and "--raw_tsv" in caplog.text
    assert captions(path, raw=True) == ["one", '"two', 'three" end', 'fo"ur', '"fi""ve"', "", "six"]


@given(st.lists(st.text('ab" \u00e9', max_size=5), min_size=1, max_size=6))
def test_the_default_reads_rows_as_pandas_does(texts: list[str]) -> None:
    pandas = pytest.importorskip("pandas")
    content = "".join(f"{text}\turl\n" for text in texts)
    try:
        frame = pandas.read_csv(io.StringIO(content, newline=""), sep="\t", header=None, keep_default_na=False)
    except pandas.errors.ParserError:
        assume(False)  # a row of more columns than the first or an open quote: the original stops there
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda *_, **__: io.BytesIO(content.encode()))
        assert captions(Path("x.tsv")) == [str(text) for text in frame[0]]


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "latin.tsv").write_bytes(b"caf\xe9\tu\n")
    for name, message in (("latin.tsv", ", line 1: not UTF-8"), ("missing.tsv", ": No such file or directory")):
        with pytest.raises(PreparationError, match=name + message):
            read_tsv_captions(tmp_path / name)


@pytest.fixture
def cc(tmp_path: Path) -> Path:
    cc_release(tmp_path / "data" / "cc")
    return tmp_path / "data" / "cc"


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("header", ["caption\turl", "\ufeffCaption\tURL\r", '"text"\t"image_url"'])
def test_a_header_line_is_refused(tmp_path: Path, raw: bool, header: str) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(header + "\na dog\thttp://x/1.jpg\n")
    with pytest.raises(PreparationError, match="x.tsv: line 1 holds column names .* remove the line"):
        read_tsv_captions(path, raw)
    path.write_text("caption\thttp://x/1.jpg\n")
    assert len(read_tsv_captions(path, raw)) == 1


def test_conceptual_captions(cc: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("gcc", "--source", cc.parent, "--output", out, "--shard_size", 2) == 0
    for split in ("train", "val"):
        paths = [out / f"conceptual_caption_{split}_{n}.arrow" for n in range(3)]
        assert all(has_schema(path, CAPTIONS) for path in paths)
        shards = [rows(path) for path in paths]
        assert [len(shard) for shard in shards] == [2, 2, 1]
        found = [row for shard in shards for row in shard]
        order = row_order([f"{n}.jpg" for n in (0, 2, 3, 4, 6, 8)])
        assert [row["image_id"] for row in found] == [name for name in order if name != "3.jpg"]
        for row in found:
            assert row["caption"] == [f"{split} caption {row['image_id'][0]}"]
            assert row["image"] == (cc / f"{split}_image" / row["image_id"]).read_bytes()
            assert row["split"] == split
    assert len(tables(out)) == 6


def test_reading_the_table_otherwise_is_another_plan(
    cc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("gcc", "--source", cc, "--output", tmp_path / "out", "--splits", "val")
    assert run(*arguments) == 0
    assert run(*arguments, "--raw_tsv") == 2
    assert "val_0.arrow: exists and was made from" in capsys.readouterr().err
    assert run(*arguments, "--raw_tsv", "--overwrite") == 0


def test_image_numbers_must_fit_the_table(cc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("gcc", "--source", cc, "--output", tmp_path / "out", "--splits", "val")
    path = cc / "utils" / CC_TSV["val"]
    path.write_text('"' + path.read_text().replace("\n", "\n", 1).replace("caption 4", 'caption 4"'))
    assert run(*arguments) == 2
    assert "speaks of row 8" in capsys.readouterr().err
    make_image(cc / "val_image" / "eight.jpg")
    (cc / "val_image_exist.txt").write_text("eight.jpg\n")
    assert run(*arguments) == 2
    assert "must be its row number" in capsys.readouterr().err


def test_an_available_image_that_is_not_there(cc: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cc / "val_image" / "4.jpg").unlink()
    assert run("gcc", "--source", cc, "--output", tmp_path / "out", "--splits", "val") == 2
    assert str(cc / "val_image" / "4.jpg") in capsys.readouterr().err


def test_an_interrupted_run_goes_on_at_the_next_shard(cc: Path, tmp_path: Path) -> None:
    arguments = ("gcc", "--source", cc, "--output", tmp_path / "out", "--splits", "train", "--shard_size", 2)
    order = [name for name in row_order([f"{n}.jpg" for n in (0, 2, 3, 4, 6, 8)]) if name != "3.jpg"]
    broken = cc / "train_image" / order[3]
    data = broken.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    assert run(*arguments) == 2
    assert [path.name for path in tables(tmp_path / "out")] == ["conceptual_caption_train_0.arrow"]
    before = (tmp_path / "out/conceptual_caption_train_0.arrow").stat().st_mtime_ns
    broken.write_bytes(data)
    assert run(*arguments) == 0
    assert (tmp_path / "out/conceptual_caption_train_0.arrow").stat().st_mtime_ns == before
    found = [row["image_id"] for n in range(3) for row in rows(tmp_path / f"out/conceptual_caption_train_{n}.arrow")]
    assert found == order


def test_sbu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "data" / "sbu"
    value = sbu_release(root)
    arguments = ("sbu", "--source", tmp_path / "data", "--output", tmp_path / "out", "--shard_size", 2)
    assert run(*arguments) == 0
    assert [path.name for path in tables(tmp_path / "out")] == ["sbu_0.arrow", "sbu_1.arrow"]
    found = [row for n in range(2) for row in rows(tmp_path / "out" / f"sbu_{n}.arrow")]
    assert {row["image_id"]: row["caption"] for row in found} == {
        "0.jpg": ["caption 4"],
        "1.jpg": ["caption 1"],
        "2.jpg": ["caption 2"],
    }
    assert {row["split"] for row in found} == {"train"}
    write_json(root / "sbu-captions-all.json", {**value, "captions": ["one"]})
    assert run(*arguments) == 2
    assert "captions and image_urls differ in number" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "root"), [("gcc", "gcc"), ("sbu", "sbu")])
def test_the_layout_of_vilt(tmp_path: Path, name: str, root: str) -> None:
    for split in ("train", "val"):
        pairs = []
        for n in range(6):
            image = f"{n % 2:04}/{split}{n}"
            make_image(tmp_path / root / f"images_{split}" / image)
            pairs.append([image, f"caption {n}"])
        write_json(tmp_path / root / ("annot.json" if root == "sbu" else f"{split}_annot.json"), pairs[:4])
        if root == "sbu":
            break
    assert run(name, "--source", tmp_path, "--output", tmp_path / "out", "--shard_size", 3) == 0
    stem = "sbu" if root == "sbu" else "conceptual_caption_train"
    found = [row for n in range(2) for row in rows(tmp_path / "out" / f"{stem}_{n}.arrow")]
    assert {row["image_id"]: row["caption"] for row in found} == {f"train{n}": [f"caption {n}"] for n in range(4)}


def test_cc12m(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    folder, out = tmp_path / "data/cc12m", tmp_path / "out"
    arguments = ("cc12m", "--source", tmp_path / "data", "--output", out)
    folder.mkdir(parents=True)
    (folder / "cc12m.tsv").write_text("http://x/1.jpg\ta dog\n")
    assert run(*arguments) == 2
    assert f"{folder}: no .tar shards in it; cc12m.tsv holds links, download" in capsys.readouterr().err
    for shard in range(2):
        members = [(f"{n}.{suffix}", data) for n in range(shard * 3, shard * 3 + 3)
                   for suffix, data in (("jpg", picture(n)), ("txt", f"caption {n}".encode()))]
        write_tar(folder / f"{shard:05}.tar", [*members, ("lost.txt", b"x")])
    assert run(*arguments) == 0
    assert all(has_schema(out / f"cc12m_{shard}.arrow", CAPTIONS) for shard in range(2))
    assert rows(out / "cc12m_1.arrow") == [
        {"image": picture(n), "caption": [f"caption {n}"], "image_id": f"{n}.jpg", "split": "train"} for n in (3, 4, 5)]
    assert "00001.tar: 1 of 4 samples are left out: lost (no picture)" in caplog.text
    assert run(*arguments) == 0 and "3 rows" in capsys.readouterr().out  # complete already
    (folder / "00001.tar").write_bytes(b"cut off")
    assert run(*arguments, "--overwrite") == 2
    assert "00001.tar: cannot be read as an uncompressed tar file" in capsys.readouterr().err
