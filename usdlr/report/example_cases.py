"""Which cases a page shows as pictures, misses first, and what is drawn of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.modalities import BMODE, ELASTO
from usdlr.core.types import RiskGroup, SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.rings import peritumoral_ring
from usdlr.imaging.store import read_case
from usdlr.report.gallery import GalleryCase

# At most this share of the gallery shows misses, so that the groups are seen too.
MISSES = 1 / 3


def missed_axillae(decisions: pd.DataFrame, labels: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which decisions spare a positive axilla, at either stage, (axillae,).

    Parameters
    ----------
    decisions : DataFrame
        The ``decisions`` table.
    labels : DataFrame
        ``patient_id side sln nsln``: 1 positive, 0 negative, NaN unknown.
    """
    joined = decisions.reset_index(drop=True).merge(labels[[*AXILLA_KEY, "sln", "nsln"]], on=AXILLA_KEY, how="left")
    low = joined["risk_group"] == str(RiskGroup.LR_SLN)
    spared = low | (joined["risk_group"] == str(RiskGroup.HR_SLN_LR_NSLN))
    missed: npt.NDArray[np.bool_] = (((joined["sln"] == 1) & low) | ((joined["nsln"] == 1) & spared)).to_numpy(bool)
    return missed


def choose(decisions: pd.DataFrame, labels: pd.DataFrame, count: int) -> list[int]:
    """Positions of axillae to show, in ``decisions``.

    Missed positives come first, those with the lowest probability before others; then each group in turn gives the
    axilla whose stage-1 probability is nearest to its group's median.
    """
    rows = decisions.reset_index(drop=True)
    missed = missed_axillae(decisions, labels)
    chosen = list(rows[missed].sort_values("p_sln", kind="stable").index[: int(count * MISSES)])
    queues = []
    for group in RiskGroup:
        part = rows[(rows["risk_group"] == str(group)) & ~rows.index.isin(chosen)]
        distance = (part["p_sln"] - part["p_sln"].median()).abs()
        queues.append(list(distance.sort_values(kind="stable").index))
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(queue.pop(0))
    return [int(position) for position in chosen]


def gallery_cases(
    tumours: pd.DataFrame,
    root: Path,
    decisions: pd.DataFrame,
    labels: pd.DataFrame,
    chosen: Sequence[int],
    *,
    margin_mm: float,
) -> list[GalleryCase]:
    """Read the chosen axillae; the first image set of an axilla's tumour stands for it.

    Parameters
    ----------
    tumours : DataFrame
        Rows of ``cases`` that show tumours.
    root : Path
        Folder that their paths are relative to.
    decisions, labels : DataFrame
        As for :func:`choose`.
    chosen : sequence of int
        Positions in ``decisions``.
    margin_mm : float
        Width of the ring that is drawn.
    """
    first = tumours.drop_duplicates(AXILLA_KEY).set_index(AXILLA_KEY)
    truth = labels.set_index(AXILLA_KEY)
    shown = []
    for number, position in enumerate(chosen, start=1):
        decision = decisions.iloc[position]
        axilla = tuple(decision[AXILLA_KEY])
        row = first.loc[axilla].to_dict() | dict(zip(AXILLA_KEY, axilla, strict=True))
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
