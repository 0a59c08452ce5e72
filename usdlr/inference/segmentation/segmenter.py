"""From a picture to outlined lesions: a look at the whole, then a closer look at what was found.

The second look is the one that a reader's box leads to: the same networks see the surroundings of what they found, at
a scale that follows its size, and are told where it lies. Small lesions gain by it most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes, distance_transform_edt, label

from usdlr.core.errors import ConfigError
from usdlr.core.types import Site
from usdlr.core.units import Spacing
from usdlr.imaging.components import Labels, Lesion, LesionRules, find_lesions
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.prompt import Prompt, brush_px
from usdlr.imaging.window import AROUND, Window, paste, reach
from usdlr.inference.segmentation.expected import Expected
from usdlr.inference.segmentation.passes import Looked, look_through
from usdlr.models.segmentation import SegmentationNetwork

# The first look is taken at these widths, as multiples of the window that just holds the picture: a lesion that one
# scale misses another finds.
SCALES = (1.0, 1.3, 0.8)
# What is worth a closer look: parts above this share of the threshold, and so many of them.
WORTH, MOST_LOOKS = 0.6, 4
# A picture whose grey levels span less holds nothing to see.
FLATTEST = 8
NOTHING_LARGE = "no part of the picture is likelier lesion than not, and large enough"
# Without anything found under a reader's point, the closer look is this wide, as a share of the longer side.
POINT_SIDE = 0.35
_TOUCHING = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Picture:
    """What is outlined on.

    Parameters
    ----------
    grey : uint8 array, (rows, columns)
        Grey levels, 0 outside the field of view; see :func:`usdlr.imaging.window.grey_share`.
    spacing : Spacing or None
        In mm; ``None`` where the image is not calibrated.
    aspect : float
        Height of a pixel divided by its width.
    """

    grey: npt.NDArray[np.uint8]
    spacing: Spacing | None
    aspect: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)``."""
        return self.grey.shape[0], self.grey.shape[1]


@dataclass(frozen=True, eq=False)
class Outlined:
    """Lesions on a picture.

    Parameters
    ----------
    labels : int64 array, (rows, columns)
        0 outside, 1.. inside lesions; 1 has the highest score.
    lesions : list of Lesion
        By falling score.
    probability : float32 array, (rows, columns)
        That a pixel is lesion.
    spread : float32 array, (rows, columns)
        Standard deviation of that over networks and mirror images: where they disagree.
    presence : float
        Probability that there is any lesion.
    why : str
        Where nothing was found: why, in words; else empty.
    """

    labels: Labels
    lesions: list[Lesion]
    probability: FloatArray
    spread: FloatArray
    presence: float
    why: str = ""

    def mask(self, number: int) -> BoolArray:
        """One lesion, (rows, columns)."""
        return np.asarray(self.labels == number)


