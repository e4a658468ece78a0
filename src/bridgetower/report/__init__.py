"""What a training run came to: accuracy by question type, loss curves, and test images with predictions."""

from bridgetower.report.accuracy import AnsweredQuestion, TypeAccuracy, accuracy_by_type, read_answered_questions
from bridgetower.report.curves import Curve, read_curves
from bridgetower.report.loss_figure import plot_loss_curves
from bridgetower.report.prediction_figure import choose_examples, plot_predictions

__all__ = [
    "AnsweredQuestion",
    "Curve",
    "TypeAccuracy",
    "accuracy_by_type",
    "choose_examples",
    "plot_loss_curves",
    "plot_predictions",
    "read_answered_questions",
    "read_curves",
]
