"""Which tasks a checkpoint can serve, by the heads among its weights, and the class that serves each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..known import nearest

__all__ = ["COMMANDS", "TASK_NAMES", "Served", "check_task", "choose", "describe_served", "served_tasks"]

#: The names are those of `transformers` where it has the task.
TASK_NAMES = ("visual-question-answering", "fill-mask", "image-text-matching", "zero-shot-image-classification",
              "image-text-classification", "feature-extraction", "image-classification", "text-classification")
#: The command that runs each task.
COMMANDS = {"visual-question-answering": "ask", "fill-mask": "fill", "image-text-matching": "match",
            "zero-shot-image-classification": "classify --labels", "image-text-classification": "classify",
            "feature-extraction": "embed", "image-classification": "classify", "text-classification": "classify"}

_ITC = ("itc_text_head.", "itc_image_head.")


@dataclass(frozen=True)
class Served:
    """A class that serves a task.

    Attributes:
        model_class: its name.
        weights: beginnings of weight names that it needs.
        settings: settings of the configuration that go with the class.
    """

    model_class: str
    weights: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None


_ITM = Served("BridgeTowerForImageAndTextRetrieval", ("itm_head.",))
_RANKING = Served("BridgeTowerForRetrievalRanking", ("rank_head.", "itm_head."))
_CONTRASTIVE = (Served("BridgeTowerForContrastiveLearning", (*_ITC, "itc_cross_modal_head.")),
                Served("BridgeTowerForContrastiveRetrieval", (*_ITC, "itm_head.")),
                Served("BridgeTowerForPreTraining", _ITC, {"objectives": ["itc"]}))
_CLASSIFIER = ("classifier.fc2.", "text_projection.")

#: The first class whose weights a checkpoint has is taken.
_CHOICES: dict[str, tuple[Served, ...]] = {
    "visual-question-answering": (Served("BridgeTowerForQuestionAnswering", _CLASSIFIER),),
    "fill-mask": (Served("BridgeTowerForMaskedLM", ("mlm_head.",)),),
    "image-text-matching": (_RANKING, _ITM),
    "zero-shot-image-classification": (*_CONTRASTIVE, _RANKING, _ITM),
    "image-text-classification": (Served("BridgeTowerForQuestionAnswering", _CLASSIFIER),
                                  Served("BridgeTowerForVisualEntailment", _CLASSIFIER),
                                  Served("BridgeTowerForImageAndTextClassification", _CLASSIFIER),
                                  Served("BridgeTowerForImagesAndTextClassification", _CLASSIFIER)),
    "feature-extraction": (*_CONTRASTIVE, Served("BridgeTowerModel", ("text_projection.", "image_projection."))),
    "image-classification": (Served("BridgeTowerForImageClassification", ("image_tower.", "classifier.weight")),),
    "text-classification": (Served("BridgeTowerForSequenceClassification", ("text_tower.", "classifier.dense.")),),
}
#: Classes whose heads look like those of another: only a checkpoint that names them is theirs.
_NAMED_ONLY = {"BridgeTowerForVisualEntailment", "BridgeTowerForImageAndTextClassification",
               "BridgeTowerForImagesAndTextClassification"}


def check_task(task: str) -> None:
    """Refuse an unknown task.

    Raises:
        ValueError: names the nearest one.
    """
    if task not in TASK_NAMES:
        raise ValueError(f"task {task!r} is unknown{nearest(task, TASK_NAMES)} Tasks are {', '.join(TASK_NAMES)}")


def _fits(served: Served, names: Collection[str], architectures: Collection[str]) -> bool:
    if served.weights == _CLASSIFIER:
        owners = set(architectures) & _NAMED_ONLY or {"BridgeTowerForQuestionAnswering"}
        if served.model_class not in owners:
            return False
    return all(any(name.startswith(part) for name in names) for part in served.weights)


def choose(task: str, names: Collection[str], architectures: Collection[str]) -> Served | None:
    """The class that serves a task with a checkpoint, or None.

    Args:
        task: one of `TASK_NAMES`.
        names: of the weights, without `bridgetower.`.
        architectures: the classes that the configuration names.
    """
    return next((served for served in _CHOICES[task] if _fits(served, names, architectures)), None)


def served_tasks(names: Collection[str], architectures: Collection[str]) -> list[str]:
    """The tasks that a checkpoint can serve, see `choose`."""
    return [task for task in TASK_NAMES if choose(task, names, architectures)]


def describe_served(tasks: Collection[str]) -> str:
    """The tasks that a model can serve, with their commands, as the end of a sentence."""
    if not tasks:
        return "it serves no task"
    return "it serves " + ", ".join(f"{task} (bridgetower {COMMANDS[task]})" for task in tasks)
