"""How a decoded picture is read: scaled to 8 bits by a stated rule where it has more, and turned upright if asked.

Training, preparation, the image processor, pipelines and exported predictors all read pictures this way. Pillow alone
would clip 16 bits at 255, which turns nearly every pixel white.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from ..known import SCALE_RULES, nearest

__all__ = ["SCALE_RULES", "PictureReading", "check_scale_rule", "require_one_page", "scale_values", "to_eight_bits"]

_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
#: What `percentile` maps to black and to white.
_PERCENTILES = (1, 99)
#: The largest value that a picture without a stated depth may mean by white.
_WHOLE_LIMITS, _FLOAT_LIMITS = (255.0, 65535.0), (1.0, 255.0, 65535.0)
# Tags of TIFF, and their values for inverted grey and for signed numbers.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _UNSIGNED, _SIGNED = 0, 1, 2
#: Formats of one picture whose file may hold more: a phone stores previews and gain maps behind the photograph.
_ONE_PICTURE = ("MPO",)

Range = tuple[float, float]


@dataclass(frozen=True)
class PictureReading:
    """How decoded pictures are read.

    Attributes:
        scale_16bit: how grey pictures of more than 8 bits are scaled, one of `SCALE_RULES`; see `to_eight_bits`.
        apply_exif: whether a picture is turned as its EXIF orientation says.
    """

    scale_16bit: str = "full"
    apply_exif: bool = False

    def __post_init__(self) -> None:
        check_scale_rule(self.scale_16bit)
        if not isinstance(self.apply_exif, bool):
            raise ValueError(f"apply_exif={self.apply_exif!r} must be true or false")

    def __call__(self, image: Image.Image) -> Image.Image:
        """A picture of the same shape with at most 8 bits per channel; one that needs no change is returned as it is.

        Raises:
            ValueError: see `to_eight_bits`.
        """
        if self.apply_exif:
            image.load()  # turns a TIFF by itself, and then says so
        if self.apply_exif and image.getexif().get(Image.ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
        return to_eight_bits(image, self.scale_16bit)


def check_scale_rule(rule: object) -> None:
    """Refuse what is none of `SCALE_RULES`.

    Raises:
        ValueError: with the nearest of them.
    """
    if rule not in SCALE_RULES:
        raise ValueError(f"scale_16bit={rule!r} is unknown{nearest(str(rule), SCALE_RULES)} Known are "
                         f"{', '.join(SCALE_RULES)}")


def require_one_page(image: Image.Image) -> None:
    """Refuse the file of an animation or of several pages, whose first one would silently stand for all.

    A caller who has chosen a page with `image.seek` or `image.copy()` passes.

    Raises:
        ValueError: says how many there are and what to do.
    """
    if getattr(image, "fp", None) is None or image.format in _ONE_PICTURE:  # decoded, and its file closed
        return
    if not getattr(image, "is_animated", False) or image.tell():
        return
    raise ValueError(f"the file holds {getattr(image, 'n_frames', 'several')} pages or frames, and one picture is "
                     "read; save the one that you mean as a file of its own")


def to_eight_bits(image: Image.Image, rule: str = "full") -> Image.Image:
    """A picture with at most 8 bits per channel; other pictures than those of modes `I`, `I;16*` and `F` stay.

    `full` maps the range that the file states to 0-255: 0-65535 for 16 bits, 0-4095 for 12 (BitsPerSample of a TIFF),
    -32768-32767 for signed 16. Pictures of 32 bits and floats state none. For them white is the smallest of 1 (floats
    only), 255 and 65535 whose double is not exceeded, or the largest value if that is greater; black is 0, or the
    smallest value if that is negative. `minmax` maps the smallest value of the picture to 0 and the largest to 255,
    `percentile` its first and 99th percentile; what lies outside of a range takes the value of its end. A picture of
    one value is black under both. NaN is black.

    Raises:
        ValueError: no pixel holds a finite number, or the rule is unknown.
    """
    if image.mode not in _DEEP_MODES:
        return image
    image.load()
    scaled = scale_values(_values_of(image), rule, _stated_range(image))
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        scaled = 255 - scaled
    return Image.fromarray(scaled)


def scale_values(values: np.ndarray, rule: str = "full", stated: Range | None = None) -> np.ndarray:
    """Numbers (...) as uint8 (...), see `to_eight_bits`.

    Args:
        values: whole numbers or floats.
        rule: one of `SCALE_RULES`.
        stated: the range of the numbers that `full` maps to 0-255, where it is known.
    """
    check_scale_rule(rule)
    low, high = _range(values, rule, stated)
    if low == high:
        return np.zeros(values.shape, np.uint8)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return _mapped(np.arange(1 << 16), low, high)[values]  # much faster
    return _mapped(values, low, high)


def _mapped(values: np.ndarray, low: float, high: float) -> np.ndarray:
    numbers = np.nan_to_num(values.astype(np.float64), copy=False, nan=low, posinf=high, neginf=low)
    return np.rint((numbers.clip(low, high) - low) * (255 / (high - low))).astype(np.uint8)


def _range(values: np.ndarray, rule: str, stated: Range | None) -> Range:
    """What becomes black, and what white."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not finite.size:
        raise ValueError("no pixel of the picture holds a finite number")
    if rule == "full" and stated is not None:
        return stated
    low, high = float(finite.min()), float(finite.max())
    if rule == "full":
        return _assumed_range(low, high, _FLOAT_LIMITS if values.dtype.kind == "f" else _WHOLE_LIMITS)
    if rule == "percentile":
        inner = np.percentile(finite, _PERCENTILES).tolist()
        if inner[0] < inner[1]:  # else nearly all pixels are equal, and only the others show anything
            return inner[0], inner[1]
    return low, high


def _assumed_range(low: float, high: float, limits: tuple[float, ...]) -> Range:
    """The range of numbers from `low` to `high` whose depth nothing states."""
    reach = max(high, -low)
    limit = next((limit for limit in limits if reach <= 2 * limit), reach)
    return min(low, 0.0), max(limit, high)


def _values_of(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    is_unsigned = _tag(image, _SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED
    if image.mode == "I" and _tag(image, _BITS_PER_SAMPLE) == 32 and is_unsigned:
        return values.view(np.uint32)  # Pillow stores them in signed numbers
    return values


def _stated_range(image: Image.Image) -> Range | None:
    """The range of the numbers of a deep picture as its mode or its file states it."""
    bits = _tag(image, _BITS_PER_SAMPLE)
    if image.mode.startswith("I;16"):
        return 0.0, 2.0 ** (bits or 16) - 1
    if image.mode == "I" and image.format in ("PNG", "PPM"):  # Pillow scales those of other depths to 16 bits
        return 0.0, 65535.0
    if image.mode == "I" and bits and bits <= 16:
        is_signed = _tag(image, _SAMPLE_FORMAT) == _SIGNED
        return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if is_signed else (0.0, 2.0 ** bits - 1)
    return None


def _tag(image: Image.Image, number: int, default: int | None = None) -> int | None:
    """A tag of a TIFF; the default for other files, too."""
    value = getattr(image, "tag_v2", {}).get(number, default)
    return value[0] if isinstance(value, tuple) else value
