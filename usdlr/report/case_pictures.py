"""The pictures of one axilla's page: maps of a modality's regions together, and other maps beside the signed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import Roi, Stage
from usdlr.data.samples import SampleStore
from usdlr.report.figures_heatmap import HeatCase, HeatPanel
from usdlr.report.heat_cases import MapLike, heat_of_axillae, on_crop

# Maps without a unit need no floor for what is full colour.
_ANY_AREA = 1e12


def stage_heat(
    number: int,
    stage: Stage,
    rows: pd.DataFrame,
    store: SampleStore,
    maps: Sequence[MapLike],
    *,
    margin_mm: float,
    probability: float,
) -> HeatCase:
    """The signed maps of one axilla and stage on the crop of its first image of the tumour, a panel per block.

    Parameters
    ----------
    number : int
        Pseudonymous.
    stage : Stage
        Which question.
    rows : DataFrame
        The axilla's rows of ``cases``, as the maps count them.
    store : SampleStore
        Their crops.
    maps : sequence of maps
        Of these rows.
    margin_mm : float
        Width of the ring that is drawn.
    probability : float
        Calibrated.
    """
    chosen = rows[AXILLA_KEY].head(1).assign(probability=probability, found=False)
    (shown,) = heat_of_axillae(chosen, rows, store, maps, stage, margin_mm=margin_mm)
    return replace(shown, number=number, found=None)


def by_modality(case: HeatCase) -> HeatCase:
    """The same with one panel per modality: the regions of an image lie side by side on it.

    Examples
    --------
    >>> flat, none = np.zeros((2, 2)), np.zeros((2, 2), bool)
    >>> panels = [HeatPanel("bmode.intratumoral", flat, 0.25), HeatPanel("bmode.peritumoral", flat, 0.5)]
    >>> [(p.block, p.adds) for p in by_modality(HeatCase(1, Stage.SLN, flat, none, none, panels, 0.2, None)).panels]
    [('bmode.combined', 0.75)]
    """
    groups: dict[str, list[HeatPanel]] = {}
    for panel in case.panels:
        modality, _, rest = panel.block.partition(".")
        site = rest.partition("@")[2]
        groups.setdefault(f"{modality}.{Roi.COMBINED}" + (f"@{site}" if site else ""), []).append(panel)
    panels = [_together(block, of) for block, of in groups.items()]
    return replace(case, panels=panels, area=case.crop_area())


def other_maps(
    like: HeatCase,
    image: int,
    samples: Sequence[Any],
    maps: Mapping[tuple[int, str, int], npt.NDArray[np.floating[Any]]],
    *,
    in_nat: bool,
) -> HeatCase:
    """Maps of another kind on the same crop and in the same order; their colours have a scale of their own.

    Parameters
    ----------
    like : HeatCase
        The signed maps.
    image : int
        Position of the image that they lie on.
    samples : sequence of Sample
        The image in every crop.
    maps : mapping of (int, str, int) to float array
        By position of the image, block and crop.
    in_nat : bool
        Whether they are in log-odds per mm², like the signed ones: what adds next to nothing then stays pale.
    """
    blocks = dict.fromkeys(block for at, block, _ in maps if at == image)
    panels = [
        HeatPanel(
            block,
            np.sum(
                [
                    on_crop(np.asarray(values, dtype=np.float32), samples[crop].pixel_mm, samples[0])
                    for (at, of, crop), values in maps.items()
                    if (at, of) == (image, block)
                ],
                axis=0,
            ),
            adds=0.0,
        )
        for block in blocks
    ]
    return by_modality(replace(like, panels=panels, area=like.crop_area() if in_nat else _ANY_AREA))


def _together(block: str, panels: Sequence[HeatPanel]) -> HeatPanel:
    if len(panels) == 1:
        return panels[0]
    values = np.sum([panel.values for panel in panels], axis=0)
    weights = [max(float(np.abs(panel.values).sum()), 1e-12) for panel in panels]
    inside = float(np.average([panel.inside for panel in panels], weights=weights))
    return HeatPanel(block, values, adds=sum(panel.adds for panel in panels), inside=inside)
