"""What is said of an outline that software drew."""

from __future__ import annotations

import math


def outlined_by_software(dice: float, error_mm: float | None) -> str:
    """What a note says of an outline.

    Parameters
    ----------
    dice : float
        Expected Dice with a reader's outline; not-a-number where it is not known.
    error_mm : float or None
        Expected mean distance to a reader's outline in mm.

    Examples
    --------
    >>> outlined_by_software(0.871, 0.62)
    "outlined by software, to be confirmed by a reader: outlines like this one shared 0.87 (Dice) with a reader's on \
average, and lay 0.6 mm from it"
    """
    text = "outlined by software, to be confirmed by a reader"
    if not math.isfinite(dice):
        return text
    text += f": outlines like this one shared {dice:.2f} (Dice) with a reader's on average"
    return text if error_mm is None else f"{text}, and lay {error_mm:.1f} mm from it"


def not_found(why: str) -> str:
    """The sentence of an exclusion: software found no lesion in the image.

    Examples
    --------
    >>> not_found("no part of the picture scores 0.5 or more")
    'found no lesion by software (no part of the picture scores 0.5 or more), expected one; draw its outline by hand, \
or leave the image out'
    """
    return f"found no lesion by software ({why}), expected one; draw its outline by hand, or leave the image out"
