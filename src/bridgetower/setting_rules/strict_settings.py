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

__all__ = ["common_names", "model_settings", "strict", "text_settings", "tower_settings", "vision_settings"]


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


def tower_settings(tower: PretrainedConfig) -> dict[str, Any]:
    """The settings of a tower that a person may write."""
    names = [name for name in inspect.signature(type(tower).__init__).parameters if name not in ("self", "kwargs")]
    return {name: getattr(tower, name) for name in names}


def text_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a text tower, ours or the port's, as ours."""
    port_settings.check_text_modes(settings)
    return settings


def vision_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of an image tower, ours or the port's, as ours."""
    port_settings.check_vision_modes(settings)
    if not any(name in settings for name in port_settings.VISION_ONLY):
        return settings
    return settings | port_settings.port_vision(settings)


def model_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a model, ours or the port's, as ours; towers may be configurations already."""
    if not port_settings.uses_port_names(settings):
        return settings
    towers = {name: tower for name in ("text_config", "vision_config")
              if isinstance(tower := settings.get(name), PretrainedConfig)}
    if not port_settings.are_ours(settings):
        fields = port_settings.from_port(settings | {name: tower_settings(tower) for name, tower in towers.items()})
        return settings | fields | towers
    port_settings.check_modes(settings | dict.fromkeys(towers))
    if "link_tower_type" in settings:
        bridge = settings.setdefault("bridge_type", settings["link_tower_type"])
        if bridge != settings["link_tower_type"]:
            raise ValueError(f"bridge_type={bridge!r} and link_tower_type={settings['link_tower_type']!r} are two "
                             "names of one setting; drop one of them")
    if "logit_scale_init_value" in settings:
        scale = settings["logit_scale_init_value"]
        settings.setdefault("initial_temperature", port_settings.initial_temperature(scale))
    return settings
