"""The table of rules between checkpoint layouts and the Paddle names; `mapping` applies it in both directions.

A layout is a family of checkpoint names: `original` (the PyTorch BridgeTower and METER), `huggingface` (the port in
transformers), and the single towers `openai_clip` (open_clip too), `huggingface_clip`, `huggingface_bert` (BERT and
RoBERTa) and `huggingface_vit` (ViT and DeiT). `paddle` stands for the names of this project. Every rule is one line:
the source name, the Paddle name or names, and the one tensor operation between them. A name without a rule is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache

QKV = ("q_proj", "k_proj", "v_proj")


class Kind(Enum):
    """The tensor operation of a rule, from the source to Paddle; the way back is its inverse."""

    COPY = "copy"
    TRANSPOSE = "transpose"  # torch keeps linear weights as (out, in), Paddle as (in, out)
    SPLIT = "split"  # (3W,) into query, key and value of (W,)
    SPLIT_TRANSPOSE = "split and transpose"  # (3W, W) into three of (W, W), each transposed
    SQUEEZE = "squeeze"  # leading axes of length 1 removed
    SCALAR = "scalar"  # () into (1,)
    DROP = "drop"


@dataclass(frozen=True)
class Rule:
    """One line of the table.

    Attributes:
        source: name template in the source layout; `{i}` stands for a layer number.
        ours: Paddle name templates: one, three for a fused query-key-value tensor, none for a dropped tensor.
        kind: the tensor operation.
        head: whether it belongs to a head beside the base model (and so never takes the `bridgetower.` prefix).
        reason: why a dropped tensor is not needed.
        without: names, the source's and ours; the rule holds only for a checkpoint that has none of them.
    """

    source: str
    ours: tuple[str, ...]
    kind: Kind
    head: bool = False
    reason: str = ""
    without: tuple[str, ...] = ()


# ---------------------------------------------------------------------------------------------------------------------
# Row makers


def _tensor(source: str, ours: str, kind: Kind = Kind.COPY, head: bool = False) -> list[Rule]:
    return [Rule(source, (ours,), kind, head)]


def _linear(source: str, ours: str, head: bool = False) -> list[Rule]:
    return [
        Rule(f"{source}.weight", (f"{ours}.weight",), Kind.TRANSPOSE, head),
        Rule(f"{source}.bias", (f"{ours}.bias",), Kind.COPY, head),
    ]


def _norm(source: str, ours: str, head: bool = False) -> list[Rule]:
    return [Rule(f"{source}.{part}", (f"{ours}.{part}",), Kind.COPY, head) for part in ("weight", "bias")]


def _drop(reason: str, *sources: str) -> list[Rule]:
    return [Rule(source, (), Kind.DROP, reason=reason) for source in sources]


# ---------------------------------------------------------------------------------------------------------------------
# Blocks that several layouts share


def _bert_attention(source: str, ours: str, norm: str) -> list[Rule]:
    """Attention of the BERT family and the LayerNorm after it, whose full Paddle name is `norm`."""
    rows = []
    for theirs, name in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
        rows += _linear(f"{source}.self.{theirs}", f"{ours}.{name}")
    return rows + _linear(f"{source}.output.dense", f"{ours}.out_proj") + _norm(f"{source}.output.LayerNorm", norm)


def _bert_mlp(source: str, ours: str) -> list[Rule]:
    return [
        *_linear(f"{source}.intermediate.dense", f"{ours}.mlp.fc1"),
        *_linear(f"{source}.output.dense", f"{ours}.mlp.fc2"),
        *_norm(f"{source}.output.LayerNorm", f"{ours}.mlp_norm"),
    ]


def _bert_tower(prefix: str) -> list[Rule]:
    """A BERT or RoBERTa encoder whose names start with `prefix`."""
    layer, ours = f"{prefix}encoder.layer.{{i}}", "text_tower.layers.{i}"
    rows = []
    for table in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        rows += _tensor(f"{prefix}embeddings.{table}.weight", f"text_tower.embeddings.{table}.weight")
    rows += _norm(f"{prefix}embeddings.LayerNorm", "text_tower.embeddings.norm")
    rows += _bert_attention(f"{layer}.attention", f"{ours}.attention", f"{ours}.attention_norm")
    rows += _bert_mlp(layer, ours)
    rows += _drop("0, 1, 2, ...: computed, not a weight", f"{prefix}embeddings.position_ids")
    rows += _drop("all zeros: computed, not a weight", f"{prefix}embeddings.token_type_ids")
    pooler = "the text tower's own pooler is never used"
    return rows + _drop(pooler, f"{prefix}pooler.dense.weight", f"{prefix}pooler.dense.bias")


def _clip_tower(prefix: str) -> list[Rule]:
    """The CLIP image encoder with the names of OpenAI's implementation, without the three embedding tensors."""
    block, ours = f"{prefix}transformer.resblocks.{{i}}", "image_tower.layers.{i}"
    fused = tuple(f"{ours}.attention.{part}" for part in QKV)
    return [
        *_norm(f"{prefix}ln_pre", "image_tower.pre_norm"),
        *_norm(f"{prefix}ln_post", "image_tower.post_norm"),
        *_norm(f"{block}.ln_1", f"{ours}.attention_norm"),
        *_norm(f"{block}.ln_2", f"{ours}.mlp_norm"),
        Rule(f"{block}.attn.in_proj_weight", tuple(f"{name}.weight" for name in fused), Kind.SPLIT_TRANSPOSE),
        Rule(f"{block}.attn.in_proj_bias", tuple(f"{name}.bias" for name in fused), Kind.SPLIT),
        *_linear(f"{block}.attn.out_proj", f"{ours}.attention.out_proj"),
        *_linear(f"{block}.mlp.c_fc", f"{ours}.mlp.fc1"),
        *_linear(f"{block}.mlp.c_proj", f"{ours}.mlp.fc2"),
    ]


