"""The original BridgeTower and METER in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .clip_reference import ClipTower
from .reference import UNUSED, Reference, Tensors, TextInput, count, fill, layer_norm, linear, part

#: Constants of the original that no checkpoint carries.
_CROSS_EPS, _NORM_EPS = 1e-12, 1e-5

Settings = Mapping[str, Any]


def build(state: Tensors, flat: Settings, towers: Settings, image_size: int | None) -> Reference:
    """The model of an original checkpoint.

    Args:
        state: tensors by the original's names.
        flat: the original's own configuration; may be empty.
        towers: the sizes of towers without a known name; may be empty.
        image_size: side S of the images, if it differs from that of the position table.
    """
    text, text_input = _text_tower(part(state, "text_transformer."), flat, towers.get("text") or {})
    image = ClipTower(part(state, "vit_model.visual."), image_size, towers.get("vision") or {})
    model = _Model(state, text, image, _cross_modal_heads(state, flat, towers))
    return Reference(model.run, text_input, image.image)


def _text_tower(state: Tensors, flat: Settings, sizes: Settings) -> tuple[Any, TextInput]:
    from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

    positions, width = state["embeddings.position_embeddings.weight"].shape
    vocab_size = len(state["embeddings.word_embeddings.weight"])
    types = len(state["embeddings.token_type_embeddings.weight"])
    kind = sizes.get("kind") or str(flat.get("tokenizer") or "")
    is_roberta = "roberta" in kind if kind else types == 1
    padding = sizes.get("pad_token_id")
    padding = int(is_roberta) if padding is None else padding
    config = dict(
        vocab_size=vocab_size, hidden_size=width, num_hidden_layers=count(state, "encoder.layer."),
        num_attention_heads=sizes.get("num_attention_heads") or width // 64, max_position_embeddings=positions,
        intermediate_size=len(state["encoder.layer.0.intermediate.dense.bias"]), type_vocab_size=types,
        hidden_act=sizes.get("hidden_act") or "gelu", pad_token_id=padding, attn_implementation="eager",
        layer_norm_eps=sizes.get("layer_norm_eps") or (1e-5 if is_roberta else 1e-12),
    )  # fmt: skip
    if is_roberta:
        model = RobertaModel(RobertaConfig(**config), add_pooling_layer=False)
    else:
        model = BertModel(BertConfig(**config), add_pooling_layer=False)
    longest = positions - padding - 1 if is_roberta else positions
    return fill(model, state, UNUSED), TextInput(vocab_size, longest, padding)


def _cross_modal_heads(state: Tensors, flat: Settings, towers: Settings) -> int:
    heads = flat.get("num_heads") or (towers.get("cross") or {}).get("num_attention_heads")
    return int(heads or state["cross_modal_text_transform.bias"].shape[0] // 64)


class _Model:
    """Towers, bridges, cross-modal layers and heads of the original."""

    def __init__(self, state: Tensors, text: Any, image: ClipTower, num_heads: int) -> None:
        from transformers import BridgeTowerTextConfig
        from transformers.models.bridgetower.modeling_bridgetower import BridgeTowerBertCrossLayer

        self._state, self._text, self._image = state, text, image
        self._depth = count(state, "cross_modal_text_layers.")
        config = BridgeTowerTextConfig(
            hidden_size=state["cross_modal_text_transform.bias"].shape[0], num_attention_heads=num_heads,
            intermediate_size=state["cross_modal_text_layers.0.intermediate.dense.bias"].shape[0], hidden_act="gelu",
            layer_norm_eps=_CROSS_EPS, attn_implementation="eager",
        )  # fmt: skip

        def stack(side: str) -> list[Any]:
            names = [f"cross_modal_{side}_layers.{layer}." for layer in range(self._depth)]
            return [fill(BridgeTowerBertCrossLayer(config, layer_idx=0), part(state, name)) for name in names]

        self._layers = list(zip(stack("text"), stack("image"), strict=True))

    def run(self, batch: Tensors) -> Tensors:
        """The features and the scores of every head."""
        import torch

        mask = batch["attention_mask"]
        hidden = self._text(batch["input_ids"], mask, output_hidden_states=True).hidden_states
        texts, images = list(hidden[1:]), self._image.states(batch["pixel_values"])
        bias = (1.0 - mask[:, None, None, :].float()) * torch.finfo(torch.float32).min

        def fused(image_type: int) -> tuple[Any, Any, Any]:
            text, image = self._fuse(texts, images, bias, image_type)
            pooled = [torch.tanh(linear(self._state, f"cross_modal_{side}_pooler.dense", states[:, 0]))
                      for side, states in (("text", text), ("image", image))]  # fmt: skip
            return text, image, torch.cat(pooled, dim=-1)

        text, image, pooled = fused(1)
        outputs = {"text_features": text, "image_features": image, "pooler_output": pooled}
        if "nlvr2_classifier.0.bias" in self._state:
            pooled = torch.cat([pooled, fused(2)[2]], dim=-1)
        return outputs | self._scores(text, outputs["pooler_output"], pooled) | self._vectors(texts[-1], images[-1])

    def _fuse(self, texts: list[Any], images: list[Any], bias: Any, image_type: int) -> tuple[Any, Any]:
        """(B, L, W) and (B, N, W) states of all tower blocks -> (B, L, D) and (B, N, D)."""
        types = self._state["token_type_embeddings.weight"]
        has_bridges = "cross_modal_text_layernorm.weight" in self._state

        def projected(side: str, states: Any) -> Any:
            return linear(self._state, f"cross_modal_{side}_transform", states) + types[image_type * (side == "image")]

        def norm(name: str, states: Any) -> Any:
            return layer_norm(self._state, name, states, _NORM_EPS)

        if has_bridges:
            texts, images = texts[-self._depth :], images[-self._depth :]
            text = norm("cross_modal_text_layernorm", projected("text", texts[0]))
            image = norm("cross_modal_image_layernorm", projected("image", images[0]))
        else:
            text = projected("text", self._gated("text", texts))
            image = projected("image", self._gated("image", images))
        for level, (text_layer, image_layer) in enumerate(self._layers):
            if has_bridges and level:
                bridge = f"link_tower.{level - 1}.LayerNorm"
                text = norm(f"cross_modal_text_{bridge}", projected("text", texts[level]) + text)
                image = norm(f"cross_modal_image_{bridge}", projected("image", images[level]) + image)
            text, image = (text_layer(text, image, attention_mask=bias)[0],
                           image_layer(image, text, encoder_attention_mask=bias)[0])  # fmt: skip
        return text, image

    def _gated(self, side: str, states: list[Any]) -> Any:
        """The last state, plus with METER's `meter_fusion` a sum of those below, weighted by a softmax over them."""
        import torch

        if f"{side}_gate.weight" not in self._state:
            return states[-1]
        lower = torch.stack(states[:-1])
        return states[-1] + (linear(self._state, f"{side}_gate", lower).softmax(dim=0) * lower).sum(dim=0)

    def _scores(self, text: Any, pair: Any, pooled: Any) -> Tensors:
        """Scores of the heads that read (B, L, D) text features and the (B, 2D) vector of a pair."""
        import torch.nn.functional as F

        state, outputs = self._state, {}
        if "mlm_score.bias" in state:
            hidden = F.gelu(linear(state, "mlm_score.transform.dense", text))
            hidden = layer_norm(state, "mlm_score.transform.LayerNorm", hidden, _CROSS_EPS)
            outputs["mlm_logits"] = F.linear(hidden, state["mlm_score.decoder.weight"], state["mlm_score.bias"])
        for name, output in (("itm_score.fc", "itm_logits"), ("rank_output", "rank_score")):
            if f"{name}.bias" in state:
                outputs[output] = linear(state, name, pair)
        for head in (f"{task}_classifier" for task in ("vqa", "snli", "nlvr2")):
            if f"{head}.0.bias" not in state:
                continue
            outputs["logits"] = linear(state, f"{head}.0", pooled)
            if f"{head}.3.bias" in state:
                hidden = layer_norm(state, f"{head}.1", outputs["logits"], _NORM_EPS)
                outputs["logits"] = linear(state, f"{head}.3", F.gelu(hidden))
        return outputs

    def _vectors(self, text: Any, image: Any) -> Tensors:
        """The contrastive vectors of the last tower states."""
        import torch.nn.functional as F

        if "itc_text_head.fc.bias" not in self._state:
            return {}
        return {
            "text_embeds": F.normalize(linear(self._state, "itc_text_head.fc", text[:, 0])),
            "image_embeds": F.normalize(linear(self._state, "itc_image_head.fc", image[:, 0])),
        }
