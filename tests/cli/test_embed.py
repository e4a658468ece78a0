"""embed: vectors of pictures, texts and pairs in three formats, in parts, complete or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bridgetower import pipeline
from bridgetower.cli import main
from bridgetower.search.vector_files import VectorFile, content_hash

Folders = Callable[[str], Path]
pytestmark = pytest.mark.usefixtures("untuned")


def read(path: Path) -> list[dict[str, Any]]:
    return [record for table in VectorFile(path).tables() for record in table.to_pylist()]


@pytest.fixture
def embed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def embed(*words: Any) -> str:
        status = main(["embed", *map(str, words)])
        output = capsys.readouterr()
        assert status == 0, output.err
        return output.out

    return embed


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".npy"])
def test_pictures(suffix: str, embed: Any, saved: Folders, pictures: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "new" / f"vectors{suffix}"
    assert embed(saved("contrastive"), pictures[0].parent, "--output", output) == f"{output}: 7 vectors\n"
    expected = np.stack(pipeline("feature-extraction", saved("contrastive"))(pictures))
    records = read(output)
    np.testing.assert_allclose([record["vector"] for record in records], expected, atol=1e-6)
    assert [(record["image"], record["sha256"], record["text"]) for record in records] == [
        (str(path), content_hash(path), "") for path in pictures]
    assert VectorFile(output).made.model_class == "BridgeTowerForContrastiveLearning"
    if suffix == ".npy":
        np.testing.assert_allclose(np.load(output), expected, atol=1e-6)
    elif suffix == ".parquet":
        assert pq.read_table(output).column_names == ["image", "text", "sha256", "vector"]
    else:
        assert len(output.read_text().splitlines()) == 7


def test_shards(embed: Any, saved: Folders, pictures: list[Path], tmp_path: Path) -> None:
    parts = [tmp_path / f"{part}.parquet" for part in (1, 2, 3)]
    for part, output in enumerate(parts, 1):
        embed(saved("contrastive"), pictures[0].parent, "--output", output, "--shard", f"{part}/3")
    assert [[record["image"] for record in read(path)] for path in parts] == [
        [str(path) for path in pictures[part::3]] for part in range(3)]


def test_texts_and_pairs(embed: Any, saved: Folders, pictures: list[Path], tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a red square\n\nis it blue?\n")
    (tmp_path / "pairs.csv").write_text(f"image,text\n{pictures[0]},red\n{pictures[1]},blue\n")
    pipe = pipeline("feature-extraction", saved("contrastive"))
    embed(saved("contrastive"), tmp_path / "texts.txt", "--of", "texts", "--output", tmp_path / "texts.npy")
    np.testing.assert_allclose(np.load(tmp_path / "texts.npy"), pipe(text=["a red square", "is it blue?"]), atol=1e-5)
    embed(saved("contrastive"), tmp_path / "pairs.csv", "--of", "pairs", "--output", tmp_path / "pairs.jsonl")
    records = read(tmp_path / "pairs.jsonl")
    np.testing.assert_allclose([record["vector"] for record in records], pipe(pictures[:2], ["red", "blue"]), atol=1e-5)
    assert [record["text"] for record in records] == ["red", "blue"]
    embed(saved("contrastive"), tmp_path / "pairs.csv", "--of", "texts", "--output", tmp_path / "both.npy")
    assert json.loads((tmp_path / "both.npy.json").read_text())["rows"][1] == ["", "blue", ""]


@pytest.mark.parametrize("words, message", [
    (["{source}", "--output", "{new}/x.csv"], "Formats are .parquet, .jsonl, .npy"),
    (["{source}", "--output", "{new}/x.npy", "--shard", "8/9"], "has no row for --shard 8/9"),
    (["{source}/absent.txt", "--output", "{new}/x.npy", "--of", "texts"], "absent.txt: no such file of texts"),
    (["{bad}", "--output", "{new}/x.npy"], "bad.png: unreadable picture"),
    (["{bad}", "--output", "{new}/x.parquet", "--skip_bad"], "no picture could be read; nothing is written"),
])
def test_bad_input(words: list[str], message: str, saved: Folders, pictures: list[Path], tmp_path: Path,
                   capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.png").write_text("x")
    names = {"source": pictures[0].parent, "new": tmp_path / "new", "bad": tmp_path / "bad.png"}
    assert main(["embed", str(saved("vqa")), *(word.format(**names) for word in words)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("shard", ["3", "0/4", "5/4", "a/b"])
def test_bad_shard(shard: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["embed", "model", "x", "--output", "x.npy", "--shard", shard])
    assert "write 3/16 for the third of 16 parts" in capsys.readouterr().err


def test_not_a_file_of_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2, 3)))
    with pytest.raises(FileNotFoundError, match=r"x\.npy\.json does not exist; make it with bridgetower embed"):
        VectorFile(tmp_path / "x.npy")
    (tmp_path / "x.npy.json").write_text("{}")
    with pytest.raises(ValueError, match="was not written by bridgetower embed"):
        VectorFile(tmp_path / "x.npy")
