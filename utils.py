"""From an experiment to its tokenizer, datasets, collators and model, from `bridgetower.training`."""

from bridgetower.training.build import Data, Weights, build_data, build_model, build_processor, check_run
from bridgetower.training.model_config import build_config

__all__ = ["Data", "Weights", "build_config", "build_data", "build_model", "build_processor", "check_run"]
