"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridgetower.files import FileSet, folder_beside, write_beside, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "half \ud800")
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_an_interruption_removes_the_new_folders_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), write_beside(tmp_path / "deep" / "folder" / "a.txt") as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_json_ends_with_a_newline_and_keeps_characters(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "a.json", {"answer": "\u732b"})
    text = (tmp_path / "new" / "a.json").read_text(encoding="utf-8")
    assert text.endswith("}\n") and "\u732b" in text and json.loads(text) == {"answer": "\u732b"}


def test_a_folder_is_replaced_whole_or_kept(tmp_path: Path) -> None:
    target = tmp_path / "export"
    with folder_beside(target) as folder:
        (folder / "old").touch()
    with pytest.raises(OSError), folder_beside(target) as folder:
        (folder / "new").touch()
        raise OSError("disk full")
    assert names(tmp_path) == ["export", "export/old"]
    with folder_beside(target) as folder:
        (folder / "new").touch()
    assert names(tmp_path) == ["export", "export/new"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_set_of_files_appears_together(tmp_path: Path, fails: bool) -> None:
    (tmp_path / "source").write_text("copied")
    try:
        with FileSet() as files:
            files.text(tmp_path / "out" / "a", "text")
            files.copy(tmp_path / "source", tmp_path / "out" / "b")
            assert not (tmp_path / "out" / "a").exists()
            if fails:
                raise ValueError("bad input")
    except ValueError:
        assert names(tmp_path) == ["source"]
    else:
        assert (tmp_path / "out" / "a").read_text() == "text" and (tmp_path / "out" / "b").read_text() == "copied"