@dataclass(frozen=True, eq=False)
class Segmenter:
    """Fitted networks and the rules of what counts as a lesion.

    Parameters
    ----------
    networks : sequence of SegmentationNetwork
        In evaluation mode; their mean counts.
    rules : LesionRules
        What counts as a lesion.
    expected : Expected or None
        How good outlines have been; ``None`` while that is being measured, or where nothing was outlined.
    segmenter_id : str
        First 12 digits of the bundle's hash; empty before there is one.
    site : Site
        What the networks have learned to outline: tumours, or the lymph nodes of the axilla.
    learned : frozenset of str
        Keys of the images that the networks learned from, see :func:`usdlr.inference.member.image_key`.
    mirrored : bool
        Whether the mirror image is asked too.
    scales : tuple of float
        Widths of the first look, as multiples of the window that just holds the picture; 1 is among them.
    closer : bool
        Whether what was found is looked at again from close by.
    """

    networks: Sequence[SegmentationNetwork]
    rules: LesionRules
    expected: Expected | None = None
    segmenter_id: str = ""
    site: Site = Site.TUMOUR
    learned: frozenset[str] = frozenset()
    mirrored: bool = True
    scales: tuple[float, ...] = SCALES
    closer: bool = True

    def find(self, picture: Picture) -> Outlined:
        """Find and outline every lesion, without a reader's help."""
        empty = np.zeros(picture.shape, dtype=np.float32)
        low, high = int(picture.grey.min()), int(picture.grey.max())
        if high - low < FLATTEST:
            why = f"the picture is blank: its grey levels span {high - low} of 255"
            return Outlined(empty.astype(np.int64), [], empty, empty, 0.0, why)
        probability, spread, presence = self._first_look(picture)
        if self.closer:
            parts = self._worth_a_look(probability)
            # A closer look speaks of the lesion in its box alone: of two lesions, each pixel hears the nearer one's.
            whose = _nearest(parts) if parts else np.zeros(picture.shape, dtype=np.intp)
            for number, part in enumerate(parts):
                box = _box(part)
                near = Window.around(box, picture.aspect)
                again, more = _on_picture(self._look(picture, near, Prompt(box)), near, picture.shape)
                seen = reach(near, picture.shape) & (whose == number)
                probability[seen] = (probability[seen] + again[seen]) / 2
                spread[seen] = np.sqrt((spread[seen] ** 2 + more[seen] ** 2) / 2)
        labels, lesions = find_lesions(probability, self.rules, picture.spacing, presence=presence)
        why = "" if lesions else f"no part of the picture scores {self.rules.least_score:g} or more"
        return Outlined(labels, lesions, probability, spread, presence, why)

    def likeliest(self, picture: Picture, found: Outlined | None = None) -> Outlined:
        """The lesion of the highest score, however low: for a reader who says that there is one, and looks at it.

        Parameters
        ----------
        picture : Picture
            The picture.
        found : Outlined, optional
            What :meth:`find` said of it; ``None`` asks.
        """
        seen = self.find(picture) if found is None else found
        rules = replace(self.rules, least_score=0.0, most=1)
        labels, lesions = find_lesions(seen.probability, rules, picture.spacing, presence=seen.presence)
        why = "" if lesions else seen.why if not seen.probability.any() else NOTHING_LARGE
        return replace(seen, labels=labels, lesions=lesions, why=why)

    def follow(self, picture: Picture, prompt: Prompt) -> Outlined:
        """Outline the one lesion that a reader points at; what the strokes settle is never overruled.

        Raises
        ------
        ConfigError
            If the prompt lies beside the picture, or strokes outside leave nothing of those inside.
        """
        prompt.require_on(picture.shape)
        inside, outside = prompt.decided(picture.shape)
        if prompt.box is None and not inside.any():
            raise ConfigError(
                "found no box, and no stroke inside that strokes outside leave, expected a place to outline; point at "
                "the lesion again"
            )
        asked = prompt
        if prompt.box is None:
            window = Window.whole(picture.shape, picture.aspect)
            # It only says where to look from close by: one view will do, and a reader waits.
            glance = look_through(self.networks, picture.grey, window, prompt, mirrored=False)
            first, _ = _on_picture(glance, window, picture.shape)
            numbered, _ = label(first >= self.rules.threshold * WORTH, structure=_TOUCHING)
            touched = np.unique(numbered[inside & (numbered > 0)])
            part = np.isin(numbered, touched) & ~outside if len(touched) else inside
            box = _box(part | inside)
            if len(touched):
                asked = Prompt(box, prompt.inside, prompt.outside)
                near = Window.around(box, picture.aspect)
            else:
                side = POINT_SIDE * max(picture.shape) / AROUND
                middle = box[0] + box[2] / 2, box[1] + box[3] / 2
                near = Window.around((middle[0] - side / 2, middle[1] - side / 2, side, side), picture.aspect)
        else:
            near = Window.around(_with_strokes(prompt), picture.aspect)
        looked = self._look(picture, near, asked)
        probability, spread = _on_picture(looked, near, picture.shape)
        probability[inside], probability[outside] = 1.0, 0.0
        found = binary_fill_holes(probability >= self.rules.threshold) & ~outside
        found = _opened(_meant(found, inside, prompt.box), inside, outside)
        labels = found.astype(np.int64)
        if not found.any():
            why = "nothing in the box looks like a lesion; draw strokes inside it, or the outline by hand"
            return Outlined(labels, [], probability, spread, looked.presence, why)
        spacing = picture.spacing or Spacing(1 / max(picture.shape), 1 / max(picture.shape))
        rules = LesionRules(threshold=0.5, smallest_mm=0.0, smallest_share=0.0, least_score=0.0, most=1)
        _, measured = find_lesions(found.astype(np.float32), rules, spacing)
        whole = measured[0]
        lesion = Lesion(1, float(probability[found].mean()), _box(found), whole.short_axis, int(found.sum()))
        return Outlined(labels, [lesion], probability, spread, looked.presence)

    def _look(self, picture: Picture, window: Window, prompt: Prompt | None) -> Looked:
        return look_through(self.networks, picture.grey, window, prompt, mirrored=self.mirrored)

    def _first_look(self, picture: Picture) -> tuple[FloatArray, FloatArray, float]:
        """Probability and spread on the picture's grid, and the probability that there is a lesion."""
        whole = Window.whole(picture.shape, picture.aspect)
        views, seen, presence = [], [], []
        for scale in self.scales:
            window = replace(whole, side=whole.side * scale)
            looked = self._look(picture, window, None)
            presence.append(looked.presence)
            inside = reach(window, picture.shape)
            for mask in looked.masks:
                views.append(np.where(inside, paste(mask, window, picture.shape), np.float32(0)))
                seen.append(inside)
        count = np.maximum(np.sum(seen, axis=0), 1)
        mean = np.sum(views, axis=0) / count
        spread = np.sqrt(np.maximum(np.sum(np.square(views), axis=0) / count - mean**2, 0))
        return mean.astype(np.float32), spread.astype(np.float32), float(np.mean(presence))

    def _worth_a_look(self, probability: FloatArray) -> list[BoolArray]:
        """The parts that may turn out to be lesions, the likeliest first."""
        numbered, count = label(probability >= self.rules.threshold * WORTH, structure=_TOUCHING)
        parts = []
        for number in range(1, count + 1):
            part = numbered == number
            # Weighed by size: a speck of noise is not looked at before a lesion.
            parts.append((float(probability[part].sum()), part))
        parts.sort(key=lambda one: -one[0])
        return [part for _, part in parts[:MOST_LOOKS]]


