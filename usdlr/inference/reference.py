"""What the patients behind a bundle look like: written by a run, read where a new centre is compared with them.

Only aggregates travel: see :mod:`usdlr.evaluation.reference`. The laws of the networks' embeddings by block are the
member's own, see :mod:`usdlr.inference.ood`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load, save

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import BundleError, DataError
from usdlr.core.files import read_json, write_bytes, write_json
from usdlr.core.types import Stage
from usdlr.evaluation.reference import NUMBERS, WHERE, WORDS, PatientRows, Reference
from usdlr.inference.axillae import axilla_table
from usdlr.inference.bundle import Bundle
from usdlr.inference.ood_files import Seen
from usdlr.inference.predictor import Prepared, member_rows, patient_splits, read_member
from usdlr.inference.reading import Reading
from usdlr.inference.stage import StageModel, network_columns, prepare_torch
from usdlr.inference.views import averaged_views
from usdlr.radiomics.design import CLINICAL

FOLDER = "reference"
SUMMARY, ARRAYS = "summary.json", "arrays.safetensors"


def save_reference(folder: Path, reference: Reference) -> list[Path]:
    """Write a summary into a folder of its own."""
    write_json(folder / SUMMARY, reference.to_dict())
    arrays = {name: np.ascontiguousarray(one) for name, one in reference.to_arrays().items()}
    write_bytes(folder / ARRAYS, save(arrays))
    return [folder / SUMMARY, folder / ARRAYS]


def load_reference(folder: Path) -> Reference:
    """Read what :func:`save_reference` wrote.

    Raises
    ------
    BundleError
        If it is missing or damaged.
    """
    try:
        return Reference.from_files(read_json(folder / SUMMARY), load((folder / ARRAYS).read_bytes()))
    except (OSError, SafetensorError, DataError) as error:
        raise BundleError(
            f"found a damaged summary of the training patients ({error}); export the bundle again"
        ) from error


def bundle_reference(bundle: Bundle) -> Reference | None:
    """The summary that a bundle carries; None where it has none, and a centre cannot be compared with it.

    Raises
    ------
    BundleError
        If it is damaged.
    """
    folder = bundle.extras.get(FOLDER)
    return None if folder is None else load_reference(folder)


def require_reference(bundle: Bundle) -> Reference:
    """The summary that a bundle carries.

    Raises
    ------
    BundleError
        If there is none: the bundle was made before there were any.
    """
    found = bundle_reference(bundle)
    if found is None:
        raise BundleError(
            "found a bundle without a summary of its training patients, expected one, with which a new centre is "
            "compared; make the bundle again with this version, or leave the comparison out"
        )
    return found


def read_columns(models: dict[Stage, StageModel]) -> list[str]:
    """Radiomics columns that any stage's networks read, each once."""
    names = [name for model in models.values() for name in network_columns(model.selector)]
    return [name for name in dict.fromkeys(names) if not name.startswith(CLINICAL) and name.count(".") == 4]


def patient_rows(cases: pd.DataFrame, seen: Seen, predictions: pd.DataFrame) -> PatientRows:
    """A cohort as a comparison reads it.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table.
    seen : Seen
        Of the same axillae.
    predictions : DataFrame
        Rows of ``predictions`` of one member, both stages of each of these axillae.
    """
    wide = predictions.pivot(index=AXILLA_KEY, columns="stage", values="logit").reset_index()
    log_odds = seen.keys.merge(wide, on=AXILLA_KEY, how="left", validate="one_to_one")
    described = seen.keys.merge(axilla_table(cases), on=AXILLA_KEY, how="left", validate="one_to_one")
    names = [name for name in (*NUMBERS, *WORDS, *WHERE) if name in described]
    looks = [np.asarray(one, dtype=np.float64) for each in seen.looks.values() for one in each]
    joined = np.concatenate(looks, axis=1) if looks else np.zeros((len(seen.keys), 0))
    return PatientRows.of(seen.keys, seen.design, described[names], joined, log_odds)


def centre_rows(bundle: Bundle, prepared: Prepared) -> tuple[PatientRows, pd.DataFrame]:
    """A new centre as a comparison reads it, and the predictions behind it.

    Parameters
    ----------
    bundle : Bundle
        The model.
    prepared : Prepared
        The centre's cases, prepared with the bundle's preparation.

    Returns
    -------
    PatientRows
        For :func:`usdlr.evaluation.shift.shift_report`.
    DataFrame
        The ``predictions`` table.
    """
    prepare_torch(bundle.preparation.threads)
    readings: dict[Stage, list[Reading]] = {}
    raw = read_member(
        bundle.member,
        prepared.cases,
        prepared.store,
        prepared.design,
        batch_size=bundle.preparation.batch_size,
        views=averaged_views(bundle.preparation.views),
        readings=readings,
    )
    seen = Seen.of(prepared.cases, prepared.design, bundle.member.models, readings)
    predictions = member_rows(bundle.member, raw, split=patient_splits(prepared.cases, bundle.member))
    return patient_rows(prepared.cases, seen, predictions), predictions
