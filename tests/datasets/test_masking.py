"""Statistics and rules of masked language modelling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgetower.datasets.masking import IGNORED, MaskingDraws, draw_masking, mask_tokens, select_tokens, select_words

MASK, VOCABULARY = 900, 1000


def draws(rows: int, length: int, seed: int = 0) -> MaskingDraws:
    return draw_masking([np.random.default_rng([seed, row]) for row in range(rows)], length)


def test_shares_over_many_tokens() -> None:
    rows, length = 4000, 50  # 192,000 ordinary tokens
    ids = np.full((rows, length), 5)
    special = np.zeros((rows, length), dtype=bool)
    special[:, [0, -1]] = True
    numbers = draws(rows, length)
    selected = select_tokens(special, numbers.select, 0.15)
    masked, labels = mask_tokens(ids, selected, numbers, MASK, VOCABULARY)
    assert not selected[special].any()
    assert selected[~special].mean() == pytest.approx(0.15, abs=0.005)
    chosen = masked[selected]
    assert (chosen == MASK).mean() == pytest.approx(0.8, abs=0.01)
    assert (chosen == 5).mean() == pytest.approx(0.1, abs=0.01)
    random = chosen[(chosen != MASK) & (chosen != 5)]
    assert len(random) / len(chosen) == pytest.approx(0.1, abs=0.01)
    assert random.min() >= 0 and random.max() < VOCABULARY and random.mean() == pytest.approx(VOCABULARY / 2, rel=0.05)
    assert (labels[selected] == 5).all() and (labels[~selected] == IGNORED).all()
    assert (masked[~selected] == 5).all()


def test_draws_do_not_depend_on_the_other_rows() -> None:
    together, alone = draws(3, 10), draw_masking([np.random.default_rng([0, 2])], 10)
    for name in ("select", "action", "replacement"):
        assert (getattr(together, name)[2] == getattr(alone, name)[0]).all()


def words_of(continuation: np.ndarray, candidate: np.ndarray, padding: np.ndarray) -> list[list[int]]:
    """The words of one row, written as the original's loop goes."""
    words: list[list[int]] = []
    for position in np.flatnonzero(candidate):
        glued = continuation[position] and not padding[position] and position and candidate[position - 1]
        if glued and words:
            words[-1].append(int(position))
        else:
            words.append([int(position)])
    return words


def loop_selection(words: list[list[int]], order_keys: np.ndarray, budget: int) -> set[int]:
    chosen: set[int] = set()
    for word in sorted(words, key=lambda word: order_keys[word[0]]):
        if len(chosen) >= budget:
            break
        if len(chosen) + len(word) <= budget:
            chosen.update(word)
    return chosen


@settings(max_examples=150)
@given(data=st.data(), length=st.integers(3, 30), seed=st.integers(0, 10**6),
       probability=st.sampled_from([0.0, 0.15, 0.5]))
def test_whole_words_equal_a_loop(data: st.DataObject, length: int, seed: int, probability: float) -> None:
    rng = np.random.default_rng(seed)
    lengths = np.array(data.draw(st.lists(st.integers(2, length), min_size=1, max_size=4)))
    padding = np.arange(length) >= lengths[:, None]
    special = padding | (np.arange(length) == 0) | (np.arange(length) == lengths[:, None] - 1)
    continuation = rng.random(padding.shape) < 0.4
    keys = rng.random(padding.shape)
    selected = select_words(special, padding, continuation, keys, probability)
    budget = min(512, max(1, round(length * probability)))
    for row in range(len(lengths)):
        candidate = ~special[row] | padding[row]
        expected = loop_selection(words_of(continuation[row], candidate, padding[row]), keys[row], budget)
        assert set(np.flatnonzero(selected[row])) == {position for position in expected if not special[row, position]}


def test_whole_words_share_and_unity() -> None:
    rows, length = 3000, 40
    padding = np.zeros((rows, length), dtype=bool)
    special = padding.copy()
    special[:, [0, -1]] = True
    continuation = np.zeros((rows, length), dtype=bool)
    continuation[:, 2:-1:2] = True  # every word has two pieces, the last of an odd number one
    selected = select_words(special, padding, continuation, draws(rows, length).select, 0.15)
    assert (selected.sum(1) == 6).all()  # round(0.15 * 40)
    pairs = selected[:, 1:-1].reshape(rows, -1, 2)
    assert (pairs[..., 0] == pairs[..., 1]).all()
    assert pairs[..., 0].mean(0) == pytest.approx(6 / 38, abs=0.03)
