"""Where a model looks: attention maps, relevance for an answer, and how much the attention heads differ.

Names load on first use, so that a command that only prints its help starts without Paddle.
"""

from __future__ import annotations

from ..lazy_exports import lazy_exports

__all__, __getattr__, __dir__ = lazy_exports(__name__, {
    "explain": "explanation",
    "Explanation": "explanation",
    "plot_explanation": "explanation_figure",
    "ExplainedModel": "explained_model",
    "cross_modal_attention": "fused_attention",
    "check_by_deletion": "deletion",
    "deletion_scores": "deletion",
    "head_divergence": "divergence",
    "HeadDivergence": "divergence",
    "plot_head_divergence": "divergence_figure",
})
