"""What a painting's seams may show."""

from exporters.seams import SeamGaps

FACTOR, LEAST = 1.5, 4 / 255
RULE = (
    f"mean gap across UV seams within {FACTOR:g} x the gap across inner edges or 4/255, creases and smooth edges alike"
)


def seamless(gaps: SeamGaps) -> bool:
    """Whether a texture meets `RULE`."""
    return gaps.all_seams <= max(FACTOR * gaps.all_inner, LEAST)
