"""Folders and hub repositories of processors: files of transformers 4 and 5, damaged files, downloads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import normalizers

from bridgetower import BridgeTowerConfig, BridgeTowerTextConfig, BridgeTowerVisionConfig
from bridgetower.config import tower_settings
from bridgetower.inputs import BridgeTowerImageProcessor, BridgeTowerProcessor, BridgeTowerTokenizer
from bridgetower.preparation.train_tokenizer import train_tokenizer

TEXTS = ["a zebra<obj> car", "what <blank> is", "  the  shape"]
NAMES = ("model_max_length", "padding_side", "pad_token", "pad_token_id", "additional_special_tokens", "vocab_size",
         "all_special_tokens", "all_special_ids", "special_tokens_map")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vocab.json and merges.txt alone."""
    folder = tmp_path_factory.mktemp("plain")
    train_tokenizer(["what color is the shape?", "a red car"] * 5, 320).model.save(str(folder))
    return folder


@pytest.fixture(scope="module")
def port_folder(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A processor as transformers 4 saves it, with every setting changed."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.RobertaTokenizerFast.from_pretrained(
        str(plain), model_max_length=77, padding_side="left", add_prefix_space=True,
        additional_special_tokens=["<obj>"])
    tokenizer.add_tokens(["zebra"])
    tokenizer.add_special_tokens({"pad_token": "<blank>"})
    images = transformers.BridgeTowerImageProcessor(size={"shortest_edge": 96}, do_pad=False)
    folder = tmp_path_factory.mktemp("port")
    transformers.BridgeTowerProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def change(path: Path, changes: dict[str, Any], *removed: str) -> None:
    config = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in (config | changes).items() if name not in removed}))


def as_transformers_5(port_folder: Path, folder: Path) -> Path:
    """The same processor as transformers 5 saves it: picture settings nested, one file of tokenizer settings."""
    shutil.copytree(port_folder, folder)
    for name in ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"):
        (folder / name).unlink()
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    settings |= {"image_processor_type": "BridgeTowerImageProcessorFast", "data_format": "channels_first"}
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(
        json.dumps({"processor_class": "BridgeTowerProcessor", "image_processor": settings}))
    change(folder / "tokenizer_config.json", {"backend": "tokenizers", "extra_special_tokens": ["<obj>"]},
           "added_tokens_decoder", "additional_special_tokens")
    return folder


def assert_same_tokenizer(ours: BridgeTowerTokenizer, port: Any) -> None:
    assert ours(TEXTS, padding=True)["input_ids"] == port(TEXTS, padding=True)["input_ids"]
    assert {name: getattr(ours, name) for name in NAMES} == {name: getattr(port, name) for name in NAMES}
    assert len(ours) == len(port) and ours.get_added_vocab() == port.get_added_vocab()


@pytest.mark.parametrize("version", [4, 5])
def test_reads_what_transformers_saves(port_folder: Path, tmp_path: Path, version: int) -> None:
    transformers = pytest.importorskip("transformers")
    folder = port_folder if version == 4 else as_transformers_5(port_folder, tmp_path / "five")
    processor = BridgeTowerProcessor.from_pretrained(folder)
    assert_same_tokenizer(processor.tokenizer, transformers.RobertaTokenizerFast.from_pretrained(str(port_folder)))
    assert processor.tokenizer.add_prefix_space
    assert (processor.image_processor.size, processor.image_processor.do_pad) == ({"shortest_edge": 96}, False)


def test_reads_files_that_transformers_5_wrote(plain: Path, tmp_path: Path) -> None:
    """The JSON files of a small model and its processor, as transformers 5.24 wrote them."""
    shutil.copytree(Path(__file__).parent / "transformers5", tmp_path, dirs_exist_ok=True)
    BridgeTowerTokenizer.from_pretrained(plain).save_pretrained(tmp_path / "words")
    shutil.copy(tmp_path / "words" / "tokenizer.json", tmp_path)
    processor = BridgeTowerProcessor.from_pretrained(tmp_path)
    images, tokenizer = processor.image_processor, processor.tokenizer
    assert images.size == images.crop_size == {"shortest_edge": 64} and images.do_pad and images.size_divisor == 32
    assert (tokenizer.kind, tokenizer.model_max_length, tokenizer.mask_token) == ("roberta", 512, "<mask>")
    config = BridgeTowerConfig.from_pretrained(tmp_path)
    assert (config.text_config.hidden_size, config.vision_config.image_size) == (16, 64)
    assert config.objectives == ["mlm"] and not config.tie_word_embeddings
    text, vision = (each.from_pretrained(tmp_path) for each in (BridgeTowerTextConfig, BridgeTowerVisionConfig))
    assert tower_settings(text) == tower_settings(config.text_config)
    assert tower_settings(vision) == tower_settings(config.vision_config)


