"""Sentences of the review page about contours, images and readers; those about risk stand in the other modules."""

from __future__ import annotations

from typing import Final

AUTOMATIC_CONTOUR: Final = "Contour drawn by software: check it before anything that follows from it."
PROPOSED: Final = "Outlined by software: look at it, correct it, then predict with it. Nothing is recorded yet."
BEGUN_BY_SOFTWARE: Final = "begun by software"
NO_MILLIMETRES: Final = "The image has no millimetres: no length is shown."
OTHER_EXPLANATION: Final = (
    "What the answer is made of was explained for another contour or other images, and is not shown here."
)
OTHERS_CONTRACT: Final = "What follows speaks of patients like the calibration patients, not of this one."
ON_EARLIER: Final = "on an earlier answer"
NO_VERDICT: Final = "No reader has given a verdict yet."


def size_kept_sentence(stated_mm: float, measured_mm: float) -> str:
    """Says that a redrawn contour leaves the stated tumour size as it was.

    Examples
    --------
    >>> size_kept_sentence(24.58, 18.31)
    'The stated tumour size of 24.6 mm is kept in this answer, although the redrawn contour measures 18.3 mm.'
    """
    return (
        f"The stated tumour size of {stated_mm:.1f} mm is kept in this answer, although the redrawn contour measures "
        f"{measured_mm:.1f} mm."
    )


def expected_words(dice: float | None, error_mm: float | None) -> str:
    """How good a contour by software is expected to be; empty where that is not known.

    Parameters
    ----------
    dice : float or None
        Expected Dice with a reader's contour.
    error_mm : float or None
        Expected mean distance to a reader's contour in mm.

    Examples
    --------
    >>> expected_words(0.871, 0.62)
    "expected Dice with a reader's 0.87, expected distance 0.6 mm"
    >>> expected_words(None, None)
    ''
    """
    known = [] if dice is None else [f"expected Dice with a reader's {dice:.2f}"]
    known += [] if error_mm is None else [f"expected distance {error_mm:.1f} mm"]
    return ", ".join(known)


def reader_left_out(number: int) -> str:
    """Says that a reader took an image out.

    Examples
    --------
    >>> reader_left_out(2)
    'Image 2 was left out by the reader.'
    """
    return f"Image {number} was left out by the reader."
