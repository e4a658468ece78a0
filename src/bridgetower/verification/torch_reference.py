"""The PyTorch side of `--verify`: models of transformers, filled straight from the source by its own names.

Not by way of the table of rules, so that a mistake there cannot cancel out. The only module here that imports torch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..conversion.errors import CheckpointError
from ..conversion.names.mapping import source_stem
from ..conversion.readers.arrays import widen
from ..conversion.readers.checkpoint import Checkpoint

Arrays = dict[str, np.ndarray]


def reference_outputs(checkpoint: Checkpoint, config: Mapping[str, Any], inputs: Arrays) -> Arrays:
    """Outputs of the PyTorch model for `inputs`, by name.

    Raises:
        CheckpointError: transformers has no such model.
    """
    import torch

    state = {name: torch.from_numpy(np.array(widen(checkpoint.tensors[name]))) for name in checkpoint.tensors}
    batch = {name: torch.from_numpy(array) for name, array in inputs.items()}
    if checkpoint.layout in ("original", "huggingface"):
        outputs = _fusion_outputs(_port_names(state, checkpoint.layout), config, batch)
    elif checkpoint.layout == "huggingface_bert":
        outputs = {"text_features": _bert(checkpoint, state, config)(**batch).last_hidden_state}
    else:
        outputs = {"image_features": _image_tower(checkpoint, state, config)(batch["pixel_values"])}
    return {name: tensor.numpy() for name, tensor in outputs.items()}


#: The original's names that the port changed (goldens of the port: everything else keeps its name).
_PORT_RENAMES = (
    ("vit_model.visual.class_embedding", "vision_model.visual.embeddings.class_embedding"),
    ("vit_model.visual.positional_embedding", "vision_model.visual.embeddings.position_embedding.weight"),
    ("vit_model.visual.conv1.weight", "vision_model.visual.embeddings.patch_embedding.weight"),
    ("visual.class_embedding", "visual.embeddings.class_embedding"),
    ("visual.positional_embedding", "visual.embeddings.position_embedding.weight"),
    ("visual.conv1.weight", "visual.embeddings.patch_embedding.weight"),
    ("vit_model.visual.", "vision_model.visual."),
    ("text_transformer.", "text_model."),
)


def _port_names(state: dict[str, Any], layout: str) -> dict[str, Any]:
    if layout == "huggingface":
        return {name.removeprefix("bridgetower."): tensor for name, tensor in state.items()}
    renamed = {}
    for name, tensor in state.items():
        for old, new in _PORT_RENAMES:
            if name.startswith(old):
                name = new + name[len(old) :]
                break
        renamed[name] = tensor
    return renamed


def _resized(state: dict[str, Any], name: str, vision: Mapping[str, Any]) -> None:
    """Resize a position table with torch's own interpolation."""
    import torch
    import torch.nn.functional as F

    grid, table = vision["image_size"] // vision["patch_size"], state[name]
    table = table.reshape(table.shape[-2:])
    old = round((len(table) - 1) ** 0.5)
    if old != grid:
        patches = table[1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
        patches = F.interpolate(patches, (grid, grid), mode="bicubic").permute(0, 2, 3, 1).reshape(grid * grid, -1)
        table = torch.cat([table[:1], patches])
    state[name] = table


def _load(module: Any, state: Mapping[str, Any], may_miss: tuple[str, ...] = ()) -> None:
    """Fill a module with the tensors of its own names.

    Raises:
        CheckpointError: one is missing.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.endswith(may_miss)]
    if missing:
        raise CheckpointError(f"--verify: transformers' model needs {missing[0]}, which the source does not have")
    module.load_state_dict({name: state[name] for name in own if name in state}, strict=False)
    module.eval()


_UNUSED = ("pooler.dense.weight", "pooler.dense.bias", "position_ids", "token_type_ids")


def _port_model(state: dict[str, Any], config: Mapping[str, Any]) -> Any:
    """transformers' BridgeTowerModel with the source's epsilons, sizes and token types."""
    from torch import nn
    from transformers import BridgeTowerConfig
    from transformers.models.bridgetower import modeling_bridgetower as port

    text, vision = dict(config["text_config"]), dict(config["vision_config"])
    if text["num_hidden_layers"] != vision["num_hidden_layers"] and config["num_bridges"]:
        raise CheckpointError("--verify needs towers of equal depth, as transformers' model has")
    port_config = BridgeTowerConfig(
        hidden_size=config["hidden_size"], num_hidden_layers=config["num_hidden_layers"],
        layer_norm_eps=config["layer_norm_eps"], link_tower_type=config["bridge_type"],
        text_config={key: value for key, value in text.items() if key != "kind"},
        vision_config={key: vision[key] for key in ("hidden_size", "num_hidden_layers", "num_channels", "patch_size",
                                                    "image_size", "layer_norm_eps")},
        attn_implementation="eager",
    )  # fmt: skip
    model = port.BridgeTowerModel(port_config)
    # The port builds its cross-modal layers from the text tower's settings; the original has settings for them.
    cross = copy.deepcopy(model.config.text_config)
    cross.hidden_size, cross.intermediate_size = config["hidden_size"], config["intermediate_size"]
    cross.num_attention_heads, cross.layer_norm_eps = config["num_attention_heads"], config["cross_layer_norm_eps"]
    depth = config["num_hidden_layers"]
    model.cross_modal_text_layers, model.cross_modal_image_layers = (
        nn.ModuleList([port.BridgeTowerBertCrossLayer(cross, layer_idx=layer) for layer in range(depth)])
        for _ in ("text", "image")
    )
    model.token_type_embeddings = nn.Embedding(config["token_type_vocab_size"], config["hidden_size"])
    if text["kind"] == "bert":
        model.text_model.embeddings.padding_idx = -1  # its position ids start after this: BERT's start at 0
    state = dict(state)
    _resized(state, "vision_model.visual.embeddings.position_embedding.weight", vision)
    without_bridges = ("layernorm.weight", "layernorm.bias", "LayerNorm.weight", "LayerNorm.bias")
    _load(model, state, _UNUSED if config["num_bridges"] else _UNUSED + without_bridges)
    return model


def _gated(states: list[Any], gate: tuple[Any, Any] | None) -> Any:
    """The last state, plus with METER's `meter_fusion` a sum of those below, weighted by a softmax over them."""
    import torch
    import torch.nn.functional as F

    if gate is None:
        return states[-1]
    lower = torch.stack(states[:-1])
    return states[-1] + (F.linear(lower, *gate).softmax(dim=0) * lower).sum(dim=0)


def _two_tower(model: Any, state: Mapping[str, Any], batch: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """METER: one state of each tower, then cross-modal layers without bridges, all of them modules of the port."""
    import torch

    def gate(side: str) -> tuple[Any, Any] | None:
        name = f"{side}_gate"
        return (state[f"{name}.weight"], state[f"{name}.bias"]) if f"{name}.weight" in state else None

    ids = batch["input_ids"]
    mask = model.text_model.get_extended_attention_mask(batch["attention_mask"], ids.shape)
    texts = [model.text_model.embeddings(input_ids=ids)]
    for layer in model.text_model.encoder.layer:
        texts.append(layer(texts[-1], mask)[0])
    visual = model.vision_model.visual
    images = [visual.forward_pre(batch["pixel_values"])]
    for block in visual.transformer.resblocks:
        images.append(block(images[-1]))
    text = _gated(texts[1:], gate("text"))
    image = _gated([visual.forward_post(image) for image in images[1:]], gate("image"))
    text = model.cross_modal_text_transform(text) + model.token_type_embeddings.weight[0]
    image = model.cross_modal_image_transform(image) + model.token_type_embeddings.weight[1]
    for text_layer, image_layer in zip(model.cross_modal_text_layers, model.cross_modal_image_layers, strict=True):
        new_text = text_layer(text, image, attention_mask=mask)[0]
        text, image = new_text, image_layer(image, text, encoder_attention_mask=mask)[0]
    pooled = torch.cat([model.cross_modal_text_pooler(text), model.cross_modal_image_pooler(image)], dim=-1)
    return text, image, pooled


def _fusion_outputs(state: dict[str, Any], config: Mapping[str, Any], batch: dict[str, Any]) -> dict[str, Any]:
    """Features and the scores of every head, computed from the source's own tensors."""
    import torch
    import torch.nn.functional as F

    model = _port_model(state, config)

    def run(image_type: int) -> tuple[Any, Any, Any]:
        if not config["num_bridges"]:
            return _two_tower(model, state, batch)
        output = model(**batch, image_token_type_idx=image_type)
        return output.text_features, output.image_features, output.pooler_output

    def linear(name: str, inputs: Any) -> Any:
        return F.linear(inputs, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name: str, inputs: Any, epsilon: float) -> Any:
        return F.layer_norm(inputs, inputs.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], epsilon)

    text, image, pooled = run(1)
    outputs = {"text_features": text, "image_features": image, "pooler_output": pooled}
    if "mlm_score.bias" in state:
        hidden = F.gelu(linear("mlm_score.transform.dense", text))
        hidden = norm("mlm_score.transform.LayerNorm", hidden, config["cross_layer_norm_eps"])
        decoder = state.get("mlm_score.decoder.weight", state["text_model.embeddings.word_embeddings.weight"])
        outputs["mlm_logits"] = F.linear(hidden, decoder, state["mlm_score.bias"])
    for name, ours in (("itm_score.fc", "itm_logits"), ("rank_output", "rank_score")):
        if f"{name}.bias" in state:
            outputs[ours] = linear(name, pooled)
    for task in ("vqa", "snli", "nlvr2"):
        if f"{task}_classifier.0.bias" in state:
            features = torch.cat([pooled, run(2)[2]], dim=-1) if task == "nlvr2" else pooled
            hidden = norm(f"{task}_classifier.1", linear(f"{task}_classifier.0", features), config["layer_norm_eps"])
            outputs["logits"] = linear(f"{task}_classifier.3", F.gelu(hidden))
    if "itc_text_head.fc.bias" in state:
        text = model.text_model(batch["input_ids"], batch["attention_mask"])[0]
        image = model.vision_model(batch["pixel_values"])[-1]
        if "logit_scale" in state:  # the port reads projected image states, the original those of the tower
            image = model.cross_modal_image_transform(image) + model.token_type_embeddings.weight[1]
            outputs["cross_embeds"] = F.normalize(linear("itc_cross_modal_head.fc", pooled))
        outputs["text_embeds"] = F.normalize(linear("itc_text_head.fc", text[:, 0]))
        outputs["image_embeds"] = F.normalize(linear("itc_image_head.fc", image[:, 0]))
    return outputs


def _bert(checkpoint: Checkpoint, state: dict[str, Any], config: Mapping[str, Any]) -> Any:
    from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

    text = {key: value for key, value in config["text_config"].items() if key != "kind"}
    if config["text_config"]["kind"] == "roberta":
        model = RobertaModel(RobertaConfig(**text, attn_implementation="eager"), add_pooling_layer=False)
    else:
        model = BertModel(BertConfig(**text, attn_implementation="eager"), add_pooling_layer=False)
    _load(model, {source_stem(name, checkpoint.layout): tensor for name, tensor in state.items()}, _UNUSED)
    return model


def _image_tower(checkpoint: Checkpoint, state: dict[str, Any], config: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Images to the states after the last LayerNorm."""
    from transformers import BridgeTowerVisionConfig, CLIPVisionConfig, CLIPVisionModel, ViTConfig, ViTModel
    from transformers.models.bridgetower.modeling_bridgetower import BridgeTowerVisionModel

    vision = {key: value for key, value in config["vision_config"].items() if key != "kind"}
    state = {source_stem(name, checkpoint.layout): tensor for name, tensor in state.items()}
    if checkpoint.layout == "openai_clip":
        state = _port_names(state, "original")
        _resized(state, "visual.embeddings.position_embedding.weight", vision)
        model = BridgeTowerVisionModel(BridgeTowerVisionConfig(**vision))
        _load(model, state, _UNUSED)
        return lambda pixels: model(pixels)[-1]
    if checkpoint.layout == "huggingface_clip":
        _resized(state, "vision_model.embeddings.position_embedding.weight", vision)
        clip = CLIPVisionModel(CLIPVisionConfig(**vision, attn_implementation="eager"))
        _load(clip, state, _UNUSED)
        # CLIP gives its last LayerNorm the class token only; our tower gives it every token.
        return lambda pixels: clip.vision_model.post_layernorm(clip(pixels).last_hidden_state)
    if "embeddings.distillation_token" in state:
        raise CheckpointError("--verify cannot check a distilled DeiT: our tower drops its distillation token")
    _resized(state, "embeddings.position_embeddings", vision)
    state["embeddings.position_embeddings"] = state["embeddings.position_embeddings"][None]
    vit = ViTModel(ViTConfig(**vision, attn_implementation="eager"), add_pooling_layer=False)
    _load(vit, state, _UNUSED)
    return lambda pixels: vit(pixels).last_hidden_state
