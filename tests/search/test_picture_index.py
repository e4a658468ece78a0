"""An index over pictures whose vectors are their colours: kept up to date, interrupted, searched, one writer."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgetower.search.indexing import Changes, index_files, index_vectors
from bridgetower.search.picture_index import Entry, PictureIndex
from bridgetower.search.searching import Found, Query, search, search_many
from bridgetower.search.vector_files import Made, write_vectors

WORDS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "grey": (1, 1, 1)}
MADE = Made("Colours", [1.0, 0.0], 3)


class Colours:
    """Makes a vector of a picture, its mean colour, or of the name of a colour; counts the pictures."""

    def __init__(self, fail_after: int = 10**9) -> None:
        self.seen: list[str] = []
        self.fail_after = fail_after

    def __call__(self, image: Any = None, text: Any = None) -> Any:
        if isinstance(text, list):
            return [self(text=one) for one in text]
        if image is None:
            return self._unit(np.array(WORDS[text], float))
        if isinstance(image, str):
            return self._of(image)
        return (self._of(one) for one in image)

    def _of(self, path: str) -> np.ndarray | None:
        if len(self.seen) == self.fail_after:
            raise KeyboardInterrupt
        self.seen.append(os.path.basename(path))
        try:
            return self._unit(np.asarray(Image.open(path), float).mean(axis=(0, 1)) + 1e-3)
        except OSError:
            return None

    @staticmethod
    def _unit(vector: np.ndarray) -> np.ndarray:
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def paint(path: Path, colour: Sequence[int]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), tuple(colour)).save(path)
    return str(path)


def first(index: PictureIndex, *query: Any, top: int = 10) -> list[Found]:
    """What an index has for one query."""
    return search(index, Colours(), *query, top=top)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for number in range(12):
        paint(tmp_path / "pictures" / f"it's {number}.png", draw.integers(1, 255, 3).tolist())
    paint(tmp_path / "pictures" / "deep" / "red.png", (255, 3, 2))
    paint(tmp_path / "pictures" / "deep" / "blue.png", (1, 2, 255))
    return tmp_path / "pictures"


def update(index: PictureIndex, folder: Path, embed: Colours, made: Made = MADE) -> Changes:
    files = sorted(str(path) for path in folder.rglob("*.png"))
    with index.writing():
        return index_files(index, files, folder, embed, made, "colours")


def test_search(folder: Path, tmp_path: Path) -> None:
    index, embed = PictureIndex(tmp_path / "index"), Colours()
    assert str(update(index, folder, embed)) == "14 added" and len(index) == 14
    index = PictureIndex.existing(tmp_path / "index")
    best, second = first(index, "red", top=2)
    assert best.image == str(folder / "deep" / "red.png") and best.similarity > second.similarity
    assert best.similarity == pytest.approx(float(embed(best.image) @ embed(text="red")), abs=1e-5)
    assert best.sha256 == hashlib.sha256(Path(best.image).read_bytes()).hexdigest()
    vectors = {str(path): embed(str(path)) for path in folder.rglob("*.png")}
    expected = sorted(vectors, key=lambda path: -float(vectors[path] @ embed(text="red")))
    assert [found.image for found in first(index, "red", top=99)] == expected
    blue = str(folder / "deep" / "blue.png")
    assert first(index, None, blue, top=1)[0].similarity == pytest.approx(1, abs=1e-5)
    query = embed(text="red") + embed(blue)
    assert first(index, "red", blue, top=3)[0].image == max(vectors, key=lambda path: float(vectors[path] @ query))


def test_many_queries_at_once_are_answered_as_one_by_one(folder: Path, tmp_path: Path) -> None:
    index = PictureIndex(tmp_path / "index")
    update(index, folder, Colours())
    blue = str(folder / "deep" / "blue.png")
    queries = [Query("red", top=3), Query(None, blue, top=2), Query("green", blue), Query(" red ", top=99)]
    together = search_many(index, Colours(), queries)
    assert [len(found) for found in together] == [3, 2, 10, 14] and search_many(index, Colours(), []) == []
    for query, found in zip(queries, together, strict=True):
        (alone,) = search_many(index, Colours(), [query])
        assert [one.image for one in found] == [one.image for one in alone]
        assert [one.similarity for one in found] == pytest.approx([one.similarity for one in alone], abs=1e-6)


def test_rerank(folder: Path, tmp_path: Path) -> None:
    index, embed = PictureIndex(tmp_path / "index"), Colours()
    update(index, folder, embed)
    asked: list[str] = []

    def match(images: Sequence[str], text: str) -> list[float | None]:
        asked.extend(images)
        return [None, *map(float, range(len(images) - 1))]

    plain = [found.image for found in first(index, "red", top=6)]
    found, others = search_many(index, embed, [Query("red", top=5, rerank=4), Query("red", top=6)], match)
    assert asked == plain[:4] and [one.image for one in others] == plain
    assert [one.image for one in found] == [plain[3], plain[2], plain[1], plain[4]]
    assert [one.score for one in found] == [2, 1, 0, None]
    with pytest.raises(ValueError, match="matching head"):
        search(index, embed, "red", rerank=4)


@pytest.mark.parametrize(("query", "message"), [({}, "nothing to search for"), ({"text": " "}, "nothing to search for"),
                                                ({"image": "a.png", "rerank": 4}, "give words too")])
def test_queries_that_cannot_be_answered(query: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Query(**query)


def test_only_what_changed_is_embedded(folder: Path, tmp_path: Path) -> None:
    index = PictureIndex(tmp_path / "index")
    update(index, folder, Colours())
    assert str(update(PictureIndex(tmp_path / "index"), folder, Colours())) == "14 kept"
    paint(folder / "it's 1.png", (1, 250, 2))  # changed
    (folder / "it's 2.png").unlink()  # removed
    os.utime(folder / "it's 3.png", (1, 1))  # touched
    (folder / "it's 4.png").rename(folder / "renamed.png")
    shutil.copy(folder / "it's 5.png", folder / "copy.png")
    paint(folder / "new.png", (9, 9, 9))
    (folder / "broken.png").write_text("x")
    embed = Colours()
    changes = update(PictureIndex(tmp_path / "index"), folder, embed)
    assert changes == Changes(added=1, changed=1, same_content=3, removed=2, kept=10, unreadable=1)
    assert sorted(embed.seen) == ["broken.png", "it's 1.png", "new.png"]
    index = PictureIndex.existing(tmp_path / "index")
    fresh = PictureIndex(tmp_path / "fresh")
    update(fresh, folder, Colours())
    assert set(index.entries()) == set(fresh.entries())
    for word in WORDS:
        found, expected = first(index, word, top=99), first(fresh, word, top=99)
        assert {one.image: round(one.similarity, 5) for one in found} == {
            one.image: round(one.similarity, 5) for one in expected}


def test_contents_that_change_places(folder: Path, tmp_path: Path) -> None:
    """A picture takes the content of another one that gets a new content itself."""
    index = PictureIndex(tmp_path / "index")
    update(index, folder, Colours())
    shutil.copy(folder / "deep" / "red.png", folder / "it's 0.png")
    paint(folder / "deep" / "red.png", (7, 8, 9))
    update(PictureIndex(tmp_path / "index"), folder, Colours())
    assert first(PictureIndex.existing(tmp_path / "index"), "red", top=1)[0].image.endswith("it's 0.png")


def test_an_interrupted_update_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridgetower.search.indexing._STEP", 4)
    with pytest.raises(KeyboardInterrupt):
        update(PictureIndex(tmp_path / "index"), folder, Colours(fail_after=10))
    assert len(PictureIndex.existing(tmp_path / "index")) == 8
    embed = Colours()
    assert str(update(PictureIndex(tmp_path / "index"), folder, embed)) == "6 added, 8 kept"
    assert len(embed.seen) == 6


@pytest.mark.parametrize("moment, stored", [("embedding", 8), ("storing", 12), ("tidying", 14)])
def test_a_killed_process_loses_nothing(moment: str, stored: int, folder: Path, tmp_path: Path) -> None:
    """Nothing is cleaned up then: the next run goes on from what was stored, and nobody holds the lock."""
    place = tmp_path / "index"
    killed = subprocess.run([sys.executable, "-m", "tests.search.killed_update", str(folder), str(place), moment],
                            cwd=Path(__file__).parents[2], timeout=120, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(PictureIndex.existing(place)) == stored
    embed = Colours()
    update(PictureIndex(place), folder, embed)
    assert len(embed.seen) == 14 - stored
    index = PictureIndex.existing(place)
    assert len(index) == 14 == len({entry.image for entry in index.entries()})
    assert first(index, "red", top=1)[0].image.endswith("red.png")


def test_pictures_elsewhere_stay(folder: Path, tmp_path: Path) -> None:
    index = PictureIndex(tmp_path / "index")
    update(index, folder, Colours())
    paint(tmp_path / "pictures2" / "one.png", (1, 2, 3))
    assert str(update(PictureIndex(tmp_path / "index"), tmp_path / "pictures2", Colours())) == "1 added"
    assert len(PictureIndex(tmp_path / "index")) == 15


def test_another_model(folder: Path, tmp_path: Path) -> None:
    index = PictureIndex(tmp_path / "index")
    update(index, folder, Colours())
    with pytest.raises(ValueError, match=r"was made with another model \(Colours of colours\)"):
        update(PictureIndex(tmp_path / "index"), folder, Colours(), Made("Colours", [0.9, 0.1], 3))
    update(PictureIndex(tmp_path / "index"), folder, Colours(), Made("Colours", [1.0001, 0.0], 3))


def test_nothing_is_left_of_a_failed_beginning(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "broken.png").write_text("x")
    with pytest.raises(ValueError, match="none of 1 pictures could be read"):
        update(PictureIndex(tmp_path / "new" / "index"), tmp_path / "pictures", Colours())
    assert not (tmp_path / "new" / "index").exists()
    with pytest.raises(FileNotFoundError, match="is no index; make one with bridgetower index"):
        PictureIndex.existing(tmp_path / "new" / "index")


def test_one_writer(folder: Path, tmp_path: Path) -> None:
    """A second process is refused while the first one writes, and readers are not."""
    index = PictureIndex(tmp_path / "index")
    update(index, folder, Colours())
    code = ("import sys; from bridgetower.search.picture_index import PictureIndex\n"
            "index = PictureIndex(sys.argv[1]); print(len(index))\n"
            "for _ in range(2):\n"
            "    try:\n        with index.writing(): print('written')\n    except OSError as error: print(error)\n"
            "    sys.stdout.flush(); sys.stdin.readline()")
    with index.writing():
        other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "index")], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        assert other.stdout is not None
        assert other.stdout.readline() == "14\n"
        assert "is being written by process " in other.stdout.readline()
    assert other.communicate("\n\n", timeout=240) == ("written\n", None)
    assert other.returncode == 0


def test_grouped_vectors(tmp_path: Path) -> None:
    """The nearest of grouped vectors are those of an exact search, for rows that came after the grouping too."""
    draw = np.random.default_rng(0)
    vectors = np.cumsum(draw.standard_normal((2000, 16)), axis=0)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    made = Made("Walk", [1.0], 16)
    index = PictureIndex(tmp_path / "index")
    entries = [Entry(f"/{number}.png", str(number)) for number in range(2000)]
    with index.writing():
        for some in (slice(1500), slice(1500, None)):
            index.upsert(entries[some], vectors[some], made, "walk")
            index.finish(approximate_above=1000)
    assert index._is_grouped() and len(index) == 2000
    asked = vectors[::40]
    right = [{f"/{row}.png" for row in np.argsort(-(vectors @ vector))[:10]} for vector in asked]
    assert [{one.image for one in near} for near in index.nearest(asked, 10, exact=True)] == right
    found = [{one.image for one in near} for near in index.nearest(asked, 10)]
    assert sum(len(some & expected) for some, expected in zip(found, right, strict=True)) >= 0.95 * 500


class TestVectorFiles:
    """Files of `bridgetower embed`, of several machines."""

    @pytest.fixture
    def files(self, folder: Path, tmp_path: Path) -> list[Path]:
        paths = sorted(str(path) for path in folder.rglob("*.png"))
        embed = Colours()

        def rows(part: int) -> Iterator[tuple[Any, np.ndarray]]:
            for path in paths[part::2]:
                yield type("Row", (), {"image": path, "text": None}), embed(path)

        for part, name in enumerate(("a.parquet", "b.jsonl")):
            write_vectors(tmp_path / name, rows(part), MADE.model_class, MADE.probe)
        return [tmp_path / "a.parquet", tmp_path / "b.jsonl"]

    def test_index(self, files: list[Path], folder: Path, tmp_path: Path) -> None:
        index = PictureIndex(tmp_path / "index")
        with index.writing():
            assert str(index_vectors(index, files, MADE, "colours")) == "14 added"
        with index.writing():
            assert str(index_vectors(index, files[:1], MADE, "colours")) == "7 changed"
        assert first(index, "red", top=1)[0].image.endswith("deep/red.png")
        embed = Colours()  # the folder itself then only looks at the contents
        assert str(update(PictureIndex(tmp_path / "index"), folder, embed)) == "14 same content" and not embed.seen

    def test_other_model(self, files: list[Path], tmp_path: Path) -> None:
        index = PictureIndex(tmp_path / "index")
        with pytest.raises(ValueError, match="a.parquet has vectors of another model"), index.writing():
            index_vectors(index, files, Made("Colours", [0.0, 1.0], 3), "colours")
        assert not (tmp_path / "index").exists()