@pytest.mark.parametrize(("version", "top", "text", "tied"), [
    ("5.24.0", False, None, False), ("5.24.0", True, None, True), ("5.24.0", None, None, False),
    ("5.0.0.dev0", True, False, True), ("4.55.4", False, None, True), ("4.55.4", True, False, False),
    (None, True, False, False), (None, None, None, True)])
def test_each_release_has_its_own_setting_for_a_tied_decoder(version: str | None, top: bool | None, text: bool | None,
                                                             tied: bool) -> None:
    settings = json.loads((Path(__file__).parent / "transformers5" / "config.json").read_text())
    settings |= {"transformers_version": version, "tie_word_embeddings": top}
    settings["text_config"] |= {"tie_word_embeddings": text}
    settings = {name: value for name, value in settings.items() if value is not None}
    assert BridgeTowerConfig.from_dict(settings).tie_word_embeddings == tied


def test_transformers_reads_what_we_save(port_folder: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    processor = BridgeTowerProcessor.from_pretrained(port_folder)
    processor.tokenizer.add_tokens(["giraffe"])
    saved = processor.save_pretrained(tmp_path)
    assert sorted(saved) == sorted(str(path) for path in tmp_path.iterdir())
    port = transformers.BridgeTowerProcessor.from_pretrained(str(tmp_path))
    for tokenizer in (port.tokenizer, transformers.AutoTokenizer.from_pretrained(str(tmp_path)),
                      transformers.AutoProcessor.from_pretrained(str(tmp_path)).tokenizer,
                      BridgeTowerTokenizer.from_pretrained(tmp_path)):
        assert_same_tokenizer(processor.tokenizer, tokenizer)
    assert (port.image_processor.size, port.image_processor.do_pad) == ({"shortest_edge": 96}, False)
    read, written = BridgeTowerProcessor.from_pretrained(tmp_path).image_processor, processor.image_processor
    assert read.to_dict() == {**written.to_dict(), "crop_size": written.size}  # transformers 5 wants it written out


def test_arguments_have_the_names_of_the_port(port_folder: Path, tmp_path: Path) -> None:
    processor = BridgeTowerProcessor.from_pretrained(pretrained_model_name_or_path=port_folder)
    for part in (processor, processor.tokenizer, processor.image_processor):
        part.save_pretrained(save_directory=tmp_path)
        assert type(part).from_pretrained(pretrained_model_name_or_path=tmp_path)
    processor.image_processor.to_json_file(json_file_path=tmp_path / "images.json")
    assert BridgeTowerImageProcessor.from_json_file(json_file=tmp_path / "images.json") == processor.image_processor
    settings = processor.image_processor.to_dict()
    assert BridgeTowerImageProcessor.from_dict(image_processor_dict=settings) == processor.image_processor


@pytest.mark.parametrize("legacy", [False, True])
def test_reads_what_slow_tokenizers_save(plain: Path, tmp_path: Path, legacy: bool) -> None:
    transformers = pytest.importorskip("transformers")
    slow = transformers.RobertaTokenizer.from_pretrained(str(plain), additional_special_tokens=["<obj>"])
    slow.add_tokens(["zebra"])
    slow.save_pretrained(tmp_path)
    if legacy:
        change(tmp_path / "tokenizer_config.json", {}, "added_tokens_decoder", "additional_special_tokens")
    port = transformers.RobertaTokenizerFast.from_pretrained(str(tmp_path), model_max_length=512)
    assert_same_tokenizer(BridgeTowerTokenizer.from_pretrained(tmp_path, model_max_length=512), port)


@pytest.mark.parametrize("settings", [{"strip_accents": False}, {"do_lower_case": False},
                                      {"tokenize_chinese_chars": False}])
def test_settings_of_bert(tmp_path: Path, settings: dict[str, bool]) -> None:
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "é", "e", "RED", "漢", "漢字", "##字"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    port = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"), **settings)
    text = "RED é 漢字 red"
    ours = BridgeTowerTokenizer.from_pretrained(tmp_path, **{"do_lower_case": True, **settings})
    assert ours(text)["input_ids"] == port(text)["input_ids"]
    ours.save_pretrained(tmp_path / "saved")
    assert BridgeTowerTokenizer.from_pretrained(tmp_path / "saved")(text) == ours(text)
    again = transformers.BertTokenizerFast.from_pretrained(str(tmp_path / "saved"))
    assert again.encode(text) == ours.encode(text)


@pytest.mark.parametrize("settings", [{"split_special_tokens": True}, {"trim_offsets": False}, {"errors": "ignore"},
                                      {"use_fast": True, "trust_remote_code": False}], ids=str)
def test_settings_of_roberta(port_folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    """Given by name, or stored: with the effect that they have in the port."""
    transformers = pytest.importorskip("transformers")
    shutil.copytree(port_folder, tmp_path, dirs_exist_ok=True)
    text = "a  <mask> red  car</s>"
    for changes in (settings, {}):
        port = transformers.RobertaTokenizerFast.from_pretrained(str(tmp_path), **changes)
        ours = BridgeTowerTokenizer.from_pretrained(tmp_path, **changes)
        found, expected = (each(text, return_offsets_mapping=True) for each in (ours, port))
        assert dict(found) == dict(expected)
        change(tmp_path / "tokenizer_config.json", settings)
    BridgeTowerTokenizer.from_pretrained(tmp_path).save_pretrained(tmp_path / "saved")
    again = BridgeTowerTokenizer.from_pretrained(tmp_path / "saved")(text, return_offsets_mapping=True)
    assert dict(again) == dict(found)


def test_the_file_of_image_settings_itself(port_folder: Path, tmp_path: Path) -> None:
    expected = BridgeTowerImageProcessor.from_pretrained(port_folder)
    assert BridgeTowerImageProcessor.from_pretrained(port_folder / "preprocessor_config.json") == expected
    nested = tmp_path / "processor_config.json"
    nested.write_text(json.dumps({"image_processor": expected.to_dict()}))
    assert BridgeTowerImageProcessor.from_pretrained(nested) == expected


def test_settings_that_replace_those_of_the_files(port_folder: Path) -> None:
    processor = BridgeTowerProcessor.from_pretrained(port_folder, size=64, do_pad=True, padding_side="right",
                                                     model_max_length=9)
    assert (processor.image_processor.size, processor.image_processor.do_pad) == ({"shortest_edge": 64}, True)
    assert (processor.tokenizer.padding_side, processor.tokenizer.model_max_length) == ("right", 9)
    for wrong in ("pading_side", "add_prefix_spce"):
        with pytest.raises(ValueError, match=f"'{wrong}' is not a setting of the tokenizer; did you mean"):
            BridgeTowerProcessor.from_pretrained(port_folder, **{wrong: "left"})


@pytest.mark.parametrize("tokens", [{"pad_token": "<blank>"}, {"mask_token": "<hide>"}, {"cls_token": "<first>"}])
def test_a_special_token_that_the_vocabulary_has_not_is_added(plain: Path, tmp_path: Path, tokens: dict[str, str]
                                                              ) -> None:
    transformers = pytest.importorskip("transformers")
    port = transformers.RobertaTokenizerFast.from_pretrained(str(plain), model_max_length=512)
    port.save_pretrained(tmp_path)
    port = transformers.RobertaTokenizerFast.from_pretrained(str(tmp_path), **tokens)
    ours = BridgeTowerTokenizer.from_pretrained(tmp_path, **tokens)
    text = "a <blank> red <hide> car <first>"
    assert ours(text)["input_ids"] == port(text)["input_ids"] and len(ours) == len(port)
    assert ours.special_tokens_map == port.special_tokens_map and ours.all_special_ids == port.all_special_ids


@pytest.mark.parametrize("prefix", [None, "my"])
def test_vocabulary_files(plain: Path, port_folder: Path, tmp_path: Path, prefix: str | None) -> None:
    transformers = pytest.importorskip("transformers")
    port = transformers.RobertaTokenizerFast.from_pretrained(str(port_folder))
    ours = BridgeTowerTokenizer.from_pretrained(port_folder)
    (tmp_path / "port").mkdir()
    expected = [Path(file) for file in port.save_vocabulary(str(tmp_path / "port"), prefix)]
    found = [Path(file) for file in ours.save_vocabulary(tmp_path / "ours", prefix)]
    assert [(path.name, path.read_text()) for path in found] == [(path.name, path.read_text()) for path in expected]


@pytest.mark.parametrize("kind", ["roberta", "bert"])
def test_slow_tokenizers_read_what_we_save(port_folder: Path, tmp_path: Path, kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    if kind == "bert":
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "what", "is", "the", "shape", "car"]
        (tmp_path / "vocab.txt").write_text("\n".join(words))
    ours = BridgeTowerTokenizer.from_pretrained(port_folder if kind == "roberta" else tmp_path, do_lower_case=True)
    ours.add_tokens(["zebra", "giraffe"])
    ours.add_special_tokens({"pad_token": "<blank>", "additional_special_tokens": ["<obj>"]})
    saved = ours.save_pretrained(tmp_path / "saved")
    assert sorted(saved) == sorted(map(str, (tmp_path / "saved").iterdir()))
    slow = getattr(transformers, "RobertaTokenizer" if kind == "roberta" else "BertTokenizer")
    for port in (slow.from_pretrained(tmp_path / "saved"),
                 transformers.AutoTokenizer.from_pretrained(tmp_path / "saved", use_fast=False)):
        assert not port.is_fast
        assert_same_tokenizer(ours, port)
    assert_same_tokenizer(ours, BridgeTowerTokenizer.from_pretrained(tmp_path / "saved"))


def test_no_vocabulary_files_that_slow_tokenizers_misread(plain: Path, tmp_path: Path) -> None:
    ours = BridgeTowerTokenizer.from_pretrained(plain)
    ours.backend_tokenizer.normalizer = normalizers.Lowercase()
    names = [Path(path).name for path in ours.save_pretrained(tmp_path, filename_prefix="my")]
    assert names == ["my-tokenizer_config.json", "my-tokenizer.json"]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("damage", [cut, lambda _: b"", lambda _: b"\xff\xfe\x00\x80", lambda _: b"[1, 2]"])
@pytest.mark.parametrize("file", ["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json",
                                  "special_tokens_map.json", "preprocessor_config.json", "processor_config.json"])
def test_a_damaged_file_is_named_in_one_line(plain: Path, port_folder: Path, tmp_path: Path, file: str, damage: Any
                                             ) -> None:
    folder = tmp_path / "damaged"
    if file == "processor_config.json":
        as_transformers_5(port_folder, folder)
    else:
        shutil.copytree(plain if file in ("vocab.json", "merges.txt") else port_folder, folder)
    (folder / file).write_bytes(damage((folder / file).read_bytes()))
    reader = BridgeTowerTokenizer if file in ("vocab.json", "merges.txt") else BridgeTowerProcessor
    with pytest.raises((ValueError, FileNotFoundError), match=file) as caught:
        reader.from_pretrained(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "file, changes, message",
    [
        ("tokenizer_config.json", {"model_max_length": "long"}, "model_max_length='long' must be a positive number"),
        ("tokenizer_config.json", {"padding_side": "up"}, "padding_side='up' is unknown"),
        ("tokenizer_config.json", {"mask_token": 3}, "3 is not a token"),
        ("tokenizer_config.json", {"additional_special_tokens": [3]}, "3 is not a token"),
        ("tokenizer_config.json", {"model_input_names": 3}, "model_input_names=3 is int, expected a list"),
        ("preprocessor_config.json", {"size": "large"}, "preprocessor_config.json: size='large' is not a size"),
        ("preprocessor_config.json", {"image_mean": [1]}, "preprocessor_config.json: image_mean"),
    ],
)
def test_a_wrong_value_is_named(port_folder: Path, tmp_path: Path, file: str, changes: dict[str, Any], message: str
                                ) -> None:
    folder = tmp_path / "wrong"
    shutil.copytree(port_folder, folder)
    (folder / "special_tokens_map.json").unlink()
    change(folder / file, changes, "added_tokens_decoder")
    with pytest.raises(ValueError, match=message) as caught:
        BridgeTowerProcessor.from_pretrained(folder)
    assert str(folder) in str(caught.value)


class Hub:
    """Stands for `huggingface_hub.hf_hub_download`: a repository in a folder, and what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, []  # type: tuple[Path, list[tuple[str, str, dict[str, Any]]]]

    def __call__(self, repo_id: str, filename: str, **options: Any) -> str:
        from huggingface_hub.errors import EntryNotFoundError

        self.asked.append((repo_id, filename, options))
        if not (self.folder / filename).is_file():
            raise EntryNotFoundError(f"404: {filename}")
        return str(self.folder / filename)


def test_a_name_on_the_hub_downloads_what_is_needed(port_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(port_folder)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub)
    processor = BridgeTowerProcessor.from_pretrained("someone/any-name", revision="v2")
    local = BridgeTowerProcessor.from_pretrained(port_folder)
    assert processor.image_processor == local.image_processor
    assert_same_tokenizer(processor.tokenizer, local.tokenizer)
    assert {(name, options["revision"]) for name, _, options in hub.asked} == {("someone/any-name", "v2")}
    asked = {file for _, file, _ in hub.asked}
    assert "tokenizer.json" in asked
    assert not asked & {"vocab.json", "merges.txt", "vocab.txt", "added_tokens.json", "model.safetensors"}
    assert BridgeTowerImageProcessor.from_pretrained("someone/any-name") == local.image_processor
    assert processor.tokenizer.name_or_path == "someone/any-name"


def test_a_repository_of_vocabulary_files(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(plain)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", hub)
    tokenizer = BridgeTowerTokenizer.from_pretrained("someone/words")
    assert tokenizer(TEXTS) == BridgeTowerTokenizer.from_pretrained(plain)(TEXTS)
    hub.asked.clear()
    BridgeTowerTokenizer.from_pretrained("roberta-base")  # a known name: these two files and nothing else
    assert [(name, file) for name, file, _ in hub.asked] == [("FacebookAI/roberta-base", "vocab.json"),
                                                            ("FacebookAI/roberta-base", "merges.txt")]


def test_what_the_hub_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", Hub(tmp_path))
    with pytest.raises(FileNotFoundError, match="someone/empty holds no tokenizer"):
        BridgeTowerTokenizer.from_pretrained("someone/empty")
    with pytest.raises(FileNotFoundError, match="someone/empty/preprocessor_config.json does not exist"):
        BridgeTowerImageProcessor.from_pretrained("someone/empty")

    def offline(*_: object, **__: object) -> str:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    for reader in (BridgeTowerTokenizer, BridgeTowerImageProcessor, BridgeTowerProcessor):
        with pytest.raises(ConnectionError, match="cannot download .* of 'someone/name'.*no route.*pass a folder"
                           ) as caught:
            reader.from_pretrained("someone/name")
        assert "\n" not in str(caught.value)


def test_a_cached_repository_is_read_without_network(port_folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "models--someone--cached"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("abc")
    snapshot = cache / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for file in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        shutil.copy(port_folder / file, snapshot)
    options: dict[str, Any] = {"cache_dir": str(tmp_path), "local_files_only": True}
    processor = BridgeTowerProcessor.from_pretrained("someone/cached", **options)
    assert_same_tokenizer(processor.tokenizer, BridgeTowerTokenizer.from_pretrained(port_folder))
    with pytest.raises(FileNotFoundError, match="someone/other/preprocessor_config.json does not exist"):
        BridgeTowerProcessor.from_pretrained("someone/other", **options)


@pytest.mark.parametrize("name", ["no/such/folder", "one-word", "/absolute/path", "~/nowhere"])
def test_neither_a_folder_nor_a_name(name: str) -> None:
    for reader in (BridgeTowerTokenizer, BridgeTowerImageProcessor):
        with pytest.raises(FileNotFoundError, match="is neither a folder nor"):
            reader.from_pretrained(name)