def _openai_embeddings(prefix: str) -> list[Rule]:
    return [
        *_tensor(f"{prefix}class_embedding", "image_tower.class_embedding"),
        *_tensor(f"{prefix}positional_embedding", "image_tower.position_embedding", Kind.SQUEEZE),
        *_tensor(f"{prefix}conv1.weight", "image_tower.patch_embedding.weight"),
        *_drop("projects to CLIP's joint space, which BridgeTower does not use", f"{prefix}proj"),
    ]


def _cross_modal() -> list[Rule]:
    """Projections, cross-modal layers, bridges and poolers, which the original and the port name alike."""
    rows = _tensor("token_type_embeddings.weight", "token_type_embeddings.weight")
    for side in ("text", "image"):
        layer, ours = f"cross_modal_{side}_layers.{{i}}", f"cross_modal_{side}_layers.{{i}}"
        bridge = f"cross_modal_{side}_link_tower.{{i}}"
        rows += _linear(f"cross_modal_{side}_transform", f"{side}_projection")
        rows += _norm(f"cross_modal_{side}_layernorm", f"{side}_input_norm")
        rows += _bert_attention(f"{layer}.attention", f"{ours}.self_attention", f"{ours}.self_attention_norm")
        rows += _bert_attention(f"{layer}.crossattention", f"{ours}.cross_attention", f"{ours}.cross_attention_norm")
        rows += _bert_mlp(layer, ours)
        rows += _norm(f"{bridge}.LayerNorm", f"{side}_bridges.{{i}}.norm")
        rows += _linear(f"cross_modal_{side}_pooler.dense", f"{side}_pooler.dense")
    return rows


