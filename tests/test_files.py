"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridgetower.files import (
    FileSet,
    FolderInUseError,
    folder_beside,
    locked_file,
    locked_folder,
    write_beside,
    write_json,
    write_text,
)


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


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=r"a\.txt could not be written \(File too large; .* GB free\); what was"):
            write_text(tmp_path / "a.txt", "new" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_one_program_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "out"):
        with pytest.raises(FolderInUseError, match=r"out is being written by process \d+ on "), \
                locked_folder(tmp_path / "out"):
            pass
        (tmp_path / "out" / "result").touch()
    with locked_folder(tmp_path / "out"):
        pass
    assert names(tmp_path) == ["out", "out/result"]


@pytest.mark.parametrize("below", ["", "new"])
def test_a_file_is_no_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="file is a file; name a folder"), \
            locked_folder(tmp_path / "file" / below):
        pass
    assert names(tmp_path) == ["file"]


def test_a_lock_that_leads_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError), locked_folder(tmp_path / "new" / "out"):
        raise ValueError("bad settings")
    assert names(tmp_path) == []


def test_the_lock_of_a_killed_program_is_free(tmp_path: Path) -> None:
    program = (f"import os, signal\nfrom bridgetower.files import locked_folder\n"
               f"with locked_folder({str(tmp_path)!r}):\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=240).returncode == -signal.SIGKILL
    assert (tmp_path / ".lock").exists()
    with locked_folder(tmp_path):
        pass
    assert names(tmp_path) == []


def test_one_program_at_a_time_replaces_a_file_or_folder(tmp_path: Path) -> None:
    with folder_beside(tmp_path / "export"), locked_file(tmp_path / "other"):
        with pytest.raises(FolderInUseError, match=r"export is being written by process \d+ on .*; wait for it"), \
                folder_beside(tmp_path / "export"):
            pass
    assert names(tmp_path) == ["export"]


def test_what_a_killed_program_has_left_goes_and_an_old_folder_comes_back(tmp_path: Path) -> None:
    ended = 2**22 + 1  # above the largest number of a process
    for name in (f".export.{ended}.partial", f".other.{ended}.partial", f".export.{ended}.old"):
        (tmp_path / name).mkdir()
    (tmp_path / f".export.{ended}.old" / "weights").touch()
    (tmp_path / f".table.arrow.{ended}.partial").touch()
    with locked_file(tmp_path / "export"):
        assert (tmp_path / "export" / "weights").exists()
    assert len(names(tmp_path)) == 4  # nothing of the others
    with locked_folder(tmp_path), write_beside(tmp_path / "a.txt") as beside:
        beside.write_text("live")
        with pytest.raises(FolderInUseError), locked_folder(tmp_path):
            pass
    assert names(tmp_path) == ["a.txt", "export", "export/weights"]
