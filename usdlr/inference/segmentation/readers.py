"""What readers have drawn on the pictures that software outlines: which lesion is whose, and whose the sizes are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import MaskSource, Site
from usdlr.data.segmentation import Frame, read_frames
from usdlr.imaging.image import BoolArray
from usdlr.imaging.mask import LesionMask, measure

# Two outlines are of the same lesion where they share half of the smaller one.
SAME_LESION = 0.5
# Sizes of the same outline differ by no more than what a file keeps of them.
SAME_SIZE_MM = 0.01


@dataclass(frozen=True, eq=False)
class Readers:
    """Outlines by readers that stay.

    Parameters
    ----------
    drawn : mapping
        Readers' outlines together, (rows, columns), by :attr:`usdlr.data.segmentation.Frame.picture`.
    sizes_mm : mapping
        Longest diameter of the largest outlined tumour by patient and side.
    """

    drawn: Mapping[tuple[str, str], BoolArray]
    sizes_mm: Mapping[tuple[str, str], float]

    @classmethod
    def of(cls, kept: pd.DataFrame, root: Path) -> Readers:
        """Of the rows that keep their outline, whose paths are relative to ``root``."""
        own = kept[kept["mask_path"].notna() & (kept["mask_source"] == str(MaskSource.READER))].reset_index(drop=True)
        if own.empty:
            return cls({}, {})
        # What cannot be read is refused where it is used; here it only tells nothing of other rows.
        frames, _ = read_frames(own, root)
        sizes: dict[tuple[str, str], float] = {}
        for frame in frames:
            for place in frame.rows:
                row = own.iloc[place]
                if frame.spacing is None or row["site"] != str(Site.TUMOUR):
                    continue
                lesions = [
                    LesionMask(frame.lesions == one, frame.spacing)
                    for one in np.unique(frame.lesions[frame.lesions > 0])
                ]
                key = str(row["patient_id"]), str(row["side"])
                sizes[key] = max([sizes.get(key, 0.0), *(measure(one).longest_diameter_mm for one in lesions)])
        return cls({frame.picture: frame.lesions > 0 for frame in frames}, sizes)

    def on(self, frame: Frame) -> BoolArray | None:
        """What readers have drawn on the same picture, (rows, columns)."""
        return self.drawn.get(frame.picture)

    def measured(self, record: Mapping[str, Any], size_mm: float) -> bool:
        """Whether a size was measured on another outline of the axilla, and not stated by the source."""
        known = self.sizes_mm.get((str(record["patient_id"]), str(record["side"])))
        return known is not None and math.isclose(known, size_mm, abs_tol=SAME_SIZE_MM)


def same_lesion(found: BoolArray, drawn: BoolArray | None) -> bool:
    """Whether an outline is of a lesion that a reader has outlined.

    Parameters
    ----------
    found, drawn : bool array, (rows, columns)
        One lesion by software; lesions by readers, or none.
    """
    if drawn is None or not found.any():
        return False
    shared = int((found & drawn).sum())
    return shared >= SAME_LESION * min(int(found.sum()), int(drawn.sum()))


def assigned(found: Sequence[BoolArray], drawn: Sequence[BoolArray | None]) -> list[int | None]:
    """Which row of a picture every found lesion stands for.

    Parameters
    ----------
    found : sequence of bool array, (rows, columns)
        Lesions by software, the likeliest first.
    drawn : sequence of bool array or None
        By row, the reader's outline that is replaced; ``None`` where there was none.

    Returns
    -------
    list of int or None
        By found lesion: the row whose outline it shares most with; else the first row that is left, since a row says
        that there is a lesion, not where; ``None`` for a lesion more than there are rows.
    """
    shared = [
        (int((lesion & outline).sum()), number, row)
        for number, lesion in enumerate(found)
        for row, outline in enumerate(drawn)
        if outline is not None and outline.shape == lesion.shape
    ]
    owners: dict[int, int] = {}
    for overlap, number, row in sorted(shared, key=lambda one: (-one[0], one[1], one[2])):
        if overlap and number not in owners and row not in owners.values():
            owners[number] = row
    left = [row for row in range(len(drawn)) if row not in owners.values()]
    for number in range(len(found)):
        if number not in owners and left:
            owners[number] = left.pop(0)
    return [owners.get(number) for number in range(len(found))]


def without_replaced_sizes(kept: pd.DataFrame, replaced: pd.DataFrame) -> pd.DataFrame:
    """Rows that stay, without a tumour's size that was measured on an outline which does not.

    Parameters
    ----------
    kept, replaced : DataFrame
        Rows of ``cases`` that stay as they are, and those that software outlines.
    """
    outlined = replaced[replaced["mask_path"].notna() & (replaced["site"] == str(Site.TUMOUR))]
    names = list(AXILLA_KEY)
    known = pd.MultiIndex.from_frame(outlined[names].astype(str))
    theirs = pd.MultiIndex.from_frame(kept[names].astype(str)).isin(known) & (kept["site"] != str(Site.TUMOUR))
    kept = kept.copy()
    kept.loc[theirs, "tumour_size_mm"] = None
    return kept
