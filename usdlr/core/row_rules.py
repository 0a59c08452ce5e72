"""What one column of a row says of another: rules that no column's own definition can hold."""

from __future__ import annotations

import pandas as pd

from usdlr.core.types import MaskSource

OF_SOFTWARE = ("mask_confidence", "mask_error_mm", "segmenter_id")


def known_of_software_alone(cases: pd.DataFrame) -> str | None:
    """What is wrong where a contour that software did not draw carries what is known of one that it did.

    Parameters
    ----------
    cases : DataFrame
        Of the ``cases`` table's columns.

    Returns
    -------
    str or None
        The first row, what was found, what was expected and how to mend it; ``None`` where every row keeps the rule.

    Examples
    --------
    >>> row = {"mask_source": "reader", "mask_confidence": 0.9, "mask_error_mm": None, "segmenter_id": None}
    >>> known_of_software_alone(pd.DataFrame([row]))
    'row 0: found mask_confidence = 0.9 beside mask_source = reader, expected null: only a contour by software has \
one; empty it, or state mask_source = automatic'
    >>> known_of_software_alone(pd.DataFrame([row | {"mask_source": "automatic"}])) is None
    True
    """
    if not any(cases[name].notna().any() for name in OF_SOFTWARE):
        return None
    others = (cases["mask_source"] != str(MaskSource.AUTOMATIC)).to_numpy(dtype=bool)
    for name in OF_SOFTWARE:
        wrong = others & cases[name].notna().to_numpy(dtype=bool)
        if wrong.any():
            row = int(wrong.argmax())
            source = cases["mask_source"].iloc[row]
            return (
                f"row {row}: found {name} = {cases[name].iloc[row]} beside mask_source = "
                f"{'null' if pd.isna(source) else source}, expected null: only a contour by software has one; empty "
                f"it, or state mask_source = {MaskSource.AUTOMATIC}"
            )
    return None
