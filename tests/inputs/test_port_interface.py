"""Calls that a user of the Hugging Face port writes, made on the port and on ours: equal keys, types and values."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bridgetower import BridgeTowerImageProcessorFast
from bridgetower.inputs.encoding import framework_of, plain

Call = Callable[[Any], Any]
TEXTS = ["a red car", "what color is the shape on the road?", "cars"]
PAIRS = [("a red car", "is the road"), ("what", "color is a shape?"), ("", "a")]
NOISE = np.random.default_rng(0)
PICTURES = [Image.fromarray(NOISE.integers(0, 256, size, dtype=np.uint8)) for size in ((70, 90, 3), (100, 64, 3))]
UINT8 = NOISE.integers(0, 256, (50, 81, 3), dtype=np.uint8)
SCALED = NOISE.random((50, 81, 3))


def assert_same(ours: Any, port: Any) -> None:
    """The same kind of value with the same contents; mappings with the same names in the same order."""
    if hasattr(port, "keys"):
        assert set(ours.keys()) == set(port.keys())
        for name in port.keys():
            assert_same(ours[name], port[name])
    elif isinstance(port, list | tuple):
        assert isinstance(ours, list | tuple) and len(ours) == len(port)
        for mine, theirs in zip(ours, port, strict=True):
            assert_same(mine, theirs)
    elif framework_of(port) in ("numpy", "torch"):
        assert framework_of(ours) == framework_of(port) and ours.dtype == port.dtype
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(port))
    else:
        assert ours == port and type(plain(ours)) is type(plain(port))


def public(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if not name.startswith("_")}


def changed(tokenizer: Any, change: Call) -> list[Any]:
    """What a changed copy of a tokenizer says."""
    new = copy.deepcopy(tokenizer)
    text = "what is a zebra <obj>car <blank>"
    return [change(new), new(text), new([text, "a"], padding=True, truncation=True), new.all_special_tokens,
            new.all_special_ids, new.special_tokens_map, len(new), new.vocab_size, new.get_added_vocab(),
            new.decode(new(text)["input_ids"], skip_special_tokens=True)]


def enumerated(kind: str, name: str) -> Any:
    """A member of one of the port's enumerations."""
    from transformers import image_utils, tokenization_utils_base

    return getattr(getattr(tokenization_utils_base, kind, None) or getattr(image_utils, kind), name)


