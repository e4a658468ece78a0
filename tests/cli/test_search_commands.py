"""index and search with real models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridgetower import pipeline
from bridgetower.cli import main
from bridgetower.search.picture_index import PictureIndex
from tests.saved_models import write_pictures

Folders = Callable[[str], Path]
pytestmark = pytest.mark.usefixtures("untuned")


@pytest.fixture(scope="module")
def index(saved: Folders, pictures: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    assert main(["index", str(saved("itm_itc")), str(pictures[0].parent), "--output", str(folder / "index")]) == 0
    return folder / "index"


def test_search(index: Path, run: Any, saved: Folders, pictures: list[Path]) -> None:
    vectors = pipeline("feature-extraction", saved("itm_itc"))
    similarities = np.stack(vectors(pictures)) @ vectors(text="a red square")
    best = [str(pictures[place]) for place in np.argsort(-similarities)]
    found = [json.loads(line) for line in run("search", index, "a red square", "--json", "--top", 5)]
    assert [one["image"] for one in found] == best[:5]
    np.testing.assert_allclose([one["similarity"] for one in found], np.sort(similarities)[::-1][:5], atol=1e-5)
    scores = {str(path): one["score"] for path, one in zip(
        pictures, pipeline("image-text-matching", saved("itm"))(pictures, "a red square"), strict=True)}
    reranked = [json.loads(line) for line in run("search", index, "a red square", "--json", "--rerank", 4)]
    assert {one["image"] for one in reranked[:4]} == set(best[:4]) and len(scores) == 7
    assert [one["score"] for one in reranked[:4]] == sorted((one["score"] for one in reranked[:4]), reverse=True)
    assert "score" not in reranked[4]
    table = run("search", index, "--image", pictures[2], "--top", 2)
    assert table[0].split() == ["picture", "similarity"] and table[1].split() == [str(pictures[2]), "1.0000"]


def test_vectors_of_several_machines(run: Any, saved: Folders, pictures: list[Path], index: Path, tmp_path: Path
                                     ) -> None:
    files = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for part, file in enumerate(files, 1):
        run("embed", saved("itm_itc"), pictures[0].parent, "--output", file, "--shard", f"{part}/2")
    line, = run("index", saved("itm_itc"), "--vectors", *files, "--output", tmp_path / "index")
    assert line == f"{tmp_path / 'index'}: 7 pictures (7 added)"
    assert run("search", tmp_path / "index", "blue") == run("search", index, "blue")


@pytest.mark.slow
def test_an_export_is_the_same_model(index: Path, run: Any, exported: Folders, pictures: list[Path]) -> None:
    assert run("search", index, "blue", "--model", exported("itm_itc")) == run("search", index, "blue")


@pytest.mark.parametrize("words, message", [
    (["index", "{itm}", "{pictures}", "--output", "{new}"], "has no contrastive heads, which make"),
    (["index", "{itm_itc}", "{new}", "--output", "{new}/index"], "no such picture, folder or list"),
    (["index", "{itm_itc}", "{empty}", "--output", "{new}"], "empty has no pictures"),
    (["index", "{itm_itc}", "--output", "{new}"], "give pictures, or --vectors"),
    (["index", "{contrastive}", "{pictures}", "--output", "{index}"], "was made with another model "
                                                                      "(BridgeTowerForContrastiveRetrieval of "),
    (["index", "{itm_itc}", "{bad}", "--output", "{new}"], "text.png: unreadable picture"),
    (["search", "{new}", "red"], "is no index; make one with bridgetower index MODEL FOLDER --output"),
    (["search", "{index}"], "give words, --image, or both"),
    (["search", "{index}", " "], "give words, --image, or both"),
    (["search", "{broken}", "red"], "broken is an index that cannot be read ("),
    (["index", "{itm_itc}", "{pictures}", "--output", "{broken}"], "remove it and make it again"),
    (["index", "{itm_itc}", "{pictures}", "--output", "{picture}"], "is a file; name a folder for the index"),
    (["search", "{index}", "red", "--model", "{contrastive}"], "was made with another model"),
    (["search", "{index}", "--image", "{new}.png"], "new.png: no such picture"),
    (["search", "{index}", "--image", "{picture}", "--rerank", "5"], "give words too"),
])
def test_bad_input(words: list[str], message: str, saved: Folders, pictures: list[Path], index: Path, tmp_path: Path,
                   capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    write_pictures(tmp_path / "bad", 1)
    (tmp_path / "bad" / "text.png").write_text("x")
    (tmp_path / "broken" / "pictures.lance" / "_versions").mkdir(parents=True)
    (tmp_path / "broken" / "pictures.lance" / "_versions" / "1.manifest").write_text("junk")
    names: dict[str, Any] = {name: saved(name) for name in ("itm", "itm_itc", "contrastive")}
    names |= {"pictures": pictures[0].parent, "picture": pictures[0], "empty": tmp_path / "empty",
              "new": tmp_path / "new", "index": index, "bad": tmp_path / "bad",
              "broken": tmp_path / "broken"}
    assert main([word.format(**names) for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_an_index_that_is_being_written(index: Path, saved: Folders, pictures: list[Path],
                                        capsys: pytest.CaptureFixture[str]) -> None:
    with PictureIndex(index).writing():
        assert main(["index", str(saved("itm_itc")), str(pictures[0].parent), "--output", str(index)]) == 2
    assert "index is being written by process " in capsys.readouterr().err


def test_a_negative_number(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["search", str(index), "red", "--rerank", "-5"])
    assert "'-5' is not a whole number between 0 and 1,000,000" in capsys.readouterr().err


def test_rerank_without_a_matching_head(run: Any, saved: Folders, pictures: list[Path], tmp_path: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    run("index", saved("contrastive"), pictures[0].parent, "--output", tmp_path / "index")
    assert main(["search", str(tmp_path / "index"), "red", "--rerank", "5"]) == 2
    assert "the model has no matching head, so drop it" in capsys.readouterr().err
