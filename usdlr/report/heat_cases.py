"""Heat maps of chosen axillae brought onto one crop each, ready to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.modalities import BMODE
from usdlr.core.types import Roi, Site, SpacingSource, Stage
from usdlr.data.samples import Sample, SampleStore
from usdlr.imaging.regions import distance_map
from usdlr.report.figures_heatmap import HeatCase, HeatPanel


class MapLike(Protocol):
    """What is drawn of a map; see ``usdlr.inference.heatmap.HeatMap``."""

    @property
    def image(self) -> int:
        """Position of its image among the rows."""

    @property
    def block(self) -> str:
        """Image block."""

    @property
    def crop(self) -> int:
        """Which of the store's crops it lies on."""

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """Nat per mm², (size, size)."""

    @property
    def total(self) -> float:
        """What all of it adds, in nat."""

    @property
    def inside(self) -> float:
        """Share of it that lies on the region."""


def heat_of_axillae(
    chosen: pd.DataFrame,
    rows: pd.DataFrame,
    store: SampleStore,
    maps: Sequence[MapLike],
    stage: Stage,
    *,
    margin_mm: float,
) -> list[HeatCase]:
    """One picture per chosen axilla; the first image of its tumour stands for it.

    Parameters
    ----------
    chosen : DataFrame
        ``patient_id side probability found`` in the order of the pictures.
    rows : DataFrame
        Rows of ``cases`` of these axillae, as the maps count them.
    store : SampleStore
        Their crops.
    maps : sequence of maps
        Of these rows.
    stage : Stage
        Whose log-odds they speak of.
    margin_mm : float
        Width of the ring that is drawn.
    """
    first = rows[(rows["site"] == str(Site.TUMOUR)).to_numpy()].drop_duplicates(AXILLA_KEY)
    image_of = {key: int(image) for image, key in zip(first.index, _keys(first), strict=True)}
    out = []
    of_axilla = zip(_keys(chosen), chosen["probability"].tolist(), chosen["found"].tolist(), strict=True)
    for number, (key, probability, found) in enumerate(of_axilla, start=1):
        image = image_of[key]
        samples = [crop[store.image_id.index(str(rows.at[image, "image_id"]))] for crop in store.crops]
        out.append(
            _case(
                number,
                stage,
                samples,
                [one for one in maps if one.image == image],
                margin_mm=margin_mm,
                probability=probability,
                found=bool(found),
                relative=str(rows.at[image, "spacing_source"]) == str(SpacingSource.LESION_RELATIVE),
            )
        )
    return out


def on_crop(values: npt.NDArray[np.float32], pixel_mm: float, target: Sample) -> npt.NDArray[np.float32]:
    """A map of another crop of the same image on a sample's own: all crops of an image have their centre in common.

    Parameters
    ----------
    values : float32 array, (size, size)
        Per mm², which does not depend on the grid.
    pixel_mm : float
        Side of its pixels in mm.
    target : Sample
        Whose grid it is to lie on.
    """
    size, scale = target.lesion.shape[0], target.pixel_mm / pixel_mm
    if values.shape == target.lesion.shape and scale == 1.0:
        return values
    shift = (len(values) - 1) / 2 - scale * (size - 1) / 2
    moved = np.array([[scale, 0.0, shift], [0.0, scale, shift]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(values, moved, (size, size), flags=flags), dtype=np.float32)


def _case(
    number: int,
    stage: Stage,
    samples: list[Sample],
    maps: list[MapLike],
    *,
    margin_mm: float,
    probability: float,
    found: bool,
    relative: bool,
) -> HeatCase:
    shown = samples[0]
    panels = []
    for block in dict.fromkeys(one.block for one in maps):
        own = [one for one in maps if one.block == block]
        weights = np.array([max(float(np.abs(one.values).sum()), 1e-12) for one in own])
        panels.append(
            HeatPanel(
                block,
                np.sum([on_crop(one.values, samples[one.crop].pixel_mm, shown) for one in own], axis=0),
                adds=sum(one.total for one in own),
                inside=float(np.average([one.inside for one in own], weights=weights)),
            )
        )
    away = distance_map(shown.lesion, shown.pixel_mm)
    ring = shown.rois.get(str(Roi.PERITUMORAL), (away > 0) & (away <= margin_mm) & np.isfinite(shown.images[BMODE]))
    return HeatCase(
        number,
        stage,
        shown.images[BMODE],
        shown.lesion,
        ring,
        panels,
        probability,
        found,
        "units" if relative else "mm",
    )


def _keys(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return [(str(patient), str(side)) for patient, side in zip(rows["patient_id"], rows["side"], strict=True)]
