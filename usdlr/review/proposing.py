"""An outline proposed by software while a reader waits: what they point at goes to a process that holds the networks.

A proposal is a draft in the reader's editor. It is recorded, and predicted with, only when the reader says so.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from usdlr.core.errors import DataError
from usdlr.core.modalities import BMODE
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray
from usdlr.imaging.prompt import Prompt
from usdlr.imaging.window import grey_share
from usdlr.inference.segmentation import Picture, Segmenter, identify_segmenter, load_segmenter
from usdlr.review.desk import Desk
from usdlr.review.outlines import Outlines, mask_of, outlines_of
from usdlr.review.pictures import bmode_pixels, field_of_view
from usdlr.review.records import ImageRecord, Point

PROPOSE_LIMIT_S: Final = 30.0
# Pictures kept ready: a reader points at the same one again and again.
KEPT: Final = 4
# Page points have the centre of the first pixel at 0, prompts its corner.
_CORNER: Final = 0.5


@dataclass(frozen=True)
class Pointed:
    """What a reader points at, in the page's pixels: the centre of the first one at (0, 0).

    Parameters
    ----------
    box : pair of Point, or None
        Two opposite corners.
    inside, outside : tuple of tuple of Point
        Lines drawn on what belongs to the lesion, and on what does not; a click is a line of one point.
    """

    box: tuple[Point, Point] | None = None
    inside: Outlines = ()
    outside: Outlines = ()

    def prompt(self) -> Prompt | None:
        """The same in image pixels; ``None`` where nothing is pointed at.

        Raises
        ------
        ConfigError
            If there are lines outside the lesion alone, or the box is smaller than a pixel.
        """
        if self.box is None and not self.inside and not self.outside:
            return None
        inside, outside = (
            tuple(tuple((row + _CORNER, col + _CORNER) for row, col in line) for line in lines)
            for lines in (self.inside, self.outside)
        )
        if self.box is None:
            return Prompt(None, inside, outside)
        (top, left), (bottom, right) = self.box
        low, start = min(top, bottom) + _CORNER, min(left, right) + _CORNER
        return Prompt((low, start, abs(bottom - top), abs(right - left)), inside, outside)


@dataclass(frozen=True)
class Ask:
    """One question to the process.

    Parameters
    ----------
    image : ImageRecord or None
        Which picture; ``None``: nothing yet, only get ready.
    pointed : Pointed
        At what.
    """

    image: ImageRecord | None = None
    pointed: Pointed = Pointed()


class Outliner:
    """What the process does: it holds the networks from the first request on.

    Parameters
    ----------
    bundle : Path
        Folder or file that ``usdlr fit_segmenter`` wrote.
    public_key : Path or None
        Of the key that must have signed it.
    """

    def __init__(self, bundle: Path, public_key: Path | None = None) -> None:
        self.bundle, self.public_key = bundle, public_key
        self._segmenter: Segmenter | None = None
        self._pictures: OrderedDict[tuple[str, str, str], Picture] = OrderedDict()

    def __call__(self, ask: Ask) -> Outlines:
        """The proposed outlines, through the centres of border pixels.

        Raises
        ------
        InputError
            If nothing looks like a lesion there, or the picture cannot be read.
        """
        segmenter = self._segmenter = self._segmenter or load_segmenter(self.bundle, public_key=self.public_key)
        if ask.image is None:
            _warm_up(segmenter)
            return ()
        if ask.image.site is not segmenter.site:
            raise DataError(
                f"found a picture of the {ask.image.site}, expected one of the {segmenter.site}, which the software "
                "has learned to outline; draw the contour by hand"
            )
        picture, prompt = self._picture(ask.image), ask.pointed.prompt()
        found = segmenter.likeliest(picture) if prompt is None else segmenter.follow(picture, prompt)
        if not found.lesions:
            raise DataError(
                f"found nothing that looks like a lesion ({found.why}), expected one; draw a box around it, or the "
                "contour by hand"
            )
        lines = outlines_of(found.mask(1))
        if prompt is not None:
            _require_obeyed(mask_of(lines, picture.shape), prompt)
        return lines

    def _picture(self, image: ImageRecord) -> Picture:
        key = image.root, image.token, image.paths.get(BMODE, "")
        if key not in self._pictures:
            self._pictures[key] = _read(image)
            while len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(key)
        return self._pictures[key]


class Proposing:
    """A bundle that outlines, in a process of its own; see :class:`usdlr.review.desk.Desk`.

    Parameters
    ----------
    bundle : Path
        Folder or file that ``usdlr fit_segmenter`` wrote.
    public_key : Path, optional
        PEM file of the key that must have signed it.

    Raises
    ------
    InputError
        If there is no such bundle, or it is damaged, not signed by that key, or of another kind.
    """

    def __init__(self, bundle: Path, *, public_key: Path | None = None) -> None:
        self.segmenter_id = identify_segmenter(bundle, public_key=public_key)
        self._desk: Desk[Ask] = Desk(Outliner(bundle, public_key), Ask(), PROPOSE_LIMIT_S)

    def start(self) -> None:
        """Begin to load the networks; returns at once."""
        self._desk.start()

    def warm(self) -> None:
        """Wait until the first outline can come at once."""
        self._desk.warm()

    def propose(self, image: ImageRecord, pointed: Pointed) -> Outlines:
        """Outline the lesion that a reader points at; without a box or a line, the likeliest one of the picture.

        Lines are obeyed: what lies on one drawn inside belongs to the outline, what lies on one drawn outside does not.

        Raises
        ------
        InputError
            If the picture is of another site than the networks have learned, nothing there looks like a lesion, or
            there is no answer in time.
        """
        found = self._desk.ask(Ask(image, pointed))
        assert isinstance(found, tuple)
        return found

    def close(self) -> None:
        """End the process; what it has in hand is lost."""
        self._desk.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _require_obeyed(drawn: BoolArray, prompt: Prompt) -> None:
    """An outline has no holes: a line outside that lines inside enclose cannot be obeyed, and must not be ignored."""
    inside, outside = prompt.decided((drawn.shape[0], drawn.shape[1]))
    if (drawn & outside).any() or (inside & ~drawn).any():
        raise DataError(
            "found a line outside the lesion with lines inside all around it, expected one that reaches the edge: an "
            "outline has no holes; undo one of them"
        )


def _read(image: ImageRecord) -> Picture:
    # The row's lengths may be relative to the contour: they give a pixel's proportions, never a lesion's size.
    high, wide = image.row.get("row_mm") or image.row_mm, image.row.get("col_mm") or image.col_mm
    aspect = 1.0 if high is None or wide is None else float(high) / float(wide)
    known = None if image.row_mm is None or image.col_mm is None else Spacing(image.row_mm, image.col_mm)
    grey = grey_share(bmode_pixels(image).astype(np.float32), field_of_view(image))
    return Picture(grey, known, aspect)


def _warm_up(segmenter: Segmenter) -> None:
    noise = np.random.default_rng(0).normal(110, 30, (96, 128))
    picture = Picture(np.clip(noise, 1, 255).astype(np.uint8), None)
    segmenter.follow(picture, Prompt((30.0, 40.0, 30.0, 40.0), (((45.0, 60.0),),)))
