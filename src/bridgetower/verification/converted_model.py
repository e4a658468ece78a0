"""Run converted weights in Paddle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..conversion import load_weights
from ..model_parts import BASE_PREFIX, is_head
from .reference import Arrays


def paddle_outputs(converted: Path, inputs: Arrays, expected: Arrays) -> Arrays:
    """Run the converted weights on `inputs`; gives the outputs that `expected` names."""
    import paddle

    tensors, config = load_weights(converted, allow_nonfinite=True)
    batch = {name: paddle.to_tensor(array) for name, array in inputs.items()}
    with paddle.no_grad():
        if config is None or "hidden_size" not in config:
            outputs = _our_tower(tensors, config or {}, batch)
        else:
            outputs = _our_model(tensors, config, batch, expected)
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def _our_tower(tensors: Arrays, config: dict[str, Any], batch: Mapping[str, Any]) -> dict[str, Any]:
    from ..config import BridgeTowerTextConfig, BridgeTowerVisionConfig
    from ..modules.bert_model import TextTower
    from ..modules.clip_model import ImageTower
    from ..modules.loading import build_undrawn, load_into

    if "text_config" in config:
        tower = build_undrawn(TextTower, BridgeTowerTextConfig(**config["text_config"]))
        load_into(tower, {name.removeprefix("text_tower."): array for name, array in tensors.items()})
        tower.eval()
        return {"text_features": tower(batch["input_ids"], batch["attention_mask"], 1)[-1]}
    tower = build_undrawn(ImageTower, BridgeTowerVisionConfig(**config["vision_config"]))
    load_into(tower, {name.removeprefix("image_tower."): array for name, array in tensors.items()})
    tower.eval()
    return {"image_features": tower(batch["pixel_values"], 1)[-1]}


def _our_model(tensors: Arrays, config: dict[str, Any], batch: Mapping[str, Any], expected: Arrays) -> dict[str, Any]:
    from ..config import BridgeTowerConfig
    from ..modules import BridgeTowerModel
    from ..modules.loading import build_undrawn, load_into

    typed = BridgeTowerConfig(**config)
    model = build_undrawn(BridgeTowerModel, typed)
    stems = {name.removeprefix(BASE_PREFIX): array for name, array in tensors.items()}
    heads = {name: array for name, array in stems.items() if is_head(name)}
    load_into(model, {name: array for name, array in stems.items() if name not in heads})
    model.eval()
    output = model(**batch)
    outputs = {name: output[name] for name in ("text_features", "image_features", "pooler_output")}
    return outputs | _our_heads(model, typed, heads, batch, output, expected)


def _our_heads(
    model: Any, config: Any, heads: Arrays, batch: Mapping[str, Any], output: Any, expected: Arrays
) -> dict[str, Any]:
    """Those outputs of `expected` that heads compute."""
    import paddle
    import paddle.nn.functional as F

    from ..modules import load_into
    from ..modules.heads import Classifier, mlm_head

    def filled(layer: Any, prefix: str) -> Any:
        load_into(layer, {name.removeprefix(prefix): heads[name] for name in heads if name.startswith(prefix)})
        return layer

    def linear(prefix: str, inputs: Any) -> Any:
        return filled(paddle.nn.Linear(*heads[f"{prefix}weight"].shape), prefix)(inputs)

    pooled, outputs = output.pooler_output, {}
    if "mlm_logits" in expected:
        outputs["mlm_logits"] = filled(mlm_head(config), "mlm_head.")(output.text_features)
    for name, prefix in (("itm_logits", "itm_head."), ("rank_score", "rank_head.")):
        if name in expected:
            outputs[name] = linear(prefix, pooled)
    if "logits" in expected:
        features = pooled
        if config.token_type_vocab_size == 3:
            features = paddle.concat([pooled, model(**batch, image_token_type_idx=2).pooler_output], axis=-1)
        inner = heads["classifier.fc1.bias"].shape[0] if "classifier.fc1.bias" in heads else None
        layer = Classifier(features.shape[-1], inner, config.num_labels, config.layer_norm_eps)
        outputs["logits"] = filled(layer, "classifier.")(features)
    if "text_embeds" in expected:
        image_states = model.encode_image(batch["pixel_values"])
        if "cross_embeds" in expected:
            image_states = model.project_image(image_states)
            outputs["cross_embeds"] = F.normalize(linear("itc_cross_modal_head.", pooled))
        text = model.encode_text(batch["input_ids"], batch["attention_mask"])[-1]
        outputs["text_embeds"] = F.normalize(linear("itc_text_head.", text[:, 0]))
        outputs["image_embeds"] = F.normalize(linear("itc_image_head.", image_states[-1][:, 0]))
    return outputs
