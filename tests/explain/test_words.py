"""Words of a text and their tokens, for both kinds of tokenizers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bridgetower.explain.words import read_words
from bridgetower.inputs import BridgeTowerTokenizer
from bridgetower.preparation.train_tokenizer import save_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> BridgeTowerTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(["what is this?", "a red square"] * 5, 290), folder)
    return BridgeTowerTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def bert() -> BridgeTowerTokenizer:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "squ", "##are", "?", "圆", "形", "don", "'", "t"]
    tokenizer = Tokenizer(models.WordPiece({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(words[:5])
    return BridgeTowerTokenizer(tokenizer, "bert", lowercase=True)


def test_pieces_of_a_word_are_joined(roberta: BridgeTowerTokenizer, bert: BridgeTowerTokenizer) -> None:
    read = read_words(bert, "A red square?", 20)
    assert [(word.text, word.tokens) for word in read.words] == [("A", (1,)), ("red", (2,)), ("square", (3, 4))]
    read = read_words(roberta, "a blue  square, is it?", 40)
    assert [word.text for word in read.words] == ["a", "blue", "square", "is", "it"]
    tokens = [token for word in read.words for token in word.tokens]
    assert tokens == sorted(set(tokens)) and 0 not in tokens and len(read.input_ids) - 1 not in tokens
    for word in read.words:
        assert roberta.decode(read.input_ids[list(word.tokens)].tolist()).strip() == word.text


@pytest.mark.parametrize("mask", ["<mask>", "[MASK]"])
@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_masks(kind: str, mask: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(kind)
    read = read_words(tokenizer, f"a {mask} square", 20)
    assert read.mask == 2 and read.input_ids[2] == tokenizer.mask_token_id
    assert read.words[1].text == ("<mask>" if kind == "roberta" else "[MASK]")
    assert 2 in read.words[1].tokens
    assert read_words(tokenizer, "a red square", 20).mask is None


def test_chinese_characters_and_apostrophes(bert: BridgeTowerTokenizer) -> None:
    read = read_words(bert, "圆形 don't", 20)
    assert [(word.text, word.tokens) for word in read.words] == [("圆", (1,)), ("形", (2,)), ("don't", (3, 4, 5))]


def test_what_is_cut_off_has_no_word(bert: BridgeTowerTokenizer) -> None:
    read = read_words(bert, "a red square", 4)
    assert [word.text for word in read.words] == ["a", "red"] and len(read.input_ids) == 4


@pytest.mark.parametrize("text", ["", "  ", "?!"])
def test_no_words(text: str, bert: BridgeTowerTokenizer) -> None:
    with pytest.raises(ValueError, match="has no words"):
        read_words(bert, text, 20)


def test_saved_folder(roberta: BridgeTowerTokenizer, tmp_path: Path) -> None:
    roberta.save_pretrained(tmp_path)
    again = BridgeTowerTokenizer.from_pretrained(tmp_path)
    assert read_words(again, "a red square", 20).words == read_words(roberta, "a red square", 20).words
