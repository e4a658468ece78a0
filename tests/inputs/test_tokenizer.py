"""The tokenizer against the slow tokenizers of transformers, and its own guarantees."""

from __future__ import annotations

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridgetower.inputs.tokenizer import BridgeTowerTokenizer
from bridgetower.preparation.train_tokenizer import train_tokenizer

TEXTS = [
    "A man on a bike.",
    "  two  spaces, é ü 漢字 and don't",
    "",
    "what <mask> is <s> this [MASK] ?",
    "A" * 200,
    "Ünïcode — “quotes” 🙂 1,000.50\tTAB\nline",
    "a <mask>,b </s>",
]
TRAINING_TEXTS = ["what color is the shape?", "is there a circle in the image?", "the image shows a red triangle"] * 5
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "car", "##s", "##t", "is", "##n", "'", ".", "?"]


@pytest.fixture(scope="module")
def roberta() -> BridgeTowerTokenizer:
    return BridgeTowerTokenizer(train_tokenizer(TRAINING_TEXTS, 320), "roberta")


@pytest.fixture
def bert(tmp_path: Path) -> BridgeTowerTokenizer:
    folder = tmp_path / "bert-tiny-uncased"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return BridgeTowerTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def vocabularies() -> Path:
    shared = os.environ.get("BRIDGETOWER_SHARED")
    if not shared:
        pytest.skip("BRIDGETOWER_SHARED does not point to a folder with vocab/roberta-base and vocab/bert-base-uncased")
    return Path(shared) / "vocab"


@pytest.mark.parametrize("max_length", [3, 8, 50])
@pytest.mark.parametrize("name", ["roberta-base", "bert-base-uncased"])
def test_equals_slow_tokenizer_on_real_vocabulary(vocabularies: Path, name: str, max_length: int) -> None:
    transformers = pytest.importorskip("transformers")
    slow = transformers.RobertaTokenizer if name == "roberta-base" else transformers.BertTokenizer
    expected = slow.from_pretrained(str(vocabularies / name))
    tokenizer = BridgeTowerTokenizer.from_pretrained(vocabularies / name)
    encoded = tokenizer.encode_texts(TEXTS, max_length)
    assert encoded.ids == [expected(text, truncation=True, max_length=max_length)["input_ids"] for text in TEXTS]
    special = {"roberta-base": (0, 1, 2, 3, 50264, 50265), "bert-base-uncased": (101, 0, 102, 100, 103, 30522)}[name]
    assert (tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id, tokenizer.unk_token_id,
            tokenizer.mask_token_id, tokenizer.vocab_size) == special


def test_equals_slow_roberta_on_small_vocabulary(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    train_tokenizer(TRAINING_TEXTS, 320).model.save(str(tmp_path))  # vocab.json and merges.txt, without tokenizer.json
    expected = transformers.RobertaTokenizer.from_pretrained(str(tmp_path))
    texts = TEXTS + TRAINING_TEXTS
    encoded = BridgeTowerTokenizer.from_pretrained(tmp_path).encode_texts(texts, 30)
    assert encoded.ids == [expected(text, truncation=True, max_length=30)["input_ids"] for text in texts]


def test_equals_slow_bert_on_small_vocabulary(bert: BridgeTowerTokenizer, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    expected = transformers.BertTokenizer(str(tmp_path / "bert-tiny-uncased" / "vocab.txt"))
    texts = ["A red CAR.", "cars isn't é", "unknownword carst?"]
    theirs = [expected(text, truncation=True, max_length=9)["input_ids"] for text in texts]
    assert bert.encode_texts(texts, 9).ids == theirs


def test_special_ids_of_trained_tokenizer(roberta: BridgeTowerTokenizer) -> None:
    ids = (roberta.bos_token_id, roberta.pad_token_id, roberta.eos_token_id, roberta.unk_token_id)
    assert ids == (0, 1, 2, 3)
    assert roberta.mask_token_id == roberta.vocab_size - 1 == len(roberta) - 1
    assert roberta.kind == "roberta"


@settings(max_examples=50)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=5), max_length=st.integers(2, 40))
def test_encode_frames_and_cuts(roberta: BridgeTowerTokenizer, texts: list[str], max_length: int) -> None:
    encoded = roberta.encode_texts(texts, max_length)
    whole = roberta.encode_texts(texts, 10_000)
    for row, full, special in zip(encoded.ids, whole.ids, encoded.special_tokens_mask, strict=True):
        assert row == [roberta.bos_token_id, *full[1:-1][: max_length - 2], roberta.eos_token_id]
        assert special == [1, *[0] * (len(row) - 2), 1]


@settings(max_examples=50)
@given(text=st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=60))
def test_byte_level_round_trip(roberta: BridgeTowerTokenizer, text: str) -> None:
    if any(token in text for token in ("<s>", "</s>", "<mask>", "<pad>", "<unk>")):
        return
    assert roberta.decode(roberta.encode_texts([text], 1000).ids[0][1:-1]) == text


