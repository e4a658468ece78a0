"""The tasks: which model learns, what its batches need, how it is measured and what it writes."""

from ..experiment import SettingsError, TaskSettings
from ..known import nearest
from .base import Evaluation, Labels, Task
from .cifar import Cifar
from .glue import Glue
from .irtr import ContrastiveRetrieval, RankingRetrieval
from .own_classes import OwnClasses, OwnPairClasses
from .pair_classes import NLVR2, VisualEntailment
from .pretrain import PreTraining
from .vqa_task import VisualQuestionAnswering

__all__ = ["TASKS", "Evaluation", "Labels", "Task", "get_task"]

#: Name in experiment files -> the task.
TASKS: dict[str, Task] = {task.name: task for task in (
    PreTraining(), VisualQuestionAnswering(), VisualEntailment(), NLVR2(), RankingRetrieval(), ContrastiveRetrieval(),
    OwnClasses(), OwnPairClasses(), Cifar(), Glue())}


def get_task(settings: TaskSettings) -> Task:
    """The task of an experiment.

    Raises:
        SettingsError: when there is no task of that name.
    """
    if settings.name not in TASKS:
        raise SettingsError(f"task.name={settings.name!r} is unknown{nearest(settings.name, TASKS)} "
                            f"Tasks are {', '.join(TASKS)}")
    return TASKS[settings.name]
