"""The model: towers, bridges, cross-modal layers, heads, and one class a task."""

from .bt_module import BridgeTowerModel, BridgeTowerPretrainedModel
from .classification import (
    BridgeTowerForImagesAndTextClassification,
    BridgeTowerForQuestionAnswering,
    BridgeTowerForVisualEntailment,
)
from .loading import LoadReport, load_into
from .pretraining import BridgeTowerForContrastiveRetrieval, BridgeTowerForPreTraining
from .ranking import BridgeTowerForRetrievalRanking
from .single_head import (
    BridgeTowerForContrastiveLearning,
    BridgeTowerForImageAndTextRetrieval,
    BridgeTowerForMaskedLM,
)
from .single_tower import BridgeTowerForImageClassification, BridgeTowerForSequenceClassification

__all__ = ["BridgeTowerForContrastiveLearning", "BridgeTowerForContrastiveRetrieval",
           "BridgeTowerForImageAndTextRetrieval", "BridgeTowerForImageClassification",
           "BridgeTowerForImagesAndTextClassification", "BridgeTowerForMaskedLM", "BridgeTowerForPreTraining",
           "BridgeTowerForQuestionAnswering", "BridgeTowerForRetrievalRanking", "BridgeTowerForSequenceClassification",
           "BridgeTowerForVisualEntailment", "BridgeTowerModel", "BridgeTowerPretrainedModel", "LoadReport",
           "load_into"]
