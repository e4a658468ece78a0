"""Damaged arrow files are refused in one line and end no process but the one that is there to read them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bridgetower.datasets import soundness
from bridgetower.datasets.arrow import ArrowTable
from bridgetower.datasets.soundness import CHECKSUMS, forget_checksums, record_checksums, require_sound
from tests.datasets.conftest import Write


def damaged(whole: bytes, seed: int) -> bytes:
    """One to three flipped bits, half of them in the last part, which says where everything is."""
    draw = np.random.default_rng(seed)
    data = bytearray(whole)
    for place in draw.integers(0 if seed % 2 else len(data) * 3 // 4, len(data), draw.integers(1, 4)):
        data[place] ^= 1 << int(draw.integers(8))
    return bytes(data)


def test_no_flipped_bit_passes_where_a_hash_is_recorded(questions: Write, tmp_path: Path) -> None:
    path = questions("t")
    record_checksums(tmp_path, path.name)
    require_sound(path)
    whole = path.read_bytes()
    for seed in range(100):
        path.write_bytes(damaged(whole, seed))
        with pytest.raises(ValueError, match=r"t\.arrow: is damaged, as its SHA-256 is not that in SHA256SUMS"):
            require_sound(path)
    path.write_bytes(whole)
    require_sound(path)
    assert subprocess.run(["sha256sum", "--check", CHECKSUMS], cwd=tmp_path, timeout=60).returncode == 0
    forget_checksums(tmp_path, path.name)
    assert not (tmp_path / CHECKSUMS).exists()


#: Opens every file of a folder and reads all values; prints what it says about each.
_READER = """
import json, sys
from pathlib import Path
from bridgetower.datasets.arrow import ArrowTable
said = []
for path in sorted(Path(sys.argv[1]).glob("*.arrow")):
    try:
        table = ArrowTable(path)
        for column in table.schema.names:
            for _, part in table.parts(column):
                part.to_pylist()
        said.append("")
    except (ValueError, KeyError) as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_damaged_files_without_a_hash_end_no_program(questions: Write, tmp_path: Path) -> None:
    whole = questions("whole").read_bytes()
    folder = tmp_path / "damaged"
    folder.mkdir()
    for seed in range(60):
        (folder / f"{seed:02d}.arrow").write_bytes(damaged(whole, seed))
    done = subprocess.run([sys.executable, "-c", _READER, str(folder)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    refused = [text for text in said if text]
    assert len(said) == 60 and len(refused) > 10 and all("\n" not in text for text in refused)
    assert all("not a complete arrow file" in text for text in refused)


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"\xff" * 100], ids=["empty", "cut", "other"])
def test_other_files(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t.arrow").write_bytes(content)
    with pytest.raises(ValueError, match=r"t\.arrow: not a complete arrow file .*; copy or make it again"):
        require_sound(tmp_path / "t.arrow")


def test_a_sound_file_is_read_once_until_it_changes(questions: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                    ) -> None:
    path = questions("t")
    read: list[Path] = []

    class Counting:
        def problem(self, each: Path) -> str:
            read.append(each)
            return ""

    monkeypatch.setattr(soundness, "_validator", Counting())
    for _ in range(3):
        ArrowTable(path)
    assert read == [path]
    content, facts = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as an archive may set it
    ArrowTable(path)
    assert read == [path, path]


@pytest.mark.parametrize("text, message", [(b"abc\n", "SHA256SUMS line 1 is no hash"),
                                           (b"\xff", "SHA256SUMS is damaged")])
def test_a_damaged_list_of_hashes(text: bytes, message: str, questions: Write, tmp_path: Path) -> None:
    path = questions("t")
    (tmp_path / CHECKSUMS).write_bytes(text)
    with pytest.raises(ValueError, match=message):
        require_sound(path)
