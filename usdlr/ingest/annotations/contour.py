"""One reader's contour of one lesion, and what a file says about it before it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.imaging.image import BoolArray

Shape = tuple[int, int]

# Rounding at the image's edge may cost a pixel; an outline that lies outside by more than this share of its area was
# drawn on another image, or on this one before it was cropped or resized.
MAX_OUTSIDE = 0.05
# Parts of one contour, each of which takes a pass over the image.
MAX_PARTS = 256


@dataclass(frozen=True)
class Contour:
    """One contour on its image's grid.

    Parameters
    ----------
    pixels : bool array, (rows, columns)
        True where a pixel's centre lies inside; never empty.
    label : str or None
        Name or value of the lesion within its file; contours that share a name are told apart as ``name#1``,
        ``name#2`` in the order of the file.
    reader_id : str or None
        Who drew it, where the file says so.
    is_box : bool
        Whether it is a rectangle that was declared as such, not an outline.
    outside : float
        Share of the outline's area that lay outside the image and was cut off.
    """

    pixels: BoolArray
    label: str | None
    reader_id: str | None
    is_box: bool
    outside: float = 0.0


@dataclass(frozen=True)
class Drawn:
    """An outline as pixels of an image.

    Parameters
    ----------
    pixels : bool array, (rows, columns)
        On the image's grid.
    area : int
        Pixels of the whole outline, those outside the image included.
    """

    pixels: BoolArray
    area: int


Part = Callable[[Shape], Drawn]


@dataclass(frozen=True)
class Candidate:
    """A contour that a file holds, not drawn yet: only the one that is asked for has to be sound.

    Parameters
    ----------
    parts : tuple of callable
        Each draws one part on an image of the given ``(rows, columns)``; the contour is their union.
    label, reader_id, is_box
        As in :class:`Contour`.
    aliases : frozenset of str
        Further words that select it: numbers, identifiers, a category.
    empty : bool
        Declared by the file, without a pixel on this image.
    """

    parts: tuple[Part, ...]
    label: str | None = None
    reader_id: str | None = None
    is_box: bool = False
    aliases: frozenset[str] = field(default_factory=frozenset)
    empty: bool = False

    def draw(self, shape: Shape) -> Contour:
        """The contour on an image of ``(rows, columns)``.

        Raises
        ------
        CaseError
            If it has no pixel, lies outside the image, or cannot be drawn.
        """
        if len(self.parts) > MAX_PARTS:
            raise unreadable(f"a contour of {len(self.parts)} parts", f"at most {MAX_PARTS}", "draw it again")
        pixels = np.zeros(shape, dtype=np.bool_)
        area = inside = 0
        for part in self.parts:
            drawn = part(shape)
            area += drawn.area
            inside += int(np.count_nonzero(drawn.pixels))
            pixels |= drawn.pixels
        if area == 0:
            raise empty("a contour without a single pixel", "the lesion's outline", "draw it again")
        outside = (area - inside) / area
        if outside > MAX_OUTSIDE:
            raise CaseError(
                ExclusionCode.MASK_SIZE_MISMATCH,
                f"found {outside:.1%} of a contour outside its image of {shape[0]} x {shape[1]} pixels (rows x "
                f"columns), expected at most {MAX_OUTSIDE:.0%}; give the contour that was drawn on this very image, "
                "neither cropped nor resized since",
            )
        return Contour(pixels, self.label, self.reader_id, self.is_box, outside)


def drawn_as(pixels: BoolArray) -> Drawn:
    """A mask that is on the image's grid already."""
    return Drawn(pixels, int(np.count_nonzero(pixels)))


def fixed(pixels: BoolArray) -> Part:
    """A part that is a mask on the image's grid already."""
    return lambda shape: drawn_as(pixels)


def unreadable(found: str, expected: str, mend: str) -> CaseError:
    """The refusal of a contour that cannot be read as what it claims to be."""
    return CaseError(ExclusionCode.MASK_UNREADABLE, f"found {found}, expected {expected}; {mend}")


def missing(found: str, expected: str, mend: str) -> CaseError:
    """The refusal of a file that does not hold the contour asked for."""
    return CaseError(ExclusionCode.MASK_MISSING, f"found {found}, expected {expected}; {mend}")


def ambiguous(found: str, expected: str, mend: str) -> CaseError:
    """The refusal to choose between several contours."""
    return CaseError(ExclusionCode.MASK_AMBIGUOUS, f"found {found}, expected {expected}; {mend}")


def empty(found: str, expected: str, mend: str) -> CaseError:
    """The refusal of a contour without pixels."""
    return CaseError(ExclusionCode.MASK_EMPTY, f"found {found}, expected {expected}; {mend}")
