"""Training of the tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from bridgetower.preparation.schemas import CAPTIONS, IMAGE_CLASSES, SNLI_VE, VQA
from bridgetower.preparation.train_tokenizer import read_texts
from tests.preparation.raw_data import run, write_arrow

FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json")


@pytest.fixture
def arrows(tmp_path: Path) -> Path:
    folder = tmp_path / "arrows"
    folder.mkdir()
    write_arrow(
        folder / "c_train.arrow", CAPTIONS, caption=[["a blue rectangle", "a rectangle"], ["a blue circle"]] * 9
    )
    write_arrow(folder / "q_train.arrow", VQA, questions=[["what color is the circle?", "is it blue?"]] * 9)
    write_arrow(folder / "c_test.arrow", CAPTIONS, caption=[["zzzzzz zzzzzz"]] * 9)
    return folder


def train(source: Path, output: Path, size: int = 290) -> Tokenizer:
    assert run("tokenizer", "--source", source, "--output", output, "--vocab_size", size) == 0
    return Tokenizer.from_file(str(output / "tokenizer.json"))


def test_special_tokens_and_sequences_are_those_of_roberta(arrows: Path, tmp_path: Path) -> None:
    tokenizer = train(arrows, tmp_path / "out")
    assert tokenizer.get_vocab_size() == 290
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert [tokenizer.token_to_id(token) for token in tokens] == [0, 1, 2, 3, 289]
    encoding = tokenizer.encode("a blue <mask>")
    assert encoding.ids[0] == 0 and encoding.ids[-2:] == [289, 2] and "Ġ" not in encoding.tokens
    assert encoding.special_tokens_mask == [1, *[0] * (len(encoding.ids) - 2), 1]
    assert len(tokenizer.encode("a blue rectangle").ids) == 5
    assert tokenizer.decode(tokenizer.encode("Grün, 漢字!").ids) == "Grün, 漢字!"


def test_files_agree_and_training_is_deterministic(arrows: Path, tmp_path: Path) -> None:
    tokenizer = train(arrows, tmp_path / "one")
    train(arrows, tmp_path / "two")
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "vocab.json").read_text()) == tokenizer.get_vocab()
    assert {path.name for path in (tmp_path / "one").iterdir()} == set(FILES)


def test_tables_of_pictures_alone_are_left_out_of_a_folder(arrows: Path, tmp_path: Path) -> None:
    train(arrows, tmp_path / "one")
    write_arrow(arrows / "a_train.arrow", IMAGE_CLASSES, labels=[[1]] * 9)
    train(arrows, tmp_path / "two")
    assert (tmp_path / "one/vocab.json").read_bytes() == (tmp_path / "two/vocab.json").read_bytes()


def test_transformers_reads_it(arrows: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = train(arrows, tmp_path / "out")
    for name in ("RobertaTokenizerFast", "RobertaTokenizer"):
        theirs = getattr(transformers, name).from_pretrained(tmp_path / "out")
        assert theirs("is a blue<mask> there?").input_ids == ours.encode("is a blue<mask> there?").ids
        assert (theirs.pad_token_id, theirs.mask_token_id) == (1, 289)


def test_folders_leave_out_test_splits_and_named_files_do_not(arrows: Path, tmp_path: Path) -> None:
    assert len(train(arrows, tmp_path / "folder", 400).encode("zzzzzz").ids) == 8
    assert len(train(arrows / "c_test.arrow", tmp_path / "file", 400).encode("zzzzzz").ids) < 8


def test_the_text_of_entailment_pairs_is_the_hypothesis(tmp_path: Path) -> None:
    path = write_arrow(tmp_path / "s.arrow", SNLI_VE, sentences=[[["premise", "one"], ["premise", "two"]]])
    assert list(read_texts([path])) == ["one", "two"]


def test_unusable_input_is_named(arrows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (arrows / "broken.arrow").write_bytes(b"cut off")
    write_arrow(tmp_path / "n.arrow", pa.schema([("number", pa.int64())]), number=[1])
    for source, size, message in [
        (arrows / "broken.arrow", 300, "broken.arrow: not a complete arrow file"),
        (tmp_path / "n.arrow", 300, "n.arrow: none of the columns caption"),
        (tmp_path / "nowhere", 300, "nowhere: no arrow file"),
        (arrows / "c_train.arrow", 260, "at least 261 are needed"),
    ]:
        assert run("tokenizer", "--source", source, "--output", tmp_path / "out", "--vocab_size", size) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