def _shared_heads() -> list[Rule]:
    """Heads that the original and the port name alike."""
    return [
        *_linear("mlm_score.transform.dense", "mlm_head.dense", head=True),
        *_norm("mlm_score.transform.LayerNorm", "mlm_head.norm", head=True),
        *_tensor("mlm_score.decoder.weight", "mlm_head.decoder_weight", head=True),
        *_tensor("mlm_score.bias", "mlm_head.bias", head=True),
        *_linear("itm_score.fc", "itm_head", head=True),
        *_linear("itc_text_head.fc", "itc_text_head", head=True),
        *_linear("itc_image_head.fc", "itc_image_head", head=True),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# The layouts


def _original() -> list[Rule]:
    rows = _bert_tower("text_transformer.") + _clip_tower("vit_model.visual.")
    rows += _openai_embeddings("vit_model.visual.") + _cross_modal() + _shared_heads()
    unused = "belongs to CLIP's text encoder, which BridgeTower does not use"
    rows += _drop(unused, "vit_model.positional_embedding", "vit_model.ln_final.weight", "vit_model.ln_final.bias")
    for side in ("text", "image"):
        rows += _linear(f"{side}_gate", f"{side}_gate")
    rows += _tensor("temperature", "temperature", head=True) + _linear("rank_output", "rank_head", head=True)
    for task in ("vqa", "snli", "nlvr2"):
        for name in ("weight", "bias"):  # the only layer of a classifier is layer 0 there, and the last one here
            kind = Kind.TRANSPOSE if name == "weight" else Kind.COPY
            two = tuple(f"{layer}.{part}" for layer in (f"{task}_classifier.3", "classifier.fc1")
                        for part in ("weight", "bias"))
            rows.append(Rule(f"{task}_classifier.0.{name}", (f"classifier.fc2.{name}",), kind, head=True, without=two))
        rows += _linear(f"{task}_classifier.0", "classifier.fc1", head=True)
        rows += _norm(f"{task}_classifier.1", "classifier.norm", head=True)
        rows += _linear(f"{task}_classifier.3", "classifier.fc2", head=True)
    return rows


def _huggingface() -> list[Rule]:
    visual = "vision_model.visual."
    rows = _bert_tower("text_model.") + _clip_tower(visual) + _cross_modal() + _shared_heads()
    rows += _tensor(f"{visual}embeddings.class_embedding", "image_tower.class_embedding")
    rows += _tensor(f"{visual}embeddings.position_embedding.weight", "image_tower.position_embedding")
    rows += _tensor(f"{visual}embeddings.patch_embedding.weight", "image_tower.patch_embedding.weight")
    rows += _drop("0, 1, 2, ...: computed, not a weight", f"{visual}embeddings.position_ids")
    # With share_layernorm=False; the model still applies ln_post to every block.
    rows += _drop("the port never reads it", f"{visual}ln_separate.{{i}}.weight", f"{visual}ln_separate.{{i}}.bias")
    for side in ("text", "image"):
        for theirs in ("scaled_factor", "beta"):
            rows += _tensor(f"cross_modal_{side}_link_tower.{{i}}.{theirs}", f"{side}_bridges.{{i}}.scale", Kind.SCALAR)
    rows += _linear("itc_cross_modal_head.fc", "itc_cross_modal_head", head=True)
    rows += _drop("the port never reads its separate LayerNorms", f"{visual}ln_separate.{{rest}}")
    for side in ("text", "image"):
        # With `share_link_tower_layers`, which the port can run with a single cross-modal layer only.
        rows += _drop("a single cross-modal layer has no bridge", *(
            f"cross_modal_{side}_link_tower.{part}" for part in ("LayerNorm.{rest}", "scaled_factor", "beta")))
    # The port ties this bias to `mlm_score.bias`; some of its releases store it too.
    rows += _drop("the same vector as mlm_score.bias", "mlm_score.decoder.bias")
    return rows + _tensor("logit_scale", "logit_scale", head=True)


def _openai_clip() -> list[Rule]:
    rows = _clip_tower("visual.") + _openai_embeddings("visual.")
    text = "belongs to CLIP's text encoder, which BridgeTower does not use"
    rows += _drop(text, "token_embedding.weight", "positional_embedding", "text_projection", "ln_final.{rest}")
    rows += _drop(text, "transformer.resblocks.{rest}", "context_length", "vocab_size")
    rows += _drop(text, "text.{rest}", "attn_mask")  # how open_clip names a text encoder that is a module of its own
    rows += _drop("CLIP's contrastive temperature; BridgeTower learns its own", "logit_scale", "logit_bias")
    return rows + _drop("a number, not a weight", "input_resolution")


def _huggingface_clip() -> list[Rule]:
    vision = "vision_model."
    layer, ours = f"{vision}encoder.layers.{{i}}", "image_tower.layers.{i}"
    rows = _tensor(f"{vision}embeddings.class_embedding", "image_tower.class_embedding")
    rows += _tensor(f"{vision}embeddings.position_embedding.weight", "image_tower.position_embedding")
    rows += _tensor(f"{vision}embeddings.patch_embedding.weight", "image_tower.patch_embedding.weight")
    # "pre_layrnorm" is how transformers spells it.
    rows += _norm(f"{vision}pre_layrnorm", "image_tower.pre_norm")
    rows += _norm(f"{vision}post_layernorm", "image_tower.post_norm")
    for part in (*QKV, "out_proj"):
        rows += _linear(f"{layer}.self_attn.{part}", f"{ours}.attention.{part}")
    rows += _norm(f"{layer}.layer_norm1", f"{ours}.attention_norm") + _norm(f"{layer}.layer_norm2", f"{ours}.mlp_norm")
    rows += _linear(f"{layer}.mlp.fc1", f"{ours}.mlp.fc1") + _linear(f"{layer}.mlp.fc2", f"{ours}.mlp.fc2")
    rows += _drop("0, 1, 2, ...: computed, not a weight", f"{vision}embeddings.position_ids")
    rows += _drop("belongs to CLIP's text encoder, which BridgeTower does not use", "text_model.{rest}")
    unused = "projects to CLIP's joint space, which BridgeTower does not use"
    rows += _drop(unused, "visual_projection.weight", "text_projection.weight")
    return rows + _drop("CLIP's contrastive temperature; BridgeTower learns its own", "logit_scale")


def _huggingface_bert() -> list[Rule]:
    task = "a task head of the text tower, which BridgeTower does not use"
    return _bert_tower("") + _drop(task, "lm_head.{rest}", "cls.{rest}", "classifier.{rest}", "qa_outputs.{rest}")


DISTILLATION_TOKEN = "embeddings.distillation_token"


def _huggingface_vit() -> list[Rule]:
    layer, ours = "encoder.layer.{i}", "image_tower.layers.{i}"
    rows = _tensor("embeddings.cls_token", "image_tower.class_embedding", Kind.SQUEEZE)
    rows += _tensor("embeddings.position_embeddings", "image_tower.position_embedding", Kind.SQUEEZE)
    for part in ("weight", "bias"):
        rows += _tensor(f"embeddings.patch_embeddings.projection.{part}", f"image_tower.patch_embedding.{part}")
    for theirs, name in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")):
        rows += _linear(f"{layer}.attention.attention.{theirs}", f"{ours}.attention.{name}")
    rows += _linear(f"{layer}.attention.output.dense", f"{ours}.attention.out_proj")
    rows += _norm(f"{layer}.layernorm_before", f"{ours}.attention_norm")
    rows += _norm(f"{layer}.layernorm_after", f"{ours}.mlp_norm")
    rows += _linear(f"{layer}.intermediate.dense", f"{ours}.mlp.fc1")
    rows += _linear(f"{layer}.output.dense", f"{ours}.mlp.fc2") + _norm("layernorm", "image_tower.post_norm")
    head = "a task head of the image tower, which BridgeTower does not use"
    rows += _drop(head, "pooler.{rest}", "classifier.{rest}", "cls_classifier.{rest}", "distillation_classifier.{rest}")
    return rows + _drop("the distillation token of DeiT, which only its own head reads", DISTILLATION_TOKEN)


_BUILDERS: dict[str, Callable[[], list[Rule]]] = {
    "original": _original,
    "huggingface": _huggingface,
    "openai_clip": _openai_clip,
    "huggingface_clip": _huggingface_clip,
    "huggingface_bert": _huggingface_bert,
    "huggingface_vit": _huggingface_vit,
}
LAYOUTS = ("paddle", *_BUILDERS)
# Prefixes that the same model has inside a larger class; removed before the rules are applied.
SOURCE_PREFIXES = {
    "huggingface": ("bridgetower.",),
    "huggingface_bert": ("roberta.", "bert."),
    "huggingface_vit": ("vit.", "deit."),
}


@cache
def rules(layout: str) -> tuple[Rule, ...]:
    """All rules of one layout.

    Raises:
        ValueError: the layout has no rules.
    """
    if layout not in _BUILDERS:
        raise ValueError(f"layout {layout!r} has no conversion rules; known: {', '.join(_BUILDERS)}")
    return tuple(_BUILDERS[layout]())
