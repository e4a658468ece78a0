"""Single towers in PyTorch: BERT and RoBERTa, CLIP, ViT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..conversion import Checkpoint, CheckpointError
from .clip_reference import ClipTower
from .reference import UNUSED, Reference, Tensors, TextInput, count, fill, part, resize_table

Settings = Mapping[str, Any]


def build(checkpoint: Checkpoint, state: Tensors, image_size: int | None) -> Reference:
    """The model of a single tower.

    Args:
        checkpoint: the source, for its layout and settings.
        state: its tensors by its own names.
        image_size: side S of the images, if it differs from that of the source.

    Raises:
        CheckpointError: transformers has no model that computes the same.
    """
    settings, towers = checkpoint.config or {}, checkpoint.towers or {}
    if checkpoint.layout == "huggingface_bert":
        return _text(state, settings, towers.get("text") or {})
    if checkpoint.layout == "huggingface_vit":
        return _vit(state, settings, image_size)
    if checkpoint.layout == "huggingface_clip":
        return _hugging_face_clip(state, settings.get("vision_config") or settings, image_size)
    own = {**_open_clip_settings(state, settings), **(towers.get("vision") or {})}
    tower = ClipTower(part(state, "visual."), image_size, own)
    return Reference(lambda batch: {"image_features": tower.states(batch["pixel_values"])[-1]}, image=tower.image)


def _open_clip_settings(state: Tensors, settings: Settings) -> dict[str, Any]:
    """The activation, heads and epsilon that open_clip's configuration says; nothing for OpenAI's archives."""
    model = settings.get("model_cfg") or settings
    if "vision_cfg" not in model:
        return {}
    vision, width = model["vision_cfg"], state["visual.class_embedding"].shape[-1]
    return {
        "activation": "quick_gelu" if model.get("quick_gelu") else "gelu",
        "heads": width // (vision.get("head_width") or 64),
        "layer_norm_eps": (vision.get("norm_kwargs") or {}).get("eps"),
    }


def _without_class(state: Tensors, *prefixes: str) -> Tensors:
    """The state of the tower inside a class with a head, whose names have one of the prefixes."""
    for prefix in prefixes:
        if any(name.startswith(prefix) for name in state):
            return part(state, prefix)
    return state


def _text(state: Tensors, settings: Settings, sizes: Settings) -> Reference:
    from transformers import AutoConfig, AutoModel

    names = {"gamma": "weight", "beta": "bias"}  # LayerNorm in old files of TensorFlow's BERT
    state = {".".join(names.get(word, word) for word in name.split(".")): tensor for name, tensor in state.items()}
    kind = settings.get("model_type") or ("bert" if any(name.startswith("bert.") for name in state) else "roberta")
    own = {name: value for name, value in settings.items() if name != "model_type"}
    state = _without_class(state, "roberta.", "bert.")
    own.setdefault("num_attention_heads", sizes.get("num_attention_heads") or _width(state) // 64)
    config = AutoConfig.for_model(kind, **own, **_text_sizes(state, own))
    config._attn_implementation = "eager"
    model = fill(AutoModel.from_config(config, add_pooling_layer=False), state, UNUSED)
    has_offset = kind != "bert"
    longest = config.max_position_embeddings - (config.pad_token_id + 1 if has_offset else 0)
    return Reference(
        lambda batch: {"text_features": model(**batch).last_hidden_state},
        TextInput(config.vocab_size, longest, config.pad_token_id),
    )


def _width(state: Tensors) -> int:
    return int(state["embeddings.word_embeddings.weight"].shape[1])


def _text_sizes(state: Tensors, settings: Settings) -> dict[str, int]:
    """The sizes that a file without settings shows."""
    tables = {"vocab_size": "word", "max_position_embeddings": "position", "type_vocab_size": "token_type"}
    sizes = {name: len(state[f"embeddings.{table}_embeddings.weight"]) for name, table in tables.items()}
    sizes |= {
        "hidden_size": _width(state), "num_hidden_layers": count(state, "encoder.layer."),
        "intermediate_size": len(state["encoder.layer.0.intermediate.dense.bias"]),
    }  # fmt: skip
    return {name: size for name, size in sizes.items() if name not in settings}


def _hugging_face_clip(state: Tensors, settings: Settings, image_size: int | None) -> Reference:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(**settings)
    config._attn_implementation = "eager"
    image = _image(config, image_size)
    table = "vision_model.embeddings.position_embedding.weight"
    state = {**state, table: resize_table(state[table], config.image_size // config.patch_size)}
    model = fill(CLIPVisionModel(config), state, UNUSED)

    def run(batch: Tensors) -> Tensors:
        # CLIP applies its last LayerNorm to the class token only; our tower applies it to every token.
        states = model(batch["pixel_values"]).last_hidden_state
        return {"image_features": model.vision_model.post_layernorm(states)}

    return Reference(run, image=image)


def _vit(state: Tensors, settings: Settings, image_size: int | None) -> Reference:
    from transformers import ViTConfig, ViTModel

    state = _without_class(state, "vit.", "deit.")
    if "embeddings.distillation_token" in state:
        raise CheckpointError("--verify cannot check a distilled DeiT: our tower drops its distillation token")
    config = ViTConfig(**settings)
    config._attn_implementation = "eager"
    image = _image(config, image_size)
    table = "embeddings.position_embeddings"
    state[table] = resize_table(state[table], config.image_size // config.patch_size)[None]
    model = fill(ViTModel(config, add_pooling_layer=False), state, UNUSED)
    return Reference(lambda batch: {"image_features": model(batch["pixel_values"]).last_hidden_state}, image=image)


def _image(config: Any, image_size: int | None) -> tuple[int, int, int]:
    """Set the image size of a configuration, and give the shape of an image."""
    config.image_size = config.image_size if image_size is None else image_size
    return config.num_channels, config.image_size, config.image_size
