"""What becomes of pictures that appear twice: excluded, joined under one patient, or a reason to refuse the export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import pandas as pd

from usdlr.core.columns import ENDPOINTS, PROXY_PREFIX
from usdlr.core.errors import CaseError, DataError
from usdlr.core.types import ExclusionCode, QualityFlag, Side
from usdlr.ingest.duplicates import DuplicatePair, Verify, find_duplicates
from usdlr.ingest.source import Note


class OnDuplicate(StrEnum):
    """What to do about one picture under two patients whose outcomes agree."""

    REFUSE = "refuse"  # a hospital knows its patients: one of the two ids is wrong
    JOIN = "join"  # a public source without patient ids: a picture shows one person, so both are one patient


@dataclass(frozen=True)
class Verdict:
    """What follows from the pictures that appear twice.

    Parameters
    ----------
    pairs : tuple of DuplicatePair
        Pictures under different patients.
    exclusions : tuple of (int, CaseError)
        Rows of ``cases``, by position, that cannot be used.
    notes : tuple of (int, Note)
        What readers of a row that stays should know.
    joined : mapping of str to str
        For patients who share a picture: the one under whom they continue. See :func:`join_patients`.
    """

    pairs: tuple[DuplicatePair, ...] = ()
    exclusions: tuple[tuple[int, CaseError], ...] = ()
    notes: tuple[tuple[int, Note], ...] = ()
    joined: Mapping[str, str] = field(default_factory=dict)


def judge_duplicates(
    cases: pd.DataFrame,
    prints: pd.DataFrame,
    verify: Verify | None = None,
    *,
    on_duplicate: OnDuplicate = OnDuplicate.REFUSE,
) -> Verdict:
    """Decide about every picture that appears more than once.

    - Under two patients whose outcomes differ: nobody knows which is right, nor whether the two are one person. All
      image sets of these patients are excluded, whatever ``on_duplicate`` says.
    - Under two patients whose outcomes agree: refused, or the patients become one, so that no split can part them.
    - On both sides of one patient: excluded.
    - Twice for one lesion: used, with a note.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    prints : DataFrame
        From :func:`usdlr.ingest.duplicates.fingerprint_table`, of the same image sets.
    verify : callable, optional
        As for :func:`usdlr.ingest.duplicates.find_duplicates`.
    on_duplicate : OnDuplicate
        What to do where outcomes agree.

    Raises
    ------
    DataError
        If patients with agreeing outcomes share a picture and may not be joined.
    """
    cases = cases.reset_index(drop=True)
    pairs = find_duplicates(prints, verify)
    excluded, notes = _within_patients(cases, prints)
    patient_of = dict(zip(cases["image_id"].astype(str), cases["patient_id"].astype(str), strict=True))
    joined: dict[str, str] = {}
    refused: list[DuplicatePair] = []
    for patients, shared in _groups(cases, pairs, patient_of):
        rows = cases[cases["patient_id"].astype(str).isin(patients)]
        different = _disagreements(rows, shared)
        if different:
            pictures = {name for pair in shared for name in (pair.first, pair.second)}
            for position, image_id in rows["image_id"].items():
                excluded[int(str(position))] = _contradiction(different, len(patients), str(image_id) in pictures)
        elif on_duplicate is OnDuplicate.REFUSE or rows["centre_id"].nunique() > 1:
            refused += shared
        else:
            joined |= dict.fromkeys(patients[1:], patients[0])
            for position, image_id in rows["image_id"].items():
                if any(str(image_id) in (pair.first, pair.second) for pair in shared):
                    notes[int(str(position))] = _joined_note(len(patients), shared)
    if refused:
        shown = "; ".join([f"{pair.first} and {pair.second}" for pair in refused[:3]] + ["..."] * bool(refused[3:]))
        raise DataError(
            f"found the same picture under two patients {len(refused)} times ({shown}), "
            "expected each picture under one; give them one patient_id or remove one of them. Where a source has no "
            "patient ids, patients of one centre who share a picture can be joined instead"
        )
    return Verdict(
        pairs=tuple(pairs),
        exclusions=tuple(sorted(excluded.items())),
        notes=tuple((position, note) for position, note in sorted(notes.items()) if position not in excluded),
        joined=joined,
    )


def join_patients(cases: pd.DataFrame, joined: Mapping[str, str]) -> pd.DataFrame:
    """The same table with patients who share a picture under one ``patient_id``."""
    patients = cases["patient_id"].astype(str)
    return cases.assign(patient_id=patients.map(lambda patient: joined.get(patient, patient)))


def _groups(
    cases: pd.DataFrame, pairs: Sequence[DuplicatePair], patient_of: Mapping[str, str]
) -> list[tuple[list[str], list[DuplicatePair]]]:
    """Patients connected by pictures, in the order of the table, with the pairs that connect them."""
    order = {str(patient): number for number, patient in enumerate(cases["patient_id"].drop_duplicates())}
    group_of: dict[str, set[str]] = {}
    for pair in pairs:
        one, other = patient_of[pair.first], patient_of[pair.second]
        merged = group_of.get(one, {one}) | group_of.get(other, {other})
        group_of |= dict.fromkeys(merged, merged)
    distinct = {id(group): group for group in group_of.values()}
    ordered = sorted(sorted(group, key=order.__getitem__) for group in distinct.values())
    ordered.sort(key=lambda group: order[group[0]])
    return [(group, [pair for pair in pairs if patient_of[pair.first] in group]) for group in ordered]


def _disagreements(rows: pd.DataFrame, shared: Sequence[DuplicatePair]) -> list[str]:
    """Outcome columns in which the patients of a group contradict each other."""
    endpoints = [column.name for column in ENDPOINTS if not column.pattern and column.name in rows]
    proxies = [str(name) for name in rows if str(name).startswith(PROXY_PREFIX)]
    different: dict[str, None] = {}
    sides_of: dict[str, set[str]] = {}
    by_id = rows.set_index(rows["image_id"].astype(str))
    for pair in shared:
        one, other = by_id.loc[pair.first], by_id.loc[pair.second]
        different |= {name: None for name in [*endpoints, *proxies] if not _same(one[name], other[name])}
        sides = sides_of.setdefault(pair.first, set())
        sides |= {str(one["side"]), str(other["side"])} - {str(Side.UNKNOWN)}
        if len(sides) > 1:
            different["side"] = None
    # As one patient they would also share the outcomes of each side, whichever picture they stand beside.
    for _, side in rows.groupby("side"):
        different |= {name: None for name in endpoints if side[name].nunique(dropna=False) > 1}
    return list(different)


def _same(one: object, other: object) -> bool:
    unknown = pd.isna([one, other])
    return bool(unknown.all()) if unknown.any() else one == other


def _contradiction(different: Sequence[str], patients: int, in_picture: bool) -> CaseError:
    where = "this picture" if in_picture else "another picture of this patient"
    return CaseError(
        ExclusionCode.DUPLICATE_CONTRADICTORY,
        f"found {where} under {patients} patients who differ in {', '.join(different)}, expected one outcome; nobody "
        "knows which is right: correct the table or leave these patients out",
    )


def _joined_note(patients: int, shared: Sequence[DuplicatePair]) -> Note:
    kinds = " and ".join(sorted({str(pair.kind) for pair in shared}))
    return Note(
        QualityFlag.DUPLICATE_IMAGE,
        f"found {kinds} copies of a picture under {patients} patients with the same outcome; they count as one patient",
    )


def _within_patients(cases: pd.DataFrame, prints: pd.DataFrame) -> tuple[dict[int, CaseError], dict[int, Note]]:
    """What follows from equal pictures of one patient."""
    digest = dict(zip(prints["image_id"].astype(str), prints["pixel_hash"], strict=True))
    table = cases[["patient_id", "side", "lesion_id"]].assign(picture=cases["image_id"].astype(str).map(digest))
    excluded: dict[int, CaseError] = {}
    notes: dict[int, Note] = {}
    for _, rows in table[table["picture"].notna()].groupby(["patient_id", "picture"]):
        positions = [int(position) for position in rows.index]
        if len(set(rows["side"]) - {str(Side.UNKNOWN)}) > 1:
            error = CaseError(
                ExclusionCode.DUPLICATE_CONTRADICTORY,
                "found the same picture on both sides of one patient, expected one side; correct the table",
            )
            excluded |= dict.fromkeys(positions, error)
        elif rows.duplicated(["side", "lesion_id"]).any():
            note = Note(
                QualityFlag.DUPLICATE_IMAGE,
                "found the same picture more than once for one lesion; it counts more than once in its mean",
            )
            notes |= dict.fromkeys(positions, note)
    return excluded, notes
