"""The command `explain`: pictures, numbers, and one line for bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bridgetower.cli import main

pytestmark = pytest.mark.usefixtures("untuned")
Folders = Callable[[str], Path]
Run = Callable[..., list[str]]


def test_explain(run: Run, saved: Folders, pictures: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "deep/explained.png"
    words = ["explain", saved("vqa"), pictures[0], "--text", "is it red?", "--output", target]
    *table, last = run(*words)
    assert [line.split()[0] for line in table] == ["word", "is", "it", "red"]
    assert last.endswith(f"saved {target}") and Image.open(target).format == "PNG"
    (line,) = run(*words, "--json", "--answer", "blue", "--layer", 1, "--head", 2)
    found = json.loads(line)
    assert found["answer"] == "blue" and found["words"] == ["is", "it", "red"] and found["output"] == str(target)


def test_heads(run: Run, saved: Folders, pictures: list[Path], tmp_path: Path, mini: Path) -> None:
    listed = tmp_path / "pairs.csv"
    listed.write_text("image,text\n" + "".join(f"{path},a red square\n" for path in pictures[:3]))
    target = tmp_path / "heads.png"
    *table, last = run("explain", "--heads", saved("vqa"), saved("pretrain"), "--data", listed, "--output", target)
    assert len(table) == 1 + 2 * 4 * 2 and last == f"mean over 3 pairs; saved {target}"
    assert Image.open(target).format == "PNG"
    arrow = mini / "data/easy_vqa_test.arrow"
    lines = run("explain", "--heads", saved("vqa"), "--data", arrow, "--limit", 5, "--output", target, "--json")
    assert [json.loads(line)["pairs"] for line in lines] == [5]


def test_deletion(run: Run, saved: Folders, mini: Path) -> None:
    words = ["explain", "--deletion", saved("vqa"), "--data", mini / "data/easy_vqa_test.arrow", "--limit", 3]
    header, *table, last = run(*words)
    assert header.split() == "removed most relevant first at random least relevant first".split()
    assert table[0].split()[0] == "0.0000" and len(set(table[0].split()[1:])) == 1, "nothing is removed yet"
    assert last == "mean score of the model's answers over 3 pairs"
    (line,) = run(*words, "--json")
    assert json.loads(line)["pairs"] == 3


@pytest.mark.parametrize("words, message", [
    (["MODEL", "PICTURE"], "--text is missing"),
    (["MODEL", "--text", "red?"], "PICTURE is missing"),
    (["MODEL", "absent.png", "--text", "red?"], "absent.png: no such picture"),
    (["MODEL", "FOLDER", "--text", "red?"], "no such picture"),
    (["MODEL", "PICTURE", "--text", "red?", "--limit", "3"], "--limit cannot be used here"),
    (["MODEL", "PICTURE", "--text", "red?", "--layer", "7"], "layer 7 does not exist"),
    (["MODEL", "PICTURE", "--text", "a <mask>"], "no head for fill-mask"),
    (["MODEL", "LIST", "--text", "red?"], "unreadable picture"),
    (["absent", "PICTURE", "--text", "red?"], "absent"),
    (["--heads", "MODEL"], "--data is missing"),
    (["--heads", "MODEL", "--data", "absent.csv"], "absent.csv: no such"),
    (["--heads", "MODEL", "--data", "absent.arrow"], "absent.arrow: no such arrow file"),
    (["--heads", "MODEL", "--data", "LIST", "--text", "red?"], "--text cannot be used with --heads"),
    (["--heads", "MODEL", "--data", "LIST"], "picture without a text"),
    (["--deletion", "MODEL", "--heads", "MODEL", "--data", "LIST"], "exclude each other"),
    (["--deletion", "MODEL", "--data", "LIST", "--output", "x.png"], "--output cannot be used with --deletion"),
])
def test_bad_input(words: list[str], message: str, saved: Folders, pictures: list[Path], tmp_path: Path,
                   monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    listed = tmp_path / "list.csv"
    listed.write_text(f"image\n{pictures[0]}\n")
    places: dict[str, Any] = {"MODEL": saved("vqa"), "PICTURE": pictures[0], "LIST": listed, "FOLDER": tmp_path}
    assert main(["explain", *(str(places.get(word, word)) for word in words)]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("bridgetower explain: error: ") and message in error
    assert [path.name for path in tmp_path.iterdir()] == ["list.csv"]
