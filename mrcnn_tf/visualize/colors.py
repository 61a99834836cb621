"""Colours that tell neighbouring instances apart."""

import colorsys

_GOLDEN_RATIO = 0.618033988749895
# Runs of lightness and saturation that do not share a period with the hues of the golden ratio.
_SHADES = ((1.0, 0.85), (0.8, 1.0), (1.0, 0.6), (0.65, 0.9), (0.95, 1.0))
_DARKEST = 0.45

Color = tuple[int, int, int]


def instance_color(index: int) -> Color:
    """The colour of the instance with this index, RGB 0..255: always the same, and bright.

    Successive hues are a golden ratio of the circle apart, so that any few successive instances
    are far from each other.
    """
    value, saturation = _SHADES[index % len(_SHADES)]
    color = colorsys.hsv_to_rgb((0.02 + index * _GOLDEN_RATIO) % 1, saturation, value)
    # Pure blue is a tenth as bright as yellow and gets lost on a dark image.
    white = max(0.0, _DARKEST - _brightness(color))
    return tuple(round(255 * (channel + (1 - channel) * white)) for channel in color)


def text_color(background: Color) -> Color:
    """Black or white, whichever is easier to read on a background."""
    return (0, 0, 0) if _brightness(background) > 128 else (255, 255, 255)


def _brightness(color: tuple[float, float, float]) -> float:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
