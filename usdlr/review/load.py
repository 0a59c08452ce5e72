"""A reading list: a frozen bundle applied to a table of cases, as records that a store can hold."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY, PATHS, PREOPERATIVE
from usdlr.core.errors import CaseError, DataError
from usdlr.core.modalities import BMODE
from usdlr.core.pool import run_all
from usdlr.core.types import ExclusionCode, OnUncertified, Side, Site
from usdlr.decision.wording_explanation import number, variable_words
from usdlr.imaging.store import read_case, read_png
from usdlr.inference.bundle import load_bundle
from usdlr.inference.case_notes import comparators
from usdlr.inference.stream import StreamSettings, predict_stream
from usdlr.review.answering import Seen, answered, bar_end, image_record, model_record, plain_row, seen_on
from usdlr.review.records import AxillaRecord, ModelRecord

TOKEN_BYTES: Final = 16
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "tumour_size_mm": ("Tumour size", "mm"),
    "age_years": ("Age", "years"),
    "birads": ("BI-RADS category", ""),
    "cn_stage": ("Clinical nodal stage", ""),
    "neoadjuvant": ("Treatment before axillary surgery", ""),
    "days_us_to_surgery": ("Ultrasound to surgery", "days"),
    "grade_core_biopsy": ("Grade on core biopsy", ""),
}


def new_token() -> str:
    """A random name for an address: 22 letters of 128 random bits, safe in a path.

    Examples
    --------
    >>> len(new_token())
    22
    """
    return secrets.token_urlsafe(TOKEN_BYTES)


def read_list(
    bundle_path: Path,
    cases: Path,
    *,
    work: Path,
    jobs: int,
    on_uncertified: OnUncertified | None = None,
    public_key: Path | None = None,
    contours: int = 0,
) -> tuple[ModelRecord, list[AxillaRecord], pd.DataFrame]:
    """Predict a table and make the records of a review.

    Every number is that of the tables which ``usdlr predict`` writes for the same bundle, cases and settings.

    Parameters
    ----------
    bundle_path : Path
        Folder that ``usdlr run`` wrote, or a ``.usdlr`` file.
    cases : Path
        The ``cases`` table; its files lie beside it.
    work : Path
        Where finished chunks lie: a second call continues there.
    jobs : int
        Processes side by side.
    on_uncertified : OnUncertified, optional
        What to answer without a certified contract, instead of the bundle's own choice.
    public_key : Path, optional
        PEM file of the key that must have signed the bundle.
    contours : int
        How many times every contour is redrawn, for the quantiles of :class:`~usdlr.review.records.StageValue`.

    Returns
    -------
    tuple of ModelRecord, list of AxillaRecord, DataFrame
        The model; axillae in the order of the cases, numbered from 1, with new random tokens; and the ``exclusions``
        table: axillae without any usable image are there alone.

    Raises
    ------
    DataError
        If a file of the table lies outside its folder, or no case can be used.
    BundleError
        If the bundle is damaged, altered or not signed by this key.
    """
    bundle = load_bundle(bundle_path, public_key=public_key)
    table, root = tables.CASES.read(cases), cases.parent.resolve()
    require_inside(table, root)
    found = predict_stream(
        bundle,
        table,
        root,
        folder=work,
        settings=StreamSettings(jobs=jobs, contours=contours),
        on_uncertified=on_uncertified,
    )
    keys = [(str(patient), str(side)) for patient, side in found.decisions[AXILLA_KEY].itertuples(index=False)]
    answers = set(keys)
    rows = [
        {str(name): value for name, value in row.items()}
        for row in table.to_dict("records")
        if (str(row["patient_id"]), str(row["side"])) in answers
    ]
    look = partial(_look, root=root, margin_mm=bundle.preparation.radiomics.margin_mm)
    outcomes = run_all(look, rows, jobs=jobs, label="review")
    seen = {str(row["image_id"]): one.result for row, one in zip(rows, outcomes, strict=True) if one.result is not None}
    of_axilla: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in keys}
    for row in rows:
        of_axilla[str(row["patient_id"]), str(row["side"])].append(row)
    groups = dict(iter(table.groupby(AXILLA_KEY, sort=False)))
    records = []
    for place, key in enumerate(keys, start=1):
        # Sorting is stable: within the tumour and within the axilla images stay as the table has them.
        own = sorted(of_axilla[key], key=lambda row: str(row["site"]) != str(Site.TUMOUR))
        shown = [row for row in own if str(row["image_id"]) in seen]
        first = plain_row(own[0])
        end = bar_end([seen[str(row["image_id"])] for row in shown], [row["elasto_unit"] for row in shown])
        records.append(
            AxillaRecord(
                token=new_token(),
                number=place,
                patient_id=key[0],
                side=Side(key[1]),
                centre_id=str(own[0]["centre_id"]),
                answer=answered(found, key, groups[key], seen),
                images=tuple(
                    image_record(
                        row, seen[str(row["image_id"])], token=new_token(), number=at, root=str(root), limit=end
                    )
                    for at, row in enumerate(shown, start=1)
                ),
                clinical=clinical_words(first),
                comparators=tuple(comparators(bundle, first)),
                bundle_id=bundle.bundle_id,
                digest=bundle.digest,
                row=first,
            )
        )
    return model_record(bundle), records, found.exclusions


def clinical_words(row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Pre-operative variables that are known, in words.

    Parameters
    ----------
    row : mapping
        Of ``cases``.

    Examples
    --------
    >>> clinical_words({"tumour_size_mm": 24.58, "age_years": 50.0, "birads": "4c", "cn_stage": None})
    (('Tumour size', '24.6 mm'), ('Age', '50 years'), ('BI-RADS category', '4c'))
    """
    out = []
    for column in PREOPERATIVE:
        value = row.get(column.name)
        if value is None or pd.isna(value):
            continue
        words, unit = _WORDS.get(column.name, (variable_words(column.name), column.unit))
        if isinstance(value, bool):
            text = "yes" if value else "no"
        else:
            text = number(float(value)) if isinstance(value, int | float) else str(value)
        out.append((words, f"{text} {unit}".rstrip()))
    return tuple(out)


def require_inside(table: pd.DataFrame, root: Path) -> None:
    """Refuse a table whose files lie elsewhere than beside it: pages would show files that nobody meant.

    Parameters
    ----------
    table : DataFrame
        The ``cases`` table.
    root : Path
        Its folder, resolved.

    Raises
    ------
    DataError
        If a path is absolute, climbs out, or leads out through a link.
    """
    folders: dict[str, bool] = {}
    outside = 0
    for column in (one.name for one in PATHS):
        for name in table[column].dropna().map(str):
            path = Path(name)
            parent = str(path.parent)
            if parent not in folders:  # one look per folder; single links are looked at below
                folders[parent] = (root / parent).resolve().is_relative_to(root)
            good = folders[parent] and not path.is_absolute() and ".." not in path.parts
            outside += not (good and (root / path).resolve().is_relative_to(root))
    if outside:
        raise DataError(
            f"found {outside} files outside the folder of the cases table, expected all of them inside it; copy them "
            "there, or give the path of the table where they lie"
        )


def _look(row: Mapping[str, Any], root: Path, margin_mm: float) -> Seen:
    """What is drawn on one image; without a usable contour its grid alone."""
    try:
        return seen_on(read_case(row, root), row, margin_mm)
    except CaseError:
        grey = read_png(root / str(row[f"{BMODE}_path"]), ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE)
        return Seen(rows=int(grey.shape[0]), columns=int(grey.shape[1]))
