"""Options of calls drawn at random: ours gives what the port gives, or refuses where the port does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inputs.test_port_interface import assert_same

# No empty texts: without special tokens the port makes rows of floats from them.
WORDS = "a red car cars isn't the road? what <mask> [SEP] é 漢字".split()
TEXT = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)
FLAG = st.booleans()
TEXT_OPTIONS = st.fixed_dictionaries({}, optional={
    "padding": st.sampled_from([True, False, "longest", "max_length", "do_not_pad"]),
    "truncation": st.sampled_from([True, False, "longest_first", "only_first", "only_second", "do_not_truncate"]),
    "max_length": st.integers(5, 20),
    "stride": st.integers(0, 2),
    "pad_to_multiple_of": st.sampled_from([2, 8]),
    "padding_side": st.sampled_from(["left", "right"]),
    "add_special_tokens": FLAG,
    "return_token_type_ids": FLAG,
    "return_attention_mask": FLAG,
    "return_overflowing_tokens": FLAG,
    "return_special_tokens_mask": FLAG,
    "return_offsets_mapping": FLAG,
    "return_length": FLAG,
    "split_special_tokens": FLAG,
    "return_tensors": st.sampled_from(["np", "pt", None]),
})
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def outcome(call: Any, *arguments: Any, **options: Any) -> Any:
    """What a call of the port returns, or None when it refuses or makes an array of ragged rows, which we refuse."""
    try:
        result = call(*arguments, **options)
        is_ragged = any(getattr(value, "dtype", None) == np.dtype(object) for value in result.values())
        return None if is_ragged else result
    except BaseException as error:  # the tokenizer library raises bare Exceptions, and panics in the port
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def refused_or(call: Any, *arguments: Any, **options: Any) -> Any:
    """What a call of ours returns, or None when it refuses by a ValueError."""
    try:
        return call(*arguments, **options)
    except ValueError:
        return None


@QUICK
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3), st.sampled_from(["one", "several", "pair", "pairs"]),
       TEXT_OPTIONS)
def test_text_options(pair: Any, texts: list[tuple[str, str]], shape: str, options: dict[str, Any]) -> None:
    firsts, seconds = ([text[side] for text in texts] for side in (0, 1))
    arguments: Any = {"one": (firsts[0],), "several": (firsts,), "pair": (firsts[0], seconds[0]),
                      "pairs": (firsts, seconds)}[shape]
    expected = outcome(pair.port.tokenizer, *arguments, **options)
    found = refused_or(pair.ours.tokenizer, *arguments, **options)
    assert (found is None) == (expected is None)
    if expected is not None:
        assert_same(found, expected)


@pytest.mark.parametrize("words", [(["a", "red", "cars"],), ([["a", "red"], ["cars", "road?"]],), ([],),
                                   (["a", "red"], ["cars"]), ([["a"], ["red"]], [["cars"], ["what", "is"]])])
def test_texts_that_are_split_into_words(pair: Any, words: Any) -> None:
    options = {"is_split_into_words": True, "padding": True, "return_offsets_mapping": True}
    expected = outcome(pair.port.tokenizer, *words, **options)
    found = refused_or(pair.ours.tokenizer, *words, **options)
    assert (found is None) == (expected is None) == (pair.kind == "roberta")  # that needs add_prefix_space
    if expected is not None:
        assert_same(found, expected)
        assert found.word_ids(0) == expected.word_ids(0)


IMAGE_OPTIONS = st.fixed_dictionaries({}, optional={
    "do_resize": FLAG, "do_center_crop": FLAG, "do_rescale": FLAG, "do_normalize": FLAG, "do_pad": FLAG,
    "size": st.sampled_from([{"shortest_edge": 32}, {"shortest_edge": 50}]),
    "crop_size": st.sampled_from([{"shortest_edge": 20}, {"shortest_edge": 65}]),
    "size_divisor": st.sampled_from([1, 8, 32]),
    "resample": st.sampled_from([0, 2, 3]),
    "rescale_factor": st.sampled_from([1 / 255, 0.5]),
    "image_mean": st.sampled_from([0.5, [0.1, 0.2, 0.3]]),
    "image_std": st.sampled_from([0.25, [0.5, 1.0, 2.0]]),
    "data_format": st.sampled_from(["channels_first", "channels_last"]),
    "return_tensors": st.sampled_from(["np", "pt", None]),
})
SIDES = st.integers(20, 70)


@pytest.mark.parametrize("pair", ["roberta"], indirect=True)
@QUICK
@given(st.lists(st.tuples(SIDES, SIDES), min_size=1, max_size=3), IMAGE_OPTIONS, FLAG,
       st.sampled_from(["uint8", "int32", "whole", "scaled", "scaled64", "wide"]))
def test_image_options(
    pair: Any, sizes: list[tuple[int, int]], options: dict[str, Any], first: bool, kind: str
) -> None:
    draw = np.random.default_rng(len(sizes))
    pictures = [draw.random((*size, 3)) for size in sizes]
    make = {"uint8": lambda x: (x * 255).astype(np.uint8), "int32": lambda x: (x * 255).astype(np.int32),
            "whole": lambda x: (x * 255).round().astype(np.float32), "scaled": lambda x: x.astype(np.float32),
            "scaled64": lambda x: x, "wide": lambda x: x * 3 - 1}[kind]
    given_pictures = [make(x).transpose(2, 0, 1) if first else make(x) for x in pictures]
    expected = outcome(pair.port.image_processor, given_pictures, **options)
    found = refused_or(pair.ours.image_processor, given_pictures, **options)
    assert (found is None) == (expected is None)
    if expected is not None:
        assert_same(found, expected)
