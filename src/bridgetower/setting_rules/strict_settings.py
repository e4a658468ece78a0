"""Constructors of configurations that refuse unknown settings and understand those of the Hugging Face port."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from paddlenlp.transformers import PretrainedConfig

from ..known import nearest
from . import port_settings
from .config_limits import check_common, check_settings_of
from .ranges import shown

__all__ = ["common_names", "strict"]


@functools.cache
def common_names() -> frozenset[str]:
    """The settings that every configuration of PaddleNLP or transformers has."""
    more = ("num_labels", "torch_dtype", "model_type", "name_or_path", *port_settings.IGNORED)
    return frozenset((*vars(PretrainedConfig()), *more))


def strict(section: str, port_names: tuple[str, ...], translate: Callable[[dict[str, Any]], dict[str, Any]]
           ) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a constructor refuse unknown settings and understand those of the Hugging Face port.

    Args:
        section: what to call the configuration in messages.
        port_names: settings that only the port has.
        translate: turns settings, of which some are the port's, into those of the constructor.
    """
    def decorate(construct: Callable[..., None]) -> Callable[..., None]:
        own = [name for name in inspect.signature(construct).parameters if name not in ("self", "kwargs")]

        @functools.wraps(construct)
        def understanding(self: PretrainedConfig, *values: Any, **settings: Any) -> None:
            settings |= dict(zip(own, values, strict=False))
            for name in settings:
                if name not in own and name not in port_names and name not in common_names():
                    known = (*own, *port_names, "num_labels")
                    raise ValueError(f"{section} has no setting {shown(name)}{nearest(name, known)}")
            translated = translate(settings)
            prefix = "" if section == "model" else f"{section}."
            check_settings_of(construct, translated, prefix)
            check_common({name: value for name, value in translated.items() if name in common_names()}, prefix)
            construct(self, **{name: value for name, value in translated.items()
                               if name not in port_names and name not in port_settings.IGNORED})

        return understanding

    return decorate
