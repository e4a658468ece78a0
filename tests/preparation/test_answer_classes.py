"""Answer normalisation, vocabulary and scores of VQAv2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgetower.preparation.answer_classes import CONTRACTIONS, build_vocabulary, normalize_answer, score, soft_targets


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The cat's, dog", "cat's dog"),
        ("1,000", "1000"),
        ("yes.", "yes"),
        ("3.5", "3.5"),
        ("a.m.", "am"),
        ("U.S.A.", "usa"),
        ("black/white", "black white"),
        ("t-shirt", "t shirt"),
        ("two", "2"),
        ("none", "0"),
        ("no, 5", "no 5"),
        ("1/2", "1 2"),
        ("hot dog!", "hot dog"),
        ("black & white", "black & white"),
        ("", ""),
        ("the", ""),
        ("zero ten eleven", "0 10 eleven"),
        ("dont", "don't"),
        ("Im", "im"),  # the key has a capital letter and so never matches
        ("I'm", "i'm"),
        ("couldnt've couldn'tve", "couldn't've couldn't've"),
        ("ow's'at 'ows'at", "'ow's'at 'ow's'at"),
        ("somebody'd", "somebodyd"),
        ("yall yall'd've", "y'all y'all'd've"),
        ("she's let's", "she's let's"),
        ("10,000 dogs/cats", "10000 dogscats"),  # a comma inside a number glues every mark
        ("a-b -c", "ab c"),  # one dash beside a space glues every dash
        ("x,y", "x y"),
        ("." * 40 + "x", "." * 8 + "x"),  # 32 full stops go
        ("5. 6.7.", "5 6.7"),
        ("the  a An\tapple", "apple"),
        ("@home <b>", "home b"),
    ],
)
def test_vectors(text: str, normal: str) -> None:
    assert normalize_answer(text) == normal


def test_contraction_table() -> None:
    assert len(CONTRACTIONS) == 120
    assert sum(key == word for key, word in CONTRACTIONS.items()) == 2
    without = {key: key.replace("'", "") for key in CONTRACTIONS}
    assert all(CONTRACTIONS[key].replace("'", "") == plain for key, plain in without.items())


@given(st.text())
def test_normal_answers_have_single_spaces_lower_case_and_no_articles_or_commas(text: str) -> None:
    words = normalize_answer(text).split(" ")
    assert words == [""] or all(words) or "," in text
    assert not {"a", "an", "the"} & set(words)
    assert "," not in "".join(words)


def test_classes_are_numbered_by_first_occurrence() -> None:
    # By first occurrence: zebra, ant, moth; by count: moth, ant, zebra; by the alphabet: ant, moth, zebra.
    answers = ["Zebra", "rare", "the ant", "moth", *["moth"] * 20, *["ant"] * 11, *["zebra."] * 8, *["rare"] * 7]
    assert build_vocabulary(answers) == {"zebra": 0, "ant": 1, "moth": 2}
    assert build_vocabulary([*answers, "rare"]) == {"zebra": 0, "rare": 1, "ant": 2, "moth": 3}


@given(st.lists(st.sampled_from(["yes", "Yes.", "two", "2", "the dog", "dog", "cat"])), st.integers(1, 4))
def test_vocabulary_equals_counting_normalised_answers(answers: list[str], least: int) -> None:
    normal = [normalize_answer(answer) for answer in answers]
    expected = [answer for answer in dict.fromkeys(normal) if normal.count(answer) >= least]
    assert list(build_vocabulary(answers, least)) == expected


def test_scores() -> None:
    assert [score(count) for count in range(11)] == [0.0, 0.3, 0.6, 0.9, *[1.0] * 7]


def test_soft_targets_of_a_question() -> None:
    vocabulary = {"d": 0, "a": 1, "b": 2, "c": 3}
    answers = ["b", "a", "a", "b", "a", "a", "c", "a", "a", "d"]  # 6, 2, 1, 1
    kept, labels, scores = soft_targets(answers, vocabulary)
    assert (kept, labels, scores) == (["b", "a", "c", "d"], [2, 1, 3, 0], [0.6, 1.0, 0.3, 0.3])
    assert soft_targets(answers, {"a": 5, "d": 9}) == (["a", "d"], [5, 9], [1.0, 0.3])
    assert soft_targets(answers, {}) == ([], [], [])
