"""The shapes of all tensors of a configuration, and the check that a checkpoint has exactly these."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import CheckpointError
from .sizes import Settings, Shapes


def _linear(name: str, inner: int, outer: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (inner, outer), f"{name}.bias": (outer,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _block(name: str, width: int, inner: int, attentions: Iterable[str]) -> dict[str, tuple[int, ...]]:
    shapes = _norm(f"{name}.mlp_norm", width)
    shapes |= _linear(f"{name}.mlp.fc1", width, inner) | _linear(f"{name}.mlp.fc2", inner, width)
    for attention in attentions:
        shapes |= _norm(f"{name}.{attention}_norm", width)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{name}.{attention}.{part}", width, width)
    return shapes


def _text_shapes(text: Settings) -> dict[str, tuple[int, ...]]:
    width = text["hidden_size"]
    shapes = _norm("text_tower.embeddings.norm", width)
    rows = (("word", "vocab_size"), ("position", "max_position_embeddings"), ("token_type", "type_vocab_size"))
    for table, size in rows:
        shapes[f"text_tower.embeddings.{table}_embeddings.weight"] = (text[size], width)
    for layer in range(text["num_hidden_layers"]):
        shapes |= _block(f"text_tower.layers.{layer}", width, text["intermediate_size"], ["attention"])
    return shapes


def _image_shapes(vision: Settings) -> dict[str, tuple[int, ...]]:
    width, patch = vision["hidden_size"], vision["patch_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "image_tower.class_embedding": (width,),
        "image_tower.position_embedding": (1 + (vision["image_size"] // patch) ** 2, width),
        "image_tower.patch_embedding.weight": (width, vision["num_channels"], patch, patch),
    }
    shapes |= _norm("image_tower.post_norm", width)
    if vision["kind"] == "vit":
        shapes["image_tower.patch_embedding.bias"] = (width,)
    else:
        shapes |= _norm("image_tower.pre_norm", width)
    for layer in range(vision["num_hidden_layers"]):
        shapes |= _block(f"image_tower.layers.{layer}", width, vision["intermediate_size"], ["attention"])
    return shapes


def _fusion_shapes(config: Settings, gated: bool) -> dict[str, tuple[int, ...]]:
    width = config["hidden_size"]
    shapes: dict[str, tuple[int, ...]] = {"token_type_embeddings.weight": (config["token_type_vocab_size"], width)}
    for side, tower in (("text", config["text_config"]), ("image", config["vision_config"])):
        shapes |= _linear(f"{side}_projection", tower["hidden_size"], width)
        shapes |= _linear(f"{side}_pooler.dense", width, width)
        if config["num_bridges"]:
            shapes |= _norm(f"{side}_input_norm", width)
        for layer in range(config["num_bridges"] - 1):
            shapes |= _norm(f"{side}_bridges.{layer}.norm", width)
            if config["bridge_type"] in ("scaled_add", "interpolate"):
                shapes[f"{side}_bridges.{layer}.scale"] = (1,)
        for layer in range(config["num_hidden_layers"]):
            name = f"cross_modal_{side}_layers.{layer}"
            shapes |= _block(name, width, config["intermediate_size"], ["self_attention", "cross_attention"])
        if gated:
            shapes |= _linear(f"{side}_gate", tower["hidden_size"], tower["hidden_size"])
    return shapes


def _classifier_shapes(config: Settings, width: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a classifier of one or two layers that reads vectors of `width`."""
    labels = config.get("num_labels", 2)
    if config.get("head_layers", 2) == 1:
        return _linear("classifier.fc2", width, labels)
    inner = int(2 * config["hidden_size"] * config.get("head_hidden_scale", 1))
    shapes = _linear("classifier.fc1", width, inner) | _norm("classifier.norm", inner)
    return shapes | _linear("classifier.fc2", inner, labels)


def _head_shapes(config: Settings, present: set[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of the heads of which at least one tensor is present."""
    width, vocabulary = config["hidden_size"], config["text_config"]["vocab_size"]
    size = config.get("contrastive_hidden_size", 0)
    # The original's ITC heads read the states of the towers; those of the port, which has a logit scale, read
    # projected states.
    is_port = "logit_scale" in present
    text_width = width if is_port else config["text_config"]["hidden_size"]
    image_width = width if is_port else config["vision_config"]["hidden_size"]
    # The classifier of NLVR2 reads the pooled vectors of two passes.
    pooled = 2 * width * (2 if config["token_type_vocab_size"] == 3 else 1)
    heads: dict[str, dict[str, tuple[int, ...]]] = {
        "mlm_head.": {
            **_linear("mlm_head.dense", width, width), **_norm("mlm_head.norm", width),
            "mlm_head.decoder_weight": (vocabulary, width), "mlm_head.bias": (vocabulary,),
        },
        "itm_head.": _linear("itm_head", 2 * width, 2),
        "itc_text_head.": _linear("itc_text_head", text_width, size),
        "itc_image_head.": _linear("itc_image_head", image_width, size),
        "itc_cross_modal_head.": _linear("itc_cross_modal_head", 2 * width, size),
        "rank_head.": _linear("rank_head", 2 * width, 1),
        "classifier.": _classifier_shapes(config, pooled),
        "temperature": {"temperature": ()},
        "logit_scale": {"logit_scale": ()},
    }  # fmt: skip
    started = [start for start in heads if any(name.startswith(start) for name in present)]
    return {name: shape for start in started for name, shape in heads[start].items()}


def expected_shapes(config: Settings, present: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Name to shape of every tensor of a model.

    Args:
        config: the fields of `config.json`.
        present: names of tensors; a head belongs to the model if one of its tensors is among them.
    """
    expected: dict[str, tuple[int, ...]] = {}
    if "text_config" in config:
        expected |= _text_shapes(config["text_config"])
    if "vision_config" in config:
        expected |= _image_shapes(config["vision_config"])
    if "hidden_size" in config:
        names = set(present)
        expected |= _fusion_shapes(config, "text_gate.weight" in names) | _head_shapes(config, names)
    return expected


def check_shapes(shapes: Shapes, config: Settings) -> None:
    """Check that the tensors are exactly those of the configuration, each with its shape.

    Raises:
        CheckpointError: a tensor is missing, does not belong to the model, or has another shape.
    """
    expected = expected_shapes(config, shapes)
    missing = [name for name in expected if name not in shapes]
    extra = [name for name in shapes if name not in expected]
    if missing:
        raise CheckpointError(f"{_some(missing)} missing; the checkpoint is incomplete or cut off")
    if extra:
        raise CheckpointError(f"{_some(extra)} unexpected; the checkpoint is of another model or a mixture of two")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise CheckpointError(f"{name} has shape {shapes[name]}, but the rest of the checkpoint needs {shape}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} {'is' if len(names) == 1 else 'are'}"
