"""How the patients of a validation differ from those that the bundle was made with; no outcome is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load, save

from usdlr.core.files import read_json, write_atomic, write_bytes, write_json
from usdlr.evaluation.reference import PatientRows
from usdlr.evaluation.shift import shift_report
from usdlr.inference.bundle import Bundle
from usdlr.inference.predictor import Prepared
from usdlr.inference.reference import bundle_reference, centre_rows

FOLDER = "shift"
_FILES = ("design.parquet", "case.parquet", "log_odds.parquet", "looks.safetensors", "axillae.json")


def save_rows(bundle: Bundle, prepared: Prepared, folder: Path) -> list[Path]:
    """Keep a source's patients as the comparison reads them; nothing where the bundle has nothing to compare with.

    Parameters
    ----------
    bundle : Bundle
        The model.
    prepared : Prepared
        The source's cases, without outcomes.
    folder : Path
        Target.

    Returns
    -------
    list of Path
        What was written.
    """
    if bundle_reference(bundle) is None:
        return []
    rows, _ = centre_rows(bundle, prepared)
    for name, table in (("design", rows.design), ("case", rows.case), ("log_odds", rows.log_odds)):
        write_atomic(folder / f"{name}.parquet", table.to_parquet)
    write_bytes(folder / "looks.safetensors", save({"looks": np.ascontiguousarray(rows.looks)}))
    write_json(folder / "axillae.json", rows.axillae)
    return [folder / name for name in _FILES]


def local_shift(bundle: Bundle, folders: Sequence[Path], *, rate: float) -> dict[str, Any] | None:
    """What :func:`usdlr.evaluation.shift.shift_report` says of all sources together, and of every centre.

    Parameters
    ----------
    bundle : Bundle
        With what its training patients look like.
    folders : sequence of Path
        What :func:`save_rows` wrote, by source.
    rate : float
        Stated false-alarm rate, of each comparison.

    Returns
    -------
    dict or None
        ``None`` where the bundle does not say what its training patients look like. ``centres`` holds ``p_value``
        and ``alarm`` by centre, where there are several.
    """
    reference = bundle_reference(bundle)
    if reference is None:
        return None
    rows = _together([_read(folder) for folder in folders])
    found = shift_report(reference, rows, rate=rate)
    centre = rows.case["centre_id"].astype(str).to_numpy()
    names = sorted(set(centre))
    if len(names) > 1:
        parts = {name: shift_report(reference, rows.take(centre == name), rate=rate) for name in names}
        found["centres"] = {name: {key: part[key] for key in ("p_value", "alarm")} for name, part in parts.items()}
    return found


def _read(folder: Path) -> PatientRows:
    design, case, log_odds = (pd.read_parquet(folder / f"{name}.parquet") for name in ("design", "case", "log_odds"))
    looks = load((folder / "looks.safetensors").read_bytes())["looks"]
    return PatientRows(design, case, looks, log_odds, int(read_json(folder / "axillae.json")))


def _together(parts: Sequence[PatientRows]) -> PatientRows:
    first = parts[0]
    if len(parts) == 1:
        return first
    tables = (
        pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in ("design", "case", "log_odds")
    )
    design, case, log_odds = tables
    looks = np.concatenate([part.looks for part in parts])
    return replace(
        first, design=design, case=case, looks=looks, log_odds=log_odds, axillae=sum(part.axillae for part in parts)
    )
