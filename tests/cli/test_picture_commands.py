"""ask, match, fill, classify: what they print, what they read, and one line for what is wrong."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridgetower import pipeline
from bridgetower.cli import main
from tests.saved_models import save_model, write_pictures

Folders = Callable[[str], Path]
pytestmark = pytest.mark.usefixtures("untuned")


def test_ask(run: Any, saved: Folders, pictures: list[Path]) -> None:
    expected = pipeline("visual-question-answering", saved("vqa"))(pictures[0], ["what is this?", "red?"])
    header, *lines = run("ask", saved("vqa"), pictures[0], "what is this?", "red?")
    assert header.split() == ["picture", "question", "answer", "score"]
    assert [line.split()[-2:] for line in lines] == [[one[0]["answer"], f"{one[0]['score']:.4f}"] for one in expected]
    assert len({line.index(one[0]["answer"]) for line, one in zip(lines, expected, strict=True)}) == 1
    lines = run("ask", saved("vqa"), pictures[0], "what is this?", "--top", 3)
    assert len(lines) == 4 and lines[2].startswith(" " * len(str(pictures[0])))


def test_json(run: Any, saved: Folders, pictures: list[Path]) -> None:
    records = [json.loads(line) for line in run("ask", saved("vqa"), pictures[0].parent, "red?", "--json", "--top", 2)]
    assert [record["image"] for record in records] == [str(path) for path in pictures]
    assert all(record["question"] == "red?" and len(record["results"]) == 2 for record in records)
    record = json.loads(*run("match", saved("itm"), pictures[0], "red", "--json"))
    assert set(record) == {"image", "text", "score", "label"}


@pytest.mark.parametrize("words, columns", [
    (["match", "itm", "PICTURE", "a red square"], {"match", "no match"}),
    (["fill", "mlm", "PICTURE", "a <mask> square"], None),
    (["classify", "entailment", "PICTURE", "red"], {"contradiction", "neutral", "entailment"}),
    (["classify", "nlvr2", "PICTURE", "red", "--second", "PICTURE"], {"True", "False"}),
    (["classify", "contrastive", "PICTURE", "--labels", "red", "blue"], {"red", "blue"}),
    (["classify", "cifar", "PICTURE"], {"0", "1", "2", "3"}),
], ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "")
def test_commands(words: list[str], columns: set[str] | None, run: Any, saved: Folders, pictures: list[Path]) -> None:
    command, model, *rest = (str(pictures[0]) if word == "PICTURE" else word for word in words)
    records = [json.loads(line) for line in run(command, saved(model), *rest, "--json")]
    assert len(records) == 1
    results = records[0].get("results", [records[0]])
    if columns is not None:
        assert {result["label"] for result in results} <= columns
    assert len(run(command, saved(model), *rest)) == 1 + len(results)


def test_sources(run: Any, saved: Folders, pictures: list[Path], tmp_path: Path) -> None:
    """A folder, a pattern, and lists in which texts stand with pictures that are relative to the list."""
    folder = tmp_path / "data"
    copies = write_pictures(folder / "deep", 2)
    rows = [{"image": f"deep/{path.name}", "question": text} for path in copies for text in ("red?", "what, this?")]
    with open(folder / "list.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, ["image", "question"])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    expected = run("ask", saved("vqa"), folder, "red?", "what, this?", "--json")
    assert [json.loads(line)["question"] for line in expected] == ["red?", "what, this?"] * 2
    for source, texts in ((folder / "deep/*.png", ["red?", "what, this?"]), (folder / "list.csv", []),
                          (folder / "list.jsonl", [])):
        found = [json.loads(line) for line in run("ask", saved("vqa"), source, *texts, "--json")]
        for one, other in zip(found, map(json.loads, expected), strict=True):
            assert (one["image"], one["question"], one["results"][0]["answer"]) == (
                other["image"], other["question"], other["results"][0]["answer"])


def test_skip_bad(run: Any, saved: Folders, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pictures(tmp_path, 2)
    (tmp_path / "bad.png").write_text("x")
    assert len(run("ask", saved("vqa"), tmp_path, "red?", "--skip_bad", "--json")) == 2
    assert "bad.png: unreadable picture" in caplog.text


@pytest.mark.parametrize("words, message", [
    (["ask", "{itm}", "{picture}", "red?"], "has no head for visual-question-answering; it serves image-text-matching "
                                            "(bridgetower match), zero-shot-image-classification"),
    (["ask", "{absent}", "{picture}", "red?"], "absent: no such file or folder"),
    (["ask", "{vqa}", "{absent}", "red?"], "absent: no such picture, folder or list"),
    (["ask", "{vqa}", "{empty}", "red?"], "empty has no pictures (.jpg,"),
    (["ask", "{vqa}", "{empty}/*.jpg", "red?"], "no file has such a name"),
    (["ask", "{vqa}", "{picture}"], "question is missing"),
    (["ask", "{vqa}", "{picture}", "{picture}", "red?"], "is a file, expected a question; give several pictures"),
    (["ask", "{vqa}", "https://example.com/x.jpg", "red?"], "is a URL; download"),
    (["ask", "{vqa}", "{text}", "red?"], "unreadable picture (not in a picture format)"),
    (["ask", "{vqa}", "{list}"], "list.csv, row 1: no picture; did you mean 'imag'? Name the column image, file_name"),
    (["ask", "{vqa}", "{lines}"], "lines.jsonl, line 1 is not JSON"),
    (["classify", "{itm}", "{picture}", "x", "--labels", "y"], "--labels and a text exclude each other"),
    (["classify", "{nlvr2}", "{picture}", "x"], "is not a pair of two pictures"),
    (["classify", "{nlvr2}", "{picture}", "x", "--second", "{absent}"], "absent: no such picture"),
    (["fill", "{mlm}", "{picture}", "red"], "'red' has no <mask>"),
    (["fill", "{mlm}", "{picture}", f"{'red ' * 999}<mask>"], "has no <mask> among the tokens that the model reads"),
])
def test_bad_input(words: list[str], message: str, saved: Folders, pictures: list[Path], tmp_path: Path,
                   capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.png").write_text("x")
    (tmp_path / "list.csv").write_text("imag,question\nx,y\n")
    (tmp_path / "lines.jsonl").write_text("{\n")
    names = {name: saved(name) for name in ("itm", "vqa", "nlvr2", "mlm")}
    names |= {"absent": tmp_path / "absent", "empty": tmp_path / "empty", "picture": pictures[0],
              "text": tmp_path / "text.png", "list": tmp_path / "list.csv", "lines": tmp_path / "lines.jsonl"}
    assert main([word.format(**names) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith(f"bridgetower {words[0]}: error: ") and error.count("\n") == 1


@pytest.mark.slow
def test_as_a_program(tmp_path: Path) -> None:
    """The command runs as users run it, says nothing but the answer, and stops quietly when nobody reads on."""
    model, picture = save_model("vqa", tmp_path / "vqa"), write_pictures(tmp_path, 1)[0]
    command = [sys.executable, "-m", "bridgetower", "ask", str(model), str(picture), "red?"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr
    assert not [line for line in done.stderr.splitlines() if "OMP_NUM_THREADS" not in line.upper()], done.stderr
    unread = subprocess.run(f"'{sys.executable}' -m bridgetower --help | head -1", shell=True, capture_output=True,
                            text=True, timeout=300)
    assert unread.returncode == 0 and "Broken" not in unread.stderr