def _on_picture(looked: Looked, window: Window, shape: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation over the views, on the picture's grid."""
    mean, spread = looked.masks.mean(axis=0), looked.masks.std(axis=0)
    return paste(mean, window, shape), paste(spread, window, shape)


def _nearest(parts: Sequence[BoolArray]) -> npt.NDArray[np.intp]:
    """Which part every pixel is nearest to, (rows, columns)."""
    together = np.zeros(parts[0].shape, dtype=np.intp)
    for number, part in enumerate(parts, start=1):
        together[part] = number
    if len(parts) == 1:
        return np.zeros_like(together)
    _, (rows, cols) = distance_transform_edt(together == 0, return_indices=True)
    return np.asarray(together[rows, cols] - 1)


def _box(part: BoolArray) -> tuple[int, int, int, int]:
    rows, cols = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    return int(rows[0]), int(cols[0]), int(rows[-1] - rows[0] + 1), int(cols[-1] - cols[0] + 1)


def _with_strokes(prompt: Prompt) -> tuple[float, float, float, float]:
    """The reader's box, widened to hold every stroke inside the lesion."""
    assert prompt.box is not None  # its one caller has asked
    row, col, rows, cols = prompt.box
    points = [point for stroke in prompt.inside for point in stroke]
    top, left = min([row, *(p[0] for p in points)]), min([col, *(p[1] for p in points)])
    bottom, right = max([row + rows, *(p[0] for p in points)]), max([col + cols, *(p[1] for p in points)])
    return top, left, bottom - top, right - left


def _opened(found: BoolArray, inside: BoolArray, outside: BoolArray) -> BoolArray:
    """The lesion without holes where strokes say outside: each is joined to the nearest edge, for lesions have none.

    Without that, who closes holes later (an outline has no room for them) would overrule the stroke.
    """
    filled = binary_fill_holes(found)
    holes, count = label(filled & ~found & outside, structure=_TOUCHING)
    if not count:
        return found
    # A border of nothing: the edge of the picture is an edge too.
    padded = np.pad(filled, 1)
    depth, nearest = distance_transform_edt(padded, return_indices=True)
    cut = np.zeros(padded.shape, dtype=np.uint8)
    for number in range(1, count + 1):
        places = np.argwhere(np.pad(holes == number, 1))
        row, col = places[int(np.argmin(depth[tuple(places.T)]))]
        end = nearest[1][row, col], nearest[0][row, col]
        cv2.line(
            cut, (int(col), int(row)), (int(end[0]), int(end[1])), 1, 2 * brush_px((found.shape[0], found.shape[1])) + 1
        )
    return np.asarray(found & ~((cut[1:-1, 1:-1] > 0) & ~inside))


def _meant(found: BoolArray, inside: BoolArray, box: tuple[float, float, float, float] | None) -> BoolArray:
    """The parts that the reader means: those under strokes inside, else the largest part in the box."""
    numbered, count = label(found, structure=_TOUCHING)
    if not count:
        return found
    touched = np.unique(numbered[inside & found])
    if len(touched):
        return np.isin(numbered, touched)
    within = np.zeros(found.shape, dtype=bool)
    if box is not None:
        row, col, rows, cols = box
        top, left = max(math.floor(row), 0), max(math.floor(col), 0)
        within[top : max(math.ceil(row + rows), 0), left : max(math.ceil(col + cols), 0)] = True
    sizes = np.bincount(numbered[within & found], minlength=count + 1)
    sizes[0] = 0
    return np.asarray(numbered == int(sizes.argmax())) if sizes.any() else np.zeros(found.shape, dtype=bool)
