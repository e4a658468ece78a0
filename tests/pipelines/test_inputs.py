"""What pipelines take and how: forms of input, batches, each picture and text once, errors."""

from __future__ import annotations

import io
import itertools
import tracemalloc
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgetower import pipeline
from bridgetower.pipelines.batches import MAX_PAIRS, Item, batches

Folders = Callable[[str], Path]
QUESTION = "what is this?"


@pytest.fixture
def ask(saved: Folders) -> Any:
    return pipeline("visual-question-answering", saved("vqa"), batch_size=2)


def near(found: Any, expected: Any) -> None:
    assert [one["answer"] for one in found] == [one["answer"] for one in expected]
    np.testing.assert_allclose([one["score"] for one in found], [one["score"] for one in expected], atol=1e-5)


def test_forms_of_a_picture(ask: Any, pictures: list[Path]) -> None:
    path, expected = pictures[0], ask(pictures[0], QUESTION)
    image, content = Image.open(path), path.read_bytes()
    forms = [str(path), content, bytearray(content), memoryview(content), image, np.asarray(image)]
    for form in forms:
        near(ask(form, QUESTION), expected)
    for found in ask(forms, QUESTION):
        near(found, expected)
    near(ask(np.asarray(image)[None], QUESTION)[0], expected)


def test_forms_of_input(ask: Any, pictures: list[Path]) -> None:
    expected = [ask(path, QUESTION) for path in pictures]
    single = {"image": pictures[0], "question": QUESTION}
    near(ask(single), expected[0])
    near(ask(image=pictures[0], question=QUESTION), expected[0])
    for many in (ask(pictures, QUESTION), ask(pictures, [QUESTION] * 7), ask(tuple(pictures), QUESTION),
                 ask([{"image": path, "question": QUESTION} for path in pictures]),
                 list(ask(iter(pictures), QUESTION)),
                 list(ask({"image": path, "question": QUESTION} for path in pictures))):
        assert len(many) == 7
        for found, wanted in zip(many, expected, strict=True):
            near(found, wanted)
    assert len(ask(pictures[0], [QUESTION, "red?", "blue?"])) == 3
    assert len(ask(pictures[0], QUESTION, top_k=2)) == 2 and ask([], QUESTION) == []


def test_each_picture_and_text_passes_its_tower_once(ask: Any, pictures: list[Path],
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[int]] = {"encode_image": [], "encode_text": [], "fuse": []}

    def count(name: str) -> None:
        call = getattr(ask.engine, name)

        def counted(*values: Any, **named: Any) -> Any:
            first = [*values, *named.values()][0]
            seen[name].append(len(first.states[0]) if hasattr(first, "states") else len(first))
            return call(*values, **named)

        monkeypatch.setattr(ask.engine, name, counted)

    for name in seen:
        count(name)
    questions = [f"is it {number}?" for number in range(5)]
    ask([{"image": path, "question": text} for path in pictures[:2] for text in questions])
    assert seen == {"encode_image": [2], "encode_text": [5], "fuse": [2] * 5}
    for sizes in seen.values():
        sizes.clear()
    ask(pictures, QUESTION)
    assert seen == {"encode_image": [2, 2, 2, 1], "encode_text": [1], "fuse": [2, 2, 2, 1]}


def test_batches() -> None:
    items = [Item(f"{number}.png", ("text",)) for number in (0, 0, 1, 0, 2, 3, 3, 4)]
    found = list(batches(items, 2))
    assert [[item.picture for item in batch.items] for batch in found] == [
        ["0.png", "0.png", "1.png", "0.png"], ["2.png", "3.png", "3.png"], ["4.png"]]
    assert [batch.rows for batch in found] == [[0, 0, 1, 0], [0, 1, 1], [0]]
    assert [len(batch.items) for batch in batches([items[0]] * (MAX_PAIRS + 5), 2)] == [MAX_PAIRS, 5]
    assert list(batches([], 2)) == []


