"""What a training run came to: accuracy by question type, loss curves, and test images with predictions."""

from .accuracy import AnsweredQuestion, TypeAccuracy, accuracy_by_type, read_answered_questions
from .confusion_figure import Confusion, plot_confusion, read_confusion
from .curves import Curve, read_curves
from .loss_figure import plot_loss_curves
from .prediction_figure import choose_examples, plot_predictions

__all__ = [
    "AnsweredQuestion",
    "Confusion",
    "Curve",
    "TypeAccuracy",
    "accuracy_by_type",
    "choose_examples",
    "plot_confusion",
    "plot_loss_curves",
    "plot_predictions",
    "read_answered_questions",
    "read_confusion",
    "read_curves",
]
