"""Answer classes of VQAv2: normalisation, vocabulary and soft scores.

Written by hand, because released VQA checkpoints are tied to these classes and so to every quirk of the original rules.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

MIN_ANSWER_COUNT = 9

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_MAX_FULL_STOPS = 32  # the original passes a flag of this value where the count goes
_NUMBERS = {
    word: str(number) for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}

_ONE_APOSTROPHE = """
    'twas ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll
    how's I'm I've isn't it'd it'll ma'am might've mightn't must've mustn't needn't not've o'clock oughtn't shan't
    should've shouldn't somebody'll somebody's someone'd someone'll someone's something'd something'll that's
    there'd there're there's they'd they'll they're they've wasn't we've weren't what'll what're what's what've
    when's where'd where's where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all
    you'd you'll you're you've
""".split()
_TWO_APOSTROPHES = """
    couldn't've hadn't've he'd've I'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've
    something'd've there'd've they'd've we'd've who'd've wouldn't've y'all'll you'd've
""".split()
_IRREGULAR = {
    "let's": "let's",
    "she's": "she's",
    "ow's'at": "'ow's'at",
    "'ows'at": "'ow's'at",
    "'ow'sat": "'ow's'at",
    "yall'd've": "y'all'd've",
    "y'alld've": "y'all'd've",
    "y'all'dve": "y'all'd've",
    "somebody'd": "somebodyd",  # the wrong way round in the original
}


def _contractions() -> dict[str, str]:
    table = {word.replace("'", ""): word for word in _ONE_APOSTROPHE} | _IRREGULAR
    for word in _TWO_APOSTROPHES:
        first, second = word.index("'"), word.rindex("'")
        table[word[:first] + word[first + 1 :]] = word
        table[word[:second] + word[second + 1 :]] = word
    return table


CONTRACTIONS = _contractions()


def normalize_answer(text: str) -> str:
    """An answer as the VQA vocabulary spells it: without punctuation and articles, numbers as digits, lower case."""
    comma_in_number = _COMMA_IN_NUMBER.search(text) is not None
    working = text
    for mark in _PUNCTUATION:
        # These tests look at the text as it came, not at what is left of it.
        beside_space = f"{mark} " in text or f" {mark}" in text
        working = working.replace(mark, "" if beside_space or comma_in_number else " ")
    working = _FULL_STOP.sub("", working, count=_MAX_FULL_STOPS)
    words = (_NUMBERS.get(word, word) for word in working.lower().split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES).replace(",", "")


def build_vocabulary(answers: Iterable[str], min_count: int = MIN_ANSWER_COUNT) -> dict[str, int]:
    """Classes of the answers that occur often enough once normalised, numbered by their first occurrence.

    Args:
        answers: the most frequent answer of every training question, then of every validation question.
        min_count: how often an answer must occur to become a class.
    """
    raw_counts = Counter(answers)  # remembers first occurrences
    counts: Counter[str] = Counter()
    for answer, count in raw_counts.items():
        counts[normalize_answer(answer)] += count
    kept = (answer for answer, count in counts.items() if count >= min_count)
    return {answer: label for label, answer in enumerate(kept)}


def score(count: int) -> float:
    """Credit of an answer that `count` of the ten people gave."""
    return (0.0, 0.3, 0.6, 0.9, 1.0)[min(count, 4)]


def soft_targets(answers: Iterable[str], vocabulary: Mapping[str, int]) -> tuple[list[str], list[int], list[float]]:
    """Answers, classes and scores of one question, in first-seen order; only answers of the vocabulary count.

    Args:
        answers: what the ten people said: normalised, or raw as in the legacy files, which so find fewer.
        vocabulary: class of each answer.
    """
    counts = Counter(answers)
    kept = [answer for answer in counts if answer in vocabulary]
    return kept, [vocabulary[answer] for answer in kept], [score(counts[answer]) for answer in kept]
