"""Published scores a model is compared with: where each number comes from, what it needs, and where it ends.

Comparators may read fields that are known only after surgery; a usdlr model may not. Which of them a score used stands
in its result. A missing field refuses the row and is never read as negative.

Marks: C, read in a copy of the paper or its abstract; R, recomputed from public data; M, from memory and unconfirmed.
Nothing marked M is implemented.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from usdlr.baselines.comparator_fields import Field, read_fields
from usdlr.baselines.comparator_scores import (
    SLN_FIELDS,
    SLN_LAST_POINT,
    Z0011_FIELDS,
    Result,
    mskcc_sln,
    z0011,
)
from usdlr.core.errors import ConfigError, DataError

OK, REFUSED = "ok", "refused"


@dataclass(frozen=True)
class Provenance:
    """Where one part of a comparator comes from.

    Parameters
    ----------
    part : str
        What of the comparator, e.g. ``"points"``.
    mark : str
        ``C`` read, ``R`` recomputed.
    source : str
        How it came here.
    """

    part: str
    mark: str
    source: str


@dataclass(frozen=True)
class Comparator:
    """A published score.

    Parameters
    ----------
    name, title : str
        Key, and words for a table.
    citation : str
        The paper.
    predicts : str
        What the value is.
    provenance : tuple of Provenance
        Every part with its mark.
    fields : tuple of Field
        What it reads, with units.
    validity : str
        Where the score ends.
    reported : str
        The paper's own figure, with its mark.
    score : callable
        From checked values to the result.
    """

    name: str
    title: str
    citation: str
    predicts: str
    provenance: tuple[Provenance, ...]
    fields: tuple[Field, ...]
    validity: str
    reported: str
    score: Callable[[Mapping[str, Any]], Result]

    @property
    def postoperative_fields(self) -> tuple[str, ...]:
        """Fields that are known only after surgery."""
        return tuple(field.name for field in self.fields if not field.preoperative)

    def statement(self) -> str:
        """Citation, marks, validity and post-operative fields in one paragraph, for print beside every result."""
        parts = "; ".join(f"{item.part} [{item.mark}, {item.source}]" for item in self.provenance)
        after = ", ".join(self.postoperative_fields) or "none"
        return (
            f"{self.title} ({self.citation}): {parts}. {self.validity} Reported: {self.reported}. "
            f"Fields known only after surgery: {after}."
        )


COMPARATORS: dict[str, Comparator] = {
    comparator.name: comparator
    for comparator in (
        Comparator(
            "mskcc_sln",
            "MSKCC sentinel-node nomogram",
            "Bevilacqua et al., J Clin Oncol 25 (2007) 3670-3679",
            "probability that a sentinel node is positive",
            (
                Provenance("points", "C", "secondary digitisation of the published nomogram"),
                Provenance("probability", "R", "smooth fit of the points-to-probability curve"),
            ),
            SLN_FIELDS,
            f"The curve ends at {SLN_LAST_POINT:g} points: a probability above is marked as extrapolated, as is an age "
            "above 100 years, which has less than 0 points.",
            "AUC 0.754 in the paper's validation group [C]",
            mskcc_sln,
        ),
        Comparator(
            "acosog_z0011",
            "ACOSOG Z0011 rule",
            "Giuliano et al., JAMA 305 (2011) 569-575",
            "whether completion axillary dissection can be left out",
            (Provenance("criteria", "C", "read"),),
            Z0011_FIELDS,
            "For patients with a positive sentinel node; no probability. Other criteria of the trial are not checked.",
            "a rule, no AUC [C]",
            z0011,
        ),
    )
}

# Named, so that nobody takes their absence for an oversight.
UNAVAILABLE: dict[str, str] = {
    "tenon": "its points are known here from memory only [M] and wait for a copy of the paper; AUC 0.65-0.75 [C]",
    "mskcc_nsln": "its inputs are published, its coefficients are not confirmed; AUC 0.72-0.77 [C]",
    "stanford": "its inputs are published, its coefficients are not confirmed; AUC 0.72-0.77 [C]",
    "md_anderson": "its inputs are published, its coefficients are not confirmed; AUC 0.72-0.77 [C]",
    "cambridge": "its inputs are published, its coefficients are not confirmed; AUC 0.72-0.77 [C]",
}


@dataclass(frozen=True)
class ReferenceRate:
    """A published rate to print beside a result; nothing is computed from it.

    Parameters
    ----------
    name : str
        What was measured.
    value : float
        Fraction.
    low, high : float or None
        Ends of the 95 % interval where the source gives it.
    source, mark : str
        Where it was read.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    source: str
    mark: str

    def sentence(self) -> str:
        """The rate in words."""
        interval = "" if self.low is None or self.high is None else f" ({100 * self.low:.0f}-{100 * self.high:.0f})"
        return f"{self.name}: {100 * self.value:.0f} %{interval} [{self.mark}, {self.source}]"


