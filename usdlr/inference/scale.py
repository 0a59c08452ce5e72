"""Whether cases are measured as a model's own were: in millimetres, or relative to the lesion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from usdlr.core.errors import CaseError, DataError
from usdlr.core.types import SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.relative import equivalent_diameter
from usdlr.imaging.store import read_mask

# The spacing is computed from the very mask that is measured here.
TOLERANCE = 1e-6


def require_same_scale(
    cases: pd.DataFrame, root: Path, relative_diameter: float | None, *, masks: Mapping[str, LesionMask] | None = None
) -> None:
    """Refuse cases whose lengths are of another kind than the model's.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    root : Path
        Folder its paths are relative to.
    relative_diameter : float or None
        Units across every lesion of the model's own cases; ``None``: the model knows millimetres.
    masks : mapping of str to LesionMask, optional
        The lesions by image id, where they are in memory; by default they are read.

    Raises
    ------
    DataError
        If any case is measured otherwise. A case without contour or spacing is left to what needs one.
    """
    relative = (cases["spacing_source"] == str(SpacingSource.LESION_RELATIVE)).to_numpy(dtype=bool)
    if relative_diameter is None:
        if relative.any():
            raise DataError(
                f"found {int(relative.sum())} of {len(cases)} cases whose lengths are relative to the lesion "
                f"(spacing_source = {SpacingSource.LESION_RELATIVE}), expected millimetres, which the model was made "
                "with; ingest the source without relative_diameter"
            )
        return
    mend = f"ingest the source with relative_diameter = {relative_diameter:g}"
    drawn = cases["image_id"].isin(list(masks)) if masks is not None else cases["mask_path"].notna()
    others = ~relative & drawn.to_numpy(dtype=bool)
    if others.any():
        raise DataError(
            f"found {int(others.sum())} of {len(cases)} cases that are not measured relative to the lesion "
            f"(spacing_source = {cases['spacing_source'][others].iloc[0]}), expected "
            f"{SpacingSource.LESION_RELATIVE}, which the model was made with; {mend}"
        )
    for record in cases[relative].to_dict("records"):
        try:
            if masks is not None:
                mask = masks[str(record["image_id"])]
            else:
                pixels = read_mask(root / str(record["mask_path"]))
                mask = LesionMask(pixels, Spacing(float(record["row_mm"]), float(record["col_mm"])))
        except CaseError:
            continue  # becomes an exclusion row where it is measured
        found = equivalent_diameter(mask)
        if abs(found / relative_diameter - 1) > TOLERANCE:
            raise DataError(
                f"found a case whose lesion is {found:g} units across, expected {relative_diameter:g}, which the model "
                f"was made with; {mend}"
            )