def test_call_pads_to_longest_and_to_maximum(roberta: BridgeTowerTokenizer) -> None:
    longest = roberta(["what", "what color is the"], padding=True, return_tensors="np")
    assert longest["input_ids"].dtype == np.int64
    assert longest["input_ids"].shape == longest["attention_mask"].shape
    assert longest["attention_mask"].sum(1).max() == longest["input_ids"].shape[1]
    assert (longest["input_ids"][longest["attention_mask"] == 0] == roberta.pad_token_id).all()
    assert roberta("what", padding="max_length", max_length=12, return_tensors="np")["input_ids"].shape == (1, 12)
    assert len(roberta("what color is the shape?", truncation=True, max_length=4)["input_ids"]) == 4


def test_continuation_marks_the_inside_of_words(bert: BridgeTowerTokenizer, roberta: BridgeTowerTokenizer) -> None:
    ids = np.array(bert.encode_texts(["red cars isn't"], 20).ids)
    assert ids.tolist() == [[2, 6, 7, 8, 10, 11, 12, 1, 3]]
    assert bert.is_continuation(ids).tolist() == [[False, False, False, True, False, True, False, False, False]]
    tokens = roberta.encode_texts(["red zq"], 20).ids[0]
    inside = roberta.is_continuation(np.array(tokens))
    spaces = [roberta.decode([token]).startswith(" ") for token in tokens]
    assert [not flag for flag in inside[1:-1]] == spaces[1:-1]
    assert not inside[0] and not inside[-1]


@pytest.mark.parametrize("which", ["roberta", "bert"])
def test_save_and_read_again(which: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(which)
    tokenizer.save_pretrained(tmp_path / "saved")
    again = BridgeTowerTokenizer.from_pretrained(tmp_path / "saved")
    texts = ["A red car is there?", "<mask> [MASK] cars"]
    assert again.encode_texts(texts, 30) == tokenizer.encode_texts(texts, 30)
    for attribute in ("kind", "vocab_size", "lowercase"):
        assert getattr(again, attribute) == getattr(tokenizer, attribute)
    vocabulary = {"roberta": ["merges.txt", "vocab.json"], "bert": ["vocab.txt"]}[which]
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == sorted(
        ["tokenizer.json", "tokenizer_config.json", *vocabulary])
    transformers = pytest.importorskip("transformers")
    fast = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "saved"))
    assert fast(texts)["input_ids"] == tokenizer.encode_texts(texts, 512).ids


def test_threads_with_other_lengths_do_not_meet(roberta: BridgeTowerTokenizer) -> None:
    def lengths(limit: int) -> set[int]:
        return {len(roberta("what color is " * 20, truncation=True, max_length=limit)["input_ids"]) for _ in range(50)}

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lengths, range(5, 25))) == [{limit} for limit in range(5, 25)]


def test_survives_pickling(roberta: BridgeTowerTokenizer) -> None:
    assert pickle.loads(pickle.dumps(roberta)).encode_texts(TEXTS, 20) == roberta.encode_texts(TEXTS, 20)


def test_case_of_bert_follows_config_then_name(tmp_path: Path) -> None:
    for name, config, lowercase in (("cased", None, False), ("uncased", None, True), ("uncased2", False, False)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        if config is not None:
            (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": config}))
        tokenizer = BridgeTowerTokenizer.from_pretrained(folder)
        assert tokenizer.lowercase is lowercase
        assert (tokenizer.encode_texts(["RED"], 5).ids == [[2, 6, 3]]) is lowercase


def test_unknown_name_says_what_to_pass() -> None:
    with pytest.raises(FileNotFoundError, match="'no-such-thing' is neither a folder nor one of roberta-base"):
        BridgeTowerTokenizer.from_pretrained("no-such-thing")


def test_folder_without_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no tokenizer: expected tokenizer.json"):
        BridgeTowerTokenizer.from_pretrained(tmp_path)


def test_missing_special_token(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(word for word in WORDS if word != "[MASK]"))
    with pytest.raises(ValueError, match=r"has no \[MASK\]"):
        BridgeTowerTokenizer.from_pretrained(tmp_path)


def test_broken_tokenizer_file(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="tokenizer.json is not a tokenizer file"):
        BridgeTowerTokenizer.from_pretrained(tmp_path)


def test_known_name_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(ConnectionError, match="roberta-base.*pass a folder that holds vocab.json and merges.txt"):
        BridgeTowerTokenizer.from_pretrained("roberta-base")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"text": ["what", "what color is"], "return_tensors": "np"}, "pass padding=True"),
        ({"text": "what", "padding": "widest"}, "'widest' is unknown"),
        ({"text": "what", "truncation": True, "max_length": 1}, "max_length=1"),
    ],
)
def test_call_refuses(roberta: BridgeTowerTokenizer, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        roberta(**arguments)
