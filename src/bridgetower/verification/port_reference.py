"""transformers' own BridgeTower, built from the `config.json` of a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..conversion import CheckpointError
from .reference import UNUSED, Reference, Tensors, TextInput, fill, linear, part, resize_table

_POSITIONS = "vision_model.visual.embeddings.position_embedding.weight"


def build(state: Tensors, settings: Mapping[str, Any], image_size: int | None) -> Reference:
    """The model of a Hugging Face folder.

    Args:
        state: tensors by the port's names, with or without `bridgetower.`.
        settings: the folder's `config.json`.
        image_size: side S of the images, if it differs from that of the settings.

    Raises:
        CheckpointError: there are no settings, or they do not fit the tensors.
    """
    from transformers import BridgeTowerConfig, BridgeTowerModel

    if not settings:
        raise CheckpointError("--verify needs the config.json that belongs to the weights")
    config = BridgeTowerConfig.from_dict({**settings, "attn_implementation": "eager"})
    vision, text = config.vision_config, config.text_config
    state = {name.removeprefix("bridgetower."): tensor for name, tensor in state.items()}
    if image_size is not None:
        vision.image_size = image_size
        state[_POSITIONS] = resize_table(state[_POSITIONS], image_size // vision.patch_size)
    model = fill(BridgeTowerModel(config), state, UNUSED)
    longest = text.max_position_embeddings - text.pad_token_id - 1
    return Reference(
        lambda batch: _outputs(model, config, state, batch),
        TextInput(text.vocab_size, longest, text.pad_token_id),
        (vision.num_channels, vision.image_size, vision.image_size),
    )


def _outputs(model: Any, config: Any, state: Tensors, batch: Tensors) -> Tensors:
    output = model(**batch, output_hidden_states=True)
    outputs = {name: output[name] for name in ("text_features", "image_features", "pooler_output")}
    if "mlm_score.bias" in state:
        outputs["mlm_logits"] = _mlm_head(config, state)(output.text_features)
    if "itm_score.fc.bias" in state:
        outputs["itm_logits"] = linear(state, "itm_score.fc", output.pooler_output)
    if "itc_text_head.fc.bias" in state:
        outputs |= _vectors(model, state, output)
    return outputs


def _mlm_head(config: Any, state: Tensors) -> Any:
    from transformers.models.bridgetower.modeling_bridgetower import BridgeTowerMLMHead

    own = part(state, "mlm_score.")
    own.setdefault("decoder.weight", state["text_model.embeddings.word_embeddings.weight"])  # left out when it is tied
    return fill(BridgeTowerMLMHead(config), own)


def _vectors(model: Any, state: Tensors, output: Any) -> Tensors:
    """What `BridgeTowerForContrastiveLearning` computes from the last tower states (B, L, W), (N, B, W)."""
    import torch.nn.functional as F

    texts, images, _ = output.hidden_states
    image = model.cross_modal_image_transform(model.vision_model.visual.forward_post(images[-1]))
    image = image + model.token_type_embeddings.weight[1]
    return {
        "text_embeds": F.normalize(linear(state, "itc_text_head.fc", texts[-1][:, 0])),
        "image_embeds": F.normalize(linear(state, "itc_image_head.fc", image[:, 0])),
        "cross_embeds": F.normalize(linear(state, "itc_cross_modal_head.fc", output.pooler_output)),
    }
