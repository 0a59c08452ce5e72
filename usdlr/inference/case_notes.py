"""What a page about one axilla must say beside its probabilities: warnings, and what published scores say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from usdlr.baselines.comparators import COMPARATORS, score_row
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import DataError
from usdlr.core.types import MaskSource, Split
from usdlr.decision import wording
from usdlr.decision.wording_explanation import SEEN, STRANGE, comparator_words
from usdlr.decision.wording_review import AUTOMATIC_CONTOUR
from usdlr.inference.bundle import Bundle
from usdlr.inference.predictor import Prediction
from usdlr.inference.size_alone import bundle_size_curves, size_alone

Key = tuple[str, str]


def axilla_rows(table: pd.DataFrame, key: Key) -> pd.DataFrame:
    """The rows of one axilla.

    Parameters
    ----------
    table : DataFrame
        With ``patient_id`` and ``side``.
    key : tuple of (str, str)
        Both.
    """
    patient, side = AXILLA_KEY
    return table[(table[patient] == key[0]) & (table[side] == key[1])]


def axilla_warnings(prediction: Prediction, key: Key, foreign: str | None) -> list[str]:
    """What must not be overlooked in one axilla's answer.

    Parameters
    ----------
    prediction : Prediction
        Of a cohort, the axilla's among them.
    key : tuple of (str, str)
        Patient and side.
    foreign : str or None
        Its centre, where the model was not made there and the contract is void.
    """
    out = []
    known = axilla_rows(prediction.reliability, key)
    if len(known) and bool(known["ood_alarm"].fillna(False).iloc[0]):
        out.append(str(known["ood_why"].iloc[0]) if "ood_why" in known else STRANGE)
    if foreign is not None:
        out.append(wording.void_sentence([foreign]))
    if (axilla_rows(prediction.predictions, key)["split"] != str(Split.EXTERNAL)).any():
        out.append(SEEN)
    if (known["mask_source"] == str(MaskSource.AUTOMATIC)).any():
        out.append(AUTOMATIC_CONTOUR)
    return out


def comparators(bundle: Bundle, row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """What stands beside a model's answer: tumour size alone, and published scores whose fields a case has.

    Parameters
    ----------
    bundle : Bundle
        The model.
    row : mapping
        Of ``cases``.

    Raises
    ------
    BundleError
        If the bundle's curves of tumour size are damaged.
    """
    return [*size_alone(bundle_size_curves(bundle), row), *published_scores(row)]


def published_scores(row: Mapping[Any, Any]) -> list[tuple[str, str]]:
    """Published scores whose fields a case has: title, and what the score says.

    Parameters
    ----------
    row : mapping
        Of ``cases``.
    """
    out = []
    for name, comparator in COMPARATORS.items():
        try:
            result = score_row({str(column): value for column, value in row.items()}, name)
        except DataError:
            continue
        after = tuple(field for field in result.used if field in comparator.postoperative_fields)
        out.append((comparator.title, comparator_words(result.probability, result.eligible, after)))
    return out
