"""Which cases the report shows: misses first, then the groups in turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.modalities import BMODE, ELASTO
from usdlr.core.types import RiskGroup, SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.rings import peritumoral_ring
from usdlr.imaging.store import read_case
from usdlr.inference.sites import tumours
from usdlr.report.gallery import GalleryCase

# At most this share of the gallery shows misses, so that the groups are seen too.
MISSES = 1 / 3


def choose(decisions: pd.DataFrame, labels: pd.DataFrame, count: int) -> list[int]:
    """Positions of axillae to show, in ``decisions``.

    Missed positives come first, those with the lowest probability before others; then each group in turn gives the
    axilla whose stage-1 probability is nearest to its group's median.
    """
    joined = decisions.reset_index(drop=True).merge(labels[[*AXILLA_KEY, "sln", "nsln"]], on=AXILLA_KEY, how="left")
    low = joined["risk_group"] == str(RiskGroup.LR_SLN)
    spared = low | (joined["risk_group"] == str(RiskGroup.HR_SLN_LR_NSLN))
    missed = ((joined["sln"] == 1) & low) | ((joined["nsln"] == 1) & spared)
    chosen = list(joined[missed].sort_values("p_sln", kind="stable").index[: int(count * MISSES)])
    queues = []
    for group in RiskGroup:
        part = joined[(joined["risk_group"] == str(group)) & ~joined.index.isin(chosen)]
        distance = (part["p_sln"] - part["p_sln"].median()).abs()
        queues.append(list(distance.sort_values(kind="stable").index))
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return [int(position) for position in chosen]


def gallery_cases(
    cases: pd.DataFrame, root: Path, decisions: pd.DataFrame, labels: pd.DataFrame, *, margin_mm: float, count: int
) -> list[GalleryCase]:
    """Read the chosen cases; the first image set of an axilla's tumour stands for it."""
    first = tumours(cases).drop_duplicates(AXILLA_KEY).set_index(AXILLA_KEY)
    truth = labels.set_index(AXILLA_KEY)
    shown = []
    for number, position in enumerate(choose(decisions, labels, count), start=1):
        decision = decisions.iloc[position]
        axilla = tuple(decision[AXILLA_KEY])
        row = first.loc[axilla].to_dict()
        images = read_case({str(key): value for key, value in row.items()}, root)
        elasto = images.images.get(ELASTO)
        shown.append(
            GalleryCase(
                number=number,
                image=images.images[BMODE].pixels.astype(np.uint8),
                lesion=images.mask.pixels,
                ring=peritumoral_ring(images.mask, margin_mm, images.fov).pixels,
                spacing=Spacing(float(row["row_mm"]), float(row["col_mm"])),
                group=str(decision["risk_group"]),
                p_sln=float(decision["p_sln"]),
                p_nsln=float(decision["p_nsln"]),
                sln=_status(truth.loc[axilla, "sln"]),
                nsln=_status(truth.loc[axilla, "nsln"]),
                stiffness=None if elasto is None else elasto.pixels,
                unit="units" if row["spacing_source"] == str(SpacingSource.LESION_RELATIVE) else "mm",
            )
        )
    return shown


def _status(value: object) -> bool | None:
    return None if pd.isna(value) else bool(value)  # type: ignore[call-overload]  # a scalar of a float column
