"""The command line as a user meets it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from bridgetower.files import locked_folder
from bridgetower.preparation import DATA_SETS, ImageReader, Row
from bridgetower.preparation.__main__ import PROGRAM, build_parser, main
from tests.preparation.raw_data import make_image, rows, write_json

NAMES = {"table", *DATA_SETS, "vgqa_split", "tokenizer", "check"}


@pytest.fixture
def flickr(tmp_path: Path) -> Path:
    """A source of 40 images."""
    for number in range(40):
        make_image(tmp_path / "data/flickr30k-images" / f"{number}.jpg")
    images = [{"filename": f"{n}.jpg", "split": "train", "sentences": [{"raw": "x"}]} for n in range(40)]
    write_json(tmp_path / "data/karpathy/dataset_flickr30k.json", {"images": images})
    return tmp_path / "data"


def test_help_has_an_example_of_every_name_that_parses() -> None:
    lines = [line.strip() for line in build_parser().format_help().splitlines()]
    examples = [shlex.split(line) for line in lines if line.startswith(PROGRAM)]
    assert {words[3] for words in examples} == NAMES and len(examples) == len(NAMES)
    for words in examples:
        assert callable(build_parser().parse_args(words[3:]).run)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_help_of_each_name_repeats_its_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert f"{PROGRAM} {name} --" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", ["", "nothing", "coco", "f30k --source x --output y --workers 0"])
def test_wrong_arguments(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments.split())
    assert "error: " in capsys.readouterr().err


def test_the_user_directory_is_expanded(flickr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["f30k", "--source", "~/data", "--output", "~/out", "--workers", "1"]) == 0
    assert len(rows(tmp_path / "out/f30k_caption_karpathy_train.arrow")) == 40


def test_several_processes_show_progress_and_write_the_same_file(flickr: Path, tmp_path: Path) -> None:
    for workers in ("1", "2"):
        command = [sys.executable, "-m", "bridgetower.preparation", "f30k", "--source", flickr, "--workers", workers]
        done = subprocess.run([*command, "--output", tmp_path / workers], capture_output=True, text=True, check=True,
                              timeout=240)
        assert "40 rows" in done.stdout and "40/40" in done.stderr and "rows/s" in done.stderr
    (one, two) = (tmp_path / workers / "f30k_caption_karpathy_train.arrow" for workers in ("1", "2"))
    assert one.read_bytes() == two.read_bytes()


def test_an_interrupt_ends_cleanly(
    flickr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = ImageReader.read

    def interrupted(reader: ImageReader, table_rows: Iterable[Row]) -> Iterator[tuple[Row, list[bytes] | str]]:
        yield from islice(read(reader, table_rows), 7)
        raise KeyboardInterrupt

    monkeypatch.setattr(ImageReader, "read", interrupted)
    arguments = ["f30k", "--source", str(flickr), "--output", str(tmp_path / "out"), "--workers", "1"]
    assert main(arguments) == 130
    assert "interrupted; the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    assert main(arguments) == 0


def test_one_preparation_at_a_time(flickr: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["f30k", "--source", str(flickr), "--output", str(tmp_path / "out"), "--workers", "1"]
    with locked_folder(tmp_path / "out"):
        assert main([*arguments, "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'out'} is being written by process ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists() and main(arguments) == 0


def test_a_signal_ends_it_cleanly(flickr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    """A second signal does not disturb the end, and the handlers of before are there again."""
    def terminated(reader: ImageReader, table_rows: Iterable[Row]) -> Iterator[tuple[Row, list[bytes] | str]]:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            yield from ()

    monkeypatch.setattr(ImageReader, "read", terminated)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["f30k", "--source", str(flickr), "--output", str(tmp_path / "out"), "--workers", "1"]) == 130
    assert "interrupted; the same command goes on" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and signal.getsignal(signal.SIGTERM) == before


def test_no_training_framework_is_imported() -> None:
    code = (
        "import sys, bridgetower.preparation.__main__\n"
        "print(sorted({'paddle', 'torch', 'paddlenlp', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          timeout=240)
    assert done.stdout.strip() == "[]"
