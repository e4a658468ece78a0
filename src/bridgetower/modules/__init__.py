"""The model: towers, bridges, cross-modal layers, heads, and one class per task.

Shapes are written with these letters, here and in `objectives`, `kernels` and `export`:
B batch (texts or pairs), M images or masked words, L text tokens, N image tokens (patches and the class token),
W width of a tower, D cross-modal width, K cross-modal layers, H attention heads, d width of a head, Q queries,
V words of the vocabulary, C classes, answers or entries of a vector to compare, S side of an image in pixels,
A candidates of all processes, F false captions, R selected rows, P pairs to score. `...` stands for any axes.
"""

from .bt_module import BridgeTowerModel
from .classification import (
    BridgeTowerForImageAndTextClassification,
    BridgeTowerForImagesAndTextClassification,
    BridgeTowerForQuestionAnswering,
    BridgeTowerForVisualEntailment,
)
from .loading import LoadReport, load_into
from .port_models import (
    BridgeTowerForContrastiveLearning,
    BridgeTowerForImageAndTextRetrieval,
    BridgeTowerForMaskedLM,
)
from .pretrained import BridgeTowerPretrainedModel
from .pretraining import BridgeTowerForContrastiveRetrieval, BridgeTowerForPreTraining
from .ranking import BridgeTowerForRetrievalRanking
from .single_tower import BridgeTowerForImageClassification, BridgeTowerForSequenceClassification

__all__ = ["BridgeTowerForContrastiveLearning", "BridgeTowerForContrastiveRetrieval",
           "BridgeTowerForImageAndTextClassification", "BridgeTowerForImageAndTextRetrieval",
           "BridgeTowerForImageClassification", "BridgeTowerForImagesAndTextClassification", "BridgeTowerForMaskedLM",
           "BridgeTowerForPreTraining", "BridgeTowerForQuestionAnswering", "BridgeTowerForRetrievalRanking",
           "BridgeTowerForSequenceClassification", "BridgeTowerForVisualEntailment", "BridgeTowerModel",
           "BridgeTowerPretrainedModel", "LoadReport", "load_into"]
