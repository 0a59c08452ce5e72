"""The rules by which pathology becomes endpoints. Null is never read as negative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode

NODE_ENDPOINTS = (
    "sln_positive",
    "nsln_positive",
    "positive_nodes",
    "removed_nodes",
    "sln_positive_count",
    "sln_removed_count",
)


def normalise_endpoints(values: Mapping[str, Any], *, itc_positive: bool = False) -> dict[str, Any]:
    """Apply the endpoint rules to one row.

    - Isolated tumour cells count as negative unless ``itc_positive``; micrometastases count as positive.
    - Neoadjuvant treatment before axillary surgery makes every node endpoint null.
    - A negative sentinel node makes the non-sentinel nodes structurally negative.
    - A positive sentinel node without dissection leaves the non-sentinel status unknown.

    Raises
    ------
    CaseError
        If the row contradicts itself.

    Examples
    --------
    >>> normalise_endpoints({"sln_deposit": "itc", "sln_positive": None, "nsln_positive": None})["sln_positive"]
    False
    >>> row = {"sln_positive": True, "nsln_positive": False, "axillary_surgery": "slnb"}
    >>> normalise_endpoints(row)["nsln_positive"] is None
    True
    """
    # numpy's own true and false are not Python's, and the rules below ask for those.
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    out = {name: None if pd.isna(value) else value for name, value in plain.items()}
    for name in ("sln_positive", "nsln_positive", "neoadjuvant"):  # 0 and 1 are what many tables hold
        if out.get(name) in (0, 1):
            out[name] = bool(out[name])
    if out.get("neoadjuvant"):
        return {name: None if name in NODE_ENDPOINTS else value for name, value in out.items()}
    deposit = out.get("sln_deposit")
    if deposit is not None:
        by_deposit = deposit in ("micro", "macro") or (deposit == "itc" and itc_positive)
        stated = out.get("sln_positive")
        if stated is not None and bool(stated) != by_deposit and deposit != "itc":
            raise CaseError(
                ExclusionCode.ENDPOINT_MISSING,
                f"found sln_positive = {stated} beside sln_deposit = {deposit}, expected agreement; correct the row",
            )
        out["sln_positive"] = by_deposit
    if out.get("sln_positive") is False:
        if out.get("nsln_positive"):
            raise CaseError(
                ExclusionCode.ENDPOINT_MISSING,
                "found a positive non-sentinel node beside a negative sentinel node, expected no such pair; "
                "correct the row or record the sentinel biopsy as false negative",
            )
        out["nsln_positive"] = False
    elif out.get("sln_positive") is True:
        # Without dissection nobody knows; where the surgery is not stated, only a positive finding stands.
        surgery = out.get("axillary_surgery")
        if surgery not in (None, "alnd") or (surgery is None and out.get("nsln_positive") is False):
            out["nsln_positive"] = None
    return out