_AXILLARY = "meta-analysis of 62 studies of ultrasound, MRI and PET, PMC8038849"
AXILLARY_ULTRASOUND: tuple[ReferenceRate, ...] = (
    ReferenceRate("axillary ultrasound, sensitivity", 0.51, 0.43, 0.59, _AXILLARY, "C"),
    ReferenceRate("axillary ultrasound, specificity", 1.00, None, None, _AXILLARY, "C"),
    ReferenceRate("false-negative rate with more than 2 positive nodes", 0.28, None, None, _AXILLARY, "C"),
    ReferenceRate("false-negative rate for micrometastases", 0.96, None, None, _AXILLARY, "C"),
)


def comparator_named(name: str) -> Comparator:
    """The comparator called ``name``.

    Raises
    ------
    ConfigError
        If there is none; for a known score that is not implemented the message says why.
    """
    if name in UNAVAILABLE:
        raise ConfigError(
            f"found comparator {name!r}, which is not available: {UNAVAILABLE[name]}; "
            f"expected one of {', '.join(COMPARATORS)}"
        )
    if name not in COMPARATORS:
        raise ConfigError(f"found comparator {name!r}, expected one of {', '.join(COMPARATORS)}")
    return COMPARATORS[name]


def score_row(row: Mapping[str, Any], name: str) -> Result:
    """The score of one row.

    Raises
    ------
    ConfigError
        If the comparator is unknown or unavailable.
    DataError
        If a needed field is missing or impossible.
    """
    comparator = comparator_named(name)
    return comparator.score(read_fields(row, comparator.fields, comparator.title))


def score_table(cases: pd.DataFrame, name: str) -> pd.DataFrame:
    """The score of every row of a table.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table, with the further columns that :func:`comparator_fields` names.
    name : str
        Comparator.

    Returns
    -------
    DataFrame
        On the index of ``cases``: ``status`` (``ok`` or ``refused``), ``reason`` (why refused, or why a rule does not
        apply), ``points``, ``probability``, ``eligible`` (rules), ``extrapolated``, ``postoperative_fields`` (those
        the row's score read, separated by spaces), ``provenance``. Null where refused, never negative.

    Raises
    ------
    ConfigError
        If the comparator is unknown or unavailable.
    """
    comparator = comparator_named(name)
    marks = "; ".join(f"{item.part} [{item.mark}, {item.source}]" for item in comparator.provenance)
    rows: list[dict[str, Any]] = []
    for record in cases.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        try:
            result = comparator.score(read_fields(row, comparator.fields, comparator.title))
        except DataError as error:
            rows.append({"status": REFUSED, "reason": str(error)})
            continue
        rows.append(
            {
                "status": OK,
                "reason": "; ".join(result.reasons) or None,
                "points": result.points,
                "probability": result.probability,
                "eligible": result.eligible,
                "extrapolated": bool(result.extrapolated),
                "postoperative_fields": " ".join(
                    field for field in result.used if field in comparator.postoperative_fields
                ),
            }
        )
    types = {
        "status": "str",
        "reason": "str",
        "points": "float64",
        "probability": "float64",
        "eligible": "boolean",
        "extrapolated": "boolean",
        "postoperative_fields": "str",
    }
    table = pd.DataFrame(rows, columns=list(types), index=cases.index).astype(types)
    return table.assign(provenance=marks)


def comparator_fields(name: str) -> pd.DataFrame:
    """What a comparator reads: ``field unit values meaning in_cases preoperative``, one row each."""
    return pd.DataFrame([field.as_row() for field in comparator_named(name).fields])
