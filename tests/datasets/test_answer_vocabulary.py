"""The answers of VQA tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridgetower.datasets import AnswerVocabulary, ArrowTable, DatasetOptions, build_dataset


def test_collects_training_and_validation(write, questions, captions, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("vqav2_train_fix", {"image": [b""], "questions": [["q"]], "answers": [[["late", "first"]]],
                              "answer_labels": [[[9, 4]]], "answer_scores": [[[1.0, 0.3]]], "question_id": [[1]]})
    questions("vqav2_val_fix")
    captions("vg", [["a"]])
    options = DatasetOptions(image_size=8, transform="clip")
    train, val = (build_dataset(["vqa"], split, tmp_path, options) for split in ("train", "val"))
    vocabulary = AnswerVocabulary.from_datasets(train, val, build_dataset(["vg"], "train", tmp_path, options))
    assert vocabulary.answers == {0: "yes", 1: "answer1", 2: "answer2", 4: "first", 9: "late"}
    assert vocabulary.num_answers == 10
    assert (vocabulary[9], vocabulary[3], vocabulary[77]) == ("late", "unknown", "unknown")


def test_table_without_answers(questions) -> None:  # type: ignore[no-untyped-def]
    vocabulary = AnswerVocabulary.from_tables([ArrowTable(questions("vqav2_test", test=True))])
    assert (vocabulary.answers, vocabulary.num_answers, vocabulary[0]) == ({}, 0, "unknown")


def test_columns_that_do_not_go_together(write) -> None:  # type: ignore[no-untyped-def]
    table = ArrowTable(write("t", {"answers": [[["a", "b"]]], "answer_labels": [[[1]]]}))
    with pytest.raises(ValueError, match="t.arrow has 1 answer_labels for 2 answers"):
        AnswerVocabulary.from_tables([table])


def test_tables_of_different_vocabularies(write) -> None:  # type: ignore[no-untyped-def]
    paths = [write(name, {"answers": [[["no", name]]], "answer_labels": [[[0, 3]]]}) for name in ("a", "b")]
    with pytest.raises(ValueError, match="b.arrow: answer label 3 is 'b', in another table 'a'"):
        AnswerVocabulary.from_tables(map(ArrowTable, paths))
