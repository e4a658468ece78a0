"""Splits that are drawn, and pictures that must not be in two of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgetower.preparation.own_data.division import Division, Shares, content_hash
from bridgetower.preparation.own_data.items import BadRowError

CONTENTS = st.integers(0, 2**64 - 1)


@settings(deadline=None)
@given(val=st.floats(0, 0.4), test=st.floats(0, 0.4), seed=st.integers(), content=CONTENTS)
def test_a_split_depends_on_content_and_seed_alone(val: float, test: float, seed: int, content: int) -> None:
    shares = Shares(val, test, seed, frozenset())
    split = shares.split(None, content)
    assert split == Shares(val, test, seed, frozenset()).split(None, content)
    assert split == "train" or {"val": val, "test": test}[split] > 0
    assert Shares(val, test, seed, frozenset({"train", "val"})).split("train", content) == "train"
    assert Shares(val, test, seed, frozenset({"train", "test"})).split("test", content) == "test"
    assert Shares(val, test, seed, frozenset({"train"})).split("train", content) in ("train", "val")


def test_shares_are_about_as_large_as_asked() -> None:
    shares = Shares(0.2, 0.3, 0, frozenset())
    splits = [shares.split(None, content_hash(str(n).encode())) for n in range(10_000)]
    for split, share in (("train", 0.5), ("val", 0.2), ("test", 0.3)):
        assert splits.count(split) / len(splits) == pytest.approx(share, abs=0.02)


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30), seed=st.integers(0, 5))
def test_no_picture_of_a_pair_is_in_two_splits(pairs: list[tuple[int, int]], seed: int) -> None:
    division = Division(Shares(0.3, 0.3, seed, frozenset()), pairs=True)
    found: dict[str, set[int]] = {"train": set(), "val": set(), "test": set()}
    left_out = 0
    for pair in pairs:
        split = division.split("x", None, pair)
        if split is None:
            left_out += 1
        else:
            found[split].update(pair)
    assert division.across == left_out
    assert sum(map(len, found.values())) == len(set().union(*found.values()))


def test_given_splits_may_not_share_a_picture() -> None:
    division = Division(Shares(0.5, 0, 0, frozenset({"train", "test"})), pairs=False)
    division.remember(1, "test")
    with pytest.raises(BadRowError, match=r"row 3: the same picture is in the split \w+ here and in test before"):
        division.split("row 3", "train", [1])
    assert division.split("row 4", "test", [1]) == "test"
