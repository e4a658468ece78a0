"""PaddleNLP's Auto classes find BridgeTower's classes in a saved folder.

Of them only `AutoConfig` and `AutoTokenizer` can be told of further classes, and none before PaddleNLP is imported,
which takes seconds. So their `from_pretrained` asks here first, from the moment that PaddleNLP is imported.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["install"]

_AUTO = "paddlenlp.transformers.auto"
#: Module of PaddleNLP -> its Auto classes -> ours.
_CLASSES: dict[str, dict[str, str]] = {
    f"{_AUTO}.configuration": {"AutoConfig": "BridgeTowerConfig"},
    f"{_AUTO}.modeling": {
        "AutoModel": "BridgeTowerModel", "AutoModelForPretraining": "BridgeTowerForPreTraining",
        "AutoModelForMaskedLM": "BridgeTowerForMaskedLM",
        "AutoModelForQuestionAnswering": "BridgeTowerForQuestionAnswering",
        "AutoModelForSequenceClassification": "BridgeTowerForSequenceClassification"},
    f"{_AUTO}.tokenizer": {"AutoTokenizer": "BridgeTowerTokenizer"},
    f"{_AUTO}.processing": {"AutoProcessor": "BridgeTowerProcessor"},
    f"{_AUTO}.image_processing": {"AutoImageProcessor": "BridgeTowerImageProcessor"},
}
_FILES = ("config.json", "preprocessor_config.json", "processor_config.json", "tokenizer_config.json")
_MARKS = ("model_type", "processor_class", "image_processor_type", "feature_extractor_type")


def install() -> None:
    """Let the Auto classes of PaddleNLP know BridgeTower, now or when PaddleNLP is imported."""
    for name in _CLASSES:
        if name in sys.modules:
            _extend(sys.modules[name])
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _is_ours(source: Any) -> bool:
    """Whether a folder, or a repository on the hub, holds BridgeTower."""
    folder = Path(str(source))
    if not folder.is_dir():
        return "/" in str(source) and "bridgetower" in str(source).lower()
    for path in (folder / name for name in _FILES):
        try:
            settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except ValueError:
            continue  # the class that reads it says what is wrong
        if isinstance(settings, dict) and any("bridgetower" in str(settings.get(mark)).lower() for mark in _MARKS):
            return True
    return False


def _extend(module: ModuleType) -> None:
    """Let the Auto classes of one module ask `_is_ours` first."""
    for name, ours in _CLASSES[module.__name__].items():
        auto = getattr(module, name)
        plain = auto.__dict__["from_pretrained"].__func__
        if not hasattr(plain, "__wrapped__"):
            auto.from_pretrained = classmethod(_asking_first(plain, ours))


def _asking_first(plain: Any, ours: str) -> Any:
    @functools.wraps(plain)
    def from_pretrained(cls: type, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **settings: Any
                        ) -> Any:
        if not _is_ours(pretrained_model_name_or_path):
            return plain(cls, pretrained_model_name_or_path, *args, **settings)
        task = settings.pop("task", None)
        package = importlib.import_module(__package__ or "bridgetower")
        return getattr(package, f"BridgeTower{task}" if task else ours).from_pretrained(
            pretrained_model_name_or_path, *args, **settings)

    return from_pretrained


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of the Auto classes as Python does, and extends them once they are imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
                  ) -> importlib.machinery.ModuleSpec | None:
        """The specification of such a module, None for every other one."""
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if name in _CLASSES else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, plain: Any) -> None:
        self._plain = plain

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._plain.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._plain.exec_module(module)
        _extend(module)