def test_a_generator_is_read_as_results_are_taken(ask: Any, pictures: list[Path]) -> None:
    taken = []

    def endless() -> Iterator[Path]:
        for number in itertools.count():
            taken.append(number)
            yield pictures[number % 7]

    results = ask(endless(), QUESTION)
    assert not taken
    assert len(list(itertools.islice(results, 9))) == 9
    assert len(taken) <= 9 + 3 * ask.batch_size
    results.close()


def test_memory_does_not_grow_with_the_number_of_pictures(ask: Any) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)

    def peak(count: int) -> int:
        tracemalloc.start()
        assert sum(1 for _ in ask((picture.copy() for _ in range(count)), QUESTION)) == count
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(8)
    assert peak(80) < 1.5 * peak(20)


class TestProgress:
    """A bar on more than one batch, and only then."""

    @pytest.mark.parametrize("count, shown", [(1, False), (2, False), (3, True)])
    def test_list(self, count: int, shown: bool, ask: Any, pictures: list[Path], capsys: pytest.CaptureFixture[str]
                  ) -> None:
        ask(pictures[:count], QUESTION)
        assert (f"{count}/{count}" in capsys.readouterr().err) == shown

    def test_generator_and_off(self, saved: Folders, pictures: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
        quiet = pipeline("visual-question-answering", saved("vqa"), batch_size=2, progress=False)
        quiet(pictures, QUESTION)
        assert capsys.readouterr().err == ""
        shown = pipeline("visual-question-answering", saved("vqa"), batch_size=2)
        list(shown(iter(pictures[:2]), QUESTION))
        assert capsys.readouterr().err == ""
        list(shown(iter(pictures), QUESTION))
        assert "7 pictures" in capsys.readouterr().err


class TestUnreadable:
    """A picture that cannot be read is named; it is an error, or left out with a warning."""

    @pytest.fixture
    def inputs(self, pictures: list[Path], tmp_path: Path) -> list[Any]:
        (tmp_path / "text.png").write_text("no picture")
        (tmp_path / "cut.png").write_bytes(pictures[0].read_bytes()[:300])
        return [pictures[0], tmp_path / "text.png", pictures[1], tmp_path / "cut.png", tmp_path / "absent.png",
                b"", np.zeros((5, 6, 7), np.uint8), "http://127.0.0.1:9/x.png", pictures[2]]

    def test_raise(self, ask: Any, inputs: list[Any]) -> None:
        messages = {1: r"text\.png: .*not in a picture format", 3: r"cut\.png: unreadable picture",
                    4: r"absent\.png: no such picture", 5: "picture 1: .*not in a picture format",
                    6: "picture 1: ", 7: "pass allow_urls=True"}
        for place, message in messages.items():
            with pytest.raises(ValueError, match=message):
                ask(inputs[place], QUESTION)
        with pytest.raises(ValueError, match=r"text\.png"):
            ask(inputs, QUESTION)
        with pytest.raises(ValueError, match="picture 3: "):
            ask([inputs[0], inputs[2], b"x"], QUESTION)

    def test_skip(self, saved: Folders, inputs: list[Any], caplog: pytest.LogCaptureFixture) -> None:
        pipe = pipeline("visual-question-answering", saved("vqa"), batch_size=2, on_error="skip")
        results = pipe(inputs, QUESTION)
        assert [number for number, result in enumerate(results) if result is not None] == [0, 2, 8]
        near(results[8], pipe(inputs[8], QUESTION))
        assert sum("left out" in record.message for record in caplog.records) == 6
        assert pipe(inputs[1], QUESTION) is None

    def test_every_pipeline_skips(self, saved: Folders, inputs: list[Any]) -> None:
        for task, name, rest in (("zero-shot-image-classification", "contrastive", [["red"]]),
                                 ("zero-shot-image-classification", "itm", [["red", "blue"]]),
                                 ("image-text-matching", "itm", ["red"]), ("feature-extraction", "vqa", []),
                                 ("feature-extraction", "vqa", ["red"]), ("fill-mask", "mlm", ["a <mask>"]),
                                 ("image-classification", "cifar", [])):
            results = pipeline(task, saved(name), batch_size=3, on_error="skip", progress=False)(inputs, *rest)
            assert [number for number, result in enumerate(results) if result is not None] == [0, 2, 8], task

    def test_url(self, ask: Any, saved: Folders, pictures: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(urllib.request, "urlopen", lambda url, timeout: io.BytesIO(pictures[0].read_bytes()))
        allowed = pipeline("visual-question-answering", saved("vqa"), allow_urls=True)
        near(allowed("https://example.com/x.png", QUESTION), ask(pictures[0], QUESTION))


@pytest.mark.parametrize("call, message", [
    (lambda ask, path: ask(path), "question is missing"),
    (lambda ask, path: ask(path, " "), "question is missing"),
    (lambda ask, path: ask({"image": path}), "question is missing"),
    (lambda ask, path: ask({"question": "x"}), "None is not a picture"),
    (lambda ask, path: ask([path, 3], "x"), "3 is not a picture"),
    (lambda ask, path: ask([path, path], ["x", "y", "z"]), "3 texts for 2 pictures"),
])
def test_wrong_input(call: Any, message: str, ask: Any, pictures: list[Path]) -> None:
    with pytest.raises(ValueError, match=message):
        call(ask, pictures[0])


@pytest.mark.parametrize("task, name, options, message", [
    ("vqa", "vqa", {}, "task 'vqa' is unknown.*Tasks are visual-question-answering"),
    ("visual-question-answer", "vqa", {}, "did you mean 'visual-question-answering'"),
    ("fill-mask", "vqa", {}, r"has no head for fill-mask; it serves visual-question-answering \(bridgetower ask\)"),
    ("visual-question-answering", "nlvr2", {}, "it serves image-text-classification"),
    ("visual-question-answering", "bare", {}, r"it serves feature-extraction \(bridgetower embed\)$"),
    ("image-text-matching", "contrastive", {}, "it serves zero-shot-image-classification"),
    ("feature-extraction", "glue", {}, "it serves text-classification"),
    ("visual-question-answering", "vqa", {"batch_size": 0}, "batch_size=0"),
    ("visual-question-answering", "vqa", {"on_error": "no"}, "on_error='no'"),
    ("visual-question-answering", "vqa", {"device": "tpu"}, "device='tpu'"),
    ("visual-question-answering", "vqa", {"engine": "openvino"}, "engine='openvino' is for exported folders"),
    ("visual-question-answering", "vqa", {"precision": "int8"}, "precision='int8' is for exported folders"),
    ("visual-question-answering", "vqa", {"engine": "padle"}, "did you mean 'paddle'"),
])
def test_wrong_model_or_option(task: str, name: str, options: dict[str, Any], message: str, saved: Folders) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline(task, saved(name), **options)


@pytest.mark.parametrize("task, name, options, message", [
    ("visual-question-answering", "itm", {}, "exported for itm, has no head for visual-question-answering; it serves"),
    ("image-text-matching", "contrastive", {}, "has no head for image-text-matching"),
    ("image-text-matching", "itm", {"engine": "paddle", "precision": "int8"}, "it has no precision='int8'"),
    ("image-text-matching", "itm", {"engine": "paddel"}, "did you mean 'paddle'"),
])
def test_wrong_export(task: str, name: str, options: dict[str, Any], message: str, exported: Folders) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline(task, exported(name), **options)


def test_what_an_export_cannot_return(exported: Folders, pictures: list[Path]) -> None:
    with pytest.raises(ValueError, match="returns no vectors of pairs; give the checkpoint"):
        pipeline("feature-extraction", exported("vqa"))(pictures[0], "red")


@pytest.mark.parametrize("text, message", [("a red square", "has no <mask>$"),
                                           ("is it blue " * 20 + "<mask>", "shorten it")])
def test_text_without_mask(text: str, message: str, saved: Folders, pictures: list[Path]) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline("fill-mask", saved("mlm"))(pictures[0], text)


def test_zero_shot_classes(saved: Folders, pictures: list[Path]) -> None:
    pipe = pipeline("zero-shot-image-classification", saved("itm"))
    for labels, template, message in (([], "{}", "candidate_labels is empty"), (["a"], "x", "has no {}")):
        with pytest.raises(ValueError, match=message):
            pipe(pictures[0], labels, template)


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        pipeline("fill-mask", tmp_path / "absent")
