"""The comparisons: every variant builds its model from the real experiment files, at the sizes of the paper."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridgetower import BridgeTowerConfig
from bridgetower.config import BRIDGE_TYPES, BridgeTowerTextConfig
from bridgetower.experiment import load_experiment
from bridgetower.known import TEXT_TOWERS
from bridgetower.report.ablations import COMPARISONS, Variant, main, table
from utils import build_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
VARIANTS = [(name, variant) for name, variants in COMPARISONS.items() for variant in variants]
#: The paper's depths and millions of parameters of the cross-modal encoder.
LAYERS = {2: 37.8, 3: 56.8, 4: 75.6, 5: 94.6, 6: 113.4, 8: 151.2, 10: 189.0, 12: 226.8}


def model_of(variant: Variant, config: str = "vqav2_from_towers_config.json") -> BridgeTowerConfig:
    experiment = load_experiment(CONFIGS / config, variant.settings)
    text = BridgeTowerTextConfig(**TEXT_TOWERS[experiment.data.tokenizer].settings)
    tokenizer = SimpleNamespace(vocab_size=text.vocab_size, pad_token_id=text.pad_token_id)
    return build_config(experiment, tokenizer, experiment.task.num_labels)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "variant"), VARIANTS, ids=[f"{name}-{variant.name}" for name, variant in VARIANTS])
@pytest.mark.parametrize("config", ["vqav2_from_towers_config.json", "irtr_itm_itc_f30k_config.json"])
def test_every_variant_builds(name: str, variant: Variant, config: str) -> None:
    model = model_of(variant, config)
    is_meter = "METER" in variant.label
    assert (model.num_bridges == 0) == is_meter
    if name == "layers":
        assert f"{model.num_hidden_layers} layers" in variant.label
    elif name == "bridge_counts":
        assert f"{model.num_bridges} internal, {model.num_hidden_layers - model.num_bridges} external" in variant.label
    elif name == "bridges":
        assert model.bridge_type == variant.name
    elif name == "backbones":
        vision, text = model.vision_config, model.text_config
        assert vision.kind == ("clip" if "CLIP" in variant.label else "vit")
        assert f"/{vision.patch_size}" in variant.label and f"patch{vision.patch_size}" in variant.image_tower
        assert text.kind == ("bert" if " BERT" in variant.label else "roberta")
        assert (variant.text_tower != "") == (text.kind == "bert")
        assert vision.hidden_size == (1024 if "L/14" in variant.label else 768)


def test_comparisons_are_complete() -> None:
    assert [variant.name for variant in COMPARISONS["bridges"]] == list(BRIDGE_TYPES[:9])
    assert [model_of(variant).num_hidden_layers for variant in COMPARISONS["layers"][::2]] == list(LAYERS)
    for variants in COMPARISONS.values():
        assert len({variant.name for variant in variants}) == len({variant.label for variant in variants}) == \
            len(variants)


def test_commands_are_lines_of_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["commands", "backbones"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 14 and all(all(line) for line in lines)
    assert lines[8] == ["clip16_bert_meter", "openai/clip-vit-base-patch16", "google-bert/bert-base-uncased", "--set",
                        "model.image_tower=CLIP-ViT-B/16", "model.text_tower=bert-base-uncased",
                        "data.tokenizer=bert-base-uncased", "model.num_bridges=0"]
    assert main(["commands", "meter"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "bridgetower\t-\t-"


def write_run(folder: Path, variant: Variant, metrics: dict[str, float]) -> None:
    """The files that train.py leaves and the table reads."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(model_of(variant).to_json_string(saving_file=True))
    (folder / "eval_results.json").write_text(json.dumps(metrics))
    (folder / "train_results.json").write_text(json.dumps({"train_runtime": 12.6}))


def test_table_shows_runs_beside_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished = {"2_meter": {"eval_the_metric": 0.7284}, "2_bridgetower": {"eval_the_metric": 0.5, "eval_rsum": 527.1},
                "12_bridgetower": {"eval_the_metric": 0.1}}
    for variant in COMPARISONS["layers"]:
        if variant.name in finished:
            write_run(tmp_path / variant.name, variant, finished[variant.name])
    assert main(["table", "layers", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.rstrip("\n") == table("layers", tmp_path)
    rows = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.strip("|").split("|")]
                                             for line in text.splitlines())}
    assert rows["2 layers, METER"][2:] == ["0.7284", "13", "72.84", "526.0"]
    assert rows["2 layers, BridgeTower"][1:] == ["37.8M", "RSUM 527.1", "13", "74.12", "527.1"]
    assert float(rows["12 layers, BridgeTower"][1].rstrip("M")) == pytest.approx(LAYERS[12], abs=0.1001)
    assert rows["6 layers, METER"] == ["-", "-", "not run", "-", "74.04", "530.7"]
    assert len(rows) == 2 + 2 * len(LAYERS)
