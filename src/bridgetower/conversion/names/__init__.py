"""The rules between the names of a source layout and ours, in both directions, and the settings that weights imply."""

from .derived_config import derive_config
from .mapping import RuleReport, detect_layout, from_paddle, to_paddle
from .rules import LAYOUTS
from .settings import check_settings
from .shapes import check_shapes, expected_shapes

__all__ = [
    "LAYOUTS", "RuleReport", "check_settings", "check_shapes", "derive_config", "detect_layout",
    "expected_shapes", "from_paddle", "to_paddle",
]  # fmt: skip
