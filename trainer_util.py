"""Training arguments and the Trainer, from `bridgetower.training`."""

from paddlenlp.trainer import TrainingArguments

from bridgetower.training.arguments import BridgeTowerTrainingArguments, parse_arguments
from bridgetower.training.resuming import checkpoint_to_resume
from bridgetower.training.run import write_settings
from bridgetower.training.trainer import BridgeTowerTrainer, WholeUpdates

__all__ = ["BridgeTowerTrainer", "BridgeTowerTrainingArguments", "TrainingArguments", "WholeUpdates",
           "checkpoint_to_resume", "parse_arguments", "write_settings"]