TOKENIZER_CALLS: dict[str, Call] = {
    "one": lambda t: t(TEXTS[1]),
    "several": lambda t: t(TEXTS),
    "tuple": lambda t: t(tuple(TEXTS)),
    "empty text": lambda t: t(""),
    "pair": lambda t: t(TEXTS[0], TEXTS[1]),
    "pairs": lambda t: t(TEXTS, text_pair=TEXTS[::-1], padding=True, return_tensors="np"),
    "tuples": lambda t: t(PAIRS, padding=True, return_tensors="np"),
    "one as arrays": lambda t: t(TEXTS[1], return_tensors="np"),
    "arrays": lambda t: t(TEXTS, padding=True, return_tensors="np"),
    "torch": lambda t: t(TEXTS, padding="longest", return_tensors="pt"),
    "do_not_pad": lambda t: t(TEXTS, padding="do_not_pad", truncation="do_not_truncate"),
    "maximum": lambda t: t(TEXTS, padding="max_length", max_length=20, return_tensors="np"),
    "model maximum": lambda t: t(TEXTS[0], padding="max_length", truncation=True, return_tensors="np"),
    "lone max_length": lambda t: t(TEXTS, max_length=5),
    "short maximum without truncation": lambda t: t(TEXTS, padding="max_length", max_length=5),
    "truncation": lambda t: t(TEXTS, truncation=True, max_length=5, padding=True, return_tensors="np"),
    "longest_first": lambda t: t(PAIRS, truncation="longest_first", max_length=8),
    "only_first": lambda t: t(PAIRS[:2], truncation="only_first", max_length=14),
    "only_second": lambda t: t(PAIRS[:2], truncation="only_second", max_length=14),
    "no special tokens": lambda t: t(TEXTS, add_special_tokens=False, truncation=True, max_length=4),
    "multiple": lambda t: t(TEXTS, padding=True, pad_to_multiple_of=8, return_tensors="np"),
    "multiple of maximum": lambda t: t(TEXTS, padding="max_length", max_length=13, pad_to_multiple_of=8),
    "left padding": lambda t: t(TEXTS, padding=True, padding_side="left", return_tensors="np"),
    "type ids": lambda t: t(PAIRS, return_token_type_ids=True),
    "no type ids": lambda t: t(PAIRS, return_token_type_ids=False),
    "no mask": lambda t: t(TEXTS, return_attention_mask=False),
    "special mask": lambda t: t(TEXTS, return_special_tokens_mask=True, padding=True),
    "offsets": lambda t: t(TEXTS, return_offsets_mapping=True, padding=True),
    "offsets of one": lambda t: t(TEXTS[1], return_offsets_mapping=True, return_length=True),
    "length": lambda t: t(TEXTS, return_length=True, padding=True, return_tensors="np"),
    "overflow": lambda t: t(TEXTS, truncation=True, max_length=6, stride=2, return_overflowing_tokens=True),
    "overflow of one": lambda t: t(TEXTS[1], truncation=True, max_length=6, return_overflowing_tokens=True,
                                   padding=True, return_tensors="np"),
    "split special": lambda t: t("a [MASK]<mask> b", split_special_tokens=True),
    "special in text": lambda t: t("a [MASK]<mask> b</s> [SEP]"),
    "enumerations": lambda t: t(TEXTS, padding=enumerated("PaddingStrategy", "LONGEST"), max_length=6,
                                truncation=enumerated("TruncationStrategy", "LONGEST_FIRST"),
                                return_tensors=enumerated("TensorType", "NUMPY")),
    "encode": lambda t: t.encode(TEXTS[1]),
    "encode pair": lambda t: t.encode(TEXTS[0], TEXTS[1], add_special_tokens=False),
    "encode arrays": lambda t: t.encode(TEXTS[1], return_tensors="np", max_length=4, truncation=True),
    "encode_plus": lambda t: t.encode_plus(TEXTS[0], TEXTS[1]),
    "by position": lambda t: [t.encode(TEXTS[0], None, False), t.encode_plus(TEXTS[0], TEXTS[1], False),
                              t.batch_encode_plus(PAIRS, False)],
    "batch_encode_plus": lambda t: t.batch_encode_plus(PAIRS, padding=True),
    "prepared": lambda t: t.prepare_for_model([5, 6, 7]),
    "prepared pair": lambda t: t.prepare_for_model([5, 6, 7], [8, 9], return_token_type_ids=True),
    "prepared without special tokens": lambda t: t.prepare_for_model([5, 6, 7], [8], add_special_tokens=False),
    "prepared and padded": lambda t: t.prepare_for_model([5], padding="max_length", max_length=9, return_length=True),
    "prepared arrays": lambda t: t.prepare_for_model([5, 6], return_tensors="np", prepend_batch_axis=True),
    "prepared row": lambda t: t.prepare_for_model([5, 6], return_tensors="pt", pad_to_multiple_of=8, padding=True),
    "prepared and cut": lambda t: [t.prepare_for_model(
        list(range(5, 15)), second, truncation=True, max_length=length) for second in (None, [9] * 4, [9] * 13)
        for length in (9, 10)],
    "prepared with what was cut": lambda t: [t.prepare_for_model(
        list(range(5, 15)), list(range(20, 30)), truncation=kind, max_length=18, stride=2,
        return_overflowing_tokens=True) for kind in ("only_first", "only_second")],
    "cut on the left": lambda t: changed(t, lambda c: [setattr(c, "truncation_side", "left"), [
        c.truncate_sequences([1, 2, 3, 4, 5], second, 3, kind, 1) for second, kind in (
            (None, "longest_first"), ([6, 7], "longest_first"), ([6, 7, 8, 9], "only_second"), ([6], "only_first"))]]),
    "cut on the right": lambda t: [t.truncate_sequences([1, 2, 3, 4, 5], [6, 7, 8], count) for count in (0, 1, 4, 7)],
    "tokenize": lambda t: t.tokenize(TEXTS[1]),
    "tokenize pair": lambda t: t.tokenize("a car", "red", add_special_tokens=True),
    "tokens": lambda t: t(TEXTS).tokens(1),
    "word_ids": lambda t: t(TEXTS).word_ids(1),
    "words": lambda t: t(TEXTS[0]).words(),
    "sequence_ids": lambda t: t(PAIRS).sequence_ids(0),
    "char_to_token": lambda t: [t(TEXTS[1]).char_to_token(i) for i in range(9)],
    "char_to_token of a row": lambda t: t(TEXTS).char_to_token(1, 6),
    "token_to_chars": lambda t: list(t(TEXTS[1]).token_to_chars(2)),
    "word_to_tokens": lambda t: list(t(TEXTS).word_to_tokens(1, 0)),
    "token_to_word": lambda t: t(TEXTS).token_to_word(1, 2),
    "token_to_sequence": lambda t: t(PAIRS).token_to_sequence(0, 1),
    "row by number": lambda t: t(TEXTS)[1].ids,
    "n_sequences": lambda t: [t(PAIRS).n_sequences, t(TEXTS).n_sequences],
    "pad list": lambda t: t.pad([t(text) for text in TEXTS]),
    "pad list to arrays": lambda t: t.pad([t(text) for text in TEXTS], padding="max_length", max_length=20,
                                          return_tensors="np"),
    "pad rows": lambda t: t.pad({"input_ids": [[1, 2, 3], [4]]}, pad_to_multiple_of=4, return_tensors="np"),
    "pad one": lambda t: t.pad({"input_ids": [1, 2, 3]}, padding="max_length", max_length=5),
    "pad left": lambda t: t.pad({"input_ids": [[1, 2, 3], [4]], "special_tokens_mask": [[1, 0, 1], [0]]},
                                padding_side="left"),
    "pad labels": lambda t: t.pad([{"input_ids": [1, 2], "labels": 1}, {"input_ids": [1], "labels": 0}],
                                  return_tensors="pt"),
    "pad one with a label": lambda t: t.pad({"input_ids": [1, 2], "label": 0}, return_tensors="np"),
    "pad arrays": lambda t: t.pad({"input_ids": [np.array([1, 2, 3]), np.array([4])]}),
    "decode": lambda t: t.decode(t(TEXTS[1])["input_ids"]),
    "decode skipping": lambda t: t.decode(t(TEXTS[1])["input_ids"], skip_special_tokens=True),
    "decode number": lambda t: t.decode(7),
    "decode array": lambda t: t.decode(np.array(t(TEXTS[1])["input_ids"])),
    "decode torch": lambda t: t.decode(t(TEXTS[1], return_tensors="pt").input_ids[0]),
    "decode clean": lambda t: t.decode(t("a car isn't . red ?")["input_ids"], clean_up_tokenization_spaces=True),
    "decode unclean": lambda t: t.decode(t("a car isn't . red ?")["input_ids"], clean_up_tokenization_spaces=False),
    "decode as slow tokenizers do": lambda t: [
        t.decode([5, 6], spaces_between_special_tokens=False, use_source_tokenizer=False),
        t.batch_decode([[5, 6], [7]], spaces_between_special_tokens=True)],
    "decode nothing": lambda t: t.decode([]),
    "batch_decode": lambda t: t.batch_decode(t(TEXTS)["input_ids"], skip_special_tokens=True),
    "batch_decode array": lambda t: t.batch_decode(t(TEXTS, padding=True, return_tensors="np").input_ids),
    "batch_decode numbers": lambda t: t.batch_decode([5, 6, 7]),
    "tokens to ids": lambda t: t.convert_tokens_to_ids(t.tokenize(TEXTS[1])),
    "token to id": lambda t: [t.convert_tokens_to_ids(t.mask_token), t.convert_tokens_to_ids("no such token")],
    "ids to tokens": lambda t: t.convert_ids_to_tokens(t(TEXTS[1])["input_ids"]),
    "ids to tokens skipping": lambda t: t.convert_ids_to_tokens(t(TEXTS[1])["input_ids"], skip_special_tokens=True),
    "id to token": lambda t: t.convert_ids_to_tokens(5),
    "tokens to string": lambda t: t.convert_tokens_to_string(t.tokenize(TEXTS[1])),
    "vocabulary": lambda t: [t.get_vocab(), t.vocab_size, len(t), t.vocab == t.get_vocab(), t.get_added_vocab()],
    "special to add": lambda t: [t.num_special_tokens_to_add(), t.num_special_tokens_to_add(pair=True)],
    "framed": lambda t: [t.build_inputs_with_special_tokens([5, 6]), t.build_inputs_with_special_tokens([5], [6, 7])],
    "type ids of a pair": lambda t: [t.create_token_type_ids_from_sequences([5, 6]),
                                     t.create_token_type_ids_from_sequences([5, 6], [7])],
    "special tokens mask": lambda t: t.get_special_tokens_mask(t(TEXTS[1])["input_ids"],
                                                               already_has_special_tokens=True),
    "special tokens": lambda t: [getattr(t, f"{name}_token{suffix}") for suffix in ("", "_id")
                                 for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")],
    "all special": lambda t: [t.all_special_tokens, t.all_special_ids, t.special_tokens_map,
                              t.additional_special_tokens, t.pad_token_type_id],
    "special tokens extended": lambda t: [
        t.special_tokens_map_extended, t.all_special_tokens_extended, list(t.SPECIAL_TOKENS_ATTRIBUTES)],
    "split as a setting": lambda t: changed(t, lambda c: setattr(c, "split_special_tokens", True)),
    "split as a setting, but not now": lambda t: changed(t, lambda c: [
        setattr(c, "split_special_tokens", True), c("a <mask> [SEP]", split_special_tokens=False)]),
    "token set": lambda t: changed(t, lambda c: setattr(c, "pad_token", c.unk_token)),
    "token set by id": lambda t: changed(t, lambda c: setattr(c, "pad_token_id", 7)),
    "token removed": lambda t: changed(t, lambda c: setattr(c, "cls_token", None)),
    "sides set": lambda t: changed(t, lambda c: [setattr(c, name, "left") for name in ("padding_side",
                                                                                       "truncation_side")]),
    "length set": lambda t: changed(t, lambda c: setattr(c, "model_max_length", 6)),
    "names set": lambda t: changed(t, lambda c: setattr(c, "model_input_names", ["input_ids"])),
    "tokens added": lambda t: changed(t, lambda c: c.add_tokens(["what", "zebra", "zebra"])),
    "token added": lambda t: changed(t, lambda c: c.add_tokens("zebra")),
    "special token added": lambda t: changed(t, lambda c: c.add_tokens(["<obj>"], special_tokens=True)),
    "no tokens added": lambda t: changed(t, lambda c: c.add_tokens([])),
    "special tokens added": lambda t: changed(t, lambda c: c.add_special_tokens(
        {"additional_special_tokens": ["<obj>", "<box>"], "pad_token": "<blank>"})),
    "special tokens kept": lambda t: changed(t, lambda c: [
        c.add_special_tokens({"additional_special_tokens": ["<obj>"]}),
        c.add_special_tokens({"additional_special_tokens": ["<box>"]}, replace_additional_special_tokens=False)]),
    "sanitized": lambda t: changed(t, lambda c: [setattr(c, "pad_token", "<blank>"), c.sanitize_special_tokens()]),
    "target": lambda t: t(TEXTS, text_target=TEXTS[::-1], padding=True, return_tensors="np"),
    "target alone": lambda t: t(text_target=TEXTS[0], text_pair_target=TEXTS[1]),
    "settings": lambda t: [t.model_max_length, t.is_fast, t.padding_side, t.truncation_side, t.model_input_names,
                           t.max_len_single_sentence, t.max_len_sentences_pair, t.clean_up_tokenization_spaces],
}


@pytest.mark.parametrize("name", TOKENIZER_CALLS)
def test_tokenizer_call(pair: Any, name: str) -> None:
    call = TOKENIZER_CALLS[name]
    assert_same(call(pair.ours.tokenizer), call(pair.port.tokenizer))


IMAGE_CALLS: dict[str, Call] = {
    "one": lambda p: p(PICTURES[0]),
    "several": lambda p: p(PICTURES, return_tensors="np"),
    "tuple": lambda p: p(tuple(PICTURES), return_tensors="np"),
    "nested": lambda p: p([[PICTURES[0]], PICTURES], return_tensors="np"),
    "torch": lambda p: p(PICTURES, return_tensors="pt"),
    "preprocess": lambda p: p.preprocess(PICTURES, return_tensors="np"),
    "channels last": lambda p: p(PICTURES, return_tensors="np", data_format="channels_last"),
    "enumerations": lambda p: p(PICTURES, return_tensors=enumerated("TensorType", "NUMPY"),
                                data_format=enumerated("ChannelDimension", "LAST"), resample=Image.Resampling.BILINEAR),
    "uint8": lambda p: p(UINT8, return_tensors="np"),
    "channels first": lambda p: p(UINT8.transpose(2, 0, 1), return_tensors="np"),
    "stated channels first": lambda p: p(UINT8.transpose(2, 0, 1), input_data_format="channels_first",
                                         return_tensors="np"),
    "batch": lambda p: p(np.stack([UINT8, UINT8[::-1]]), return_tensors="np"),
    "list of batches": lambda p: p([np.stack([UINT8, UINT8[::-1]])] * 2, return_tensors="np"),
    "int64": lambda p: p(UINT8.astype(np.int64), return_tensors="np"),
    "whole floats": lambda p: p(UINT8.astype(np.float32), return_tensors="np"),
    "scaled floats": lambda p: p(SCALED, return_tensors="np"),
    "scaled floats kept": lambda p: p(SCALED.astype(np.float32), return_tensors="np", do_rescale=False),
    "scaled float64 as it is": lambda p: p(SCALED, return_tensors="np", do_rescale=False, do_resize=False),
    "scaled floats only cropped": lambda p: p(SCALED, return_tensors="np", do_rescale=False, do_resize=False,
                                              do_normalize=False, crop_size={"shortest_edge": 61}),
    "scaled floats uncropped": lambda p: p(SCALED, return_tensors="np", do_center_crop=False),
    "any floats": lambda p: p(SCALED * 200 - 50, return_tensors="np", do_resize=False),
    "float16": lambda p: p(SCALED.astype(np.float16), return_tensors="np", do_resize=False, do_rescale=False),
    "int64 as it is": lambda p: p(UINT8.astype(np.int64), return_tensors="np", do_rescale=False, do_resize=False,
                                  do_normalize=False),
    "torch picture": lambda p: p(__import__("torch").from_numpy(UINT8), return_tensors="np"),
    "torch list": lambda p: p([__import__("torch").from_numpy(SCALED)] * 2, return_tensors="pt"),
    "one mean": lambda p: p(PICTURES, return_tensors="np", image_mean=0.5, image_std=0.25),
    "size": lambda p: p(PICTURES, return_tensors="np", size={"shortest_edge": 96}, crop_size={"shortest_edge": 32}),
    "longest edge": lambda p: p(PICTURES, return_tensors="np", size={"shortest_edge": 96, "longest_edge": 100}),
    "without crop": lambda p: p(PICTURES, return_tensors="np", do_center_crop=False),
    "without crop, channels last": lambda p: p(PICTURES, return_tensors="np", do_center_crop=False,
                                               data_format="channels_last"),
    "none leaves a setting": lambda p: p(PICTURES, return_tensors="np", do_pad=None, size=None, resample=None),
    "without mask": lambda p: p(PICTURES, return_tensors="np", do_pad=False),
    "settings": lambda p: [p.size, p.do_pad, list(p.image_mean), p.crop_size, p.model_input_names, p.rescale_factor],
    "to_dict": lambda p: public(p.to_dict()),
    "from_dict": lambda p: public(type(p).from_dict(p.to_dict(), do_pad=False).to_dict()),
    "from_dict old": lambda p: public(type(p).from_dict({"size": 96, "pad_and_return_pixel_mask": False}).to_dict()),
    "from_dict with unused": lambda p: type(p).from_dict({"size": 96}, return_unused_kwargs=True, do_pad=False, x=1)[1],
    "by position": lambda p: p.preprocess(PICTURES, True, {"shortest_edge": 96}, 16, 2, return_tensors="np"),
    "constructed by position": lambda p: public(type(p)(True, {"shortest_edge": 96}, 16, 2, False).to_dict()),
    "constructed": lambda p: public(type(p)(pad_and_return_pixel_mask=False, image_mean=[0.1, 0.2, 0.3]).to_dict()),
}
STEPS: dict[str, Call] = {
    "resize": lambda p, x, **k: p.resize(x, {"shortest_edge": 64}, **k),
    "resize to other sides": lambda p, x, **k: p.resize(x, {"shortest_edge": 40}, 8, Image.Resampling.BILINEAR, **k),
    "center_crop": lambda p, x, **k: p.center_crop(x, {"shortest_edge": 33}, **k),
    "center_crop of a small picture": lambda p, x, **k: p.center_crop(x, {"shortest_edge": 67}, **k),
    "rescale": lambda p, x, **k: p.rescale(x, 1 / 255, **k),
    "rescale to float64": lambda p, x, **k: p.rescale(x, 2, dtype=np.float64, **k),
    "normalize": lambda p, x, **k: p.normalize(x, [0.1, 0.2, 0.3][-min(x.shape):], [0.5, 1, 2][-min(x.shape):], **k),
    "normalize by one number": lambda p, x, **k: p.normalize(x, 0.5, 0.25, **k),
    "pad": lambda p, x, **k: p.pad([x, x[:3, :30, :20] if len(x) < 4 else x[:30, :20]], **k),
    "pad with values": lambda p, x, **k: p.pad([x, x[:, :40]] if len(x) < 4 else [x, x[:40]], (0, 2), **k),
    "pad to arrays": lambda p, x, **k: p.pad([x, x], return_pixel_mask=False, return_tensors="np", **k),
}
ARRAYS = {"uint8": UINT8, "float32": SCALED.astype(np.float32), "float64": SCALED, "whole": UINT8.astype(np.float32),
          "one channel": UINT8[..., :1], "odd": UINT8[:37, :34]}


@pytest.mark.parametrize("pair", ["roberta"], indirect=True)
@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("name", STEPS)
def test_step_of_the_image_processor(pair: Any, name: str, array: str) -> None:
    for first in (False, True):
        given = ARRAYS[array].transpose(2, 0, 1) if first else ARRAYS[array]
        for target in (None, "channels_first", enumerated("ChannelDimension", "LAST")):
            for source in (None, "channels_first" if first else enumerated("ChannelDimension", "LAST")):
                options = {"data_format": target, "input_data_format": source}
                assert_same(*(STEPS[name](each.image_processor, given, **options) for each in (pair.ours, pair.port)))


@pytest.mark.parametrize("pair", ["roberta"], indirect=True)
@pytest.mark.parametrize("name", IMAGE_CALLS)
def test_image_processor_call(pair: Any, name: str) -> None:
    call = IMAGE_CALLS[name]
    assert_same(call(pair.ours.image_processor), call(pair.port.image_processor))


PROCESSOR_CALLS: dict[str, Call] = {
    "one": lambda p: p(PICTURES[0], TEXTS[0]),
    "one as arrays": lambda p: p(PICTURES[0], TEXTS[0], return_tensors="np"),
    "torch": lambda p: p(PICTURES[:2], TEXTS[:2], return_tensors="pt", padding=True),
    "by name": lambda p: p(text=TEXTS[:2], images=PICTURES, padding=True, return_tensors="np"),
    "pairs": lambda p: p(PICTURES, TEXTS[:2], text_pair=TEXTS[1:], padding=True, return_tensors="np"),
    "flat": lambda p: p(PICTURES, TEXTS[:2], return_tensors="np", padding="max_length", max_length=20, do_pad=False,
                        size={"shortest_edge": 96}, return_token_type_ids=True, return_special_tokens_mask=True),
    "groups": lambda p: p(PICTURES, TEXTS[:2],
                          text_kwargs={"padding": "max_length", "max_length": 9, "truncation": True},
                          images_kwargs={"do_center_crop": False, "data_format": "channels_last"},
                          common_kwargs={"return_tensors": "np"}),
    "group and flat": lambda p: p(PICTURES, TEXTS[:2], text_kwargs={"padding": True}, return_tensors="np"),
    "lists": lambda p: p(PICTURES, TEXTS[:2], padding=True, add_special_tokens=False, pad_to_multiple_of=4),
    "names": lambda p: p.model_input_names,
    "to_dict": lambda p: [p.to_dict(), p.to_json_string()],
    "decode": lambda p: [p.decode([5, 6, 7]), p.batch_decode([[5, 6], [7]], skip_special_tokens=True)],
    "attributes": lambda p: list(p(PICTURES, TEXTS[:2], return_tensors="np", padding=True).pixel_values.shape),
    "items": lambda p: sorted(name for name, _ in p(PICTURES[0], TEXTS[0]).items()),
    "to": lambda p: {name: str(value.dtype) for name, value in p(PICTURES[0], TEXTS[0], return_tensors="pt")
                     .to("cpu").items()},
    "row": lambda p: p(PICTURES, TEXTS[:2])[1].tokens,
}


@pytest.mark.parametrize("pair", ["roberta"], indirect=True)  # the port's processor takes no other tokenizer
@pytest.mark.parametrize("name", PROCESSOR_CALLS)
def test_processor_call(pair: Any, name: str) -> None:
    call = PROCESSOR_CALLS[name]
    assert_same(call(pair.ours), call(pair.port))


@pytest.mark.parametrize("pair", ["roberta"], indirect=True)
def test_stored_settings_of_an_image_processor(pair: Any) -> None:
    settings = {"do_pad": False, "local_files_only": True, "x": 1}
    for call, options in (("get_image_processor_dict", settings),
                          ("from_pretrained", {**settings, "return_unused_kwargs": True})):
        (ours, left), (port, expected) = (getattr(type(each.image_processor), call)(str(pair.folder), **options)
                                          for each in (pair.ours, pair.port))
        read, wanted = (each if isinstance(each, dict) else each.to_dict() for each in (ours, port))
        assert left == expected and read["do_pad"] == wanted["do_pad"] and read["size"] == wanted["size"]


@pytest.mark.parametrize(("call", "message"), [
    (lambda p: p.resize(UINT8[0], 64), "an array of shape .81, 3. is no picture"),
    (lambda p: p.normalize(UINT8, [0.5, 0.5], 1), "mean=.0.5, 0.5. needs one value, or one per channel"),
    (lambda p: p.center_crop(UINT8, {"height": 3, "width": 4}), "is not a size"),
    (lambda p: p.rescale(UINT8, 2, data_format="last"), "data_format='last' is unknown"),
    (lambda p: p.pad([]), "no picture was given")])
def test_a_wrong_step_is_one_line(call: Call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(BridgeTowerImageProcessorFast(size=64))
